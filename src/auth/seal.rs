//! Secrets that must be given back, such as the passwords of upstreams: sealed with AES-256-GCM under
//! `DATA/secret.key`, or under the `secret.key` that systemd hands over with `LoadCredential=`.
//!
//! A sealed secret is bound to its owner, so that it cannot be opened after it was copied into another row. This file
//! knows no database. It writes no file but the key's, and never overwrites one.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};

use super::keys::{random_hex, unhex};
use crate::error::{Error, Kind, Result};
use crate::oci::RegistryHost;
use crate::store::GroupId;

/// The key's file, in the data directory and among systemd's credentials.
const FILE: &str = "secret.key";
/// The first byte of everything sealed: how the rest is laid out (nonce, ciphertext, tag).
const VERSION: u8 = 1;

/// The keys at hand. The first one seals; each may have sealed what is to be opened, so that a
/// box can move from a key in its data directory to one that systemd keeps.
pub struct SealingKeys {
    keys: Vec<RandomizedNonceKey>,
    /// Where one was looked for, for the errors.
    places: Vec<PathBuf>,
}

impl std::fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealingKeys")
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}

impl SealingKeys {
    /// The keys in the data directory and in `$CREDENTIALS_DIRECTORY`; there may be none.
    ///
    /// # Errors
    /// `Io` with the path; `Config` for a file that holds no key.
    pub fn find(data: &Path) -> Result<Self> {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Self::find_in(data, credentials.as_deref())
    }

    /// As [`Self::find`], but makes a key in the data directory where there is none at all.
    ///
    /// # Errors
    /// As there; `Internal` when the system gives no randomness.
    pub fn find_or_make(data: &Path) -> Result<Self> {
        let found = Self::find(data)?;
        if !found.keys.is_empty() {
            return Ok(found);
        }
        make(data)?;
        Self::find(data)
    }

    fn find_in(data: &Path, credentials: Option<&Path>) -> Result<Self> {
        let places: Vec<_> = credentials
            .into_iter()
            .chain([data])
            .map(|directory| directory.join(FILE))
            .collect();
        let mut keys = Vec::new();
        for place in &places {
            keys.extend(read(place)?);
        }
        Ok(Self { keys, places })
    }

    /// Encrypts `secret` for `owner`.
    ///
    /// # Errors
    /// `Config` where there is no key.
    pub fn seal(&self, owner: &Owner, secret: &str) -> Result<Vec<u8>> {
        let key = self.keys.first().ok_or_else(|| self.missing())?;
        let mut text = secret.as_bytes().to_vec();
        let nonce = key
            .seal_in_place_append_tag(Aad::from(owner.0.as_bytes()), &mut text)
            .map_err(|_| Error::internal("a secret could not be encrypted"))?;
        let mut sealed = vec![VERSION];
        sealed.extend_from_slice(nonce.as_ref());
        sealed.append(&mut text);
        Ok(sealed)
    }

    /// Decrypts what [`Self::seal`] made for the same owner.
    ///
    /// # Errors
    /// `Config` where there is no key, or no key that it was sealed with; it says what to do.
    pub fn open(&self, owner: &Owner, sealed: &[u8]) -> Result<String> {
        let (nonce, text) = match sealed {
            [VERSION, rest @ ..] if rest.len() > NONCE_LEN => rest.split_at(NONCE_LEN),
            _ => return Err(Error::new(Kind::Config, "what was sealed is damaged")),
        };
        if self.keys.is_empty() {
            return Err(self.missing());
        }
        for key in &self.keys {
            let nonce = Nonce::try_assume_unique_for_key(nonce)
                .map_err(|_| Error::internal("a nonce has the wrong length"))?;
            let mut text = text.to_vec();
            if let Ok(secret) = key.open_in_place(nonce, Aad::from(owner.0.as_bytes()), &mut text) {
                return String::from_utf8(secret.to_vec())
                    .map_err(|_| Error::new(Kind::Config, "what was sealed is no text"));
            }
        }
        Err(Error::new(
            Kind::Config,
            format!("it was sealed with another key than {}", self.shown()),
        )
        .remedy("put the key back that was there when it was added, or remove it and add it again"))
    }

    fn missing(&self) -> Error {
        Error::new(Kind::Config, format!("there is no {}", self.shown()))
            .remedy("restore it from a backup, or remove what was sealed with it and add it again")
    }

    fn shown(&self) -> String {
        let places: Vec<_> = self
            .places
            .iter()
            .map(|place| place.display().to_string())
            .collect();
        places.join(" or ")
    }
}

/// What a secret belongs to: it opens for nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner(String);

impl Owner {
    /// The upstream of this name, of a group or (`None`) of the box.
    pub fn upstream(name: &RegistryHost, group: Option<GroupId>) -> Self {
        // Ids are never reused: a group of the same path that is made later is another one.
        Self(format!(
            "upstream {name} of {}",
            group.map_or(0, |group| group.0)
        ))
    }

