//! A directory that holds all that a box is made of: the files of content, and beside them the databases and the keys. It is
//! added to by each backup: a file of content that it has is never written again.
//!
//! Its databases are replaced last, when every file that their rows name is there: until then those of the backup before
//! stand, with their files. `blobs/` and `staging/` in it are those of a data directory.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::{CACHE, Staged, beside, remove, single_file, sound, sync};
use crate::error::{Error, Kind, Result};
use crate::oci::{Digest, Hasher};
use crate::store::blobs::{BlobDir, BlobPrefix};
use crate::store::cache::{MAY_BE_PUSHED, RESTORED};
use crate::store::database::connect;
use crate::store::statement::{get, run, sql};
use crate::store::{DataLock, directory};

/// The access database and the rows of what was pushed, as `breakwater backup` writes them.
pub const PRECIOUS: &str = "backup.sqlite";
/// The rows of the cache.
pub const ROWS: &str = "cache.sqlite";
const KEYS: &str = "keys";
const SECRET: &str = "secret.key";
/// Held by whoever writes to the directory.
const LOCK: &str = "backup.lock";

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

/// A directory that is backed up to, held against other backups.
pub struct BackupDirectory {
    path: PathBuf,
    _lock: File,
}

impl BackupDirectory {
    /// Takes the directory, which is there.
    ///
    /// # Errors
    /// `Usage` for a data directory and for what overlaps with `data`; `Conflict` while another backup writes there; `Io`.
    pub fn take(path: &Path, data: &Path) -> Result<Self> {
        refuse_data_directory(path, data)?;
        let lock = path.join(LOCK);
        directory::make_file(&lock)?;
        let failed = |error| Error::io("cannot lock", &lock, error);
        let file = File::options().write(true).open(&lock).map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let what = format!("another backup writes to {}", path.display());
                return Err(Error::new(Kind::Conflict, what).remedy("wait for its end"));
            }
            Err(error) => return Err(failed(error.into())),
        }
        let (blobs, _) = BlobDir::open_directory(path)?;
        // What a backup left that was broken off.
        blobs.sweep_staging()?;
        Ok(Self {
            path: path.to_owned(),
            _lock: file,
        })
    }

    /// Copies the files of content that it lacks. Whatever goes meanwhile is left out. `progress` is told of the bytes
    /// done, and of all.
    ///
    /// # Errors
    /// `Io`, `Full`. What was copied by then stays, and is not copied again.
    pub fn add_files(&self, data: &Path, progress: &dyn Fn(u64, u64)) -> Result<CopiedFiles> {
        copy_files(data, &self.path, progress)
    }

    /// Replaces its databases by these, and its keys by those of the data directory; says whether `secret.key` was among
    /// them. To be called when all files are there.
    ///
    /// # Errors
    /// `Io`, `Full`.
    pub fn finish(&self, data: &Path, precious: &Path, rows: &Path) -> Result<bool> {
        let read =
            |path: &Path| File::open(path).map_err(|error| Error::io("cannot read", path, error));
        let precious = staged(&self.path.join(PRECIOUS), &mut read(precious)?)?;
        let rows = staged(&self.path.join(ROWS), &mut read(rows)?)?;
        let keys = Keys::read(data)?;
        keys.write(&self.path)?;
        for (staged, name) in [(rows, ROWS), (precious, PRECIOUS)] {
            put(&staged, &self.path.join(name))?;
        }
        directory::sync_directory(&self.path)?;
        Ok(keys.has_secret())
    }
}

/// Fails for a directory that a box runs on, or that lies in `data` or around it: what is written there would replace the
/// box's own files. One that does not exist yet is judged by its place.
///
/// # Errors
/// `Usage`.
pub fn refuse_data_directory(path: &Path, data: &Path) -> Result<()> {
    let refused = |why: &str| {
        let what = format!("{} {why}", path.display());
        let error = Error::new(Kind::Usage, what);
        Err(error.remedy("name a directory of its own, which need not exist"))
    };
    for name in ["access.sqlite", "lock"] {
        if path.join(name).symlink_metadata().is_ok() {
            return refused("is a data directory");
        }
    }
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let place = path.canonicalize().or_else(|_| {
        let parent = parent.unwrap_or(Path::new(".")).canonicalize()?;
        Ok::<_, io::Error>(parent.join(path.file_name().unwrap_or_default()))
    });
    let (Ok(place), Ok(data)) = (place, data.canonicalize()) else {
        return Ok(());
    };
    match place.starts_with(&data) || data.starts_with(&place) {
        true => refused("lies in the data directory, or around it"),
        false => Ok(()),
    }
}

