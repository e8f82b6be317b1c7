//! Turns the lists beside this file into BPF programs.
//!
//! The build script compiles them with this module, and the tests that walk the lists read and compile them with the
//! same one. It is no part of the program: nothing is parsed or compiled when aca runs.

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

/// The highest system-call number that these lists were reviewed against (`file_setattr`, Linux 6.17). A list of what is
/// refused says nothing about calls that are younger than it, so higher numbers are answered with ENOSYS, which is what
/// a program gets on the kernel of that time. On x86_64 this also covers the x32 calls: their numbers carry
/// bit 30 (`linux/arch/x86/include/uapi/asm/unistd.h`), and older kernels took 512 to 547 without it.
pub(crate) const HIGHEST_REVIEWED: u32 = 469;

/// Where a list stands and what it can be switched off by.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    /// What the list is for.
    pub(crate) about: String,
    /// The grant that leaves the list out.
    pub(crate) grant: Option<Grant>,
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

    const fn target(self) -> TargetArch {
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

/// Who answers the reported calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The supervisor, who also sees each `execve`.
    Listener,
    /// The kernel, with the same errno.
    Alone,
}

/// What is wrong with the lists.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
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
pub(crate) fn read(folder: &Path) -> Result<Vec<List>, Error> {
    let read_error = |source| Error::Read {
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
            let text = fs::read(&path).map_err(|source| Error::Read {
                path: path.clone(),
                source,
            })?;
            let list = serde_json::from_slice(&text).map_err(|source| Error::Parse {
                path: path.clone(),
                source,
            })?;
            match unexplained(&list) {
                None => Ok(list),
                Some(name) => Err(Error::Unexplained {
                    path,
                    name: name.to_owned(),
                }),
            }
        })
        .collect()
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

/// The entries that hold for an architecture and a set of grants.
pub(crate) fn entries<'a>(
    lists: &'a [List],
    arch: Architecture,
    granted: &'a [Grant],
) -> impl Iterator<Item = &'a Entry> {
    lists
        .iter()
        .filter(move |list| list.grant.is_none_or(|grant| !granted.contains(&grant)))
        .flat_map(|list| &list.entries)
        .filter(move |entry| entry.arch.is_none_or(|only| only == arch))
}

/// The number of an entry's call.
pub(crate) fn number(entry: &Entry, arch: Architecture) -> Result<i64, Error> {
    entry.number.map_or_else(|| number_of(&entry.syscall, arch), Ok)
}

/// The number of a call by name. seccompiler keeps its table to itself, so it is asked by way of a program of one
/// rule, where the number stands in the only comparison after the load of the number.
fn number_of(name: &str, arch: Architecture) -> Result<i64, Error> {
    let json = serde_json::json!({ "only": {
        "mismatch_action": "allow", "match_action": { "errno": 1 }, "filter": [{ "syscall": name }] } });
    let unknown = || Error::UnknownCall {
        name: name.to_owned(),
        arch: arch.name(),
    };
    let programs =
        seccompiler::compile_from_json(json.to_string().as_bytes(), arch.target()).map_err(|_| unknown())?;
    let program = programs.get("only").ok_or(Error::Shape)?;
    match program.get(ARCH_CHECK.len()..) {
        Some([load, compare, ..]) if *load == LOAD_NUMBER && compare.code == JUMP_EQUAL => {
            Ok(i64::from(compare.k))
        }
        _ => Err(Error::Shape),
    }
}

/// Where a call ends up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    /// The supervisor is asked. First, since `ioctl` and `clone`, the busiest calls with conditions, end here.
    Notify,
    /// The kernel answers.
    Errno(Errno),
}

impl Answer {
    const fn action(self) -> u32 {
        match self {
            Self::Notify => libc::SECCOMP_RET_USER_NOTIF,
            Self::Errno(errno) => libc::SECCOMP_RET_ERRNO | errno.number().unsigned_abs(),
        }
    }
}

/// Compiles the lists into one program.
///
/// seccompiler gives one program one answer, so each answer is compiled by itself (a stage), and the stages are put
/// behind one another: where a stage would allow, the next one goes on. In front stand the architecture check and the
/// check for numbers that the lists don't know.
pub(crate) fn program(
    lists: &[List],
    arch: Architecture,
    granted: &[Grant],
    mode: Mode,
) -> Result<BpfProgram, Error> {
    let mut stages: BTreeMap<Answer, BTreeMap<i64, Vec<SeccompRule>>> = BTreeMap::new();
    for entry in entries(lists, arch, granted) {
        let answer = match mode {
            Mode::Listener if entry.report => Answer::Notify,
            Mode::Listener | Mode::Alone => Answer::Errno(entry.errno),
        };
        let rules = stages
            .entry(answer)
            .or_default()
            .entry(number(entry, arch)?)
            .or_default();
        if !entry.args.is_empty() {
            rules.push(rule(entry)?);
        }
    }
    if mode == Mode::Listener {
        for name in ["execve", "execveat"] {
            let _none = stages
                .entry(Answer::Notify)
                .or_default()
                .insert(number_of(name, arch)?, Vec::new());
        }
    }
    let mut program = prologue(arch)?;
    let last = stages.keys().next_back().copied();
    for (answer, rules) in stages {
        program.extend(stage(rules, answer, arch, Some(answer) == last)?);
    }
    Ok(program)
}