    /// The webhook whose queue is called `uid`.
    pub fn webhook(uid: &str) -> Self {
        Self(format!("webhook {uid}"))
    }

    /// The external registry of this name.
    pub fn external_registry(name: &str) -> Self {
        Self(format!("external registry {name}"))
    }
}

/// The key in a file, if the file is there.
fn read(path: &Path) -> Result<Option<RandomizedNonceKey>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("cannot read", path, error)),
    };
    let bytes = unhex(text.trim()).ok_or_else(|| {
        Error::new(
            Kind::Config,
            format!("{} does not hold 32 bytes in hex", path.display()),
        )
        .remedy("restore it from a backup")
    })?;
    RandomizedNonceKey::new(&AES_256_GCM, &bytes)
        .map(Some)
        .map_err(|_| Error::internal("a key of 32 bytes was refused"))
}

/// Makes a key. It gets its name when it is whole and on disk, and only if no other process was first.
fn make(data: &Path) -> Result<()> {
    let path = data.join(FILE);
    let draft = data.join(format!("{FILE}.{}", random_hex::<8>()?));
    let failed = |error| Error::io("cannot make", &path, error);
    let secret = random_hex::<32>()?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .map_err(failed)?;
    let made = file
        .write_all(format!("{secret}\n").as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| match fs::hard_link(&draft, &path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        });
    let removed = fs::remove_file(&draft);
    made.and(removed)
        .and_then(|()| fs::File::open(data)?.sync_all())
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn owner(name: &str, group: Option<i64>) -> Owner {
        Owner::upstream(&RegistryHost::parse(name).unwrap(), group.map(GroupId))
    }

    #[test]
    fn what_was_sealed_opens_for_its_owner_alone() {
        let data = tempfile::tempdir().unwrap();
        make(data.path()).unwrap();
        let keys = SealingKeys::find_in(data.path(), None).unwrap();
        let sealed = keys.seal(&owner("quay.io", Some(7)), "pässword").unwrap();
        assert!(!sealed.windows(4).any(|part| part == b"word"));
        assert_ne!(
            sealed,
            keys.seal(&owner("quay.io", Some(7)), "pässword").unwrap(),
            "every nonce is another one"
        );
        let table: &[(&str, Option<i64>, Option<&str>)] = &[
            ("quay.io", Some(7), Some("pässword")),
            ("quay.io", Some(8), None),
            ("quay.io", None, None),
            ("ghcr.io", Some(7), None),
        ];
        for (name, group, expected) in table {
            let opened = keys.open(&owner(name, *group), &sealed).ok();
            assert_eq!(opened.as_deref(), *expected, "{name} {group:?}");
        }
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(keys.open(&owner("quay.io", Some(7)), &damaged).is_err());
            assert!(
                keys.open(&owner("quay.io", Some(7)), &sealed[..at])
                    .is_err()
            );
        }
    }

    #[test]
    fn a_missing_or_wrong_key_says_what_to_do() {
        let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let quay = owner("quay.io", None);
        let none = SealingKeys::find_in(data.path(), None).unwrap();
        assert!(
            none.seal(&quay, "x")
                .unwrap_err()
                .to_string()
                .contains("secret.key")
        );
        make(data.path()).unwrap();
        make(other.path()).unwrap();
        let keys = |data: &tempfile::TempDir| SealingKeys::find_in(data.path(), None).unwrap();
        let sealed = keys(&data).seal(&quay, "x").unwrap();
        let wrong = keys(&other).open(&quay, &sealed).unwrap_err();
        assert_eq!(wrong.kind(), Kind::Config);
        assert!(wrong.to_string().contains("another key"), "{wrong}");
        assert!(wrong.remedy_text().is_some());
        let missing = none.open(&quay, &sealed).unwrap_err();
        assert!(missing.to_string().contains("there is no"), "{missing}");
        fs::write(data.path().join(FILE), "short").unwrap();
        let damaged = SealingKeys::find_in(data.path(), None).unwrap_err();
        assert_eq!(damaged.kind(), Kind::Config);
    }

    #[test]
    fn a_key_is_made_once_for_the_owner_alone_and_systemds_goes_first() {
        let data = tempfile::tempdir().unwrap();
        make(data.path()).unwrap();
        let path = data.path().join(FILE);
        let first = fs::read(&path).unwrap();
        make(data.path()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), first);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1);

        let quay = owner("quay.io", None);
        let old = SealingKeys::find_in(data.path(), None).unwrap();
        let sealed = old.seal(&quay, "x").unwrap();
        let credentials = tempfile::tempdir().unwrap();
        make(credentials.path()).unwrap();
        let both = SealingKeys::find_in(data.path(), Some(credentials.path())).unwrap();
        assert_eq!(both.open(&quay, &sealed).unwrap(), "x");
        let new = both.seal(&quay, "y").unwrap();
        assert!(old.open(&quay, &new).is_err());
    }
}
