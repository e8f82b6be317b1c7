//! Interface flags by ioctl: one call is all that bringing loopback up needs.

use rustix::{fd::AsFd, io};
use std::os::fd::AsRawFd;

/// Sets `IFF_UP` on `lo` of the network namespace that `socket` belongs to (netdevice(7)).
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` in the namespace's owner.
pub(crate) fn loopback_up(socket: impl AsFd) -> io::Result<()> {
    let descriptor = socket.as_fd();
    // `struct ifreq`: 16 bytes of name, then the flags as a short, padded to 40 bytes (netdevice(7)).
    let mut request = [0_u8; 40];
    let up: [u8; 2] = (u16::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or(0x41)).to_ne_bytes();
    for (slot, byte) in request.iter_mut().zip(*b"lo") {
        *slot = byte;
    }
    for (slot, byte) in request.iter_mut().skip(16).zip(up) {
        *slot = byte;
    }
    // SAFETY: SIOCSIFFLAGS reads one `struct ifreq` (40 bytes on 64-bit Linux, the size of the array) at the given
    // address and writes nothing back. The array outlives the call and the descriptor is open.
    let result = unsafe {
        libc::ioctl(
            descriptor.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            request.as_mut_ptr(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(io::Errno::INVAL))
    }
}