fn rule(entry: &Entry) -> Result<SeccompRule, Error> {
    let conditions = entry.args.iter().map(|condition| {
        SeccompCondition::new(
            condition.index,
            condition.width.clone(),
            condition.op.clone(),
            condition.val,
        )
    });
    Ok(SeccompRule::new(conditions.collect::<Result<_, _>>()?)?)
}

// Opcodes of classic BPF (linux/include/uapi/linux/bpf_common.h, linux/filter.h).
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const RETURN: u16 = 0x06;
const LOAD_NUMBER: sock_filter = sock_filter {
    code: 0x20,
    jt: 0,
    jf: 0,
    k: 0,
};
/// Length of seccompiler's architecture check, which kills a process that enters by another architecture's gate.
const ARCH_CHECK: [(); 3] = [(); 3];

fn prologue(arch: Architecture) -> Result<BpfProgram, Error> {
    let any = SeccompFilter::new(
        BTreeMap::new(),
        SeccompAction::Allow,
        SeccompAction::Trap,
        arch.target(),
    )?;
    let mut program = BpfProgram::try_from(any)?;
    if program.len() != ARCH_CHECK.len() + 1 {
        return Err(Error::Shape);
    }
    program.truncate(ARCH_CHECK.len());
    program.extend([
        LOAD_NUMBER,
        sock_filter {
            code: JUMP_GREATER,
            jt: 0,
            jf: 2,
            k: HIGHEST_REVIEWED,
        },
        // A tracer skips a call by making its number -1: the kernel does nothing then, and the result is the tracer's.
        sock_filter {
            code: JUMP_EQUAL,
            jt: 1,
            jf: 0,
            k: u32::MAX,
        },
        sock_filter {
            code: RETURN,
            jt: 0,
            jf: 0,
            k: Answer::Errno(Errno::NoCall).action(),
        },
    ]);
    Ok(program)
}

/// One stage: seccompiler's program without the architecture check, its placeholder answer replaced by the real one.
fn stage(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    answer: Answer,
    arch: Architecture,
    last: bool,
) -> Result<BpfProgram, Error> {
    // seccompiler has no action for SECCOMP_RET_USER_NOTIF, so it compiles a placeholder.
    const PLACEHOLDER: u32 = 1;
    let placeholder = SeccompAction::Trace(PLACEHOLDER);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, placeholder, arch.target())?;
    let whole = BpfProgram::try_from(filter)?;
    let mut program = whole.get(ARCH_CHECK.len()..).ok_or(Error::Shape)?.to_vec();
    if program.first() != Some(&LOAD_NUMBER) {
        return Err(Error::Shape);
    }
    let length = program.len();
    let mut answers = BTreeSet::new();
    for (position, instruction) in program.iter_mut().enumerate().filter(|(_, it)| it.code == RETURN) {
        let _new = answers.insert(instruction.k);
        if instruction.k == libc::SECCOMP_RET_TRACE | PLACEHOLDER {
            instruction.k = answer.action();
        } else if !last {
            let rest = u32::try_from(length - position - 1).map_err(|_| Error::Shape)?;
            *instruction = sock_filter {
                code: JUMP,
                jt: 0,
                jf: 0,
                k: rest,
            };
        }
    }
    if answers == BTreeSet::from([libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_TRACE | PLACEHOLDER]) {
        Ok(program)
    } else {
        Err(Error::Shape)
    }
}

/// One row of the supervisor's table of reported calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reported {
    /// The call's number.
    pub(crate) number: i64,
    /// Its name in events.
    pub(crate) label: String,
    /// The answer.
    pub(crate) errno: Errno,
    /// Argument, mask, value.
    pub(crate) conditions: Vec<(u8, u64, u64)>,
}

/// The table of reported calls, whatever is granted.
pub(crate) fn reported(lists: &[List], arch: Architecture) -> Result<Vec<Reported>, Error> {
    entries(lists, arch, &[])
        .filter(|entry| entry.report)
        .map(|entry| {
            let conditions = entry.args.iter().map(|condition| {
                let width = match condition.width {
                    SeccompCmpArgLen::Dword => u64::from(u32::MAX),
                    SeccompCmpArgLen::Qword => u64::MAX,
                };
                match condition.op {
                    SeccompCmpOp::Eq => Some((condition.index, width, condition.val)),
                    SeccompCmpOp::MaskedEq(mask) => {
                        Some((condition.index, width & mask, condition.val & mask))
                    }
                    SeccompCmpOp::Ge
                    | SeccompCmpOp::Gt
                    | SeccompCmpOp::Le
                    | SeccompCmpOp::Lt
                    | SeccompCmpOp::Ne => None,
                }
            });
            Ok(Reported {
                number: number(entry, arch)?,
                label: entry.label.clone().unwrap_or_else(|| entry.syscall.clone()),
                errno: entry.errno,
                conditions: conditions
                    .collect::<Option<_>>()
                    .ok_or_else(|| Error::Comparison {
                        name: entry.syscall.clone(),
                    })?,
            })
        })
        .collect()
}
