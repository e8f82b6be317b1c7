//! The `aca` program: hands the arguments to the commands and renders what fails. Started by aca itself to mask a file it
//! does that; it is told by the first argument, before anything else is looked at.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything is read: the stage is a copy of this process, and shall know nothing.
    let stage = aca::launch::stage_for_a_run();
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if let Some(code) = aca::launch::inner_main(&arguments) {
        return code;
    }
    match aca::cli::main(arguments, stage) {
        Ok(code) => code,
        Err(failure) => {
            aca::ui::write_error(&failure.to_string());
            failure.exit_code()
        }
    }
}
