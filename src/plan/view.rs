//! The file system as the program will see it: an ordered list, later entries on top of earlier ones.

use crate::facts::{Identity, Kind};
use crate::policy::{Origin, Place};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The whole view.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// In the order in which they are put there.
    pub entries: Vec<Entry>,
}

/// Which parts of `/proc` that are no process's are closed against writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Closed {
    /// None: an ordinary user can't write them anyway, and a nested sandbox can only mount a `/proc` of its own where
    /// this one is whole (`mount_too_revealing` in fs/namespace.c).
    Nothing,
    /// `/proc/sys`, as a second wall.
    Settings,
    /// All, and what is closed to all but root can't be read: the user is root, whose files they are.
    Machine,
}

/// One thing that is seen inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// A plain directory of the private root.
    Directory {
        /// Where.
        #[serde(with = "crate::policy::path_text")]
        at: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// A symbolic link.
    Link {
        /// Where.
        #[serde(with = "crate::policy::path_text")]
        at: PathBuf,
        /// What it holds.
        #[serde(with = "crate::policy::path_text")]
        target: PathBuf,
    },
    /// A generated file.
    File {
        /// Where.
        #[serde(with = "crate::policy::path_text")]
        at: PathBuf,
        /// What it holds.
        content: Vec<u8>,
        /// Permission bits.
        mode: u32,
    },
    /// An empty place that ends with the run.
    Scratch {
        /// Where.
        #[serde(with = "crate::policy::path_text")]
        at: PathBuf,
        /// Bytes that it may hold.
        size_bytes: u64,
        /// Permission bits.
        mode: u32,
        /// What it is.
        place: Place,
        /// Which rule.
        origin: Origin,
    },
    /// Part of the host, read-only.
    Show {
        /// On the host.
        #[serde(with = "crate::policy::path_text")]
        source: PathBuf,
        /// Inside.
        #[serde(with = "crate::policy::path_text")]
        at: PathBuf,
        /// File or directory.
        kind: Kind,
        /// Why it is there.
        why: String,
        /// What it is.
        place: Place,
        /// Which rule.
        origin: Origin,
    },
    /// Part of the host, writable.
    Grant {
        /// On the host.
        #[serde(with = "crate::policy::path_text")]
        source: PathBuf,
        /// Inside.
        #[serde(with = "crate::policy::path_text")]
        at: PathBuf,
        /// File or directory.
        kind: Kind,
        /// What it must still be when the run starts.
        identity: Option<Identity>,
        /// Whether it is a store of aca's own, in which places for other mounts may be made.
        own: bool,
        /// Why it is there.
        why: String,
        /// What it is.
        place: Place,
        /// Which rule.
        origin: Origin,
    },
    /// A path inside a writable part that stays as it is: neither written nor replaced.
    Protect {
        /// Where, inside and on the host.
        #[serde(with = "crate::policy::path_text")]
        at: PathBuf,
        /// File or directory.
        kind: Kind,
        /// When the host would run it.
        why: String,
        /// What it is.
        place: Place,
        /// Which rule.
        origin: Origin,
    },
    /// A writable directory made a mount point of its own, so that it can't be renamed away with what it protects.
    Pin {
        /// Where, inside and on the host.
        #[serde(with = "crate::policy::path_text")]
        at: PathBuf,
    },
    /// A generated file seen in place of one of the host's.
    Cover {
        /// Where.
        #[serde(with = "crate::policy::path_text")]
        at: PathBuf,
        /// What is seen.
        content: Vec<u8>,
        /// Whether it may be written; the host's isn't changed by that.
        writable: bool,
        /// Why.
        why: String,
    },
    /// A secret that can't be read.
    Mask {
        /// Where.
        #[serde(with = "crate::policy::path_text")]
        at: PathBuf,
        /// File or directory.
        kind: Kind,
        /// What it is.
        place: Place,
        /// Which rule.
        origin: Origin,
    },
    /// A scratch space becomes read-only, once all that lies in it stands.
    Seal {
        /// Which.
        #[serde(with = "crate::policy::path_text")]
        at: PathBuf,
    },
    /// `/proc` with the run's own processes only; the machine's settings in it are read-only.
    Proc {
        /// How much of the rest.
        closed: Closed,
    },
    /// `/sys`, read-only.
    Sys,
    /// `/dev`.
    Devices {
        /// Nodes granted by name.
        #[serde(with = "crate::policy::path_text::list")]
        granted: Vec<PathBuf>,
        /// Bytes that `/dev/shm` may hold.
        shared_memory_bytes: u64,
    },
    /// The user's terminal.
    Terminal {
        /// Its name.
        #[serde(with = "crate::policy::path_text")]
        path: PathBuf,
        /// Its device number.
        device: u64,
    },
}

impl Entry {
    /// Where it is seen.
    #[must_use]
    pub fn at(&self) -> &Path {
        match self {
            Self::Directory { at, .. }
            | Self::Link { at, .. }
            | Self::File { at, .. }
            | Self::Scratch { at, .. }
            | Self::Show { at, .. }
            | Self::Grant { at, .. }
            | Self::Protect { at, .. }
            | Self::Pin { at }
            | Self::Seal { at }
            | Self::Cover { at, .. }
            | Self::Mask { at, .. } => at,
            Self::Proc { .. } => Path::new("/proc"),
            Self::Sys => Path::new("/sys"),
            Self::Devices { .. } => Path::new("/dev"),
            Self::Terminal { path, .. } => path,
        }
    }
}

impl View {
    /// The roots beneath which anything may be written: the second wall (Landlock) has the same shape.
    #[must_use]
    pub fn writable(&self) -> Vec<PathBuf> {
        let mut roots = vec![PathBuf::from("/dev"), PathBuf::from("/proc")];
        for entry in &self.entries {
            if let Entry::Scratch { at, .. }
            | Entry::Grant { at, .. }
            | Entry::Cover {
                at, writable: true, ..
            } = entry
                && !roots.iter().any(|root| at.starts_with(root))
            {
                roots.push(at.clone());
            }
        }
        roots
    }
}
