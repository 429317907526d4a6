//! The relay from outside: over HTTP, over its sockets, and as a program.

mod auth;
mod binary;
mod calls;
mod captures;
mod events;
mod happy_cli;
mod isolation;
mod limits;
mod objects;
mod presence;
mod restart;
mod rig;
