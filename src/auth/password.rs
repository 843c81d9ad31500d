//! Passwords: argon2id in PHC form, with a bound on how many are computed and waited for at once.
//!
//! One hash takes 19 MiB and some 20 ms of a core. Unbounded, a flood of logins would take all the
//! memory, the cores and the workers that pulls need; so one runs at a time, on a thread of low priority, few
//! wait, and the rest is told to come again.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize;

use crate::error::{Error, Kind, Result};

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
    jobs: SyncSender<Job>,
    /// Under a key that never leaves the process: the stored hash with the password.
    recent: Mutex<HashMap<[u8; 32], Instant>>,
    key: [u8; 32],
    /// Verified in place of an unknown user's, so that the answer takes as long.
    decoy: String,
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
        let (jobs, waiting) = mpsc::sync_channel(WAITING);
        std::thread::Builder::new()
            .name("passwords".to_owned())
            .spawn(move || check_all(&waiting, matches))
            .map_err(|error| {
                Error::new(Kind::Io, "cannot start the thread `passwords`").because(error)
            })?;
        Ok(Self {
            jobs,
            recent: Mutex::default(),
            key,
            decoy: decoy()?,
        })
    }

    /// Whether `password` matches `stored` (PHC form). `None` (an unknown user, or one without a
    /// password) costs the same and is always false.
    ///
    /// # Errors
    /// `TooManyRequests` when too many logins wait already, or the turn has not come in time.
    pub fn verify(&self, password: &str, stored: Option<&str>) -> Result<bool> {
        let remembered = stored.map(|stored| self.keyed(stored, password));
        if remembered.is_some_and(|hash| self.is_recent(&hash)) {
            return Ok(true);
        }
        let (answer, answered) = mpsc::sync_channel(1);
        let job = Job {
            password: password[..password.floor_char_boundary(MAX_LENGTH + 1)].to_owned(),
            stored: stored.unwrap_or(&self.decoy).to_owned(),
            until: Instant::now() + PATIENCE,
            answer,
        };
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => too_many(),
            TrySendError::Disconnected(_) => Error::internal("nobody checks passwords any more"),
        })?;
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
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn keyed(&self, stored: &str, password: &str) -> [u8; 32] {
        let mut hash = Sha256::new_with_prefix(self.key);
        hash.update((stored.len() as u64).to_be_bytes());
        hash.update(stored);
        hash.update(password);
        hash.finalize().into()
    }

    fn is_recent(&self, hash: &[u8; 32]) -> bool {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.get(hash).is_some_and(|at| at.elapsed() < REMEMBERED)
    }

    fn remember(&self, hash: [u8; 32]) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= MAX_REMEMBERED {
            recent.retain(|_, at| at.elapsed() < REMEMBERED);
        }
        if recent.len() < MAX_REMEMBERED {
            recent.insert(hash, Instant::now());
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
fn check_all(waiting: &Receiver<Job>, mut matches: impl FnMut(&str, &str) -> Result<bool>) {
    // Of this thread alone. Where it is forbidden, hashing goes on as it is.
    let _ = rustix::process::setpriority_process(None, NICE);
    while let Ok(job) = waiting.recv() {
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
    use std::sync::Arc;

    use super::*;

    #[test]
    fn only_the_right_password_of_a_known_user_matches() {
        let verifier = Verifier::new().unwrap();
        let stored = hash("correct horse").unwrap();
        assert!(stored.starts_with("$argon2id$"));
        assert!(verifier.verify("correct horse", Some(&stored)).unwrap());
        assert!(
            verifier.verify("correct horse", Some(&stored)).unwrap(),
            "remembered"
        );
        let changed = hash("battery staple").unwrap();
        assert!(
            !verifier.verify("correct horse", Some(&changed)).unwrap(),
            "changed since"
        );
        assert!(!verifier.verify("wrong horse", Some(&stored)).unwrap());
        assert!(!verifier.verify("a decoy, not a password", None).unwrap());
        assert!(
            !verifier
                .verify(&"é".repeat(100_000), Some(&stored))
                .unwrap()
        );
        assert!(hash("short").is_err() && hash(&"x".repeat(257)).is_err());
    }

    #[test]
    fn one_is_checked_few_wait_and_the_rest_is_turned_away_at_once() {
        let (started, starts) = mpsc::channel();
        let gate = Arc::new(Mutex::new(()));
        let closed = gate.lock().unwrap();
        let verifier = {
            let gate = Arc::clone(&gate);
            Verifier::checking_by(move |password, _| {
                started.send(password.to_owned()).unwrap();
                drop(gate.lock().unwrap());
                Ok(false)
            })
        };
        let verifier = verifier.unwrap();
        let queue = |name: &str| {
            let (answer, answered) = mpsc::sync_channel(1);
            let job = Job {
                password: name.to_owned(),
                stored: String::new(),
                until: Instant::now() + PATIENCE,
                answer,
            };
            verifier.jobs.try_send(job).unwrap();
            answered
        };
        let first = queue("first");
        assert_eq!(starts.recv().unwrap(), "first");
        let waiting: Vec<_> = (0..WAITING).map(|_| queue("waiting")).collect();
        for _ in 0..100 {
            let kind = verifier.verify("late", None).unwrap_err().kind();
            assert!(matches!(kind, Kind::TooManyRequests { .. }), "{kind:?}");
        }
        assert!(starts.try_recv().is_err(), "one at a time");
        drop(closed);
        for answered in [first].into_iter().chain(waiting) {
            assert!(!answered.recv().unwrap().unwrap());
        }
        assert!(
            !verifier.verify("later", None).unwrap(),
            "places are given back"
        );
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
        assert!(verifier.verify("correct horse", Some(&stored)).unwrap());
        assert_eq!(checks.recv().unwrap(), stored);
        // Even were the decoy's password guessed, nobody is let in, and it is not remembered either.
        for _ in 0..2 {
            assert!(!verifier.verify("correct horse", None).unwrap());
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
            verifier.verify("panic", None).unwrap_err().kind(),
            Kind::Internal
        );
        assert!(!verifier.verify("other", None).unwrap());
    }
}
