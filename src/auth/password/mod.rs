//! Passwords: argon2id in PHC form, with a bound on how many are computed and waited for at once.
//!
//! One hash takes 19 MiB and some 20 ms of a core. Unbounded, a flood of logins would take all the
//! memory, the cores and the workers that pulls need; so one runs at a time, on a thread of low priority, few
//! wait, and the rest is told to come again.
//!
//! - here: checking, and remembering what was right.
//! - `queue`: who waits, and whose turn it is.
//! - `known`: from where accounts logged in before.

mod known;
mod queue;

use std::collections::HashMap;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use parking_lot::{Condvar, Mutex, MutexGuard};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize;

use crate::error::{Error, Kind, Result};
use known::KnownLogins;
use queue::{Caller, Queue};

/// Logins that may wait for their turn; each holds a worker.
const WAITING: usize = 16;
/// How long one waits: on a box that is busy with pulls, hashing is slow.
const PATIENCE: Duration = Duration::from_secs(10);
/// The thread's nice value, of 19: it gets what pulls leave, and a little where they leave nothing.
const NICE: i32 = 15;

/// The shortest password that `hash` takes.
pub const MIN_LENGTH: usize = 8;
/// The longest; more would only cost the hasher time.
pub const MAX_LENGTH: usize = 256;

/// Hashes a new password with a random salt.
///
/// # Errors
/// `BadRequest` for one shorter than 8 or longer than 256 bytes.
pub fn hash(password: &str) -> Result<String> {
    if !(MIN_LENGTH..=MAX_LENGTH).contains(&password.len()) {
        return Err(Error::new(
            Kind::BadRequest,
            "the password has fewer than 8 or more than 256 bytes",
        )
        .remedy("choose another one"));
    }
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|error| Error::internal(format!("cannot hash a password: {error}")))?;
    Ok(hash.to_string())
}

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
    // Of this thread alone. Where it is forbidden, hashing goes on as it is.
    let _ = rustix::process::setpriority_process(None, NICE);
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

/// A hash of the form that [`hash`] gives, which no password is known to have. It is drawn and not computed: a start
/// need not take 19 MiB for it.
fn decoy() -> Result<String> {
    use base64::Engine as _;
    let mut drawn = [0; 16 + Params::DEFAULT_OUTPUT_LEN];
    getrandom::fill(&mut drawn)
        .map_err(|error| Error::internal(format!("no randomness from the system: {error}")))?;
    let (salt, hash) = drawn.split_at(16);
    let encode = |bytes| base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes);
    Ok(format!(
        "${}$v={}$m={},t={},p={}${}${}",
        Algorithm::default().as_str(),
        u32::from(Version::default()),
        Params::DEFAULT_M_COST,
        Params::DEFAULT_T_COST,
        Params::DEFAULT_P_COST,
        encode(salt),
        encode(hash),
    ))
}

