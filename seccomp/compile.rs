//! Turns the lists beside this file into BPF programs.
//!
//! The build script compiles them with this module, and the tests that walk the lists read and compile them with the
//! same one. It is no part of the program: nothing is parsed or compiled when aca runs.

mod list;

use list::Condition;
pub(crate) use list::{AllowList, Architecture, Entry, Errno, Grant, List, ListError, read, read_allowed};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    sock_filter,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The highest system-call number that these lists were reviewed against (`file_setattr`, Linux 6.17). A list of what is
/// refused says nothing about calls that are younger than it, so higher numbers are answered with ENOSYS, which is what
/// a program gets on the kernel of that time. On x86_64 this also covers the x32 calls: their numbers carry
/// bit 30 (`linux/arch/x86/include/uapi/asm/unistd.h`), and older kernels took 512 to 547 without it.
pub(crate) const HIGHEST_REVIEWED: u32 = 469;

/// Who answers the reported calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As `Starts`; and calls that make names are handed over as well.
    Names,
    /// The supervisor, who also sees each `execve`.
    Starts,
    /// The supervisor.
    Refusals,
    /// The kernel, with the same errno.
    Alone,
}

/// The entries that hold for an architecture and a set of grants, whatever the mode.
pub(crate) fn entries<'a>(
    lists: &'a [List],
    arch: Architecture,
    granted: &'a [Grant],
) -> impl Iterator<Item = &'a Entry> {
    lists
        .iter()
        .filter(move |list| !list.names && list.grant.is_none_or(|grant| !granted.contains(&grant)))
        .flat_map(|list| &list.entries)
        .filter(move |entry| entry.arch.is_none_or(|only| only == arch))
}

/// The entries that [`Mode::Names`] adds.
pub(crate) fn names(lists: &[List], arch: Architecture) -> impl Iterator<Item = &Entry> {
    lists
        .iter()
        .filter(|list| list.names)
        .flat_map(|list| &list.entries)
        .filter(move |entry| entry.arch.is_none_or(|only| only == arch))
}

/// The number of an entry's call.
pub(crate) fn number(entry: &Entry, arch: Architecture) -> Result<i64, ListError> {
    entry.number.map_or_else(|| number_of(&entry.syscall, arch), Ok)
}

/// The number of a call by name. seccompiler keeps its table to itself, so it is asked by way of a program of one
/// rule, where the number stands in the only comparison after the load of the number.
pub(crate) fn number_of(name: &str, arch: Architecture) -> Result<i64, ListError> {
    let json = serde_json::json!({ "only": {
        "mismatch_action": "allow", "match_action": { "errno": 1 }, "filter": [{ "syscall": name }] } });
    let unknown = || ListError::UnknownCall {
        name: name.to_owned(),
        arch: arch.name(),
    };
    let programs =
        seccompiler::compile_from_json(json.to_string().as_bytes(), arch.target()).map_err(|_| unknown())?;
    let program = programs.get("only").ok_or(ListError::Shape)?;
    match program.get(ARCH_CHECK.len()..) {
        Some([load, compare, ..]) if *load == LOAD_NUMBER && compare.code == JUMP_EQUAL => {
            Ok(i64::from(compare.k))
        }
        _ => Err(ListError::Shape),
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
) -> Result<BpfProgram, ListError> {
    let mut stages: BTreeMap<Answer, BTreeMap<i64, Vec<SeccompRule>>> = BTreeMap::new();
    let added = (mode == Mode::Names).then(|| names(lists, arch));
    for entry in entries(lists, arch, granted).chain(added.into_iter().flatten()) {
        let answer = match mode {
            Mode::Names if entry.asks => Answer::Notify,
            Mode::Names | Mode::Starts | Mode::Refusals if entry.report => Answer::Notify,
            Mode::Names | Mode::Starts | Mode::Refusals | Mode::Alone => Answer::Errno(entry.errno),
        };
        let rules = stages
            .entry(answer)
            .or_default()
            .entry(number(entry, arch)?)
            .or_default();
        if !entry.args.is_empty() {
            rules.push(rule(&entry.args)?);
        }
    }
    if matches!(mode, Mode::Names | Mode::Starts) {
        for name in ["execve", "execveat", "listen"] {
            let _none = stages
                .entry(Answer::Notify)
                .or_default()
                .insert(number_of(name, arch)?, Vec::new());
        }
    }
    let mut program = prologue(arch)?;
    while let Some((answer, rules)) = stages.pop_first() {
        let later = stages.values().flat_map(BTreeMap::keys).copied().collect();
        program.extend(stage(rules, answer, arch, &later)?);
    }
    Ok(program)
}

fn rule(args: &[Condition]) -> Result<SeccompRule, ListError> {
    let conditions = args.iter().map(|condition| {
        SeccompCondition::new(
            condition.index,
            condition.width.clone(),
            condition.op.clone(),
            condition.val,
        )
    });
    Ok(SeccompRule::new(conditions.collect::<Result<_, _>>()?)?)
}

/// Compiles a list of what is let through: whatever else the process calls, it is killed.
pub(crate) fn allowed(list: &AllowList, arch: Architecture) -> Result<BpfProgram, ListError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for entry in &list.entries {
        let rules = rules.entry(number_of(&entry.syscall, arch)?).or_default();
        if !entry.args.is_empty() {
            rules.push(rule(&entry.args)?);
        }
    }
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        arch.target(),
    )?;
    Ok(BpfProgram::try_from(filter)?)
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

