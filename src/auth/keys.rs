//! The keys that sign JWTs: `keys/jwt-TIME-ID.key`, 32 random bytes in hex, mode 0600; TIME is when it was made,
//! in Unix seconds.
//!
//! The newest key signs. An older one verifies for as long as a JWT that it has signed can be valid; after that its file
//! may be removed. The keys are read at the start, and again when this process changes them; no other process does.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{RwLock, RwLockReadGuard};
use zeroize::Zeroize;

use crate::context;
use crate::error::{Error, Kind, Result};
use crate::time::Timestamp;

pub struct Key {
    /// What stands in a JWT's `kid`: the file's name without prefix and ending.
    pub id: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// From when on it verifies nothing; `None`: it signs.
    pub retires_at: Option<Timestamp>,
    /// The secret bytes.
    pub(super) secret: [u8; 32],
}

impl Drop for Key {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

/// All keys of a directory.
pub struct Keys {
    directory: PathBuf,
    lifetime: Duration,
    /// Oldest first; never empty.
    keys: RwLock<Vec<Arc<Key>>>,
}

impl Keys {
    /// Reads the keys of `directory`, which is made if need be, and makes one if there is none. A JWT is alive for
    /// `lifetime` at most, clocks that differ included.
    ///
    /// # Errors
    /// `Io` with the path; `Config` for a key file that is damaged.
    pub fn open_or_make(directory: &Path, lifetime: Duration) -> Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| Error::io("cannot make", directory, error))?;
        Ok(Self {
            directory: directory.to_owned(),
            lifetime,
            keys: RwLock::new(read_or_make(directory, lifetime)?),
        })
    }

    /// The key that signs.
    ///
    /// # Errors
    /// `Internal` where there is none, which cannot be.
    pub fn signing(&self) -> Result<Arc<Key>> {
        let newest = self.keys.read().last().map(Arc::clone);
        newest.ok_or_else(|| Error::internal("there is no key to sign with"))
    }

    /// The key of this id, if it still verifies.
    pub fn verifying(&self, id: &str, now: Timestamp) -> Option<Arc<Key>> {
        let keys = self.present();
        let key = keys.iter().find(|key| key.id == id)?;
        key.verifies(now).then(|| Arc::clone(key))
    }

    /// The keys, for a request: whoever changes them holds them while files are read.
    fn present(&self) -> RwLockReadGuard<'_, Vec<Arc<Key>>> {
        self.keys.try_read().unwrap_or_else(|| {
            context::waits();
            self.keys.read()
        })
    }

    /// Whether this key still verifies.
    pub(super) fn verifies(&self, key: &Arc<Key>, now: Timestamp) -> bool {
        let keys = self.present();
        key.verifies(now) && keys.iter().any(|kept| Arc::ptr_eq(kept, key))
    }

    /// All, oldest first.
    pub fn all(&self) -> Vec<Arc<Key>> {
        self.keys.read().clone()
    }

    /// Makes a new key, which signs from now on; its id.
    ///
    /// # Errors
    /// `Io` or `Full` with the path.
    pub fn rotate(&self, now: Timestamp) -> Result<String> {
        // The new key must be the newest even if the clock was set back.
        let newest = self.signing()?.made_at;
        let made_at = now.max(Timestamp(newest.0.saturating_add(1)));
        let id = make(&self.directory, made_at)?;
        self.read_again()?;
        Ok(id)
    }

    /// Removes the files of keys that verify nothing any more, or, with `at_once`, of all that do not sign: then
    /// the JWTs that those have signed are refused. Their ids.
    ///
    /// # Errors
    /// `Io` with the path.
    pub fn remove_retired(&self, now: Timestamp, at_once: bool) -> Result<Vec<String>> {
        let goes = |key: &Arc<Key>| key.retires_at.is_some() && (at_once || !key.verifies(now));
        let removed = self.all().into_iter().filter(goes).map(|key| {
            let path = self.directory.join(format!("jwt-{}.key", key.id));
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(Error::io("cannot remove", &path, error))
                }
                _ => Ok(key.id.clone()),
            }
        });
        let removed = removed.collect::<Result<Vec<_>>>();
        // The keys that were removed must not verify anything, even if another one could not be removed.
        self.read_again()?;
        removed
    }

    /// Reads the keys again. If that fails, those that are known stay.
    fn read_again(&self) -> Result<()> {
        // The lock is held while the files are read, so that after two changes the later reader sees both.
        let mut keys = self.keys.write();
        *keys = read_or_make(&self.directory, self.lifetime)?;
        Ok(())
    }
}

impl Key {
    /// Whether a JWT that it has signed can be alive.
    pub fn verifies(&self, now: Timestamp) -> bool {
        self.retires_at.is_none_or(|retires_at| now < retires_at)
    }
}

fn read_or_make(directory: &Path, lifetime: Duration) -> Result<Vec<Arc<Key>>> {
    let mut keys = read(directory)?;
    if keys.is_empty() {
        make(directory, Timestamp::now())?;
        keys = read(directory)?;
    }
    if keys.is_empty() {
        return Err(Error::internal("a key was made, but is not there"));
    }
    keys.sort_by(|one, other| (one.made_at, &one.id).cmp(&(other.made_at, &other.id)));
    let successors: Vec<_> = keys.iter().skip(1).map(|key| key.made_at).collect();
    for (key, successor) in keys.iter_mut().zip(successors) {
        key.retires_at = Some(successor.plus(lifetime));
    }
    Ok(keys.into_iter().map(Arc::new).collect())
}

