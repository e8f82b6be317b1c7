//! The program's own process, from the fork to the exec.

use super::During;
use super::stage::broken;
use super::step::Executor;
use crate::launch::DESCRIPTORS_MAX;
use crate::launch::protocol::{FromNames, FromStage, StageError};
use crate::launch::{Channel, ChannelError};
use crate::plan::linux::{Program, StagePlan};
use crate::sys::process::{Disposition, close_on_exec_above_stdio, exit_now, set_disposition};
use rustix::fs::Mode;
use rustix::io::Errno;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Sets the network up, goes under its filter, waits for the view, and executes the program; never returns.
pub(super) fn become_program(
    channel: &Channel,
    plan: &StagePlan,
    released: &OwnedFd,
    names: Option<Channel>,
    umask: Mode,
) -> ! {
    if let Err(error) = prepare(channel, plan, released, names) {
        drop(channel.send(&FromStage::Failed(error), &[]));
        exit_now(125);
    }
    rustix::process::umask(umask);
    let errno = execute(&plan.program);
    drop(channel.send(&FromStage::NotExecuted(errno.raw_os_error()), &[]));
    exit_now(127)
}

fn prepare(
    channel: &Channel,
    plan: &StagePlan,
    released: &OwnedFd,
    names: Option<Channel>,
) -> Result<(), StageError> {
    let mut executor = Executor::default();
    for step in &plan.network {
        executor.execute(step)?;
    }
    hand_out(channel, &mut executor)?;
    for step in plan.lockdown.iter().chain(&plan.program_only) {
        executor.execute(step)?;
    }
    let listener = executor.listener.take();
    let descriptors: Vec<BorrowedFd<'_>> = listener.iter().map(AsFd::as_fd).collect();
    channel.send(&FromStage::Filtered, &descriptors).map_err(broken)?;
    if let Some(names) = names {
        // Sent before anything is executed, so it is there when the first call waits.
        match names.send(&FromNames::Listener, &descriptors) {
            // The first process gave up, and says why: this word shall not come before that.
            Err(ChannelError::Gone) => exit_now(125),
            sent => sent.map_err(broken)?,
        }
    }
    drop(listener);
    // The end of the pipe without a byte: the first process, or the supervisor, gave up.
    let mut byte = [0_u8; 1];
    if rustix::io::read(released, &mut byte).during("read")? != 1 {
        exit_now(125);
    }
    for step in &plan.wall {
        executor.execute(step)?;
    }
    rustix::process::chdir(&plan.program.directory)
        .during("chdir")
        .map_err(|error| StageError {
            action: format!("enter {}", plan.program.directory.display()),
            ..error
        })?;
    close_on_exec_above_stdio().during("close_range")?;
    // The standard library ignores SIGPIPE in every program of its own; the program inside expects the default.
    set_disposition(rustix::process::Signal::PIPE.as_raw(), Disposition::Default);
    // Last: a signal that came meanwhile does to this process what it would do to the program at its first instruction.
    nix::sys::signal::SigSet::empty()
        .thread_set_mask()
        .during("sigprocmask")
}

/// The network's sockets, as many messages as they take; the last says how the network is.
fn hand_out(channel: &Channel, executor: &mut Executor) -> Result<(), StageError> {
    let sockets = std::mem::take(&mut executor.sockets);
    let mut rest = sockets.as_slice();
    loop {
        let (some, after) = rest.split_at(rest.len().min(DESCRIPTORS_MAX));
        let descriptors: Vec<BorrowedFd<'_>> = some.iter().map(|(_, socket)| socket.as_fd()).collect();
        let roles = some.iter().map(|(role, _)| *role).collect();
        let last = after.is_empty();
        let message = if last {
            FromStage::Network(roles, executor.network.clone())
        } else {
            FromStage::Sockets(roles)
        };
        channel.send(&message, &descriptors).map_err(broken)?;
        if last {
            return Ok(());
        }
        rest = after;
    }
}

/// Executes; returns only with the reason why not. A bare name is looked up in the program's own `PATH` by looking,
/// not by trying, since each try would be reported as a start.
fn execute(program: &Program) -> Errno {
    let Some(arguments) = strings(&program.argv) else {
        return Errno::INVAL;
    };
    let Some(environment) = strings(&program.environment) else {
        return Errno::INVAL;
    };
    let Some(command) = program.argv.first() else {
        return Errno::NOENT;
    };
    let path = match find(command, &program.environment) {
        Ok(path) => path,
        Err(errno) => return errno,
    };
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return Errno::INVAL;
    };
    let errno = match nix::unistd::execve(&path, &arguments, &environment) {
        Ok(never) => match never {},
        Err(errno) => errno,
    };
    if errno == nix::errno::Errno::ENOEXEC {
        // A script without `#!`: execvp(3) and every shell give it to sh.
        let mut shell = vec![c"sh".to_owned(), path];
        shell.extend(arguments.into_iter().skip(1));
        return match nix::unistd::execve(c"/bin/sh", &shell, &environment) {
            Ok(never) => match never {},
            Err(errno) => Errno::from_raw_os_error(errno as i32),
        };
    }
    if errno == nix::errno::Errno::ENOENT
        && rustix::fs::access(path.as_c_str(), rustix::fs::Access::EXISTS).is_ok()
    {
        // Not the program is missing but the one that it names: a script's interpreter, a dynamic loader.
        return Errno::LIBACC;
    }
    Errno::from_raw_os_error(errno as i32)
}

fn strings(list: &[Vec<u8>]) -> Option<Vec<CString>> {
    list.iter()
        .map(|bytes| CString::new(bytes.clone()).ok())
        .collect()
}

/// The search of execvp(3): the first executable file; a file that may not be executed is remembered as `EACCES`.
fn find(command: &[u8], environment: &[Vec<u8>]) -> Result<PathBuf, Errno> {
    if command.is_empty() {
        return Err(Errno::NOENT);
    }
    let command = OsStr::from_bytes(command);
    if command.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(command));
    }
    let path = environment
        .iter()
        .find_map(|pair| pair.strip_prefix(b"PATH="))
        .unwrap_or(b"/usr/bin:/bin");
    let mut outcome = Errno::NOENT;
    for directory in path.split(|byte| *byte == b':') {
        let directory = if directory.is_empty() {
            Path::new(".")
        } else {
            Path::new(OsStr::from_bytes(directory))
        };
        let candidate = directory.join(command);
        match rustix::fs::access(&candidate, rustix::fs::Access::EXEC_OK) {
            Ok(()) if is_directory(&candidate) => outcome = Errno::ACCESS,
            Ok(()) => return Ok(candidate),
            Err(Errno::ACCESS) => outcome = Errno::ACCESS,
            Err(_) => {}
        }
    }
    Err(outcome)
}

fn is_directory(path: &Path) -> bool {
    rustix::fs::stat(path).is_ok_and(|status| {
        rustix::fs::FileType::from_raw_mode(status.st_mode) == rustix::fs::FileType::Directory
    })
}
