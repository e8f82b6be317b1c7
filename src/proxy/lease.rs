//! Synthetic addresses: each name that is asked for gets one IPv4 and one IPv6 address of its own, so that a connection
//! tells its name, and no question leaves the machine.
//!
//! A name keeps its addresses for the whole session, as long as there are fewer names than addresses. A program that asks
//! for more than that takes them from names that were neither asked for nor connected to for [`KEPT`], and that no open
//! connection goes to; where there is none, it gets no answer. A program that remembers an address for longer than its
//! answer said is then led to another name that the policy allows, and what it says there must fit that one.

use crate::policy::Name;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

/// First address of 198.18.0.0/15 (RFC 2544) that is given out, as a number: the network's own is left out.
const FIRST_V4: u32 = 0xc612_0001;
/// Names at once. The pool would hold twice as many; a program that asks for more is after something else.
const NAMES_MAX: usize = 65_000;
/// How long a name keeps its addresses that nobody uses: twenty times what an answer says.
pub(super) const KEPT: Duration = Duration::from_secs(600);
/// Names that are looked at for one whose addresses can be taken.
const LOOKED_AT: usize = 256;
/// Real addresses of names in one session, and names of one of them.
const REAL_MAX: usize = 16_384;
const SHARED_MAX: usize = 64;
/// The /64 that IPv6 addresses are given out of; `::1` of it is loopback's own.
const PREFIX_V6: u128 = 0xfd61_6361_0000_0000_0000_0000_0000_0000;

/// Names and their addresses.
#[derive(Debug, Default)]
pub(super) struct Leases {
    by_name: HashMap<Name, u32>,
    names: Vec<Lease>,
    /// Where it is looked next for one that can be taken.
    next: usize,
}

#[derive(Debug)]
struct Lease {
    name: Name,
    used: Instant,
}

impl Leases {
    /// The addresses of a name; `None` when there are no more. `is_open` tells whether a connection to a name is open.
    pub(super) fn lease(
        &mut self,
        name: &Name,
        now: Instant,
        is_open: impl Fn(&Name) -> bool,
    ) -> Option<(Ipv4Addr, Ipv6Addr)> {
        if let Some(index) = self.by_name.get(name).copied() {
            self.use_at(index, now);
            return Some(addresses(index));
        }
        let lease = Lease {
            name: name.clone(),
            used: now,
        };
        let index = if self.names.len() < NAMES_MAX {
            self.names.push(lease);
            self.names.len() - 1
        } else {
            let index = self.unused(now, is_open)?;
            let taken = std::mem::replace(self.names.get_mut(index)?, lease);
            self.by_name.remove(&taken.name);
            index
        };
        let index = u32::try_from(index).ok()?;
        self.by_name.insert(name.clone(), index);
        Some(addresses(index))
    }

    /// Whether a name has its addresses, or there are fewer names than that.
    pub(super) fn has_room(&self, name: &Name, most: usize) -> bool {
        self.by_name.contains_key(name) || self.names.len() < most
    }

    /// The name that an address stands for.
    pub(super) fn name_of(&self, address: IpAddr) -> Option<&Name> {
        let index = usize::try_from(index_of(address)?).ok()?;
        self.names.get(index).map(|lease| &lease.name)
    }

    /// The same for a connection: the name is in use.
    pub(super) fn connected(&mut self, address: IpAddr, now: Instant) -> Option<&Name> {
        self.use_at(index_of(address)?, now);
        self.name_of(address)
    }

    fn use_at(&mut self, index: u32, now: Instant) {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        if let Some(lease) = self.names.get_mut(index) {
            lease.used = now;
        }
    }

    /// A lease that can be taken, if there is one among the next few.
    fn unused(&mut self, now: Instant, is_open: impl Fn(&Name) -> bool) -> Option<usize> {
        for _ in 0..LOOKED_AT {
            let index = self.next;
            self.next = (index + 1) % NAMES_MAX;
            let lease = self.names.get(index)?;
            if now.saturating_duration_since(lease.used) > KEPT && !is_open(&lease.name) {
                return Some(index);
            }
        }
        None
    }
}

fn index_of(address: IpAddr) -> Option<u32> {
    match address.to_canonical() {
        IpAddr::V4(address) => u32::from(address).checked_sub(FIRST_V4),
        IpAddr::V6(address) => u32::try_from(u128::from(address).checked_sub(PREFIX_V6 + 2)?).ok(),
    }
}

