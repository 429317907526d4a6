//! The self-hosted sync server: it carries what it cannot read.
//!
//! Daemons and phones of one account meet here. What they send each other is sealed before it arrives; the relay stores
//! it, numbers it, passes it on and routes calls. It links none of delight's cryptography, so that it cannot read sessions
//! is a fact of the dependency graph. It does check signatures at login, and signs its own tokens.
//!
//! The wire is the one Happy's server speaks, so its apps, its CLI and its daemon work with it.
//!
//! ```no_run
//! # async fn example() -> Result<(), delight_relay::StartError> {
//! use delight_relay::{Config, Relay};
//!
//! let config = Config { data_dir: "/tmp/relay".into(), ..Config::default() };
//! let relay = Relay::start(config).await?;
//! println!("listening on {}", relay.address());
//! relay.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod challenge;
mod clock;
pub mod config;
mod http;
mod hub;
mod ids;
mod limit;
mod presence;
mod relay;
mod rpc;
mod server;
mod shared;
mod socket;
mod store;
mod token;
mod update;

pub use config::{Config, ConfigError};
pub use relay::{Handle, Relay, StartError, check_tls};
pub use store::StoreError;
