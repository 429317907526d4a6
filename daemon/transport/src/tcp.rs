//! One TCP connection to a name: addresses are tried one beside the other, so that a dead route costs a quarter of a
//! second and not the whole deadline.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpStream, lookup_host};

/// RFC 8305: the time one address has before the next is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);
/// A name with more addresses than this needs no more of them.
const MAX_ADDRESSES: usize = 8;

/// How reaching a host failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The name has no address, or nobody told it.
    Resolve(io::Error),
    /// No address took the connection; the last reason.
    Connect(io::Error),
}

/// Connects. `unacknowledged` bounds how long the kernel waits for the peer to confirm what was sent.
pub(crate) async fn connect(host: &str, port: u16, unacknowledged: Duration) -> Result<TcpStream, Failure> {
    let found: Vec<SocketAddr> = lookup_host((host, port)).await.map_err(Failure::Resolve)?.collect();
    let stream = race(in_turns(found)).await?;
    // Small packets, answered one by one: waiting to fill a segment would only add delay.
    stream.set_nodelay(true).map_err(Failure::Connect)?;
    limit_unacknowledged(&stream, unacknowledged);
    Ok(stream)
}

/// IPv6 and IPv4 in turns, in the resolver's order within each.
fn in_turns(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_six = found.first().is_some_and(SocketAddr::is_ipv6);
    let (mut one, mut other): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|address| address.is_ipv6() == first_is_six);
    one.reverse();
    other.reverse();
    let mut turns = Vec::new();
    while turns.len() < MAX_ADDRESSES && (!one.is_empty() || !other.is_empty()) {
        turns.extend(one.pop());
        turns.extend(other.pop());
    }
    turns
}

async fn race(addresses: Vec<SocketAddr>) -> Result<TcpStream, Failure> {
    let mut waiting = addresses.into_iter();
    let mut running = FuturesUnordered::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut any = false;
    loop {
        if let Some(address) = waiting.next() {
            any = true;
            running.push(TcpStream::connect(address));
        } else if running.is_empty() {
            return Err(if any { Failure::Connect(last) } else { Failure::Resolve(last) });
        }
        // The next address starts when its turn has come or when one has failed, whatever is first.
        loop {
            let ended = if waiting.len() == 0 {
                running.next().await
            } else {
                match tokio::time::timeout(HEAD_START, running.next()).await {
                    Ok(ended) => ended,
                    Err(_) => break,
                }
            };
            match ended {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => {
                    last = error;
                    if waiting.len() > 0 {
                        break;
                    }
                }
                None => break,
            }
        }
    }
}

/// A peer that is gone without a word is noticed as soon as something sent stays unconfirmed, long before the next
/// ping is missed. Where the kernel cannot do it the pings and the send deadline remain.
#[cfg(target_os = "linux")]
fn limit_unacknowledged(stream: &TcpStream, limit: Duration) {
    use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};
    let millis = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = setsockopt(stream, TcpUserTimeout, &millis) {
        tracing::debug!(%error, "the kernel takes no TCP_USER_TIMEOUT");
    }
}

#[cfg(not(target_os = "linux"))]
fn limit_unacknowledged(_: &TcpStream, _: Duration) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_take_turns() {
        let parse = |text: &&str| text.parse::<SocketAddr>().unwrap();
        let found = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"].iter().map(parse).collect();
        let turns: Vec<String> = in_turns(found).iter().map(ToString::to_string).collect();
        assert_eq!(turns, ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert!(in_turns(Vec::new()).is_empty());
    }

    #[tokio::test]
    async fn a_dead_address_does_not_hide_a_living_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let alive = listener.local_addr().unwrap();
        let dead = {
            let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            closed.local_addr().unwrap()
        };
        assert_eq!(race(vec![dead, dead, alive]).await.unwrap().peer_addr().unwrap(), alive);
        assert!(matches!(race(vec![dead]).await, Err(Failure::Connect(_))));
        assert!(matches!(race(Vec::new()).await, Err(Failure::Resolve(_))));
    }
}
