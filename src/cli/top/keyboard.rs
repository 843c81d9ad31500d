//! The terminal while a screen is shown in its place: keys come one by one, and at the end it is as it was.

use std::io::{self, Read, Stdin, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::emulate_default_handler;

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
    /// There is a new size, or a key that means nothing.
    Early,
    /// The user or a signal ended it.
    ToEnd,
}

pub(super) struct Keyboard {
    stdin: Stdin,
    /// How the terminal was.
    before: Termios,
    signals: UnixStream,
    is_ended: Arc<AtomicBool>,
    listening: Handle,
}

impl Keyboard {
    pub(super) fn take() -> Result<Self> {
        let failed = |error| Error::io("cannot use", Path::new("the terminal"), error);
        let stdin = io::stdin();
        let before = tcgetattr(&stdin).map_err(|error| failed(error.into()))?;
        let (signals, sender) = UnixStream::pair().map_err(failed)?;
        for end in [&signals, &sender] {
            end.set_nonblocking(true).map_err(failed)?;
        }
        let is_ended = Arc::new(AtomicBool::new(false));
        let listener = Listener {
            before: before.clone(),
            sender,
            is_ended: Arc::clone(&is_ended),
        };
        let heard = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH]).map_err(failed)?;
        let listening = heard.handle();
        let thread = std::thread::Builder::new().name("signals".to_owned());
        thread
            .spawn(move || listener.listen(heard))
            .map_err(failed)?;
        let mut raw = before.clone();
        // Control-C and Control-Z arrive as keys, so that neither interrupts a half-drawn screen.
        raw.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        // Control-S would stop the output, and with it this program, until Control-Q comes.
        raw.input_modes.remove(InputModes::IXON);
        raw.special_codes[SpecialCodeIndex::VMIN] = 0;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        let keyboard = Self {
            stdin,
            before,
            signals,
            is_ended,
            listening,
        };
        tcsetattr(&keyboard.stdin, OptionalActions::Now, &raw)
            .map_err(|error| failed(error.into()))?;
        show(BEGIN);
        Ok(keyboard)
    }

    /// Waits for a key, a signal, or for this long.
    pub(super) fn wait(&mut self, patience: Duration) -> Woken {
        let patience = Timespec::try_from(patience).ok();
        let mut sources = [
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.stdin, PollFlags::IN),
        ];
        // If a signal interrupts poll, the thread that hears it writes to the stream: the next poll returns at once.
        let ready = poll(&mut sources, patience.as_ref());
        let [_, keys] = &sources;
        let has_keys = !keys.revents().is_empty();
        if ready == Ok(0) {
            return Woken::InTime;
        }
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
        self.listening.close();
        // Before the shell's screen comes back, so that whoever sees that can type. Nobody is left who could be told of a failure.
        let _ = tcsetattr(&self.stdin, OptionalActions::Now, &self.before);
        show(END);
    }
}

/// Hears signals on a thread of its own, because the other one may wait for the server or for the terminal.
struct Listener {
    before: Termios,
    sender: UnixStream,
    is_ended: Arc<AtomicBool>,
}

impl Listener {
    fn listen(mut self, mut signals: Signals) {
        for signal in signals.forever() {
            if signal != SIGWINCH && self.is_ended.swap(true, Ordering::SeqCst) {
                self.end_by(signal);
            }
            // Where it is full, what was not read yet wakes the other thread.
            let _ = self.sender.write(&[0]);
        }
    }

    /// The second signal ends the process where it stands, but the terminal is as it was.
    fn end_by(&self, signal: i32) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
        // Not by way of `io::stdout()`, which the other thread may hold; and only where the terminal takes it at once.
        let out = io::stdout();
        let mut writable = [PollFd::new(&out, PollFlags::OUT)];
        if poll(&mut writable, Some(&Timespec::default())) == Ok(1) {
            let _ = rustix::io::write(&out, END.as_bytes());
        }
        let _ = emulate_default_handler(signal);
    }
}

fn show(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
