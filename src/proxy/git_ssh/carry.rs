//! Bytes between the client inside and ssh outside, as long as both are there.

use super::super::record::Counts;
use super::super::relay::until_idle;
use super::child::{Child, Exit};
use super::send;
use crate::git::fetch::FetchFilter;
use crate::git::frame::{self, HEADER, Kind};
use crate::git::outcome::plain_progress;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::time::timeout;

/// Bytes of one read.
const BUFFER_BYTES: usize = 64 << 10;
/// Most bytes for people.
const ERRORS_MAX: usize = 256 << 10;
/// How often it is looked whether a client that isn't read from is still there.
const LOOK: Duration = Duration::from_millis(500);
/// How long output may come after the end: whoever holds it open then isn't waited for.
const AFTER: Duration = Duration::from_secs(2);

/// How it ended.
pub(super) struct Ended {
    /// The exit status of ssh.
    pub(super) code: u8,
}

/// Carries until ssh ends, or the client does: then ssh is killed.
pub(super) async fn carry(stream: &mut TcpStream, mut child: Child, counts: &Counts) -> io::Result<Ended> {
    let there = stream.as_fd().try_clone_to_owned()?;
    let (reader, writer) = stream.split();
    let (input, output, errors, exit) = child.parts();
    let work = async {
        tokio::select! {
            biased;
            ended = from_ssh(output, errors, exit, writer, counts) => ended,
            gone = to_ssh(reader, input, counts) => Err(gone),
            gone = until_gone(&there) => Err(gone),
        }
    };
    until_idle(counts, Box::pin(work)).await?
}

pub(super) fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "git inside ended first")
}

/// Waits until the client has closed: it never does before it was told the end.
pub(super) async fn until_gone(there: &OwnedFd) -> io::Error {
    const NOW: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    loop {
        tokio::time::sleep(LOOK).await;
        let mut look = [PollFd::new(there, PollFlags::RDHUP)];
        if poll(&mut look, Some(&NOW)).is_ok_and(|ready| ready > 0) {
            return gone();
        }
    }
}

/// The same for one that isn't carried yet.
pub(super) async fn until_closed(stream: &TcpStream) -> io::Error {
    match stream.as_fd().try_clone_to_owned() {
        Ok(there) => until_gone(&there).await,
        Err(error) => error,
    }
}

/// What the client sends. Ends with an error alone.
async fn to_ssh(mut reader: ReadHalf<'_>, input: &mut Option<Sender>, counts: &Counts) -> io::Error {
    let mut payload = Vec::new();
    let mut ended = false;
    loop {
        let mut bytes = [0; HEADER];
        if reader.read_exact(&mut bytes).await.is_err() {
            return gone();
        }
        let kind = match frame::header(bytes) {
            Ok((kind @ (Kind::Input | Kind::InputEnd), length)) if !ended => {
                payload.resize(length, 0);
                kind
            }
            Ok(_) => return io::Error::new(io::ErrorKind::InvalidData, "a frame that nobody sends there"),
            Err(error) => return io::Error::new(io::ErrorKind::InvalidData, error),
        };
        if reader.read_exact(&mut payload).await.is_err() {
            return gone();
        }
        if kind == Kind::InputEnd {
            ended = true;
            *input = None;
            continue;
        }
        if let Err(error) = counts.send(payload.len()) {
            return error;
        }
        let Some(open) = input.as_mut() else { continue };
        // One that doesn't read any more says by its exit status why; what still comes is let go.
        if open.write_all(&payload).await.is_err() {
            *input = None;
        }
    }
}

/// What ssh says, to its end.
async fn from_ssh(
    output: &mut Receiver,
    errors: &mut Receiver,
    mut exit: Exit<'_>,
    mut writer: WriteHalf<'_>,
    counts: &Counts,
) -> io::Result<Ended> {
    let mut saying = Saying {
        filter: FetchFilter::default(),
        errors: Errors::default(),
        out: Vec::new(),
    };
    let (mut first, mut second) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES / 8]);
    let (mut output_open, mut errors_open) = (true, true);
    let mut code = None;
    while output_open || errors_open || code.is_none() {
        let step = async {
            tokio::select! {
                read = output.read(&mut first), if output_open => Step::Output(read),
                read = errors.read(&mut second), if errors_open => Step::Errors(read),
                ended = exit.wait(), if code.is_none() => Step::Ended(ended),
            }
        };
        let step = match code {
            None => step.await,
            Some(_) => match timeout(AFTER, step).await {
                Ok(step) => step,
                Err(_) => break,
            },
        };
        match step {
            Step::Output(read) => {
                let read = read?;
                counts.receive(read);
                output_open = read > 0;
                saying
                    .output(first.get(..read).unwrap_or_default(), &mut writer)
                    .await?;
            }
            Step::Errors(read) => {
                let read = read?;
                counts.receive(read);
                errors_open = read > 0;
                saying
                    .errors(second.get(..read).unwrap_or_default(), &mut writer)
                    .await?;
            }
            Step::Ended(ended) => code = Some(ended?),
        }
    }
    let rest = saying.filter.finish();
    send(&mut writer, Kind::Output, &rest).await?;
    Ok(Ended {
        code: code.unwrap_or(255),
    })
}

enum Step {
    Output(io::Result<usize>),
    Errors(io::Result<usize>),
    Ended(io::Result<u8>),
}

/// What was said so far.
struct Saying {
    filter: FetchFilter,
    errors: Errors,
    out: Vec<u8>,
}

/// What ssh says to people.
#[derive(Debug, Default)]
pub(super) struct Errors {
    told: usize,
}

impl Errors {
    /// For people's eyes: no control characters, and not without end.
    pub(super) fn plain(&mut self, bytes: &[u8]) -> String {
        let room = ERRORS_MAX.saturating_sub(self.told);
        self.told += bytes.len();
        let bytes = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        plain_progress(bytes)
    }
}

impl Saying {
    async fn output(&mut self, bytes: &[u8], writer: &mut WriteHalf<'_>) -> io::Result<()> {
        self.out.clear();
        self.filter
            .accept(bytes, &mut self.out)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("the server: {error}")))?;
        send(writer, Kind::Output, &self.out).await
    }

    async fn errors(&mut self, bytes: &[u8], writer: &mut WriteHalf<'_>) -> io::Result<()> {
        let text = self.errors.plain(bytes);
        send(writer, Kind::Errors, text.as_bytes()).await
    }
}