/// Whether the password has this hash. The 19 MiB that it takes stay in `memory` for the next one: given back
/// and asked for again, they would come from another place each time, and the process would grow.
fn matches(password: &str, stored: &str, memory: &mut Vec<Block>) -> Result<bool> {
    let damaged = |why: &str| Error::internal(format!("a stored password hash is damaged: {why}"));
    let parsed = PasswordHash::new(stored).map_err(|error| damaged(&error.to_string()))?;
    let (Some(salt), Some(expected)) = (&parsed.salt, &parsed.hash) else {
        return Err(damaged("it has no salt or no hash"));
    };
    let algorithm = Algorithm::try_from(parsed.algorithm.as_str())
        .map_err(|error| damaged(&error.to_string()))?;
    let version = parsed.version.map_or(Ok(Version::default()), |number| {
        Version::try_from(number).map_err(|error| damaged(&error.to_string()))
    })?;
    let params = Params::try_from(&parsed).map_err(|error| damaged(&error.to_string()))?;
    if memory.len() < params.block_count() {
        memory.resize(params.block_count(), Block::default());
    }
    let mut computed = vec![0; expected.len()];
    let wanted = memory.get_mut(..params.block_count()).unwrap_or_default();
    Argon2::new(algorithm, version, params)
        .hash_password_into_with_memory(password.as_bytes(), salt.as_ref(), &mut computed, wanted)
        .map_err(|error| damaged(&error.to_string()))?;
    let computed = Output::new(&computed).map_err(|error| damaged(&error.to_string()))?;
    // In constant time, by the type's own promise.
    Ok(computed == *expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(password: &str) -> Attempt<'_> {
        Attempt {
            account: "alice",
            password,
            address: "192.0.2.1".parse().unwrap(),
        }
    }

    #[test]
    fn only_the_right_password_of_a_known_user_matches() {
        let verifier = Verifier::new().unwrap();
        let stored = hash("correct horse").unwrap();
        assert!(stored.starts_with("$argon2id$"));
        assert!(
            verifier
                .verify(&attempt("correct horse"), Some(&stored))
                .unwrap()
        );
        assert!(
            verifier
                .verify(&attempt("correct horse"), Some(&stored))
                .unwrap(),
            "remembered"
        );
        let changed = hash("battery staple").unwrap();
        assert!(
            !verifier
                .verify(&attempt("correct horse"), Some(&changed))
                .unwrap(),
            "changed since"
        );
        assert!(
            !verifier
                .verify(&attempt("wrong horse"), Some(&stored))
                .unwrap()
        );
        assert!(
            !verifier
                .verify(&attempt("a decoy, not a password"), None)
                .unwrap()
        );
        assert!(
            !verifier
                .verify(&attempt(&"é".repeat(100_000)), Some(&stored))
                .unwrap()
        );
        assert!(hash("short").is_err() && hash(&"x".repeat(257)).is_err());
    }

    #[test]
    fn one_is_checked_few_wait_and_the_rest_is_turned_away_at_once() {
        let (started, starts) = mpsc::channel();
        let gate = Arc::new(Mutex::new(()));
        let closed = gate.lock();
        let verifier = {
            let gate = Arc::clone(&gate);
            Verifier::checking_by(move |password, _| {
                started.send(password.to_owned()).unwrap();
                drop(gate.lock());
                Ok(false)
            })
        };
        let verifier = verifier.unwrap();
        let queue = |name: &str| verifier.queue_up(&attempt(name), "");
        let first = queue("first");
        assert_eq!(starts.recv().unwrap(), "first");
        let waiting: Vec<_> = (0..WAITING).map(|_| queue("waiting")).collect();
        for _ in 0..100 {
            let kind = verifier.verify(&attempt("late"), None).unwrap_err().kind();
            assert!(matches!(kind, Kind::TooManyRequests { .. }), "{kind:?}");
        }
        assert!(starts.try_recv().is_err(), "one at a time");
        drop(closed);
        for answered in [first].into_iter().chain(waiting) {
            assert!(!answered.recv().unwrap().unwrap());
        }
        assert!(
            !verifier.verify(&attempt("later"), None).unwrap(),
            "places are given back"
        );
    }

    /// A whole IPv6 /48 at an attacker's hands fills the queue, and two users come from elsewhere: one for the first
    /// time, one who logged in before.
    #[test]
    fn a_flood_from_one_site_turns_nobody_else_away() {
        let gate = Arc::new(Mutex::new(()));
        let (started, starts) = mpsc::channel();
        let verifier = {
            let gate = Arc::clone(&gate);
            Verifier::checking_by(move |password, _| {
                started.send(password.to_owned()).unwrap();
                drop(gate.lock());
                Ok(password != "wrong")
            })
        };
        let verifier = verifier.unwrap();
        let from = |account, address: &str, password| Attempt {
            account,
            password,
            address: address.parse().unwrap(),
        };
        let stored = |name: &str| format!("the hash of {name}");
        let known = from("known", "198.51.100.1", "right");
        assert!(verifier.verify(&known, Some(&stored("known"))).unwrap());
        assert_eq!(starts.recv().unwrap(), "right");
        let closed = gate.lock();
        let floods: Vec<_> = (0..100)
            .map(|number| {
                let address = format!("2001:db8:1:{number:x}::1");
                verifier.queue_up(&from("root", &address, "wrong"), "")
            })
            .collect();
        assert_eq!(starts.recv().unwrap(), "wrong");
        let new = verifier.queue_up(&from("new", "192.0.2.1", "new"), "");
        let known = from("known", "198.51.100.1", "changed");
        let known = verifier.queue_up(&known, "");
        drop(closed);
        assert_eq!(starts.recv().unwrap(), "changed");
        assert_eq!(starts.recv().unwrap(), "new");
        assert!(new.recv().unwrap().unwrap() && known.recv().unwrap().unwrap());
        let checked = floods.iter().filter(|flood| flood.recv().unwrap().is_ok());
        assert!(checked.count() <= 1 + WAITING - 2);
    }

    #[test]
    fn an_unknown_user_costs_one_check_of_the_same_kind() {
        let (checked, checks) = mpsc::channel();
        let verifier = Verifier::checking_by(move |_, stored| {
            checked.send(stored.to_owned()).unwrap();
            Ok(true)
        });
        let verifier = verifier.unwrap();
        let stored = hash("correct horse").unwrap();
        assert!(
            verifier
                .verify(&attempt("correct horse"), Some(&stored))
                .unwrap()
        );
        assert_eq!(checks.recv().unwrap(), stored);
        // Even were the decoy's password guessed, nobody is let in, and it is not remembered either.
        for _ in 0..2 {
            assert!(!verifier.verify(&attempt("correct horse"), None).unwrap());
            let decoy = checks.recv().unwrap();
            let parameters = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
            assert_eq!(parameters(&decoy), parameters(&stored));
        }
        assert!(checks.try_recv().is_err());
    }

    #[test]
    fn a_panic_ends_one_login_and_no_other() {
        let verifier = Verifier::checking_by(|password, _| {
            assert_ne!(password, "panic");
            Ok(false)
        });
        let verifier = verifier.unwrap();
        assert_eq!(
            verifier.verify(&attempt("panic"), None).unwrap_err().kind(),
            Kind::Internal
        );
        assert!(!verifier.verify(&attempt("other"), None).unwrap());
    }
}