/// Names that have the addresses inside that they have outside. Several may share one.
#[derive(Debug, Default)]
pub(super) struct RealLeases {
    by_address: HashMap<IpAddr, Vec<Name>>,
    count: usize,
}

impl RealLeases {
    /// Remembers that a name was answered with an address; `false` when there are too many.
    pub(super) fn lease(&mut self, name: &Name, address: IpAddr) -> bool {
        let names = self.by_address.entry(address.to_canonical()).or_default();
        if names.contains(name) {
            return true;
        }
        if self.count >= REAL_MAX || names.len() >= SHARED_MAX {
            return false;
        }
        names.push(name.clone());
        self.count += 1;
        true
    }

    /// The names that were answered with an address.
    pub(super) fn names_of(&self, address: IpAddr) -> &[Name] {
        self.by_address
            .get(&address.to_canonical())
            .map_or(&[], Vec::as_slice)
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

    fn ask(leases: &mut Leases, name: &str, now: Instant) -> Option<(Ipv4Addr, Ipv6Addr)> {
        leases.lease(&name.parse().unwrap(), now, |_| false)
    }

    #[test]
    fn one_address_for_each_name_both_ways() {
        let (mut leases, now) = (Leases::default(), Instant::now());
        let (a, b): (Name, Name) = ("a.test".parse().unwrap(), "b.test".parse().unwrap());
        let first = ask(&mut leases, "a.test", now).unwrap();
        let second = ask(&mut leases, "b.test", now).unwrap();
        assert_ne!(first, second);
        assert_eq!(ask(&mut leases, "a.test", now), Some(first));
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
    fn real_addresses_are_shared_and_bounded() {
        let mut leases = RealLeases::default();
        let address: IpAddr = "5.5.5.5".parse().unwrap();
        let name = |number: usize| format!("n{number}.test").parse::<Name>().unwrap();
        for number in 0..SHARED_MAX {
            assert!(leases.lease(&name(number), address) && leases.lease(&name(number), address));
        }
        assert!(!leases.lease(&name(SHARED_MAX), address));
        assert_eq!(
            leases.names_of("::ffff:5.5.5.5".parse().unwrap()).len(),
            SHARED_MAX
        );
        assert_eq!(leases.names_of("5.5.5.6".parse().unwrap()), []);
        let given = (0..20_000_u32).filter(|number| leases.lease(&name(0), Ipv4Addr::from(*number).into()));
        assert!(given.count() < REAL_MAX);
    }

    #[test]
    fn the_pool_ends_for_names_that_come_too_fast() {
        let (mut leases, now) = (Leases::default(), Instant::now());
        for number in 0..NAMES_MAX {
            assert!(ask(&mut leases, &format!("n{number}.test"), now).is_some());
        }
        assert!(ask(&mut leases, "one-more.test", now + KEPT).is_none());
        assert!(
            ask(&mut leases, "n0.test", now + KEPT).is_some(),
            "known names keep theirs"
        );
    }

    #[test]
    fn a_name_a_connection_for_hours_ends_nothing_and_takes_nothing_that_is_used() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        let asked = ask(&mut leases, "asked.test", start).unwrap();
        let connected = ask(&mut leases, "connected.test", start).unwrap();
        let open = ask(&mut leases, "open.test", start).unwrap();
        ask(&mut leases, "forgotten.test", start).unwrap();
        for number in 0..300_000_u32 {
            // A hundred a second, 50 minutes long.
            let now = start + Duration::from_millis(u64::from(number) * 10);
            if number % 10_000 == 0 {
                assert_eq!(ask(&mut leases, "asked.test", now), Some(asked));
                assert!(leases.connected(connected.1.into(), now).is_some());
            }
            let name: Name = format!("n{number}.test").parse().unwrap();
            let given = leases.lease(&name, now, |name| name.as_str() == "open.test");
            let (v4, v6) = given.unwrap_or_else(|| panic!("{number}"));
            assert!(![asked, connected, open].contains(&(v4, v6)));
            assert_eq!(leases.name_of(v4.into()), Some(&name));
        }
        for (addresses, name) in [
            (asked, "asked.test"),
            (connected, "connected.test"),
            (open, "open.test"),
        ] {
            assert_eq!(leases.name_of(addresses.0.into()).unwrap().as_str(), name);
        }
        assert_eq!((leases.names.len(), leases.by_name.len()), (NAMES_MAX, NAMES_MAX));
        assert!(!leases.by_name.contains_key(&"forgotten.test".parse().unwrap()));
    }
}
