//! Passwords: argon2id in PHC form, with a bound on how many are computed and waited for at once.
//!
//! One hash takes 19 MiB and some 20 ms of a core. Unbounded, a flood of logins would take all the
//! memory and all the workers that pulls need; so few run at a time, few wait, and the rest is told
//! to come again.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Kind, Result};

/// Hashes computed at once.
const RUNNING: usize = 1;
/// Logins that may wait for their turn; each holds a worker.
const WAITING: usize = 16;

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

/// Checks passwords against stored hashes, a bounded number at a time.
pub struct Verifier {
    turn: Mutex<Turn>,
    /// Under a key that never leaves the process: the stored hash with the password.
    recent: Mutex<HashMap<[u8; 32], Instant>>,
    key: [u8; 32],
    free: Condvar,
    /// Verified in place of an unknown user's, so that the answer takes as long.
    decoy: String,
}

#[derive(Default)]
struct Turn {
    running: usize,
    waiting: usize,
}

impl Verifier {
    /// A verifier with its decoy made.
    ///
    /// # Errors
    /// `Internal` when the system gives no randomness.
    pub fn new() -> Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)
            .map_err(|error| Error::internal(format!("no randomness from the system: {error}")))?;
        Ok(Self {
            recent: Mutex::default(),
            key,
            turn: Mutex::default(),
            free: Condvar::new(),
            decoy: hash("a decoy, not a password")?,
        })
    }

    /// Whether `password` matches `stored` (PHC form). `None` (an unknown user, or one without a
    /// password) costs the same and is always false.
    ///
    /// # Errors
    /// `TooManyRequests` when too many logins wait already.
    pub fn verify(&self, password: &str, stored: Option<&str>) -> Result<bool> {
        let remembered = stored.map(|stored| self.keyed(stored, password));
        if remembered.is_some_and(|hash| self.is_recent(&hash)) {
            return Ok(true);
        }
        let _turn = self.take_turn()?;
        let password = &password[..password.floor_char_boundary(MAX_LENGTH + 1)];
        let parsed = PasswordHash::new(stored.unwrap_or(&self.decoy)).map_err(|error| {
            Error::internal(format!("a stored password hash is damaged: {error}"))
        })?;
        let matches = compute_apart(|| {
            let verified = Argon2::default().verify_password(password.as_bytes(), &parsed);
            verified.is_ok()
        })?;
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

    fn take_turn(&self) -> Result<TurnTaken<'_>> {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if turn.waiting >= WAITING {
            let retry_after = Duration::from_secs(2);
            return Err(Error::new(
                Kind::TooManyRequests { retry_after },
                "too many logins at once",
            )
            .remedy("try again in two seconds"));
        }
        turn.waiting += 1;
        while turn.running >= RUNNING {
            turn = self.free.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
        turn.waiting -= 1;
        turn.running += 1;
        Ok(TurnTaken(self))
    }
}

/// Runs `work` on a thread of its own. The allocator keeps what a thread has used for later: done by whatever
/// worker has the request, each of hundreds would keep its own 19 MiB.
fn compute_apart<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("password".to_owned());
        let running = thread.spawn_scoped(scope, work).map_err(|error| {
            let retry_after = Duration::from_secs(2);
            Error::new(
                Kind::Unavailable { retry_after },
                "cannot start a thread to check a password",
            )
            .because(error)
        })?;
        running
            .join()
            .map_err(|_| Error::internal("checking a password panicked; see the log"))
    })
}

/// Gives the turn back, also when verifying panics.
struct TurnTaken<'a>(&'a Verifier);

impl Drop for TurnTaken<'_> {
    fn drop(&mut self) {
        self.0
            .turn
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .running -= 1;
        self.0.free.notify_one();
    }
}

#[cfg(test)]
mod tests {
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
    fn a_flood_of_logins_is_turned_away_rather_than_queued() {
        let verifier = Verifier::new().unwrap();
        let refused = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..WAITING + 24 {
                scope.spawn(|| {
                    if verifier.verify("x", None).is_err() {
                        refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                });
            }
        });
        assert!(refused.into_inner() > 0);
        assert!(verifier.verify("x", None).is_ok(), "turns are given back");
    }
}
