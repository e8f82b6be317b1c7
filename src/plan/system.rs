//! What is the same for every run: the read-only system, devices, scratch space, name resolution.

use super::{Closed, Entry, Extras, Kind};
use crate::facts::Facts;
use crate::policy::{Grant, Origin, Place};
use std::path::{Path, PathBuf};

/// Bytes that `/tmp` and `/var/tmp` may hold each.
const SCRATCH_BYTES: u64 = 8 << 30;
/// Bytes that `/run` may hold.
const RUN_BYTES: u64 = 64 << 20;
/// Bytes that `/dev/shm` may hold.
const SHARED_MEMORY_BYTES: u64 = 4 << 30;

const RESOLVER: &str = "nameserver 127.0.0.1\noptions ndots:1 timeout:2 attempts:2\n";
const HOSTS: &str = "127.0.0.1 localhost aca\n::1 localhost ip6-localhost ip6-loopback aca\n";
/// No daemon's socket is asked: those sockets cross network namespaces.
const SWITCH: &str = "passwd: files\ngroup: files\nshadow: files\ngshadow: files\nhosts: files dns\nnetworks: files\n\
protocols: files\nservices: files\nethers: files\nrpc: files\n";

/// Adds the system to the view.
pub(super) fn add(facts: &Facts, extras: &Extras, grants: &[Grant], entries: &mut Vec<Entry>) {
    // Scratch first: some of what is shown lies in there.
    for at in ["/tmp", "/var/tmp"] {
        entries.push(Entry::Scratch {
            at: at.into(),
            size_bytes: SCRATCH_BYTES,
            mode: 0o1777,
            place: Place::Private,
            origin: Origin::BuiltIn("view".into()),
        });
    }
    entries.push(Entry::Scratch {
        at: "/run".into(),
        size_bytes: RUN_BYTES,
        mode: 0o755,
        place: Place::Private,
        origin: Origin::BuiltIn("view".into()),
    });
    entries.push(Entry::Directory {
        at: "/run/lock".into(),
        mode: 0o1777,
    });
    entries.push(Entry::Directory {
        at: runtime_directory(facts),
        mode: 0o700,
    });
    for (at, target) in [("/var/run", "/run"), ("/var/lock", "/run/lock")] {
        entries.push(Entry::Link {
            at: at.into(),
            target: target.into(),
        });
    }
    for shown in &extras.system {
        let Some(fact) = facts.paths.get(&shown.path) else {
            continue;
        };
        match &fact.link {
            Some(target) => entries.push(Entry::Link {
                at: shown.path.clone(),
                target: target.clone(),
            }),
            None => entries.push(Entry::Show {
                source: shown.path.clone(),
                at: shown.path.clone(),
                kind: fact.kind,
                why: shown.why.clone(),
                place: Place::System,
                origin: Origin::BuiltIn("presets/system.toml".into()),
            }),
        }
    }
    // Nobody but root could read these anyway.
    let hidden = if facts.ambient.uid == 0 {
        extras.system_hidden.as_slice()
    } else {
        &[]
    };
    for path in hidden {
        if let Some(fact) = facts.paths.get(path).filter(|fact| fact.link.is_none()) {
            let origin = Origin::BuiltIn("presets/system.toml".into());
            entries.push(Entry::Mask {
                at: path.clone(),
                kind: fact.kind,
                place: Place::System,
                origin,
            });
        }
    }
    let closed = if facts.ambient.uid == 0 {
        Closed::Machine
    } else if grants.contains(&Grant::NestedUserns) {
        Closed::Nothing
    } else {
        Closed::Settings
    };
    entries.push(Entry::Proc { closed });
    for closed in facts
        .closed
        .iter()
        .filter(|closed| !hidden.contains(&closed.path))
    {
        let origin = Origin::BuiltIn("presets/system.toml".into());
        entries.push(Entry::Mask {
            at: closed.path.clone(),
            kind: closed.kind,
            place: Place::System,
            origin,
        });
    }
    entries.push(Entry::Sys);
    let granted = if grants.contains(&Grant::Fuse) {
        vec![PathBuf::from("/dev/fuse")]
    } else {
        Vec::new()
    };
    entries.push(Entry::Devices {
        granted,
        shared_memory_bytes: SHARED_MEMORY_BYTES,
    });
    if let Some(terminal) = &facts.terminal {
        entries.push(Entry::Terminal {
            path: terminal.path.clone(),
            device: terminal.device,
        });
    }
    names(facts, entries);
}

/// `XDG_RUNTIME_DIR` inside.
pub(super) fn runtime_directory(facts: &Facts) -> PathBuf {
    PathBuf::from(format!("/run/user/{}", facts.ambient.uid))
}

fn names(facts: &Facts, entries: &mut Vec<Entry>) {
    for (path, text, why) in [
        ("/etc/resolv.conf", RESOLVER, "names are answered by aca"),
        ("/etc/hosts", HOSTS, "the host's own names stay outside"),
        (
            "/etc/nsswitch.conf",
            SWITCH,
            "no daemon of the host is asked for names",
        ),
    ] {
        let Some(fact) = facts.paths.get(Path::new(path)) else {
            continue;
        };
        if fact.real.starts_with("/run") {
            // The usual link of a system's own resolver: its target is ours to make.
            entries.push(Entry::File {
                at: fact.real.clone(),
                content: text.into(),
                mode: 0o644,
            });
        } else if fact.kind == Kind::File {
            entries.push(Entry::Cover {
                at: fact.real.clone(),
                content: text.into(),
                writable: false,
                why: why.into(),
            });
        }
    }
    // A resolver's link to a file that the look-up above found nothing behind still needs its target.
    if facts.paths.get(Path::new("/etc/resolv.conf")).is_none()
        && let Some(target) = &facts.dangling_resolver
        && target.starts_with("/run")
    {
        entries.push(Entry::File {
            at: target.clone(),
            content: RESOLVER.into(),
            mode: 0o644,
        });
    }
    if let Some(passwd) = &facts.passwd_with_user {
        entries.push(Entry::Cover {
            at: "/etc/passwd".into(),
            content: passwd.clone(),
            writable: false,
            why: "the user has no entry of its own there".into(),
        });
    }
}
