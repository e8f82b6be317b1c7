//! Arguments of `aca why`.

use super::run::RunFlags;
use crate::policy::Access;
use clap::Args;
use std::ffi::OsString;

/// Arguments of `aca why`: the flags of `aca run`, and what is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    override_usage = "aca why [--json] [FLAGS] PATH|URL|HOST[:PORT]\n       aca why [--json] [FLAGS] -- COMMAND [ARGS]…\n       aca why [--json] --session ID [SEQ]",
    after_help = "A text with a slash, or that is in the current directory, is a path (as seen inside); any other a host.\n\
                  FLAGS are those of the run that is asked about. Rules on commands are about the command that `aca run`\n\
                  starts; programs inside are bound by the sandbox, not by a list of names.\n\
                  The exit status is 0 when it is allowed, 1 when it is denied, 125 when there is no answer. Of a path it\n\
                  says whether it can be read, with `--for write` whether it can be written."
)]
pub struct WhyArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// What of a path the exit status is about: read, write
    #[arg(long = "for", value_name = "ACCESS", default_value = "read", value_parser = wanted)]
    pub wanted: Access,
    /// Explain an event of this session (the beginning of its id, or `last`): the newest denial, or that numbered SEQ
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// As for `aca run`.
    #[command(flatten)]
    pub flags: RunFlags,
    /// A path, a URL or a host; after `--session` the number of an event
    pub target: Vec<OsString>,
    /// A command with its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// `read` or `write`.
fn wanted(text: &str) -> Result<Access, String> {
    match text {
        "read" => Ok(Access::Read),
        "write" => Ok(Access::Write),
        other => Err(format!("`{other}` is none of `read`, `write`")),
    }
}
