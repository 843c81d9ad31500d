//! The keys that sign JWTs: `keys/jwt-TIME-ID.key`, 32 random bytes in hex, mode 0600. The newest signs,
//! all of them verify, so that a new one can be added while tokens of the old one are still around.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::time::Timestamp;

/// One key.
pub struct Key {
    /// What stands in a JWT's `kid`: the file's name without prefix and ending.
    pub id: String,
    /// The secret bytes.
    pub secret: [u8; 32],
}

/// All keys, oldest first; never empty.
pub struct Keys(Vec<Key>);

impl Keys {
    /// Reads the keys of `directory`, which is made if need be, and makes one if there is none.
    ///
    /// # Errors
    /// `Io` with the path; `Config` for a key file that is damaged.
    pub fn open_or_make(directory: &Path) -> Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| Error::io("cannot make", directory, error))?;
        let mut keys = Self::read(directory)?;
        if keys.is_empty() {
            make(directory)?;
            keys = Self::read(directory)?;
        }
        if keys.is_empty() {
            return Err(Error::internal("a key was made, but is not there"));
        }
        Ok(Self(keys))
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
            let text = fs::read_to_string(&path)
                .map_err(|error| Error::io("cannot read", &path, error))?;
            let secret = unhex(text.trim()).ok_or_else(|| {
                Error::new(
                    Kind::Config,
                    format!("{} does not hold 32 bytes in hex", path.display()),
                )
                .remedy("remove it: a new key is made, and everybody logs in again")
            })?;
            keys.push(Key {
                id: id.to_owned(),
                secret,
            });
        }
        keys.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(keys)
    }

    /// The key that signs.
    pub fn newest(&self) -> &Key {
        &self.0[self.0.len() - 1]
    }

    /// The key of this id.
    pub fn by_id(&self, id: &str) -> Option<&Key> {
        self.0.iter().find(|key| key.id == id)
    }
}

/// Makes a key under a name that sorts after all that were made before.
fn make(directory: &Path) -> Result<()> {
    let name = format!("jwt-{:012}-{}.key", Timestamp::now().0, random_hex::<4>()?);
    let path = directory.join(name);
    let failed = |error| Error::io("cannot write", &path, error);
    let secret = random_hex::<32>()?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    file.write_all(secret.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed)
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
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_found_again_and_a_newer_one_signs() {
        let directory = tempfile::tempdir().unwrap();
        let first = Keys::open_or_make(directory.path())
            .unwrap()
            .newest()
            .id
            .clone();
        assert_eq!(
            Keys::open_or_make(directory.path()).unwrap().newest().id,
            first
        );
        fs::write(
            directory.path().join("jwt-999999999999-aa.key"),
            "0".repeat(64),
        )
        .unwrap();
        let keys = Keys::open_or_make(directory.path()).unwrap();
        assert_eq!(keys.newest().id, "999999999999-aa");
        assert!(keys.by_id(&first).is_some());
        fs::write(directory.path().join("jwt-x.key"), "no hex").unwrap();
        assert!(Keys::open_or_make(directory.path()).is_err());
    }
}
