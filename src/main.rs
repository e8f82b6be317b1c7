//! The `aca` program: hands the arguments to the commands and renders what fails. Inside new namespaces the same file is
//! the stage; that is told by the first argument, before anything else is looked at.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if let Some(code) = aca::launch::inner_main(&arguments) {
        return code;
    }
    match aca::cli::main(arguments) {
        Ok(code) => code,
        Err(failure) => {
            aca::ui::write_error(&failure.to_string());
            failure.exit_code()
        }
    }
}