fn read(directory: &Path) -> Result<Vec<Key>> {
    let unreadable = |error| Error::io("cannot read the keys in", directory, error);
    let mut keys = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let Some(id) = name
            .strip_prefix("jwt-")
            .and_then(|name| name.strip_suffix(".key"))
        else {
            continue;
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            // Removed meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::io("cannot read", &path, error)),
        };
        let made_at = id.split('-').next().and_then(|time| time.parse().ok());
        let (made_at, secret) = made_at.zip(unhex(text.trim())).ok_or_else(|| {
            Error::new(
                Kind::Config,
                format!(
                    "{} does not hold 32 bytes in hex, or has a wrong name",
                    path.display()
                ),
            )
            .remedy("remove it: what it has signed is refused, and those who hold it log in again")
        })?;
        keys.push(Key {
            id: id.to_owned(),
            made_at: Timestamp(made_at),
            retires_at: None,
            secret,
        });
    }
    Ok(keys)
}

/// Makes a key, whole and under its name in one step; its id.
fn make(directory: &Path, made_at: Timestamp) -> Result<String> {
    let id = format!("{:012}-{}", made_at.0, random_hex::<4>()?);
    let path = directory.join(format!("jwt-{id}.key"));
    let unfinished = directory.join(format!(".jwt-{id}"));
    let failed = |error| Error::io("cannot write", &path, error);
    let secret = random_hex::<32>()?;
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .and_then(|mut file| {
            file.write_all(secret.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&unfinished, &path));
    if written.is_err() {
        // The error that matters is the one that is returned.
        let _ = fs::remove_file(&unfinished);
    }
    written.map_err(failed)?;
    fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed)?;
    Ok(id)
}

/// `N` random bytes in hex.
///
/// # Errors
/// `Internal` when the system gives no randomness.
pub fn random_hex<const N: usize>() -> Result<String> {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::internal(format!("no randomness from the system: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// 32 bytes from hex.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0_u8; 32];
    if text.len() != 64 {
        return None;
    }
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn open(directory: &tempfile::TempDir) -> Keys {
        Keys::open_or_make(directory.path(), HOUR).unwrap()
    }

    fn files(directory: &tempfile::TempDir) -> usize {
        fs::read_dir(directory.path()).unwrap().count()
    }

    #[test]
    fn a_key_is_made_once_and_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let first = open(&directory).signing().unwrap().id.clone();
        assert_eq!(open(&directory).signing().unwrap().id, first);
        assert_eq!(files(&directory), 1);
        for name in ["jwt-1-x.key", "jwt-x.key"] {
            let path = directory.path().join(name);
            fs::write(
                &path,
                if name == "jwt-x.key" {
                    "0".repeat(64)
                } else {
                    "no hex".into()
                },
            )
            .unwrap();
            assert!(
                Keys::open_or_make(directory.path(), HOUR).is_err(),
                "{name}"
            );
            fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn a_new_key_signs_at_once_and_the_old_one_verifies_while_its_tokens_live() {
        let directory = tempfile::tempdir().unwrap();
        let server = open(&directory);
        let first = server.signing().unwrap();
        let now = first.made_at;
        let second = server.rotate(now).unwrap();
        assert_eq!(server.signing().unwrap().id, second);
        let second = server.verifying(&second, now).unwrap();
        assert!(second.made_at > first.made_at, "within one second, too");
        let end = second.made_at.plus(HOUR);
        assert!(server.verifying(&first.id, Timestamp(end.0 - 1)).is_some());
        assert!(server.verifying(&first.id, end).is_none());
        assert!(server.verifying(&second.id, Timestamp(end.0 * 2)).is_some());
        assert!(server.verifying("unknown", now).is_none());
        assert!(
            server
                .remove_retired(Timestamp(end.0 - 1), false)
                .unwrap()
                .is_empty()
        );
        assert_eq!(
            server.remove_retired(end, false).unwrap(),
            [first.id.as_str()]
        );
        assert_eq!(files(&directory), 1);
        assert!(
            server.verifying(&first.id, now).is_none(),
            "its file is gone"
        );
    }

    #[test]
    fn a_leaked_key_goes_at_once_and_damage_leaves_the_known_keys() {
        let directory = tempfile::tempdir().unwrap();
        let server = open(&directory);
        let first = server.signing().unwrap();
        let second = server.rotate(NOW).unwrap();
        assert_eq!(
            server.remove_retired(NOW, true).unwrap(),
            [first.id.as_str()]
        );
        assert!(server.verifying(&first.id, NOW).is_none());
        fs::write(directory.path().join("jwt-999999999999-x.key"), "damaged").unwrap();
        assert_eq!(server.signing().unwrap().id, second);
        fs::remove_file(directory.path().join("jwt-999999999999-x.key")).unwrap();
        assert_eq!(server.signing().unwrap().id, second);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_keep_a_new_key_from_signing() {
        let directory = tempfile::tempdir().unwrap();
        let keys = open(&directory);
        let later = keys.rotate(Timestamp(NOW.0 * 2)).unwrap();
        let newer = keys.rotate(NOW).unwrap();
        assert_ne!(later, newer);
        assert_eq!(keys.signing().unwrap().id, newer);
    }
}
