//! `DATA/keys/origin.key`: what the fingerprints of upstreams with credentials are keyed with, so that nobody
//! who only reads `cache.sqlite` can try passwords against them. 32 random bytes in hex, mode 0600.
//!
//! Made at first need. A lost one opens nothing: what was cached with credentials is fetched again.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use super::{Store, directory};
use crate::error::{Error, Kind, Result};

const FILE: &str = "origin.key";

impl Store {
    /// The key, made if there is none.
    ///
    /// # Errors
    /// `Config` for a file that holds no key; `Io` and `Full` with the path.
    pub fn origin_key(&self) -> Result<[u8; 32]> {
        let keys = self.directory.join("keys");
        let path = keys.join(FILE);
        if let Some(key) = read(&path)? {
            return Ok(key);
        }
        directory::make_directory(&keys)?;
        make(&keys, &path)?;
        read(&path)?.ok_or_else(|| Error::internal("the key that was just made is not there"))
    }
}

fn read(path: &Path) -> Result<Option<[u8; 32]>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("cannot read", path, error)),
    };
    let text = text.trim_end();
    let mut key = [0; 32];
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    let is_whole = text.len() == 64
        && key.iter_mut().zip(pairs).all(|(byte, pair)| {
            let hex = std::str::from_utf8(pair).ok();
            let parsed = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
            *byte = parsed.unwrap_or_default();
            parsed.is_some()
        });
    if is_whole {
        return Ok(Some(key));
    }
    Err(Error::new(
        Kind::Config,
        format!("{} does not hold 32 bytes in hex", path.display()),
    )
    .remedy("restore it from a backup, or remove it: a new one is made"))
}

/// Makes a key. It gets its name when it is whole and on disk, and only if no other process was first.
fn make(keys: &Path, path: &Path) -> Result<()> {
    let number = || {
        getrandom::u64()
            .map_err(|error| Error::internal("the system gives no random bytes").because(error))
    };
    let mut text = String::new();
    for _ in 0..4 {
        text.push_str(&format!("{:016x}", number()?));
    }
    text.push('\n');
    let draft = keys.join(format!("{FILE}.{:016x}", number()?));
    let failed = |error| Error::io("cannot make", path, error);
    let mut file = directory::new_file(&draft).map_err(failed)?;
    let made = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| match fs::hard_link(&draft, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        });
    let removed = fs::remove_file(&draft);
    made.and(removed).map_err(failed)?;
    directory::sync_directory(keys)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_the_owner_alone() {
        let data = tempfile::tempdir().unwrap();
        let store = Store::create(&data.path().join("data")).unwrap();
        let path = store.directory().join("keys/origin.key");
        assert!(!path.exists());
        let key = store.origin_key().unwrap();
        assert_eq!(store.origin_key().unwrap(), key);
        assert_ne!(key, [0; 32]);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(store.directory().join("keys"))
                .unwrap()
                .count(),
            1
        );
        fs::write(&path, "cut").unwrap();
        assert_eq!(store.origin_key().unwrap_err().kind(), Kind::Config);
    }
}
