//! A password from whoever runs the command: asked for on a terminal, where it is not shown, or one line of standard
//! input.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::error::{Error, Kind, Result};

/// More than any password may have, so that too long ones are told as such.
const MAX_LINE: u64 = 4096;

/// Where the password comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PasswordSource {
    StandardInput,
    Terminal,
}

impl PasswordSource {
    /// Standard input where `--password-stdin` says so, and otherwise the terminal.
    ///
    /// # Errors
    /// `Usage` where there is no terminal.
    pub(super) fn choose(password_stdin: bool, missing: &str, remedy: &str) -> Result<Self> {
        match (password_stdin, std::io::stdin().is_terminal()) {
            (true, _) => Ok(Self::StandardInput),
            (false, true) => Ok(Self::Terminal),
            (false, false) => Err(Error::new(Kind::Usage, missing).remedy(remedy)),
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// `BadRequest` for none, for one that is not UTF-8, and for two that differ; `Io`.
    pub(super) fn read(self, whose: &str) -> Result<String> {
        match self {
            Self::StandardInput => read_password(),
            Self::Terminal => {
                let password = ask(&format!("password of {whose}: "))?;
                if ask("the same again: ")? == password {
                    Ok(password)
                } else {
                    Err(unusable("the two passwords differ").remedy("run the command again"))
                }
            }
        }
    }
}

/// The first line of standard input, without its end; on a terminal it is asked for, and not shown.
///
/// # Errors
/// `BadRequest` for none and for one that is not UTF-8; `Io`.
pub(super) fn read_password() -> Result<String> {
    match std::io::stdin().is_terminal() {
        true => ask("password: "),
        false => read_line(),
    }
}

fn read_line() -> Result<String> {
    let mut line = Vec::new();
    std::io::stdin()
        .lock()
        .take(MAX_LINE)
        .read_until(b'\n', &mut line)
        .map_err(|error| Error::io("cannot read", Path::new("standard input"), error))?;
    let line = String::from_utf8(line).map_err(|_| unusable("the password is not UTF-8"))?;
    match line.trim_end_matches(['\r', '\n']) {
        "" => {
            Err(unusable("there is no password on standard input")
                .remedy("write it there as one line"))
        }
        password => Ok(password.to_owned()),
    }
}

fn unusable(what: &str) -> Error {
    Error::new(Kind::BadRequest, what)
}

/// Asks for one line that the terminal does not show.
fn ask(question: &str) -> Result<String> {
    let cannot = |error| Error::io("cannot ask on", Path::new("the terminal"), error);
    let say = |text: &str| {
        let mut out = std::io::stderr().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(cannot)
    };
    say(question)?;
    let hidden = Hidden::begin().map_err(cannot)?;
    let line = read_line();
    drop(hidden);
    // The end of the line was not shown either.
    say("\n")?;
    line
}

/// As long as it lives, the terminal does not show what is typed; whoever interrupts gets it back as it was.
struct Hidden {
    before: Termios,
}

impl Hidden {
    fn begin() -> std::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGQUIT])?;
        let hidden = Self {
            before: before.clone(),
        };
        let shown = before.clone();
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                // To the end of the process: without somebody who waits for them, these signals would do nothing any more.
                if let Some(signal) = signals.forever().next() {
                    // What fails here fails for want of the terminal.
                    let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &shown);
                    let _ = emulate_default_handler(signal);
                }
            })?;
        let mut after = before;
        after.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &after)?;
        Ok(hidden)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}
