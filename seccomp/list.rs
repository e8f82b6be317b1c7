//! The form of the lists beside this file, and reading them.

use seccompiler::{BackendError, SeccompCmpArgLen, SeccompCmpOp, TargetArch};
use serde::Deserialize;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where a list stands and what it can be switched off by.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    /// What the list is for.
    pub(crate) about: String,
    /// The grant that leaves the list out.
    pub(crate) grant: Option<Grant>,
    /// It holds only where new names are looked after ([`super::Mode::Names`]).
    #[serde(default)]
    pub(crate) names: bool,
    /// What is refused.
    pub(crate) entries: Vec<Entry>,
}

/// A grant that leaves lists out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Grant {
    /// New namespaces and mounts in them.
    NestedUserns,
    /// `io_uring`.
    IoUring,
}

/// One refused call.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// Its name.
    pub(crate) syscall: String,
    /// Its number, where the compiler's table is older than the call: the same on all architectures.
    pub(crate) number: Option<i64>,
    /// The only architecture that has it.
    pub(crate) arch: Option<Architecture>,
    /// Conditions on the arguments, all of which must hold; none means always.
    #[serde(default)]
    pub(crate) args: Vec<Condition>,
    /// What it is called in events, where the name of the call says too little.
    pub(crate) label: Option<String>,
    /// What it is answered with.
    pub(crate) errno: Errno,
    /// Whether an attempt is an event.
    #[serde(default)]
    pub(crate) report: bool,
    /// Not refused but handed over: the sandbox's first process does it, or lets the kernel do it.
    #[serde(default)]
    pub(crate) asks: bool,
    /// Why it is refused.
    pub(crate) why: String,
    /// Where the call is described.
    pub(crate) source: String,
}

/// A condition on one argument, as seccompiler has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Condition {
    /// Which argument, from 0.
    pub(crate) index: u8,
    /// How much of it the kernel looks at.
    #[serde(rename = "type")]
    pub(crate) width: SeccompCmpArgLen,
    /// The comparison.
    pub(crate) op: SeccompCmpOp,
    /// What it is compared with.
    pub(crate) val: u64,
    /// The name of that value.
    pub(crate) comment: String,
}

/// What one process may do at all (`allow/*.json`): everything else ends it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AllowList {
    /// What the process is for.
    pub(crate) about: String,
    /// What it may do.
    pub(crate) entries: Vec<Allowed>,
}

/// One call that is let through.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Allowed {
    /// Its name.
    pub(crate) syscall: String,
    /// Conditions on the arguments, all of which must hold; none means always.
    #[serde(default)]
    pub(crate) args: Vec<Condition>,
    /// What it is needed for.
    pub(crate) why: String,
    /// Where the call is described.
    pub(crate) source: String,
}

/// An architecture by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Architecture {
    /// 64-bit x86.
    #[serde(rename = "x86_64")]
    X86,
    /// 64-bit ARM.
    #[serde(rename = "aarch64")]
    Arm,
}

impl Architecture {
    /// Both that aca is built for.
    pub(crate) const ALL: [Self; 2] = [Self::X86, Self::Arm];

    /// As Cargo names it.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::X86 => "x86_64",
            Self::Arm => "aarch64",
        }
    }

    pub(super) const fn target(self) -> TargetArch {
        match self {
            Self::X86 => TargetArch::x86_64,
            Self::Arm => TargetArch::aarch64,
        }
    }
}

/// The answers that are in use; sorted by number, which is the order of the stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) enum Errno {
    /// Refused.
    #[serde(rename = "EPERM")]
    NotPermitted,
    /// As a kernel without the call.
    #[serde(rename = "ENOSYS")]
    NoCall,
    /// As a kernel without the protocol.
    #[serde(rename = "EPROTONOSUPPORT")]
    NoProtocol,
    /// As a kernel without the family.
    #[serde(rename = "EAFNOSUPPORT")]
    NoFamily,
}

impl Errno {
    /// The number, which is the same on both architectures.
    #[must_use]
    pub(crate) const fn number(self) -> i32 {
        match self {
            Self::NotPermitted => libc::EPERM,
            Self::NoCall => libc::ENOSYS,
            Self::NoProtocol => libc::EPROTONOSUPPORT,
            Self::NoFamily => libc::EAFNOSUPPORT,
        }
    }

    /// Its name.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NotPermitted => "EPERM",
            Self::NoCall => "ENOSYS",
            Self::NoProtocol => "EPROTONOSUPPORT",
            Self::NoFamily => "EAFNOSUPPORT",
        }
    }
}

/// What is wrong with the lists.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    /// A list couldn't be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A list isn't written as it should be.
    #[error("{path}: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// An entry, a condition or a list doesn't say why it stands there.
    #[error("{path}: {name}: a reason, a source or a comment is missing")]
    Unexplained {
        /// The file.
        path: PathBuf,
        /// The call, or the file's own.
        name: String,
    },
    /// An entry names a call that the architecture doesn't have.
    #[error("{arch} has no system call {name:?}")]
    UnknownCall {
        /// The name.
        name: String,
        /// The architecture.
        arch: &'static str,
    },
    /// A reported entry compares in a way that the supervisor's table can't express.
    #[error("{name}: a reported entry may only use eq and masked_eq")]
    Comparison {
        /// The call.
        name: String,
    },
    /// The compiler refused a rule or a program.
    #[error("seccompiler: {0}")]
    Compile(#[from] BackendError),
    /// The compiler's output isn't of the shape that the stages are cut from.
    #[error("seccompiler's output has another shape than version 0.5's")]
    Shape,
}

/// Reads every list in a folder, in the order of their names.
pub(crate) fn read(folder: &Path) -> Result<Vec<List>, ListError> {
    let read_error = |source| ListError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for file in fs::read_dir(folder).map_err(read_error)? {
        let path = file.map_err(read_error)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let text = fs::read(&path).map_err(|source| ListError::Read {
                path: path.clone(),
                source,
            })?;
            let list = serde_json::from_slice(&text).map_err(|source| ListError::Parse {
                path: path.clone(),
                source,
            })?;
            match unexplained(&list) {
                None => Ok(list),
                Some(name) => Err(ListError::Unexplained {
                    path,
                    name: name.to_owned(),
                }),
            }
        })
        .collect()
}

/// Reads one list of what is let through.
pub(crate) fn read_allowed(path: &Path) -> Result<AllowList, ListError> {
    let text = fs::read(path).map_err(|source| ListError::Read {
        path: path.to_owned(),
        source,
    })?;
    let list: AllowList = serde_json::from_slice(&text).map_err(|source| ListError::Parse {
        path: path.to_owned(),
        source,
    })?;
    let silent = |entry: &&Allowed| {
        let comments = entry.args.iter().map(|condition| &condition.comment);
        comments.chain([&entry.why, &entry.source]).any(String::is_empty)
    };
    let silent = list
        .entries
        .iter()
        .find(silent)
        .map(|entry| entry.syscall.clone());
    match silent.or_else(|| list.about.is_empty().then(|| "about".to_owned())) {
        None => Ok(list),
        Some(name) => Err(ListError::Unexplained {
            path: path.to_owned(),
            name,
        }),
    }
}

fn unexplained(list: &List) -> Option<&str> {
    let silent = |entry: &&Entry| {
        let comments = entry.args.iter().map(|condition| &condition.comment);
        comments.chain([&entry.why, &entry.source]).any(String::is_empty)
    };
    let entry = list
        .entries
        .iter()
        .find(silent)
        .map(|entry| entry.syscall.as_str());
    if list.about.is_empty() {
        Some("about")
    } else {
        entry
    }
}
