//! Which addresses a name may lead to: public unicast ones that aren't this machine's own.
//!
//! A name is under somebody else's control: it may be given the address of the router, of a cloud's metadata service,
//! or of a server on this machine. So what it resolves to is looked at each time, and the address that was looked at is
//! the one that is dialled.

use ipnet::IpNet;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

/// Networks that no public server is in (IANA special-purpose registries, RFC 6890), with the word for the refusal.
const REFUSED: &[(&str, &str)] = &[
    ("0.0.0.0/8", "unspecified"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared by a provider's network"),
    ("127.0.0.0/8", "loopback"),
    // 169.254.169.254, .170.2 and their like: credentials of cloud machines.
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved"),
    ("192.0.2.0/24", "for documentation"),
    ("192.88.99.0/24", "6to4"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "aca's own pool"),
    ("198.51.100.0/24", "for documentation"),
    ("203.0.113.0/24", "for documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    // Azure's platform address: public by number, a machine's own metadata by meaning.
    ("168.63.129.16/32", "a cloud's metadata service"),
    ("100.100.100.200/32", "a cloud's metadata service"),
    // Only 2000::/3 is given out as global unicast; the rest is refused as a whole, and so are its special parts.
    ("2001::/23", "reserved or Teredo"),
    ("2001:db8::/32", "for documentation"),
    ("2002::/16", "6to4"),
    ("3fff::/20", "for documentation"),
];
const GLOBAL_V6: &str = "2000::/3";

static NETWORKS: LazyLock<Vec<(IpNet, &str)>> = LazyLock::new(|| {
    REFUSED
        .iter()
        .filter_map(|(text, word)| Some((text.parse().ok()?, *word)))
        .collect()
});
static GLOBAL: LazyLock<Option<IpNet>> = LazyLock::new(|| GLOBAL_V6.parse().ok());

/// Why an address is refused; `None` when it is public.
pub(super) fn refused(address: IpAddr, own: &HashSet<IpAddr>) -> Option<&'static str> {
    let address = address.to_canonical();
    if own.contains(&address) {
        return Some("this machine's own");
    }
    if let Some((_, word)) = NETWORKS.iter().find(|(network, _)| network.contains(&address)) {
        return Some(word);
    }
    let IpAddr::V6(v6) = address else { return None };
    if v6.is_loopback() {
        return Some("loopback");
    }
    if let Some(embedded) = translated(v6) {
        // Public behind NAT64 is reached by its own address anyway, where it is public.
        return refused(IpAddr::V4(embedded), own).or(Some("IPv4 in IPv6"));
    }
    if GLOBAL.as_ref().is_some_and(|network| network.contains(&address)) {
        None
    } else if v6.is_unicast_link_local() {
        Some("link-local")
    } else if v6.is_unique_local() {
        Some("private")
    } else if v6.is_multicast() {
        Some("multicast")
    } else {
        Some("reserved")
    }
}

/// The IPv4 address in an IPv4-compatible, translated or NAT64 one (RFC 4291 2.5.5, RFC 2765, RFC 6052, RFC 8215).
fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let embedded = matches!(
        [a, b, c, d, e, f],
        [0, 0, 0, 0, 0, 0] | [0, 0, 0, 0, 0xffff, 0] | [0x64, 0xff9b, 0, 0, 0, 0] | [0x64, 0xff9b, 1, ..]
    );
    let ([g1, g2], [h1, h2]) = (g.to_be_bytes(), h.to_be_bytes());
    embedded.then(|| Ipv4Addr::new(g1, g2, h1, h2))
}

/// The addresses of this machine's interfaces, public ones included: servers that listen on them are its own.
pub(super) fn own_addresses() -> HashSet<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        return HashSet::new();
    };
    interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .map(|address| address.to_canonical())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Option<&'static str> {
        refused(text.parse().unwrap(), &HashSet::new())
    }

    #[test]
    fn every_network_parses() {
        assert_eq!(NETWORKS.len(), REFUSED.len());
        assert!(GLOBAL.is_some());
    }

    #[test]
    fn n12_what_is_not_public_is_refused() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "::ffff:0:10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::a00:1",
            "2002:7f00:1::",
            "2001:0:7f00:1::",
            "2001:db8::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "fec0::1",
            "100::1",
            "5f00::1",
            "3fff::1",
        ] {
            assert!(word(text).is_some(), "{text}");
        }
    }

    #[test]
    fn public_ones_are_not() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert_eq!(word(text), None, "{text}");
        }
    }

    #[test]
    fn a_public_address_of_this_machine_is_refused() {
        let own = HashSet::from(["8.8.8.8".parse().unwrap()]);
        assert!(refused("8.8.8.8".parse().unwrap(), &own).is_some());
        assert!(refused("::ffff:8.8.8.8".parse().unwrap(), &own).is_some());
        assert!(own_addresses().contains(&"127.0.0.1".parse().unwrap()));
    }
}
