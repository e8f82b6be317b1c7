//! The redirect, as the netlink batch that nft(8) would send for
//!
//! ```text
//! table inet aca { chain out { type nat hook output priority -100; policy accept;
//!     udp dport 53 redirect to :15053
//!     tcp dport 53 redirect to :15001
//!     ip daddr 127.0.0.0/8 return
//!     ip6 daddr ::1 return
//!     meta l4proto tcp redirect to :15001 } }
//! ```
//!
//! Questions come first: `resolv.conf` inside names 127.0.0.1, so they are never left to a server inside.
//!
//! Numbers are those of `linux/netfilter/nf_tables.h`; needs Linux 5.2 for nat in an `inet` table.

use super::netlink::{ACK, APPEND, Batch, CREATE, REQUEST, attribute, nested};
use crate::launch::protocol::StageError;
use crate::plan::linux::{CAPTURE_PORT, DNS_PORT};

const NETLINK_NETFILTER: u32 = 12;
const SUBSYSTEM: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = SUBSYSTEM;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const NEW_RULE: u16 = SUBSYSTEM | 6;

const UNSPECIFIED: u8 = 0;
const INET: u8 = 1;
const TABLE: &[u8] = b"aca\0";
const CHAIN: &[u8] = b"out\0";

/// `NF_INET_LOCAL_OUT` of `linux/netfilter.h`.
const LOCAL_OUT: u32 = 3;
/// `NF_IP_PRI_NAT_DST`.
const PRIORITY: i32 = -100;
const ACCEPT: u32 = 1;
/// `NFT_RETURN`.
const RETURN: i32 = -5;

const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// `NF_NAT_RANGE_PROTO_SPECIFIED`.
const RANGE_PROTO_SPECIFIED: u32 = 2;

/// Installs the rules in the network namespace of the caller.
pub(super) fn install() -> Result<(), StageError> {
    batch().request(NETLINK_NETFILTER, "nf_tables batch")
}

fn batch() -> Batch {
    let mut batch = Batch::default();
    batch.message(BATCH_BEGIN, REQUEST, |body| generic(body, UNSPECIFIED, 10));
    batch.message(NEW_TABLE, REQUEST | ACK, |body| {
        generic(body, INET, 0);
        attribute(body, 1, TABLE);
        attribute(body, 2, &0_u32.to_be_bytes());
    });
    batch.message(NEW_CHAIN, REQUEST | ACK | CREATE, |body| {
        generic(body, INET, 0);
        attribute(body, 1, TABLE);
        attribute(body, 3, CHAIN);
        attribute(body, 7, b"nat\0");
        attribute(body, 5, &ACCEPT.to_be_bytes());
        nested(body, 4, |hook| {
            attribute(hook, 1, &LOCAL_OUT.to_be_bytes());
            attribute(hook, 2, &PRIORITY.to_be_bytes());
        });
    });
    rule(&mut batch, |rule| {
        meta_is(rule, META_L4PROTO, UDP);
        payload_is(rule, TRANSPORT_HEADER, 2, &53_u16.to_be_bytes());
        redirect(rule, DNS_PORT);
    });
    rule(&mut batch, |rule| {
        meta_is(rule, META_L4PROTO, TCP);
        payload_is(rule, TRANSPORT_HEADER, 2, &53_u16.to_be_bytes());
        redirect(rule, CAPTURE_PORT);
    });
    rule(&mut batch, |rule| {
        meta_is(rule, META_NFPROTO, NFPROTO_IPV4);
        payload_is(rule, NETWORK_HEADER, 16, &[127]);
        verdict(rule, RETURN);
    });
    rule(&mut batch, |rule| {
        meta_is(rule, META_NFPROTO, NFPROTO_IPV6);
        payload_is(rule, NETWORK_HEADER, 24, &std::net::Ipv6Addr::LOCALHOST.octets());
        verdict(rule, RETURN);
    });
    rule(&mut batch, |rule| {
        meta_is(rule, META_L4PROTO, TCP);
        redirect(rule, CAPTURE_PORT);
    });
    batch.message(BATCH_END, REQUEST, |body| generic(body, UNSPECIFIED, 10));
    batch
}

/// `struct nfgenmsg`.
fn generic(body: &mut Vec<u8>, family: u8, resource: u16) {
    body.extend_from_slice(&[family, 0]);
    body.extend_from_slice(&resource.to_be_bytes());
}

fn rule(batch: &mut Batch, expressions: impl FnOnce(&mut Vec<u8>)) {
    batch.message(NEW_RULE, REQUEST | ACK | CREATE | APPEND, |body| {
        generic(body, INET, 0);
        attribute(body, 1, TABLE);
        attribute(body, 2, CHAIN);
        nested(body, 4, expressions);
    });
}

fn expression(list: &mut Vec<u8>, name: &[u8], data: impl FnOnce(&mut Vec<u8>)) {
    nested(list, 1, |element| {
        attribute(element, 1, name);
        nested(element, 2, data);
    });
}

/// Loads a piece of packet metadata into register 1 and goes on if it is `value`.
fn meta_is(list: &mut Vec<u8>, key: u32, value: u8) {
    expression(list, b"meta\0", |data| {
        attribute(data, 2, &key.to_be_bytes());
        attribute(data, 1, &1_u32.to_be_bytes());
    });
    equals(list, &[value]);
}

/// Loads bytes of a header into register 1 and goes on if they are `value`.
fn payload_is(list: &mut Vec<u8>, base: u32, offset: u32, value: &[u8]) {
    expression(list, b"payload\0", |data| {
        attribute(data, 1, &1_u32.to_be_bytes());
        attribute(data, 2, &base.to_be_bytes());
        attribute(data, 3, &offset.to_be_bytes());
        attribute(data, 4, &u32::try_from(value.len()).unwrap_or(0).to_be_bytes());
    });
    equals(list, value);
}

fn equals(list: &mut Vec<u8>, value: &[u8]) {
    expression(list, b"cmp\0", |data| {
        attribute(data, 1, &1_u32.to_be_bytes());
        attribute(data, 2, &0_u32.to_be_bytes());
        nested(data, 3, |inner| attribute(inner, 1, value));
    });
}

fn verdict(list: &mut Vec<u8>, code: i32) {
    expression(list, b"immediate\0", |data| {
        attribute(data, 1, &0_u32.to_be_bytes());
        nested(data, 2, |inner| {
            nested(inner, 2, |verdict| attribute(verdict, 1, &code.to_be_bytes()))
        });
    });
}

fn redirect(list: &mut Vec<u8>, port: u16) {
    expression(list, b"immediate\0", |data| {
        attribute(data, 1, &1_u32.to_be_bytes());
        nested(data, 2, |inner| attribute(inner, 1, &port.to_be_bytes()));
    });
    expression(list, b"redir\0", |data| {
        attribute(data, 1, &1_u32.to_be_bytes());
        attribute(data, 3, &RANGE_PROTO_SPECIFIED.to_be_bytes());
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The length of what nft(8) 1.0.6 sends for the rules above; each expression was compared with its dump. 296 bytes
    /// are a rule of port 53.
    #[test]
    fn as_long_as_what_nft_sends() {
        assert_eq!(batch().bytes().len(), 888 + 2 * 296);
    }
}
