//! The data directory's own files and modes: directories 0700, files 0600, whatever the umask is.
//!
//! Makes and inspects; knows neither SQLite nor what a blob is.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};

/// The mode of every directory.
pub(super) const DIRECTORY_MODE: u32 = 0o700;
/// The mode of every file.
pub(super) const FILE_MODE: u32 = 0o600;

/// Makes the data directory itself, with parents, or takes the one that is there.
///
/// One that others may enter is closed to them if it is empty or a store already. Any other directory is
/// refused instead: `--data /tmp` must not change the mode of `/tmp`.
pub(super) fn make_data_directory(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(parent) = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty())
            {
                fs::create_dir_all(parent)
                    .map_err(|error| Error::io("cannot make the directory", parent, error))?;
            }
            make_directory(path).map(drop)
        }
        Err(error) => Err(unreadable(path, error)),
        Ok(metadata) if !metadata.is_dir() => Err(not_a_directory(path)),
        Ok(metadata) if !is_wider(metadata.permissions().mode(), DIRECTORY_MODE) => Ok(()),
        Ok(metadata) => {
            let is_store = path.join("access.sqlite").exists();
            let is_empty = fs::read_dir(path)
                .map_err(|error| unreadable(path, error))?
                .next()
                .is_none();
            if !is_store && !is_empty {
                return Err(Error::new(
                    Kind::Config,
                    format!(
                        "the data directory {} holds other files and is open to other users (mode {:04o})",
                        path.display(),
                        metadata.permissions().mode() & 0o7777
                    ),
                )
                .remedy(format!(
                    "name a directory of its own with --data, or `chmod 700 {}`",
                    path.display()
                )));
            }
            fs::set_permissions(path, Permissions::from_mode(DIRECTORY_MODE)).map_err(|error| {
                Error::io("cannot close to other users the directory", path, error)
            })
        }
    }
}

/// Checks that `path` is the directory of a store.
pub(super) fn check_data_directory(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::new(
            Kind::NotFound,
            format!("the data directory {} does not exist", path.display()),
        )
        .remedy("name the right one with --data, or make one with `breakwater init`")),
        Err(error) => Err(unreadable(path, error)),
        Ok(metadata) if !metadata.is_dir() => Err(not_a_directory(path)),
        Ok(_) => {
            let database = path.join("access.sqlite");
            match fs::metadata(&database) {
                Ok(_) => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::new(
                    Kind::NotFound,
                    format!(
                        "{} is not a data directory: {} does not exist",
                        path.display(),
                        database.display()
                    ),
                )
                .remedy("name the right one with --data, or make one with `breakwater init`")),
                Err(error) => Err(unreadable(&database, error)),
            }
        }
    }
}

/// Whether there is no such file, or nothing in it.
pub(super) fn is_missing(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(metadata) => metadata.is_file() && metadata.len() == 0,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Makes one directory with mode 0700; says whether it was missing.
pub(super) fn make_directory(path: &Path) -> Result<bool> {
    let failed = |error| Error::io("cannot make the directory", path, error);
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Ok(()) => {
            // The umask may have taken bits away.
            fs::set_permissions(path, Permissions::from_mode(DIRECTORY_MODE)).map_err(failed)?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Ok(false),
            _ => Err(not_a_directory(path)),
        },
        Err(error) => Err(failed(error)),
    }
}

/// Makes an empty file with mode 0600 unless there is one.
pub(super) fn make_file(path: &Path) -> Result<()> {
    match new_file(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::io("cannot make", path, error)),
        Ok(_) => Ok(()),
    }
}

/// A new file with mode 0600, opened for reading and writing; fails where there is one.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    Ok(file)
}

/// Makes the names in a directory survive a power cut.
pub(super) fn sync_directory(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| Error::io("cannot sync the directory", path, error))
}

/// Whether `mode` allows what `allowed` does not.
pub(super) fn is_wider(mode: u32, allowed: u32) -> bool {
    mode & 0o7777 & !allowed != 0
}

/// Paths below `path`, itself included, that are wider than 0700 or 0600; `skip` and below is left out.
///
/// Symbolic links are not followed: their own mode says nothing, and where they lead is not ours.
pub(super) fn wide_paths(path: &Path, skip: &Path) -> Result<Vec<(PathBuf, u32)>> {
    let mut found = Vec::new();
    let mut waiting = vec![path.to_owned()];
    while let Some(path) = waiting.pop() {
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            // Journals and staged files come and go while this looks.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unreadable(&path, error)),
        };
        if metadata.is_symlink() {
            continue;
        }
        let mode = metadata.permissions().mode() & 0o7777;
        let allowed = if metadata.is_dir() {
            DIRECTORY_MODE
        } else {
            FILE_MODE
        };
        if is_wider(mode, allowed) {
            found.push((path.clone(), mode));
        }
        if metadata.is_dir() && path != skip {
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                // `lost+found` and its like: what is closed to us is not open to others.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
                Err(error) => return Err(unreadable(&path, error)),
            };
            for entry in entries {
                waiting.push(entry.map_err(|error| unreadable(&path, error))?.path());
            }
        }
    }
    Ok(found)
}

fn not_a_directory(path: &Path) -> Error {
    Error::new(
        Kind::Config,
        format!("{} is not a directory", path.display()),
    )
    .remedy("name a directory for the data, or move what is there away")
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    let error = Error::io("cannot read", path, error);
    if denied {
        return error.remedy("run this as the user who owns the data directory, or as root");
    }
    error
}