fn prologue(arch: Architecture) -> Result<BpfProgram, ListError> {
    let any = SeccompFilter::new(
        BTreeMap::new(),
        SeccompAction::Allow,
        SeccompAction::Trap,
        arch.target(),
    )?;
    let mut program = BpfProgram::try_from(any)?;
    if program.len() != ARCH_CHECK.len() + 1 {
        return Err(ListError::Shape);
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
///
/// seccompiler puts an "allow" behind the rules of each call, in the order of the numbers, and one at the end. They
/// become jumps to the next stage, but for those of calls that no later stage has: `ioctl` is done early that way.
fn stage(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    answer: Answer,
    arch: Architecture,
    later: &BTreeSet<i64>,
) -> Result<BpfProgram, ListError> {
    // seccompiler has no action for SECCOMP_RET_USER_NOTIF, so it compiles a placeholder.
    const PLACEHOLDER: u32 = 1;
    let mut goes_on: VecDeque<bool> = rules.keys().map(|number| later.contains(number)).collect();
    goes_on.push_back(!later.is_empty());
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Trace(PLACEHOLDER),
        arch.target(),
    )?;
    let whole = BpfProgram::try_from(filter)?;
    let mut program = whole.get(ARCH_CHECK.len()..).ok_or(ListError::Shape)?.to_vec();
    if program.first() != Some(&LOAD_NUMBER) {
        return Err(ListError::Shape);
    }
    let length = program.len();
    for (position, instruction) in program.iter_mut().enumerate().filter(|(_, it)| it.code == RETURN) {
        if instruction.k == libc::SECCOMP_RET_TRACE | PLACEHOLDER {
            instruction.k = answer.action();
        } else if instruction.k != libc::SECCOMP_RET_ALLOW {
            return Err(ListError::Shape);
        } else if goes_on.pop_front().ok_or(ListError::Shape)? {
            let rest = u32::try_from(length - position - 1).map_err(|_| ListError::Shape)?;
            *instruction = sock_filter {
                code: JUMP,
                jt: 0,
                jf: 0,
                k: rest,
            };
        }
    }
    if goes_on.is_empty() {
        Ok(program)
    } else {
        Err(ListError::Shape)
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
pub(crate) fn reported(lists: &[List], arch: Architecture) -> Result<Vec<Reported>, ListError> {
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
                    .ok_or_else(|| ListError::Comparison {
                        name: entry.syscall.clone(),
                    })?,
            })
        })
        .collect()
}
