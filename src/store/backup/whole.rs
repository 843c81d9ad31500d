//! A directory that holds all that a box is made of: the files of content, and beside them what [`Store::save_rows`] saves,
//! and the keys. It is added to by each backup: a file of content that it has is never written again.
//!
//! Files come before the rows that name them, here as in a data directory, so a copy that was broken off is merely not
//! finished. `blobs/` and `staging/` in it are those of a data directory.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::saved::{BACKUP, ROWS, copies};
use super::{CACHE, Staged, remove, sound, sync};
use crate::error::{Error, Kind, Result};
use crate::oci::{Digest, Hasher};
use crate::store::blobs::{BlobDir, BlobPrefix};
use crate::store::cache::RESTORED;
use crate::store::database::connect;
use crate::store::statement::{get, run};
use crate::store::{DataLock, directory};

/// What came of copying the files of content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopiedFiles {
    /// Those that were not there yet.
    pub files: u64,
    pub bytes: u64,
    /// Those that were.
    pub present: u64,
    /// Those whose bytes are not what their digests say; they were left out.
    pub damaged: Vec<Digest>,
}

/// Copies the files of content that `to` lacks, both directories like a data directory. Whatever goes meanwhile is left
/// out. `progress` is told of the bytes done, and of all.
///
/// # Errors
/// `Io`, `Full`. What was copied by then stays, and is not copied again.
pub fn copy_files(from: &Path, to: &Path, progress: &dyn Fn(u64, u64)) -> Result<CopiedFiles> {
    let (from, _) = BlobDir::open_directory(from)?;
    let (to, _) = BlobDir::open_directory(to)?;
    to.sweep_staging()?;
    let mut copied = CopiedFiles::default();
    let mut all = 0_u64;
    each_missing(&from, &to, |_, size| {
        all = all.saturating_add(size);
        Ok(())
    })?;
    copied.present = each_missing(&from, &to, |digest, size| {
        match copy(&from, &to, digest) {
            Ok(false) => {}
            Ok(true) => {
                copied.files = copied.files.saturating_add(1);
                copied.bytes = copied.bytes.saturating_add(size);
            }
            Err(error) if error.kind() == Kind::DigestInvalid => {
                copied.damaged.push(digest.clone());
            }
            Err(error) => return Err(error),
        }
        progress(copied.bytes, all);
        Ok(())
    })?;
    Ok(copied)
}

/// Tells of each file that `to` lacks, or has with another length; says how many it has.
fn each_missing(
    from: &BlobDir,
    to: &BlobDir,
    mut see: impl FnMut(&Digest, u64) -> Result<()>,
) -> Result<u64> {
    let mut present = 0_u64;
    for prefix in BlobPrefix::all() {
        for digest in from.listing(prefix)?.digests {
            match from.size_of(&digest)? {
                None => {}
                size if to.size_of(&digest)? == size => present = present.saturating_add(1),
                Some(size) => see(&digest, size)?,
            }
        }
    }
    Ok(present)
}

/// Copies one file; false where it is gone.
fn copy(from: &BlobDir, to: &BlobDir, digest: &Digest) -> Result<bool> {
    let Some(blob) = from.open(digest)? else {
        return Ok(false);
    };
    let mut staged = to.stage()?;
    staged.expect(Some(blob.size()))?;
    let mut hasher = Hasher::new(digest.algorithm());
    let mut at = 0_u64;
    blob.content().for_each_piece(|piece| {
        let written = staged.write(piece, at);
        at = at.saturating_add(piece.len() as u64);
        hasher.update(piece);
        written
    })?;
    if hasher.finish() != *digest {
        return Err(Error::new(
            Kind::DigestInvalid,
            format!("{digest} is damaged"),
        ));
    }
    staged.replace(digest)?;
    Ok(true)
}

