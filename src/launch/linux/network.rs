//! The network of the sandbox: loopback that stands for the whole internet, and the listeners that the supervisor serves.

use super::During;
use super::netlink::{ACK, Batch, CREATE, EXCL, REQUEST, attribute};
use crate::launch::protocol::{Role, StageError};
use crate::plan::linux::{CAPTURE_PORT, DNS_PORT, OWN_ADDRESSES, PROXY_PORTS};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

const NETLINK_ROUTE: u32 = 0;
const NETLINK_SOCK_DIAG: u32 = 4;
/// Who asks: the thread that offers what listens, the one that answers `aca ports`, and the gate.
const DIAGNOSES: usize = 3;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const INET: u8 = 2;
const INET6: u8 = 10;
/// Index of `lo`, the first interface of every network namespace.
const LOOPBACK: u32 = 1;
/// Ports that have a listener of their own where nothing can be redirected, besides those that the policy names.
const USUAL_PORTS: [u16; 6] = [22, 53, 80, 443, PROXY_PORTS[0], PROXY_PORTS[1]];
/// One message carries the descriptors.
const LISTENERS_MAX: usize = 48;
const BACKLOG: i32 = 1024;

/// `lo` up, with two addresses beside its own: without one that isn't loopback, getaddrinfo(3) with `AI_ADDRCONFIG` finds
/// nothing.
pub(super) fn loopback() -> Result<(), StageError> {
    let (own_v4, own_v6) = OWN_ADDRESSES;
    let socket =
        socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None).during("socket")?;
    crate::sys::network::loopback_up(&socket).during("ioctl SIOCSIFFLAGS")?;
    let mut batch = Batch::default();
    batch.message(RTM_NEWADDR, REQUEST | ACK | CREATE | EXCL, |body| {
        body.extend_from_slice(&[INET, 32, 0, 0]);
        body.extend_from_slice(&LOOPBACK.to_ne_bytes());
        attribute(body, 2, &own_v4.octets());
        attribute(body, 1, &own_v4.octets());
    });
    batch.request(NETLINK_ROUTE, "RTM_NEWADDR")?;
    const NODAD: u8 = 2;
    let mut batch = Batch::default();
    batch.message(RTM_NEWADDR, REQUEST | ACK | CREATE | EXCL, |body| {
        body.extend_from_slice(&[INET6, 128, NODAD, 0]);
        body.extend_from_slice(&LOOPBACK.to_ne_bytes());
        attribute(body, 1, &own_v6.octets());
    });
    match batch.request(NETLINK_ROUTE, "RTM_NEWADDR") {
        // A kernel without IPv6: IPv4 does.
        Err(error) if is_without_ipv6(&error) => Ok(()),
        other => other,
    }
}

/// Every address is local (ip-route(8), type `local`, table `local`).
pub(super) fn catch_all() -> Result<(), StageError> {
    let mut batch = Batch::default();
    batch.message(RTM_NEWROUTE, REQUEST | ACK | CREATE | EXCL, |body| {
        // family, dst_len, src_len, tos, table local, protocol static, scope host, type local, flags
        body.extend_from_slice(&[INET, 0, 0, 0, 255, 4, 254, 2, 0, 0, 0, 0]);
        attribute(body, 4, &LOOPBACK.to_ne_bytes());
    });
    batch.request(NETLINK_ROUTE, "RTM_NEWROUTE")?;
    let mut batch = Batch::default();
    batch.message(RTM_NEWROUTE, REQUEST | ACK | CREATE | EXCL, |body| {
        body.extend_from_slice(&[INET6, 0, 0, 0, 255, 4, 0, 2, 0, 0, 0, 0]);
        attribute(body, 4, &LOOPBACK.to_ne_bytes());
        attribute(body, 6, &1024_u32.to_ne_bytes());
    });
    match batch.request(NETLINK_ROUTE, "RTM_NEWROUTE") {
        Err(error) if is_without_ipv6(&error) => Ok(()),
        other => other,
    }
}

fn is_without_ipv6(error: &StageError) -> bool {
    [Errno::OPNOTSUPP, Errno::AFNOSUPPORT, Errno::ACCESS]
        .iter()
        .any(|errno| errno.raw_os_error() == error.errno)
}

