//! Where a connection was going before it was brought here.

use super::Captured;
use nix::sys::socket::{getsockopt, sockopt};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::TcpStream;

/// The address and port that the program inside dialled, IPv4 as such; `None` when the kernel can't tell.
pub(super) fn of(stream: &TcpStream, captured: Captured) -> Option<SocketAddr> {
    let local = stream.local_addr().ok()?;
    let going = match captured {
        Captured::Ports => local,
        Captured::Redirect if local.ip().to_canonical().is_ipv4() => original_v4(stream)?,
        Captured::Redirect => original_v6(stream)?,
    };
    Some(SocketAddr::new(going.ip().to_canonical(), going.port()))
}

/// `SO_ORIGINAL_DST`: a connection that wasn't redirected gives its own address, the listener's.
fn original_v4(stream: &TcpStream) -> Option<SocketAddr> {
    let address = getsockopt(stream, sockopt::OriginalDst).ok()?;
    let ip = IpAddr::from(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)));
    Some((ip, u16::from_be(address.sin_port)).into())
}

fn original_v6(stream: &TcpStream) -> Option<SocketAddr> {
    let address = getsockopt(stream, sockopt::Ip6tOriginalDst).ok()?;
    let ip = IpAddr::from(Ipv6Addr::from(address.sin6_addr.s6_addr));
    Some((ip, u16::from_be(address.sin6_port)).into())
}
