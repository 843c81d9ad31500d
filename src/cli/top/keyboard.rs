//! The terminal while a screen is shown in its place: keys come one by one, and at the end it is as it was.

use std::io::{self, IsTerminal, Read, Stdin, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use signal_hook::{flag, low_level::pipe};

use crate::error::{Error, Result};

/// Another screen beside the one with the shell's lines, and no cursor on it.
const BEGIN: &str = "\u{1b}[?1049h\u{1b}[?25l";
const END: &str = "\u{1b}[?25h\u{1b}[?1049l";
const INTERRUPT: u8 = 3;
const END_OF_INPUT: u8 = 4;

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    /// The time is over.
    InTime,
    /// By a new size, or a key that means nothing.
    Early,
    /// By who wants no more.
    ToEnd,
}

pub(super) struct Keyboard {
    stdin: Stdin,
    /// How the terminal was; `None` where standard input is none: then signals alone are heard.
    before: Option<Termios>,
    signals: UnixStream,
    is_ended: Arc<AtomicBool>,
}

impl Keyboard {
    pub(super) fn take() -> Result<Self> {
        let failed = |error| Error::io("cannot use", Path::new("the terminal"), error);
        let (signals, sender) = UnixStream::pair().map_err(failed)?;
        signals.set_nonblocking(true).map_err(failed)?;
        let is_ended = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
            flag::register(signal, Arc::clone(&is_ended)).map_err(failed)?;
        }
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH] {
            let sender = sender.try_clone().map_err(failed)?;
            pipe::register(signal, sender).map_err(failed)?;
        }
        let stdin = io::stdin();
        let before = match stdin.is_terminal() {
            true => Some(tcgetattr(&stdin).map_err(|error| failed(error.into()))?),
            false => None,
        };
        let keyboard = Self {
            stdin,
            before,
            signals,
            is_ended,
        };
        if let Some(before) = &keyboard.before {
            let mut raw = before.clone();
            // Control-C and Control-Z come as keys: nobody is left with half a screen.
            raw.local_modes
                .remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
            raw.special_codes[SpecialCodeIndex::VMIN] = 0;
            raw.special_codes[SpecialCodeIndex::VTIME] = 0;
            tcsetattr(&keyboard.stdin, OptionalActions::Now, &raw)
                .map_err(|error| failed(error.into()))?;
        }
        show(BEGIN);
        Ok(keyboard)
    }

    /// Waits for a key, a signal, or for this long.
    pub(super) fn wait(&mut self, patience: Duration) -> Woken {
        let patience = Timespec::try_from(patience).ok();
        let mut sources = vec![PollFd::new(&self.signals, PollFlags::IN)];
        if self.before.is_some() {
            sources.push(PollFd::new(&self.stdin, PollFlags::IN));
        }
        // A signal that breaks it off has set the flag or filled the pipe.
        let ready = poll(&mut sources, patience.as_ref());
        let ready_now = |at: usize| {
            let source = sources.get(at);
            source.is_some_and(|source| !source.revents().is_empty())
        };
        let has_keys = ready_now(1);
        if ready == Ok(0) {
            return Woken::InTime;
        }
        drop(sources);
        let mut bytes = [0; 64];
        while matches!((&self.signals).read(&mut bytes), Ok(1..)) {}
        if self.is_ended.load(Ordering::SeqCst) || (has_keys && self.ends()) {
            return Woken::ToEnd;
        }
        Woken::Early
    }

    /// Whether one of the keys that were pressed means the end, or no more can come.
    fn ends(&self) -> bool {
        let mut keys = [0; 64];
        match rustix::io::read(&self.stdin, &mut keys) {
            Ok(count @ 1..) => {
                let mut keys = keys.iter().take(count);
                keys.any(|key| matches!(*key, b'q' | b'Q' | INTERRUPT | END_OF_INPUT))
            }
            Ok(_) => true,
            Err(error) => !matches!(error, rustix::io::Errno::AGAIN | rustix::io::Errno::INTR),
        }
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        show(END);
        if let Some(before) = &self.before {
            // Nobody is left who could be told.
            let _ = tcsetattr(&self.stdin, OptionalActions::Now, before);
        }
    }
}

fn show(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