/// Copies the files of content that `to` lacks, both directories like a data directory.
///
/// # Errors
/// `Io`, `Full`.
pub fn copy_files(from: &Path, to: &Path, progress: &dyn Fn(u64, u64)) -> Result<CopiedFiles> {
    let from = BlobDir::of(from);
    let (to, _) = BlobDir::open_directory(to)?;
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

/// A copy (0600) beside `to`, whole and on the disk, that is to take its place.
fn staged(to: &Path, from: &mut impl io::Read) -> Result<Staged> {
    let staged = Staged::at(beside(to, ".new"))?;
    let failed = |error| Error::io("cannot write", &staged.path, error);
    let mut target = File::options()
        .write(true)
        .open(&staged.path)
        .map_err(failed)?;
    io::copy(from, &mut target).map_err(failed)?;
    sync(&staged.path)?;
    Ok(staged)
}

fn put(staged: &Staged, to: &Path) -> Result<()> {
    fs::rename(&staged.path, to).map_err(|error| Error::io("cannot replace", to, error))
}

/// The keys of a box, in memory: few and short.
struct Keys {
    secret: Option<Vec<u8>>,
    signing: Vec<(OsString, Vec<u8>)>,
}

impl Keys {
    fn read(from: &Path) -> Result<Self> {
        let read = |path: PathBuf| match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("cannot read", &path, error)),
        };
        let keys = from.join(KEYS);
        let failed = |error| Error::io("cannot read", &keys, error);
        let mut signing = Vec::new();
        match fs::read_dir(&keys) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
            Ok(entries) => {
                for entry in entries {
                    let entry = entry.map_err(failed)?;
                    if entry.file_type().map_err(failed)?.is_file()
                        && let Some(bytes) = read(entry.path())?
                    {
                        signing.push((entry.file_name(), bytes));
                    }
                }
            }
        }
        let secret = read(from.join(SECRET))?;
        Ok(Self { secret, signing })
    }

    fn has_secret(&self) -> bool {
        self.secret.is_some()
    }

    fn write(&self, to: &Path) -> Result<()> {
        let keys = to.join(KEYS);
        directory::make_directory(&keys)?;
        let secret = self.secret.iter().map(|bytes| (to.join(SECRET), bytes));
        let signing = self.signing.iter();
        let signing = signing.map(|(name, bytes)| (keys.join(name), bytes));
        for (path, bytes) in secret.chain(signing) {
            put(&staged(&path, &mut bytes.as_slice())?, &path)?;
        }
        directory::sync_directory(&keys)?;
        directory::sync_directory(to)
    }
}

/// What a directory has beside the access database, judged before anything is replaced.
pub struct RestOfBackup {
    keys: Keys,
    rows: Option<Staged>,
    keeps_rows: bool,
}

impl RestOfBackup {
    /// Reads keys and rows of the cache: the rows only where the data directory knows of no cached image, because what it
    /// has fetched since is newer.
    ///
    /// # Errors
    /// `BadRequest`, `Config` for rows that are not ours, or of a newer version; `Io`, `Sql`.
    pub fn read(from: &Path, data: &Path, _lock: &DataLock) -> Result<Self> {
        let keys = Keys::read(from)?;
        let saved = from.join(ROWS);
        let has_rows = !directory::is_missing(&saved);
        let keeps_rows = has_rows && holds_images(&data.join(CACHE.file));
        let rows = match has_rows && !keeps_rows {
            true => Some(rows(&saved, data)?),
            false => None,
        };
        Ok(Self {
            keys,
            rows,
            keeps_rows,
        })
    }

    /// Whether the rows of what is cached stay as they are here.
    pub fn keeps_rows(&self) -> bool {
        self.keeps_rows
    }

    /// Whether there is a `secret.key`.
    pub fn has_secret(&self) -> bool {
        self.keys.has_secret()
    }

    /// Puts all of it in its place.
    ///
    /// # Errors
    /// `Io`, `Full`.
    pub fn finish(self, data: &Path) -> Result<()> {
        self.keys.write(data)?;
        let Some(rows) = self.rows else {
            return Ok(());
        };
        let live = data.join(CACHE.file);
        for log in ["-wal", "-shm", "-journal"] {
            remove(&beside(&live, log))?;
        }
        put(&rows, &live)?;
        directory::sync_directory(data)
    }
}

/// The rows of the cache, staged and judged, with notes for the next start: files may be of what was pushed since the backup.
fn rows(saved: &Path, data: &Path) -> Result<Staged> {
    let mut source = File::open(saved).map_err(|error| Error::io("cannot read", saved, error))?;
    let staged = Staged::copy(data, &mut source, "rows")?;
    let mut database = connect(&staged.path).map_err(sound::not_ours)?;
    sound::prepare(&mut database, &staged.path, CACHE)?;
    for (what, text) in [
        (
            "forget the clean stop",
            "DELETE FROM state WHERE key = 'clean_stop'",
        ),
        ("forget old unsettled files", "DELETE FROM unsettled"),
    ] {
        run(&database, what, text, [])?;
    }
    let note = "INSERT OR REPLACE INTO state (key, value) VALUES (?1, 1), (?2, 1)";
    run(
        &database,
        "note the restore",
        note,
        [RESTORED, MAY_BE_PUSHED],
    )?;
    let failed = |error| sql(&format!("close {}", staged.path.display()), error);
    single_file(&database).map_err(failed)?;
    database.close().map_err(|(_, error)| failed(error))?;
    sync(&staged.path)?;
    Ok(staged)
}

/// Whether a database of the cache knows of an image; one that cannot be read does not.
fn holds_images(path: &Path) -> bool {
    if directory::is_missing(path) {
        return false;
    }
    let text = "SELECT EXISTS (SELECT 1 FROM manifests)";
    let found = connect(path)
        .and_then(|database| get(&database, "look for images", text, [], |row| row.get(0)));
    found.unwrap_or_default()
}
