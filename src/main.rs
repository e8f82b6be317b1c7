//! The `aca` program: hands the arguments to the commands and renders what fails.

use std::process::ExitCode;

fn main() -> ExitCode {
    match aca::cli::main(std::env::args_os().collect()) {
        Ok(code) => code,
        Err(failure) => {
            aca::ui::write_error(&failure.to_string());
            failure.exit_code()
        }
    }
}