/// Copies what was saved last of the databases, and the keys that lie in the data directory; says whether `secret.key` was
/// among them.
///
/// # Errors
/// `NotFound` where nothing was saved, `Io`, `Full`.
pub fn copy_rows_and_keys(data: &Path, to: &Path) -> Result<bool> {
    for name in [BACKUP, ROWS] {
        let newest = copies(data, name).into_iter().next();
        let newest = newest.ok_or_else(|| Error::internal(format!("{name} was not saved")))?;
        copy_file(&newest.path, &to.join(name))?;
    }
    copy_keys(data, to)
}

/// Copies `secret.key` and `keys/`; says whether there is a `secret.key`.
fn copy_keys(from: &Path, to: &Path) -> Result<bool> {
    let keys = from.join("keys");
    directory::make_directory(&to.join("keys"))?;
    match fs::read_dir(&keys) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::io("cannot read", &keys, error)),
        Ok(entries) => {
            for entry in entries {
                let entry = entry.map_err(|error| Error::io("cannot read", &keys, error))?;
                if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                    copy_file(&entry.path(), &to.join("keys").join(entry.file_name()))?;
                }
            }
        }
    }
    let secret = from.join("secret.key");
    let is_there = secret.exists();
    if is_there {
        copy_file(&secret, &to.join("secret.key"))?;
    }
    directory::sync_directory(&to.join("keys"))?;
    directory::sync_directory(to)?;
    Ok(is_there)
}

/// Replaces a file by a copy (0600) that is whole and on the disk.
fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let staged = Staged::at(super::beside(to, ".new"))?;
    let failed = |error| Error::io("cannot write", &staged.path, error);
    let mut source = File::open(from).map_err(|error| Error::io("cannot read", from, error))?;
    let mut target = File::options()
        .write(true)
        .open(&staged.path)
        .map_err(failed)?;
    io::copy(&mut source, &mut target).map_err(failed)?;
    sync(&staged.path)?;
    fs::rename(&staged.path, to).map_err(|error| Error::io("cannot replace", to, error))
}

/// Puts the keys and the rows of the cache of a backup in the place of those of the data directory: the rows only where it
/// knows of no cached image, because what it has fetched since is newer. Says whether it took the rows.
///
/// # Errors
/// `BadRequest`, `Config` for rows that are not ours, or of a newer version; `Io`, `Sql`.
pub fn restore_rows_and_keys(from: &Path, data: &Path, _lock: &DataLock) -> Result<bool> {
    copy_keys(from, data)?;
    let live = data.join(CACHE.file);
    let saved = from.join(ROWS);
    if !saved.exists() || holds_images(&live)? {
        return Ok(false);
    }
    let mut source = File::open(&saved).map_err(|error| Error::io("cannot read", &saved, error))?;
    let staged = Staged::copy(data, &mut source)?;
    let mut database = connect(&staged.path).map_err(sound::not_ours)?;
    sound::prepare(&mut database, &staged.path, CACHE)?;
    let forget = "DELETE FROM state WHERE key = 'clean_stop'";
    run(&database, "forget the clean stop", forget, [])?;
    let note = "INSERT OR REPLACE INTO state (key, value) VALUES (?1, 1)";
    run(&database, "note the restore", note, [RESTORED])?;
    let forget = "DELETE FROM unsettled";
    run(&database, "forget old unsettled files", forget, [])?;
    super::single_file(&database).map_err(|error| {
        crate::store::statement::sql(&format!("close {}", staged.path.display()), error)
    })?;
    drop(database);
    sync(&staged.path)?;
    for log in ["-wal", "-shm", "-journal"] {
        remove(&super::beside(&live, log))?;
    }
    fs::rename(&staged.path, &live).map_err(|error| Error::io("cannot replace", &live, error))?;
    directory::sync_directory(data)?;
    Ok(true)
}

/// Whether a database of the cache knows of an image; one that cannot be read does not.
fn holds_images(path: &Path) -> Result<bool> {
    if directory::is_missing(path) {
        return Ok(false);
    }
    let text = "SELECT EXISTS (SELECT 1 FROM manifests)";
    let found = connect(path)
        .and_then(|database| get(&database, "look for images", text, [], |row| row.get(0)));
    Ok(found.unwrap_or_default())
}
