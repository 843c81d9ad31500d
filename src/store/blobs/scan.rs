//! Walking the blob directory one `ALG/AB` at a time, for reconciliation and verify: memory for one of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{ALGORITHMS, BlobDir};
use crate::error::{Error, Result};
use crate::oci::{Algorithm, Digest};

/// One directory `ALG/AB` of the blob directory, whether it exists or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlobPrefix {
    algorithm: Algorithm,
    byte: u8,
}

impl BlobPrefix {
    /// Every directory that a blob can be in.
    pub(crate) fn all() -> Vec<Self> {
        ALGORITHMS
            .into_iter()
            .flat_map(|algorithm| (0..=u8::MAX).map(move |byte| Self { algorithm, byte }))
            .collect()
    }

    /// Digests `d` with `from <= d < to` as text are those in here: `g` follows the last hex digit.
    pub(in crate::store) fn digest_range(self) -> (String, String) {
        let from = format!("{}:{:02x}", self.algorithm.as_str(), self.byte);
        let to = format!("{from}g");
        (from, to)
    }

    fn path(self, root: &Path) -> PathBuf {
        root.join(self.algorithm.as_str())
            .join(format!("{:02x}", self.byte))
    }
}

/// What lies in one directory.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Names that are digests that belong here.
    pub(crate) digests: Vec<Digest>,
    pub(crate) strays: Vec<PathBuf>,
}

impl BlobDir {
    /// The names in one directory; nothing where it does not exist.
    pub(crate) fn listing(&self, prefix: BlobPrefix) -> Result<Listing> {
        let path = prefix.path(&self.root);
        let failed = |error| Error::io("cannot read", &path, error);
        let mut listing = Listing::default();
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listing),
            // A file in the directory's place is a stray name of the level above.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(listing),
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            // The kind comes with the name on every filesystem that matters; nothing is opened.
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            match entry
                .file_name()
                .to_str()
                .and_then(|name| digest(prefix, name))
            {
                Some(digest) if is_file => listing.digests.push(digest),
                _ => listing.strays.push(entry.path()),
            }
        }
        Ok(listing)
    }

    /// What lies in `blobs/` and `blobs/ALG/` and has no place there.
    pub(crate) fn strays_above(&self) -> Result<Vec<PathBuf>> {
        let mut strays = Vec::new();
        let algorithms = ALGORITHMS.map(|algorithm| algorithm.as_str().to_owned());
        collect_strays(&self.root, &mut strays, |name| {
            algorithms.iter().any(|word| word == name)
        })?;
        for algorithm in &algorithms {
            collect_strays(&self.root.join(algorithm), &mut strays, |name| {
                name.len() == 2
                    && name.bytes().all(|b| b.is_ascii_hexdigit())
                    && name == name.to_ascii_lowercase()
            })?;
        }
        Ok(strays)
    }

    /// `blobs/`, the directories of the algorithms, and every `AB` in them.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        let mut paths = vec![self.root.clone()];
        paths.extend(ALGORITHMS.map(|algorithm| self.root.join(algorithm.as_str())));
        paths.extend(
            BlobPrefix::all()
                .into_iter()
                .map(|prefix| prefix.path(&self.root)),
        );
        paths
    }

    /// The blob's path, for a report.
    pub(crate) fn shown_path(&self, digest: &Digest) -> PathBuf {
        self.path(digest)
    }
}

/// Collects the names in `directory` that are no directory, or that `belongs` does not know.
fn collect_strays(
    directory: &Path,
    strays: &mut Vec<PathBuf>,
    belongs: impl Fn(&str) -> bool,
) -> Result<()> {
    let failed = |error| Error::io("cannot read", directory, error);
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let is_directory = entry.file_type().map_err(failed)?.is_dir();
        if !is_directory || !entry.file_name().to_str().is_some_and(&belongs) {
            strays.push(entry.path());
        }
    }
    Ok(())
}

fn digest(prefix: BlobPrefix, name: &str) -> Option<Digest> {
    let digest = Digest::parse(&format!("{}:{name}", prefix.algorithm.as_str())).ok()?;
    name.starts_with(&format!("{:02x}", prefix.byte))
        .then_some(digest)
}
