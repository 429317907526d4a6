//! What the owner of a relay can set.
//!
//! The file is TOML; a key it does not know is an error, because a misspelt limit that is silently ignored is worse
//! than a relay that does not start. Times are in seconds.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

/// The settings of one relay. Every field has a default that is safe on a loopback address.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen. Port 0 takes a free one; [`crate::Handle::address`] says which.
    pub listen: SocketAddr,
    /// The directory of the database. Made with mode 0700 when it does not exist.
    pub data_dir: PathBuf,
    /// TLS of our own. Without it the relay speaks plain HTTP: for loopback, or behind a proxy that speaks TLS.
    pub tls: Option<Tls>,
    /// Proxies whose `X-Forwarded-For` is believed. Nobody else's is: it would let a client choose its rate limit.
    pub trusted_proxies: Vec<IpAddr>,
    /// Who may make an account.
    pub registration: Registration,
    /// Whether a client may log in by signing a challenge it chose itself, as Happy's clients do. Ours sign one of the
    /// relay's. Either way a signature logs in once only.
    pub client_challenge: bool,
    /// How long a token is good. Long, because Happy's clients never refresh theirs: an expired one means pairing again.
    #[serde(with = "seconds")]
    pub token_lifetime: Duration,
    /// How long a pairing request waits for its phone. It is single use whatever this says.
    #[serde(with = "seconds")]
    pub pairing_lifetime: Duration,
    /// Who counts as present, and for how long.
    pub presence: Presence,
    /// Bounds.
    pub limits: Limits,
    /// Remote calls.
    pub rpc: Rpc,
    /// Messages of sessions untouched for this many days are deleted with their session. Without it nothing ever is.
    pub retention_days: Option<u32>,
}

/// Certificate chain and key, both PEM.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The chain, the server's own certificate first.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Who may make an account: log in with a key the relay has not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Everybody who reaches the relay.
    Open,
    /// Nobody: only the accounts that are there.
    Closed,
}

/// When a session or machine stops counting as present. Silence is never read as presence.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Presence {
    /// Longest silence of something whose connection is open: six machine heartbeats of 20 s.
    #[serde(with = "seconds")]
    pub silence: Duration,
    /// How long after its last connection broke something may come back without having been away.
    #[serde(with = "seconds")]
    pub reconnect: Duration,
    /// The same after a restart of the relay, when everybody has to come back at once.
    #[serde(with = "seconds")]
    pub restart: Duration,
    /// How often every socket is asked for a sign of life.
    #[serde(with = "seconds")]
    pub ping_interval: Duration,
    /// How much longer it may take to give one before its connection counts as broken.
    #[serde(with = "seconds")]
    pub ping_timeout: Duration,
}

/// Remote calls.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rpc {
    /// How long a provider may take: what clients expect of Happy's server.
    #[serde(with = "seconds")]
    pub timeout: Duration,
    /// How long a call waits for a provider that is expected back.
    #[serde(with = "seconds")]
    pub reconnect: Duration,
}

/// Bounds on what one client, account or address can make the relay hold or do.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections of all kinds at once.
    pub connections: usize,
    /// Sockets of one account at once.
    pub sockets_per_account: usize,
    /// Accounts in all.
    pub accounts: u64,
    /// Sessions of one account.
    pub sessions: u64,
    /// Machines of one account.
    pub machines: u64,
    /// Keys of one account's key-value store.
    pub kv_keys: u64,
    /// Largest HTTP body, bytes.
    pub body: usize,
    /// Largest value of one kind (message, metadata, state), bytes of base64 text. Below the 1,000,000 bytes of a socket
    /// packet, so that whatever is stored can also be sent.
    pub value: usize,
    /// Bytes waiting for one slow socket. Beyond it the socket is closed: its client fetches what it missed.
    pub outbox: usize,
    /// Requests a second without a token, from one address (an IPv6 /64 counts as one).
    pub anonymous_per_second: u32,
    /// Requests a second with a token, of one account.
    pub account_per_second: u32,
    /// Events a second of one socket. A faster one is read more slowly, nothing is dropped.
    pub events_per_second: u32,
    /// Calls one socket may have waiting for answers.
    pub calls_in_flight: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 3005)),
            data_dir: PathBuf::from("/var/lib/delight-relay"),
            tls: None,
            trusted_proxies: Vec::new(),
            registration: Registration::Open,
            client_challenge: true,
            token_lifetime: Duration::from_secs(5 * 365 * 86_400),
            pairing_lifetime: Duration::from_secs(120),
            presence: Presence::default(),
            limits: Limits::default(),
            rpc: Rpc::default(),
            retention_days: None,
        }
    }
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(120),
            reconnect: Duration::from_secs(15),
            restart: Duration::from_secs(60),
            // What Happy's server announces in its handshake.
            ping_interval: Duration::from_secs(15),
            ping_timeout: Duration::from_secs(45),
        }
    }
}

