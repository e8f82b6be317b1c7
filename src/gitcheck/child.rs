//! The process itself.

use super::confine::confine;
use super::parent::Sent;
use super::store::Stores;
use crate::git::check::{Answer, Question, Scanner, check_coming};
use crate::git::objects::ReadAt;
use crate::launch::Channel;
use crate::sys::process::exit_now;
use rustix::fs::SealFlags;
use rustix::io::retry_on_intr;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

/// The word by which `main` knows that it shall check a push.
pub(crate) const CHECK_WORD: &str = "aca-gitcheck";

/// How it ends when it can't.
const FAILED: i32 = 1;
/// How it ends when it can't confine itself; the parent says so.
pub(super) const NOT_CONFINED: i32 = 3;

/// What makes a pack the one that it was when it was sealed.
pub(super) const SEALS: SealFlags = SealFlags::WRITE
    .union(SealFlags::SHRINK)
    .union(SealFlags::GROW)
    .union(SealFlags::SEAL);

/// A file that is read by number, and grows until it is sealed.
struct Pack(OwnedFd);

impl ReadAt for Pack {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> bool {
        read_at(&self.0, buffer, offset)
    }
}

/// Fills `buffer`, or tells that there is less.
pub(super) fn read_at(file: &OwnedFd, mut buffer: &mut [u8], mut offset: u64) -> bool {
    while !buffer.is_empty() {
        match rustix::io::pread(file, &mut *buffer, offset) {
            Ok(0) => return false,
            Ok(count) => {
                let (Some(rest), Ok(more)) = (buffer.get_mut(count..), u64::try_from(count)) else {
                    return false;
                };
                buffer = rest;
                offset += more;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}

/// Takes what standard input brings, answers on standard output, and ends.
pub(crate) fn check_main(_arguments: &[OsString]) -> ! {
    let code = match answer() {
        Ok(()) => 0,
        Err(Failed(code)) => code,
    };
    exit_now(code)
}

struct Failed(i32);

fn answer() -> Result<(), Failed> {
    let failed = || Failed(FAILED);
    let input = io::stdin().as_fd().try_clone_to_owned().map_err(|_| failed())?;
    let channel = Channel::from_descriptor(input);
    let (sent, mut descriptors) = channel.receive::<Sent>().map_err(|_| failed())?;
    drop(channel);
    let stores = descriptors
        .len()
        .checked_sub(sent.stores)
        .map(|at| descriptors.split_off(at))
        .ok_or_else(failed)?;
    let mut files = descriptors.into_iter();
    let question = files.next().ok_or_else(failed)?;
    let pack = files.next().map(Pack);
    let question: Question = read_question(&question).ok_or_else(failed)?;
    let scanner = Scanner::new().map_err(|_| failed())?;
    confine(&stores).map_err(|_| Failed(NOT_CONFINED))?;
    let mut store = Stores::new(stores, question.format, question.limits.object_bytes);
    let mut has_ended = false;
    let mut grown = || {
        if has_ended {
            return None;
        }
        // Nothing is said of one that is cut off.
        let (length, ended) = grown(pack.as_ref()?).unwrap_or_else(|Failed(code)| exit_now(code));
        has_ended = ended;
        Some(length)
    };
    let answer: Answer = check_coming(&question, pack.as_ref(), &mut grown, &mut store, &scanner);
    let bytes = postcard::to_stdvec(&answer).map_err(|_| failed())?;
    let mut output = io::stdout();
    output.write_all(&bytes).map_err(|_| failed())?;
    output.flush().map_err(|_| failed())
}

/// The parent's own words.
fn read_question(file: &OwnedFd) -> Option<Question> {
    let length = rustix::fs::fstat(file).ok()?.st_size;
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    read_at(file, &mut bytes, 0)
        .then(|| postcard::from_bytes(&bytes).ok())
        .flatten()
}

/// Waits for what standard input says of the pack: how many bytes there are by now; whether that is all is said by its end.
fn grown(pack: &Pack) -> Result<(u64, bool), Failed> {
    let mut length = [0; size_of::<u64>()];
    match retry_on_intr(|| rustix::io::read(io::stdin(), &mut length)) {
        Ok(0) => Ok((sealed(pack)?, true)),
        Ok(count) if count == length.len() => Ok((u64::from_le_bytes(length), false)),
        Ok(_) | Err(_) => Err(Failed(FAILED)),
    }
}

/// How long a pack is. One that could still change would be another when it is sent on.
fn sealed(Pack(file): &Pack) -> Result<u64, Failed> {
    let seals = rustix::fs::fcntl_get_seals(file).map_err(|_| Failed(FAILED))?;
    let length = rustix::fs::fstat(file)
        .ok()
        .and_then(|status| u64::try_from(status.st_size).ok());
    match length {
        Some(length) if seals.contains(SEALS) => Ok(length),
        Some(_) | None => Err(Failed(FAILED)),
    }
}