/// The sockets that the supervisor serves.
pub(super) fn listeners(redirected: bool, ports: &[u16]) -> Result<Vec<(Role, OwnedFd)>, StageError> {
    let mut sockets = Vec::new();
    if redirected {
        sockets.push((Role::Tcp, tcp(CAPTURE_PORT)?));
    } else {
        for port in listened(ports) {
            sockets.push((Role::Tcp, tcp(port)?));
        }
    }
    let port = if redirected { DNS_PORT } else { 53 };
    // A reply from a wildcard socket would carry the wrong source for connection tracking. Without a redirect only
    // questions to these addresses come: `resolv.conf` inside names them.
    let addresses: [SocketAddr; 2] = [
        (Ipv4Addr::LOCALHOST, port).into(),
        (Ipv6Addr::LOCALHOST, port).into(),
    ];
    for address in addresses {
        match udp(address) {
            Ok(socket) => sockets.push((Role::Dns, socket)),
            Err(error) if address.is_ipv6() && is_without_ipv6(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sockets)
}

/// The sockets that listen at the loopback inside for services of the host's. Where nothing is redirected, a port that
/// has a listener for every address needs no other: that one gets its connections too.
pub(super) fn host_ports(
    redirected: bool,
    listened_on: &[u16],
    ports: &[u16],
) -> Result<Vec<(Role, OwnedFd)>, StageError> {
    let taken = if redirected {
        Vec::new()
    } else {
        listened(listened_on)
    };
    let mut sockets = Vec::new();
    for port in ports.iter().filter(|port| !taken.contains(port)) {
        let listening = loopback_listeners(*port)?;
        sockets.extend(
            listening
                .into_iter()
                .map(|socket| (Role::HostPort(*port), socket)),
        );
    }
    Ok(sockets)
}

/// Listens at a port of the loopback, of both families.
pub(super) fn loopback_listeners(port: u16) -> Result<Vec<OwnedFd>, StageError> {
    let mut sockets = Vec::new();
    let addresses: [SocketAddr; 2] = [
        (Ipv4Addr::LOCALHOST, port).into(),
        (Ipv6Addr::LOCALHOST, port).into(),
    ];
    for address in addresses {
        match stream(address.is_ipv4()).and_then(|socket| listening(socket, address)) {
            Ok(socket) => sockets.push(socket),
            Err(error) if address.is_ipv6() && is_without_ipv6(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sockets)
}

/// Sockets that aren't connected: IPv4, and IPv6 where the kernel has it.
pub(super) fn connecting() -> Result<Vec<OwnedFd>, StageError> {
    let mut sockets = vec![stream(true)?];
    sockets.extend(stream(false).ok());
    Ok(sockets)
}

fn stream(v4: bool) -> Result<OwnedFd, StageError> {
    let family = if v4 {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None).during("socket")?;
    if !v4 {
        sockopt::set_ipv6_v6only(&socket, true).during("setsockopt IPV6_V6ONLY")?;
    }
    Ok(socket)
}

/// Sockets that tell of those inside, what listens and who made a connection: one for each reader. None where the kernel hasn't them.
pub(super) fn diagnosis() -> Vec<(Role, OwnedFd)> {
    let open = || super::netlink::open(NETLINK_SOCK_DIAG).ok();
    std::iter::repeat_with(open)
        .take(DIAGNOSES)
        .flatten()
        .map(|socket| (Role::Diagnosis, socket))
        .collect()
}

/// The ports of the fallback, the usual ones first.
pub(super) fn listened(ports: &[u16]) -> Vec<u16> {
    let mut wanted = USUAL_PORTS.to_vec();
    for port in ports {
        if !wanted.contains(port) {
            wanted.push(*port);
        }
    }
    wanted.truncate(LISTENERS_MAX);
    wanted
}

fn tcp(port: u16) -> Result<OwnedFd, StageError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (family, address): (_, SocketAddr) =
        match socket_with(AddressFamily::INET6, SocketType::STREAM, flags, None) {
            Ok(socket) => {
                sockopt::set_ipv6_v6only(&socket, false).during("setsockopt IPV6_V6ONLY")?;
                return listening(socket, (Ipv6Addr::UNSPECIFIED, port).into());
            }
            Err(_) => (AddressFamily::INET, (Ipv4Addr::UNSPECIFIED, port).into()),
        };
    listening(
        socket_with(family, SocketType::STREAM, flags, None).during("socket")?,
        address,
    )
}

fn listening(socket: OwnedFd, address: SocketAddr) -> Result<OwnedFd, StageError> {
    sockopt::set_socket_reuseaddr(&socket, true).during("setsockopt SO_REUSEADDR")?;
    bind(&socket, &address).during("bind")?;
    listen(&socket, BACKLOG).during("listen")?;
    Ok(socket)
}

fn udp(address: SocketAddr) -> Result<OwnedFd, StageError> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::DGRAM, flags, None).during("socket")?;
    bind(&socket, &address).during("bind")?;
    Ok(socket)
}

/// Lowers the numbers of inotify instances and watches of the own user namespace to half of what the user has. They count
/// outside as well, so a program could use all of them up, and the watch for secrets that appear would get none.
pub(super) fn share_watches() {
    for (user, own) in [
        ("max_user_instances", "max_inotify_instances"),
        ("max_user_watches", "max_inotify_watches"),
    ] {
        let all = std::fs::read_to_string(format!("/proc/sys/fs/inotify/{user}"));
        // Where that can't be set (a container's `/proc/sys`), the log says so when they run out.
        if let Some(all) = all.ok().and_then(|all| all.trim().parse::<u64>().ok()) {
            std::fs::write(format!("/proc/sys/user/{own}"), (all / 2).to_string()).ok();
        }
    }
}

/// Writes a setting of the own network namespace, before `/proc` becomes read-only.
pub(super) fn setting(path: &str, value: &str) -> Result<(), StageError> {
    match std::fs::write(format!("/proc/sys/{path}"), value) {
        // The setting came later than this kernel: what it would have tuned isn't there either.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.during("write /proc/sys"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_listed_ports_do_not_take_the_place_of_the_usual_ones() {
        let ports = listened(&(1..=100).collect::<Vec<_>>());
        assert_eq!(ports.len(), LISTENERS_MAX);
        assert!(USUAL_PORTS.iter().all(|port| ports.contains(port)));
        assert_eq!(listened(&[80, 8080]), [22, 53, 80, 443, 3128, 1080, 8080]);
    }
}
