//! The only place that prints. Standard output is data, standard error is talk; while the command has the terminal
//! nothing is written to it.

pub mod sanitize;

use std::io::{self, Write};

/// Writes data for the user or the next program. A reader that has gone away (`aca log | head`) is no failure.
///
/// # Errors
/// Any other failure to write, such as a full disk behind a redirection.
pub fn write_out(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes talk to standard error. A failure has nowhere to be told.
pub fn write_error(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}