impl Default for Rpc {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), reconnect: Duration::from_secs(15) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            sockets_per_account: 2_000,
            accounts: 10_000,
            sessions: 20_000,
            machines: 2_000,
            kv_keys: 2_000,
            body: 16 << 20,
            value: 900_000,
            outbox: 8 << 20,
            anonymous_per_second: 10,
            account_per_second: 200,
            events_per_second: 500,
            calls_in_flight: 256,
        }
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {path} cannot be read: {why}")]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// The system's words.
        why: std::io::Error,
    },
    /// The file is not what we understand.
    #[error("the configuration {path} is not understood: {why}")]
    Malformed {
        /// Its path.
        path: PathBuf,
        /// Where and what, in the parser's words.
        why: Box<toml::de::Error>,
    },
    /// A value makes no sense.
    #[error("{key} cannot be {value}: {fix}")]
    Senseless {
        /// Which key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        fix: &'static str,
    },
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// [`ConfigError`]: the file cannot be read, has an unknown key, or a value makes no sense.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|why| ConfigError::Unreadable { path: path.to_owned(), why })?;
        toml::from_str(&text)
            .map_err(|why| ConfigError::Malformed { path: path.to_owned(), why: Box::new(why) })
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// [`ConfigError::Senseless`], naming the key.
    pub fn check(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        let senseless = |key, value: String, fix| Err(ConfigError::Senseless { key, value, fix });
        if limits.value < 1_024 || limits.value > 950_000 {
            return senseless("limits.value", limits.value.to_string(), "give 1024 to 950000 bytes");
        }
        if limits.body < limits.value + 4_096 {
            return senseless(
                "limits.body",
                limits.body.to_string(),
                "give at least limits.value and 4096 bytes",
            );
        }
        if limits.outbox < 2_000_000 {
            return senseless(
                "limits.outbox",
                limits.outbox.to_string(),
                "give at least 2000000: room for two packets",
            );
        }
        if limits.connections == 0 || limits.connections > 1_000_000 {
            return senseless("limits.connections", limits.connections.to_string(), "give 1 to 1000000");
        }
        for (key, value) in [
            ("limits.anonymous_per_second", limits.anonymous_per_second),
            ("limits.account_per_second", limits.account_per_second),
            ("limits.events_per_second", limits.events_per_second),
        ] {
            if value == 0 {
                return senseless(key, value.to_string(), "give at least 1");
            }
        }
        if self.presence.ping_interval.is_zero() || self.presence.ping_timeout.is_zero() {
            return senseless("presence.ping_interval or ping_timeout", "0".to_owned(), "give more than 0 s");
        }
        if self.token_lifetime < Duration::from_secs(60) {
            return senseless(
                "token_lifetime",
                self.token_lifetime.as_secs().to_string(),
                "give at least 60 s",
            );
        }
        if self.pairing_lifetime.is_zero() || self.pairing_lifetime > Duration::from_secs(3_600) {
            return senseless(
                "pairing_lifetime",
                self.pairing_lifetime.as_secs().to_string(),
                "give up to 3600 s",
            );
        }
        Ok(())
    }
}

/// Durations as seconds, whole or with a fraction.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, de::Error};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(input)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_file_is_the_default_and_the_default_is_sound() {
        let config: Config = toml::from_str("").unwrap();
        config.check().unwrap();
        assert!(config.listen.ip().is_loopback());
    }

    #[test]
    fn the_example_says_the_defaults() {
        let example: Config = toml::from_str(include_str!("../example.toml")).unwrap();
        assert_eq!(format!("{example:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn a_misspelt_key_is_refused_and_named() {
        let why = toml::from_str::<Config>("[limits]\nconections = 3\n").unwrap_err().to_string();
        assert!(why.contains("conections"), "{why}");
    }

    #[test]
    fn every_key_is_understood() {
        let config: Config = toml::from_str(
            r#"
            listen = "0.0.0.0:443"
            data_dir = "/srv/relay"
            trusted_proxies = ["10.0.0.1"]
            registration = "closed"
            client_challenge = false
            token_lifetime = 86400
            pairing_lifetime = 90.5
            retention_days = 30
            [tls]
            cert = "/etc/relay/cert.pem"
            key = "/etc/relay/key.pem"
            [presence]
            silence = 60
            [rpc]
            timeout = 5
            [limits]
            value = 100000
            "#,
        )
        .unwrap();
        config.check().unwrap();
        assert_eq!(config.registration, Registration::Closed);
        assert_eq!(config.pairing_lifetime, Duration::from_millis(90_500));
        assert_eq!(config.presence.reconnect, Presence::default().reconnect);
    }

    #[test]
    fn values_without_sense_are_refused_by_name() {
        for (text, key) in [
            ("limits.value = 10", "limits.value"),
            ("limits.connections = 0", "limits.connections"),
            ("limits.body = 10", "limits.body"),
            ("limits.outbox = 10", "limits.outbox"),
            ("limits.events_per_second = 0", "limits.events_per_second"),
            ("token_lifetime = 1", "token_lifetime"),
            ("pairing_lifetime = 0", "pairing_lifetime"),
        ] {
            let config: Config = toml::from_str(text).unwrap();
            assert!(config.check().unwrap_err().to_string().contains(key), "{text}");
        }
    }
}
