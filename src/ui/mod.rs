//! The only place that prints. Standard output is data, standard error is talk; while the command has the terminal
//! nothing is written to it.

pub mod event;
pub mod left;
pub mod sanitize;
pub mod session;
pub mod traffic;

use std::io::{self, BufRead, IsTerminal, Read, Write};

/// Bytes of a line that is read at once.
const LINE_MAX: u64 = 1024;

/// Whether whoever reads standard output still does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Reader {
    /// It reads.
    There,
    /// It has gone away (`aca log | head`), which is no failure; what else is written is for nobody.
    Gone,
}

/// Writes a part of data for the user or the next program.
///
/// # Errors
/// A failure to write other than that the reader has gone, such as a full disk behind a redirection.
pub fn write_out_part(text: &[u8]) -> io::Result<Reader> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error),
    }
}

/// Writes data for the user or the next program, all of it.
///
/// # Errors
/// As [`write_out_part`].
pub fn write_out(text: &str) -> io::Result<()> {
    write_out_part(text.as_bytes()).map(|_| ())
}

/// What a user said to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// `y` or `yes`.
    Yes,
    /// Anything else.
    No,
    /// Nobody is there to be asked: standard input or standard error is no terminal.
    Nobody,
}

/// Asks on the terminal.
///
/// # Errors
/// When the answer can't be read.
pub fn ask(question: &str) -> io::Result<Answer> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(Answer::Nobody);
    }
    let line = put(&format!("{question} [y/N] "))?;
    Ok(match line.trim() {
        "y" | "Y" | "yes" | "Yes" => Answer::Yes,
        _ => Answer::No,
    })
}

/// What a user typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A line, without blanks around it.
    Said(String),
    /// There will be no more.
    End,
    /// Nobody is there to be asked: standard input or standard error is no terminal.
    Nobody,
}

/// Asks for a line on the terminal.
///
/// # Errors
/// When it can't be read.
pub fn question(question: &str) -> io::Result<Line> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(Line::Nobody);
    }
    let line = put(question)?;
    Ok(if line.is_empty() {
        Line::End
    } else {
        Line::Said(line.trim().to_owned())
    })
}

/// Shows a question, and reads the line that is typed from then on; empty at the end.
fn put(question: &str) -> io::Result<String> {
    // What was typed before is no answer to what is only now to be seen.
    rustix::termios::tcflush(io::stdin(), rustix::termios::QueueSelector::IFlush).ok();
    write_error(question);
    let mut line = String::new();
    let mut input = io::stdin().lock();
    input.by_ref().take(LINE_MAX).read_line(&mut line)?;
    // And what is left of a long line is none to the next question.
    let (mut rest, mut more) = (Vec::new(), !line.is_empty() && !line.ends_with('\n'));
    while more {
        rest.clear();
        more = input.by_ref().take(LINE_MAX).read_until(b'\n', &mut rest)? > 0 && !rest.ends_with(b"\n");
    }
    Ok(line)
}

/// Writes talk to standard error. A failure has nowhere to be told.
pub fn write_error(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}
