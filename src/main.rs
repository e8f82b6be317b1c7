//! The `aca` program.
fn main() -> std::process::ExitCode {
    if std::env::args().next().as_deref() == Some("aca-stage") {
        return aca::launch::linux::stage_main();
    }
    125.into()
}
