//! The `eggrad` command.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let output = eggrad_cli::run(std::env::args_os());
    // Whoever reads may stop reading; that is no mistake.
    let written = std::io::stdout().lock().write_all(output.stdout.as_bytes());
    let noted = std::io::stderr().lock().write_all(output.stderr.as_bytes());
    match written.and(noted) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::from(output.code),
    }
}
