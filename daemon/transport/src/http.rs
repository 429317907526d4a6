//! HTTP to the server: JSON in and out, every answer bounded in time and size, every failure classified.

mod body;
mod client;
mod failure;

pub use client::{Answer, Client, Method, Options};
pub use failure::{HttpError, StartError};
