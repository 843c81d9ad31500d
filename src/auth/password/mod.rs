//! Passwords: argon2id in PHC form, with a bound on how many are computed and waited for at once.
//!
//! One hash takes 19 MiB and some 20 ms of a core. Unbounded, a flood of logins would take all the
//! memory, the cores and the workers that pulls need; so one runs at a time, on a thread of low priority, few
//! wait, and the rest is told to come again.
//!
//! - here: checking, and remembering what was right.
//! - `queue`: who waits, and whose turn it is.
//! - `known`: from where accounts logged in before.
//! - `hashing`: one hash.

mod hashing;
mod known;
mod queue;

use std::collections::HashMap;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize;

use crate::error::{Error, Kind, Result};
use crate::priority::lower;
use hashing::{decoy, matches};
use known::KnownLogins;
use queue::{Caller, Queue};

pub use hashing::{MAX_LENGTH, MIN_LENGTH, hash};

/// Logins that may wait for their turn; each holds a worker.
const WAITING: usize = 16;
/// How long one waits: on a box that is busy with pulls, hashing is slow.
const PATIENCE: Duration = Duration::from_secs(10);
/// The thread's nice value, of 19: it gets what pulls leave, and a little where they leave nothing.
const NICE: i32 = 15;

/// How long a right password is recognized without computing its hash.
const REMEMBERED: Duration = Duration::from_secs(300);
/// Right passwords remembered at once.
const MAX_REMEMBERED: usize = 1_000;

/// Checks passwords against stored hashes, one at a time, on a thread that everything else goes before.
pub struct Verifier {
    turns: Arc<Turns>,
    known: Mutex<KnownLogins>,
    /// Under a key that never leaves the process: the stored hash with the password.
    recent: Mutex<HashMap<[u8; 32], Instant>>,
    key: [u8; 32],
    /// Verified in place of an unknown user's, so that the answer takes as long.
    decoy: String,
}

/// A password that somebody says to have.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// The user's name, as it was typed.
    pub account: &'a str,
    pub password: &'a str,
    pub address: IpAddr,
}

/// The logins that wait, between those who ask and the thread that checks.
struct Turns {
    /// `None` once the verifier is gone.
    queue: Mutex<Option<Queue<Job>>>,
    changed: Condvar,
}

/// A login that waits for its turn.
struct Job {
    password: String,
    stored: String,
    /// Nobody waits for it any more after that.
    until: Instant,
    answer: SyncSender<Result<bool>>,
}

impl Drop for Job {
    fn drop(&mut self) {
        self.password.zeroize();
    }
}

impl Verifier {
    /// A verifier with its decoy drawn and its thread started; that ends when this is dropped.
    ///
    /// # Errors
    /// `Internal` when the system gives no randomness; `Io` when it gives no thread.
    pub fn new() -> Result<Self> {
        let mut memory = Vec::new();
        Self::checking_by(move |password, stored| matches(password, stored, &mut memory))
    }

