//! Synthetic addresses: each name that is asked for gets one IPv4 and one IPv6 address of its own for the whole session,
//! so that a connection tells its name, and no question leaves the machine.

use crate::policy::Name;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// First address of 198.18.0.0/15 (RFC 2544) that is given out, as a number: the network's own is left out.
const FIRST_V4: u32 = 0xc612_0001;
/// Names in one session. The pool would hold twice as many; a program that asks for more is after something else.
const NAMES_MAX: usize = 65_000;
/// The /64 that IPv6 addresses are given out of; `::1` of it is loopback's own.
const PREFIX_V6: u128 = 0xfd61_6361_0000_0000_0000_0000_0000_0000;

/// Names and their addresses; none is ever given to a second name.
#[derive(Debug, Default)]
pub(super) struct Leases {
    by_name: HashMap<Name, u32>,
    names: Vec<Name>,
}

impl Leases {
    /// The addresses of a name; `None` when there are no more.
    pub(super) fn lease(&mut self, name: &Name) -> Option<(Ipv4Addr, Ipv6Addr)> {
        if let Some(index) = self.by_name.get(name) {
            return Some(addresses(*index));
        }
        if self.names.len() >= NAMES_MAX {
            return None;
        }
        let index = u32::try_from(self.names.len()).ok()?;
        self.names.push(name.clone());
        self.by_name.insert(name.clone(), index);
        Some(addresses(index))
    }

    /// The name that an address stands for.
    pub(super) fn name_of(&self, address: IpAddr) -> Option<&Name> {
        let index = match address.to_canonical() {
            IpAddr::V4(address) => u32::from(address).checked_sub(FIRST_V4)?,
            IpAddr::V6(address) => u32::try_from(u128::from(address).checked_sub(PREFIX_V6 + 2)?).ok()?,
        };
        self.names.get(usize::try_from(index).ok()?)
    }
}

/// Whether an address belongs to the pool, leased or not.
pub(super) fn is_synthetic(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => u32::from(address) >> 17 == 0xc612_0000 >> 17,
        IpAddr::V6(address) => u128::from(address) >> 64 == PREFIX_V6 >> 64,
    }
}

fn addresses(index: u32) -> (Ipv4Addr, Ipv6Addr) {
    (
        Ipv4Addr::from(FIRST_V4 + index),
        Ipv6Addr::from(PREFIX_V6 + 2 + u128::from(index)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_for_each_name_both_ways() {
        let mut leases = Leases::default();
        let (a, b): (Name, Name) = ("a.test".parse().unwrap(), "b.test".parse().unwrap());
        let first = leases.lease(&a).unwrap();
        let second = leases.lease(&b).unwrap();
        assert_ne!(first, second);
        assert_eq!(leases.lease(&a), Some(first));
        for (addresses, name) in [(first, &a), (second, &b)] {
            assert_eq!(leases.name_of(addresses.0.into()), Some(name));
            assert_eq!(leases.name_of(addresses.1.into()), Some(name));
            assert_eq!(leases.name_of(addresses.0.to_ipv6_mapped().into()), Some(name));
            assert!(is_synthetic(addresses.0.into()) && is_synthetic(addresses.1.into()));
        }
        assert_eq!(leases.name_of("198.18.9.9".parse().unwrap()), None);
        assert_eq!(leases.name_of("fd61:6361::1".parse().unwrap()), None);
        assert!(!is_synthetic("198.20.0.1".parse().unwrap()) && !is_synthetic("8.8.8.8".parse().unwrap()));
    }

    #[test]
    fn the_pool_ends() {
        let mut leases = Leases::default();
        for number in 0..NAMES_MAX {
            assert!(
                leases
                    .lease(&format!("n{number}.test").parse().unwrap())
                    .is_some()
            );
        }
        assert!(leases.lease(&"one-more.test".parse().unwrap()).is_none());
        assert!(
            leases.lease(&"n0.test".parse().unwrap()).is_some(),
            "known names keep theirs"
        );
    }
}
