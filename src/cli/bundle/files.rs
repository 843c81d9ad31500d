//! Names of a bundle's files, and what goes wrong with them.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::error::Error;

/// What the name of a file ends in that is not whole yet.
pub(super) const PARTIAL: &str = ".partial";
/// The list of the files' digests.
pub(super) const SUMS: &str = ".sha256";

/// A new file that is locked while this process lives, so that what is left of a killed one is known for that.
pub(super) fn make(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    // Where a filesystem has no locks, two exports of one name would be told apart by `create_new` alone.
    let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
    Ok(file)
}

/// What went wrong with a file outside the data directory, with what this process may not do there.
pub(super) fn failed(doing: &str, path: &Path, error: io::Error) -> Error {
    let kind = error.kind();
    let told = Error::io(doing, path, error);
    let directory = directory_of(path);
    match kind {
        ErrorKind::PermissionDenied => {
            let own = rustix::process::geteuid().as_raw();
            let owner = fs::metadata(directory).map_or(own, |metadata| metadata.uid());
            match owner == own {
                true => told,
                false => told.remedy(format!(
                    "this runs as the owner of the data directory, user {own}: name a directory that this user may write to, such as one made by `install -d -o {own} DIRECTORY`"
                )),
            }
        }
        ErrorKind::FileTooLarge => told
            .remedy("its filesystem takes no file of this size: use --split, such as --split 4GB"),
        _ => told,
    }
}

pub(super) fn is_ours(name: &OsStr, base: &OsStr, partial: bool) -> bool {
    let (Some(name), Some(base)) = (name.to_str(), base.to_str()) else {
        return false;
    };
    let Some(ending) = name.strip_prefix(base) else {
        return false;
    };
    let ending = match (ending.strip_suffix(PARTIAL), partial) {
        (Some(ending), true) => ending,
        (None, false) => ending,
        _ => return false,
    };
    let number = ending.strip_prefix('.').unwrap_or_default();
    let is_part = number.len() == 3 && number.bytes().all(|b| b.is_ascii_digit());
    ending.is_empty() || ending == SUMS || is_part
}

pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut path = OsString::from(path);
    path.push(ending);
    PathBuf::from(path)
}

pub(super) fn directory_of(path: &Path) -> &Path {
    let parent = path.parent();
    let parent = parent.filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

pub(super) fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_an_export_makes_are_taken_for_its_files() {
        for (name, whole, partial) in [
            ("b.tar", true, false),
            ("b.tar.001", true, false),
            ("b.tar.sha256", true, false),
            ("b.tar.partial", false, true),
            ("b.tar.012.partial", false, true),
            ("b.tar.sha256.partial", false, true),
            ("b.tar.1", false, false),
            ("b.tar.gz", false, false),
            ("b.tar.0001", false, false),
            ("other", false, false),
        ] {
            let is = |partial| is_ours(OsStr::new(name), OsStr::new("b.tar"), partial);
            assert_eq!([is(false), is(true)], [whole, partial], "{name}");
        }
    }
}
