//! What is said of a command line that can't be read.

use crate::config::value::ValueError;
use crate::failure::{Failure, FailureKind};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::error::Error as _;

/// clap's message in aca's shape: what is wrong, and what comes nearest.
pub(in crate::cli) fn usage_failure(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::new(FailureKind::Usage, "a command is missing").excerpt(text);
    }
    let named = |kind| match error.get(kind) {
        Some(ContextValue::String(name)) => Some(name.as_str()),
        Some(ContextValue::Strings(names)) => names.first().map(String::as_str),
        _ => None,
    };
    // Our own parsers say what is wrong with a value.
    if let (ErrorKind::ValueValidation, Some(cause)) = (error.kind(), error.source()) {
        let flag = named(ContextKind::InvalidArg).unwrap_or_default();
        let failure = Failure::new(
            FailureKind::Usage,
            format!("`{}`: {cause}", flag.split(' ').next().unwrap_or_default()),
        );
        return match cause.downcast_ref::<ValueError>().and_then(ValueError::remedy) {
            Some(remedy) => failure.hint(remedy),
            None => failure,
        };
    }
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let message = text.lines().next().unwrap_or_default().replace('\'', "`");
    let failure = Failure::new(FailureKind::Usage, message);
    let near = named(ContextKind::SuggestedArg).or_else(|| named(ContextKind::SuggestedSubcommand));
    match near {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint("`aca --help` shows the commands, `aca COMMAND --help` the flags of one"),
    }
}