    fn checking_by(
        matches: impl FnMut(&str, &str) -> Result<bool> + Send + 'static,
    ) -> Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)
            .map_err(|error| Error::internal(format!("no randomness from the system: {error}")))?;
        let turns = Arc::new(Turns {
            queue: Mutex::new(Some(Queue::new(WAITING))),
            changed: Condvar::new(),
        });
        let taken = Arc::clone(&turns);
        std::thread::Builder::new()
            .name("passwords".to_owned())
            .spawn(move || check_all(&taken, matches))
            .map_err(|error| {
                Error::new(Kind::Io, "cannot start the thread `passwords`").because(error)
            })?;
        Ok(Self {
            turns,
            known: Mutex::default(),
            recent: Mutex::default(),
            key,
            decoy: decoy()?,
        })
    }

    /// Whether the password matches `stored` (PHC form). `None` (an unknown user, or one without a
    /// password) costs the same and is always false.
    ///
    /// # Errors
    /// `TooManyRequests` when too many logins wait already, or the turn has not come in time.
    pub fn verify(&self, attempt: &Attempt<'_>, stored: Option<&str>) -> Result<bool> {
        let remembered = stored.map(|stored| self.keyed(stored, attempt.password));
        if remembered.is_some_and(|hash| self.is_recent(&hash)) {
            self.known().insert(attempt.account, attempt.address);
            return Ok(true);
        }
        let answered = self.queue_up(attempt, stored.unwrap_or(&self.decoy));
        let matches = match answered.recv_timeout(PATIENCE) {
            Ok(answer) => answer?,
            Err(RecvTimeoutError::Timeout) => return Err(too_many()),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::internal("a password was not checked"));
            }
        };
        match remembered {
            Some(hash) if matches => {
                self.remember(hash);
                self.known().insert(attempt.account, attempt.address);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Lets a login wait, and tells the one that has to go for it, which may be itself.
    fn queue_up(&self, attempt: &Attempt<'_>, stored: &str) -> mpsc::Receiver<Result<bool>> {
        let (answer, answered) = mpsc::sync_channel(1);
        let password = attempt.password;
        let end = password.floor_char_boundary(MAX_LENGTH + 1);
        let job = Job {
            password: password.get(..end).unwrap_or_default().to_owned(),
            stored: stored.to_owned(),
            until: crate::time::deadline(PATIENCE),
            answer,
        };
        let is_known = self.known().contains(attempt.account, attempt.address);
        let caller = Caller::new(attempt.address, is_known);
        let turned_away = match self.turns.queue().as_mut() {
            Some(queue) => queue.push(caller, job),
            None => None,
        };
        self.turns.changed.notify_one();
        if let Some(job) = turned_away {
            let _ = job.answer.try_send(Err(too_many()));
        }
        answered
    }

    fn known(&self) -> MutexGuard<'_, KnownLogins> {
        self.known.lock()
    }

    fn keyed(&self, stored: &str, password: &str) -> [u8; 32] {
        let mut hash = Sha256::new_with_prefix(self.key);
        hash.update((stored.len() as u64).to_be_bytes());
        hash.update(stored);
        hash.update(password);
        hash.finalize().into()
    }

    fn is_recent(&self, hash: &[u8; 32]) -> bool {
        let recent = self.recent.lock();
        recent.get(hash).is_some_and(|at| at.elapsed() < REMEMBERED)
    }

    fn remember(&self, hash: [u8; 32]) {
        let mut recent = self.recent.lock();
        if recent.len() >= MAX_REMEMBERED {
            recent.retain(|_, at| at.elapsed() < REMEMBERED);
        }
        if recent.len() < MAX_REMEMBERED {
            recent.insert(hash, Instant::now());
        }
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        *self.turns.queue() = None;
        self.turns.changed.notify_one();
    }
}

impl Turns {
    fn queue(&self) -> MutexGuard<'_, Option<Queue<Job>>> {
        self.queue.lock()
    }

    /// Waits for the next login; `None` when no more will come.
    fn next(&self) -> Option<Job> {
        let mut queue = self.queue();
        loop {
            if let Some(job) = queue.as_mut()?.pop() {
                return Some(job);
            }
            self.changed.wait(&mut queue);
        }
    }
}

fn too_many() -> Error {
    let retry_after = Duration::from_secs(2);
    Error::new(
        Kind::TooManyRequests { retry_after },
        "too many logins at once",
    )
    .remedy("try again in two seconds")
}

/// What the thread does: one login after the other.
fn check_all(turns: &Turns, mut matches: impl FnMut(&str, &str) -> Result<bool>) {
    lower(NICE);
    while let Some(job) = turns.next() {
        if Instant::now() >= job.until {
            continue;
        }
        let call = AssertUnwindSafe(|| matches(&job.password, &job.stored));
        // A panic is in the log already, and must not end all logins.
        let answer = catch_unwind(call)
            .unwrap_or_else(|_| Err(Error::internal("checking a password panicked")));
        // Whoever has stopped waiting has said so to the client.
        let _ = job.answer.try_send(answer);
    }
}

#[cfg(test)]
mod tests;
