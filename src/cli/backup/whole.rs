//! `backup --with-images` and `restore` of such a directory: all that the box is made of.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::admin::{BackUp, NoteBackup};
use crate::cli::Outcome;
use crate::cli::output::{counted, hint, print, shown_size, tell};
use crate::cli::privilege::is_root;
use crate::cli::progress::Bar;
use crate::cli::workplace::Workplace;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::oci::Digest;
use crate::store::{BackupDirectory, CopiedFiles, copy_files, refuse_data_directory};

/// How many damaged files are named.
const NAMED: usize = 10;

/// Makes the directory with the caller's rights, and gives it to the data directory's owner, whom root is about to become.
pub(super) fn make_directory(directory: &Path, config: &Config) -> Result<()> {
    let failed = |error| Error::io("cannot make", directory, error);
    let Ok(owner) = fs::metadata(&config.data) else {
        return Ok(());
    };
    refuse_data_directory(directory, &config.data)?;
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) if is_root() => {
            chown(directory, Some(owner.uid()), Some(owner.gid())).map_err(failed)
        }
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(failed(error)),
        _ => Ok(()),
    }
}

/// Files first, then the rows as they are, then the files that came meanwhile; and only then the rows take their place.
pub(super) fn back_up(place: &Workplace, directory: &Path, json: bool) -> Result<Outcome> {
    let data = &place.config.data;
    let to = BackupDirectory::take(directory, data).map_err(|error| of_owner(error, directory))?;
    let add = || {
        with_bar(json, |bar| {
            to.add_files(data, &|done, all| bar.show(done, all))
        })
    };
    let first = add()?;
    let process = std::process::id();
    let bar = Bar::new("copying the databases", json);
    let (precious, rows) = place.perform(BackUp {
        process,
        with_images: true,
    })?;
    drop(bar);
    let rows = rows.ok_or_else(|| Error::internal("the rows of the cache were not written"))?;
    let staged = Swept([data.join(precious), data.join(rows)]);
    let second = add()?;
    let [precious, rows] = &staged.0;
    let has_secret = to.finish(data, precious, rows)?;
    drop(staged);
    place.perform(NoteBackup {})?;
    let files = first.files.saturating_add(second.files);
    let bytes = first.bytes.saturating_add(second.bytes);
    let line = format!(
        "copied {} ({}) to {}, which had {} of them, and the databases and keys",
        counted(files, "file"),
        shown_size(bytes),
        directory.display(),
        first.present
    );
    let view = json!({
        "directory": directory,
        "files": files,
        "bytes": bytes,
        "present_files": first.present,
        "damaged": second.damaged.iter().map(Digest::to_string).collect::<Vec<_>>(),
        "has_secret": has_secret,
    });
    tell(&view, json, &line)?;
    hint("not in it: the audit log, the configuration, and the certificates that it names");
    if !has_secret {
        hint(
            "the data directory holds no `secret.key`: where systemd hands it over, keep it apart, because without it the stored passwords of upstreams cannot be read",
        );
    }
    Ok(tell_damaged(
        &second.damaged,
        "see `breakwater verify --repair`",
    ))
}

/// Copies the files of a backup that are missing here, and says so; with the damaged ones.
pub(super) fn copy_back(from: &Path, data: &Path, json: bool) -> Result<(Outcome, Option<Value>)> {
    let copied = with_bar(json, |bar| {
        copy_files(from, data, &|done, all| bar.show(done, all))
    });
    let copied = copied.map_err(|error| of_owner(error, from))?;
    if !json {
        print(&format!(
            "copied {} ({}) of images; {} were here",
            counted(copied.files, "file"),
            shown_size(copied.bytes),
            copied.present
        ))?;
    }
    let view = json!({
        "files": copied.files,
        "bytes": copied.bytes,
        "present_files": copied.present,
        "damaged": copied.damaged.iter().map(Digest::to_string).collect::<Vec<_>>(),
    });
    let outcome = tell_damaged(
        &copied.damaged,
        "what needs them is missing until it is pushed or pulled again",
    );
    Ok((outcome, Some(view)))
}

/// Whether this process, which may be another user by now, can read the backup.
pub(super) fn check_readable(directory: &Path) -> Result<()> {
    let read = fs::read_dir(directory).map(drop);
    read.map_err(|error| of_owner(Error::io("cannot read", directory, error), directory))
}

fn with_bar(json: bool, work: impl FnOnce(&Bar) -> Result<CopiedFiles>) -> Result<CopiedFiles> {
    work(&Bar::new("copying files", json))
}

fn tell_damaged(damaged: &[Digest], remedy: &str) -> Outcome {
    if damaged.is_empty() {
        return Outcome::Done;
    }
    let named: Vec<_> = damaged.iter().take(NAMED).map(Digest::to_string).collect();
    let count = counted(damaged.len() as u64, "file");
    hint(&format!(
        "left out because the bytes are damaged: {count}, {} ({remedy})",
        named.join(", ")
    ));
    Outcome::Bad
}

/// Files that go when this does.
struct Swept([PathBuf; 2]);

impl Drop for Swept {
    fn drop(&mut self) {
        for path in &self.0 {
            // What cannot be removed is swept by the next start.
            let _ = fs::remove_file(path);
        }
    }
}

/// The directory may be root's, and this process is the data directory's owner by now.
fn of_owner(error: Error, directory: &Path) -> Error {
    let own = rustix::process::geteuid().as_raw();
    let is_own = fs::metadata(directory).is_ok_and(|directory| directory.uid() == own);
    match error.kind() == Kind::Io && !is_own {
        true => error.remedy(format!(
            "this runs as the data directory's owner, user {own}: give {} and all in it to that user, and a way to it, or name another directory",
            directory.display()
        )),
        false => error,
    }
}
