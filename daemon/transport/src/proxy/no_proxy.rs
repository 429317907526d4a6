//! The list of what is reached without a proxy.
//!
//! Entries are divided by commas or blanks. `*` is everything; a name is itself and all below it, with or without a
//! dot before it; an address is itself; `10.0.0.0/8` is a network; `:port` at the end limits an entry to one port.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::endpoint::Endpoint;

/// Whether the list names the server.
pub(super) fn lists(list: &str, server: &Endpoint) -> bool {
    list.split([',', ' ', '\t']).map(str::trim).filter(|entry| !entry.is_empty()).any(|e| names(e, server))
}

fn names(entry: &str, server: &Endpoint) -> bool {
    if entry == "*" {
        return true;
    }
    if let Ok(network) = entry.parse::<IpNet>() {
        return server.address().is_some_and(|address| network.contains(&address));
    }
    // A bare IPv6 address ends in something that looks like a port.
    if let Ok(address) = entry.trim_matches(['[', ']']).parse::<IpAddr>() {
        return server.address() == Some(address);
    }
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) => match port.parse::<u16>() {
            Ok(port) => (host, Some(port)),
            Err(_) => return false,
        },
        None => (entry, None),
    };
    if port.is_some_and(|port| port != server.port()) {
        return false;
    }
    if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        return server.address() == Some(address);
    }
    server.address().is_none() && is_at_or_below(&server.host(), host)
}

fn is_at_or_below(host: &str, domain: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let domain = domain.trim_start_matches("*.").trim_start_matches('.').trim_end_matches('.');
    let domain = domain.to_ascii_lowercase();
    !domain.is_empty()
        && host.strip_suffix(&domain).is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_entry() {
        let rows = [
            ("*", "https://any.example", true),
            ("a.example", "https://a.example", true),
            ("a.example", "https://b.a.example", true),
            (".a.example", "https://a.example", true),
            ("*.a.example", "https://b.a.example", true),
            ("A.Example.", "https://b.a.example", true),
            ("a.example", "https://nota.example", false),
            ("example", "https://a.example.org", false),
            ("a.example:443", "https://a.example", true),
            ("a.example:8443", "https://a.example", false),
            ("a.example:port", "https://a.example", false),
            ("192.0.2.7", "http://192.0.2.7", true),
            ("192.0.2.7:80", "http://192.0.2.7", true),
            ("192.0.2.7:81", "http://192.0.2.7", false),
            ("0.2.7", "http://192.0.2.7", false),
            ("192.0.2.0/24", "http://192.0.2.7", true),
            ("192.0.2.0/30", "http://192.0.2.7", false),
            ("2001:db8::1", "http://[2001:db8::1]", true),
            ("[2001:db8::1]:80", "http://[2001:db8::1]", true),
            ("[2001:db8::1]:81", "http://[2001:db8::1]", false),
            ("2001:db8::/32", "http://[2001:db8::1]", true),
            ("x,, y\t.a.example ,z", "https://a.example", true),
            (" , ", "https://a.example", false),
            (".", "https://a.example", false),
        ];
        for (list, server, want) in rows {
            assert_eq!(lists(list, &Endpoint::parse(server).unwrap()), want, "{list} and {server}");
        }
    }
}
