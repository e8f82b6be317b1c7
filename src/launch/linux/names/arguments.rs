//! What a call that makes names asks for, by its registers.

use crate::sys::seccomp::Notification;
use rustix::fs::CWD;
use std::os::fd::AsRawFd;

/// An address in the caller's memory.
pub(super) type Address = u64;

/// A path of the caller's, and the directory that it starts in when it is relative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    /// A descriptor of the caller's, or `AT_FDCWD`.
    pub(super) directory: i32,
    /// Of the text.
    pub(super) path: Address,
}

/// A call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// open(2), with `O_CREAT`.
    Open { at: Named, flags: u32, mode: u32 },
    /// openat2(2).
    OpenHow { at: Named, how: Address, size: u64 },
    /// mkdir(2).
    Directory { at: Named, mode: u32 },
    /// mknod(2).
    Node { at: Named, mode: u32, device: u32 },
    /// symlink(2).
    Symlink { target: Address, at: Named },
    /// link(2).
    Link { from: Named, to: Named, flags: u32 },
    /// rename(2).
    Rename { from: Named, to: Named, flags: u32 },
    /// bind(2), of whatever family.
    Bind {
        socket: i32,
        address: Address,
        length: u32,
    },
    /// umask(2).
    Umask,
}

/// The kernel looks at the lower half of a register that holds an int.
fn low(register: u64) -> u32 {
    u32::try_from(register & u64::from(u32::MAX)).unwrap_or(0)
}

fn int(register: u64) -> i32 {
    low(register).cast_signed()
}

impl Wanted {
    /// `None` for a call that makes no name.
    pub(super) fn of(call: &Notification) -> Option<Self> {
        let [one, two, three, four, five, _] = call.args;
        let here = |path: u64| Named {
            directory: CWD.as_raw_fd(),
            path,
        };
        let at = |directory: u64, path: u64| Named {
            directory: int(directory),
            path,
        };
        let create = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
        #[cfg(target_arch = "x86_64")]
        match i64::from(call.number) {
            libc::SYS_open => {
                return Some(Self::Open {
                    at: here(one),
                    flags: low(two),
                    mode: low(three),
                });
            }
            libc::SYS_creat => {
                return Some(Self::Open {
                    at: here(one),
                    flags: create.cast_unsigned(),
                    mode: low(two),
                });
            }
            libc::SYS_mkdir => {
                return Some(Self::Directory {
                    at: here(one),
                    mode: low(two),
                });
            }
            libc::SYS_mknod => {
                return Some(Self::Node {
                    at: here(one),
                    mode: low(two),
                    device: low(three),
                });
            }
            libc::SYS_symlink => {
                return Some(Self::Symlink {
                    target: one,
                    at: here(two),
                });
            }
            libc::SYS_link => {
                return Some(Self::Link {
                    from: here(one),
                    to: here(two),
                    flags: 0,
                });
            }
            libc::SYS_rename => {
                return Some(Self::Rename {
                    from: here(one),
                    to: here(two),
                    flags: 0,
                });
            }
            _ => {}
        }
        let _only_there = (create, here);
        Some(match i64::from(call.number) {
            libc::SYS_openat => Self::Open {
                at: at(one, two),
                flags: low(three),
                mode: low(four),
            },
            libc::SYS_openat2 => Self::OpenHow {
                at: at(one, two),
                how: three,
                size: four,
            },
            libc::SYS_mkdirat => Self::Directory {
                at: at(one, two),
                mode: low(three),
            },
            libc::SYS_mknodat => Self::Node {
                at: at(one, two),
                mode: low(three),
                device: low(four),
            },
            libc::SYS_symlinkat => Self::Symlink {
                target: one,
                at: at(two, three),
            },
            libc::SYS_linkat => Self::Link {
                from: at(one, two),
                to: at(three, four),
                flags: low(five),
            },
            libc::SYS_renameat => Self::Rename {
                from: at(one, two),
                to: at(three, four),
                flags: 0,
            },
            libc::SYS_renameat2 => Self::Rename {
                from: at(one, two),
                to: at(three, four),
                flags: low(five),
            },
            libc::SYS_bind => Self::Bind {
                socket: int(one),
                address: two,
                length: low(three),
            },
            libc::SYS_umask => Self::Umask,
            _ => return None,
        })
    }
}
