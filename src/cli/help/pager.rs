//! Shows text: on a terminal by a pager, elsewhere as it is.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::SIGINT;

use crate::cli::Outcome;
use crate::cli::output::print_text;
use crate::error::Result;

/// What a shell says of a program that it cannot start.
const NOT_STARTED: [i32; 2] = [126, 127];

pub(super) fn show(text: &str) -> Result<Outcome> {
    let shown = io::stdout().is_terminal() && page(text);
    if !shown {
        print_text(text)?;
    }
    Ok(Outcome::Done)
}

/// Whether a pager has shown it.
fn page(text: &str) -> bool {
    let Ok(mut pager) = start() else {
        return false;
    };
    // An interrupt is for the pager, which goes on; ending here would leave it without its terminal.
    let _ = signal_hook::flag::register(SIGINT, Arc::new(AtomicBool::new(false)));
    if let Some(mut input) = pager.stdin.take() {
        // Whoever quits before the end has read enough.
        let _ = input.write_all(text.as_bytes());
    }
    let status = pager.wait().ok().and_then(|status| status.code());
    !status.is_some_and(|code| NOT_STARTED.contains(&code))
}

/// PAGER is a shell's line, as for man and git; without one it is less, which quits by itself where the whole text
/// fits on the screen.
fn start() -> io::Result<Child> {
    let line = env::var("PAGER").unwrap_or_default();
    let mut command = Command::new("sh");
    command.arg("-c");
    command.arg(if line.trim().is_empty() {
        "less"
    } else {
        &line
    });
    if env::var_os("LESS").is_none() {
        command.env("LESS", "FRX");
    }
    command.stdin(Stdio::piped()).spawn()
}
