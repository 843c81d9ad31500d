//! `backup --with-images` and `restore` of such a directory: all that the box is made of.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use crate::admin::SaveRows;
use crate::cli::Outcome;
use crate::cli::output::{counted, hint, print, shown_size};
use crate::cli::progress::Bar;
use crate::cli::workplace::Workplace;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::store::{CopiedFiles, copy_files, copy_rows_and_keys};

/// How many damaged files are named.
const NAMED: usize = 10;

/// Makes the directory with the caller's rights, and gives it to the data directory's owner, whom root is about to become.
pub(super) fn make_directory(directory: &Path, config: &Config) -> Result<()> {
    let failed = |error| Error::io("cannot make", directory, error);
    let Ok(owner) = fs::metadata(&config.data) else {
        return Ok(());
    };
    match fs::create_dir(directory) {
        Ok(()) => {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).map_err(failed)?;
            if super::super::privilege::is_root() {
                chown(directory, Some(owner.uid()), Some(owner.gid())).map_err(failed)?;
            }
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

pub(super) fn back_up(place: &Workplace, directory: &Path) -> Result<Outcome> {
    let data = &place.config.data;
    if !data.join("access.sqlite").exists() {
        // Says what is missing.
        place.perform(SaveRows {})?;
    }
    let first = copy(data, directory).map_err(|error| may_be_somebody_elses(error, directory))?;
    place.perform(SaveRows {})?;
    let has_secret = copy_rows_and_keys(data, directory)?;
    // What came while the others were copied, and before the rows were saved.
    let second = copy(data, directory)?;
    let (files, bytes) = (
        first.files.saturating_add(second.files),
        first.bytes.saturating_add(second.bytes),
    );
    print(&format!(
        "copied {} ({}) to {}, which had {} of them, and the databases and keys",
        counted(files, "file"),
        shown_size(bytes),
        directory.display(),
        first.present
    ))?;
    hint("not in it: the audit log, the configuration, and the certificates that it names");
    if !has_secret {
        hint(
            "`secret.key` does not lie in the data directory and is not in it: without it the stored passwords of upstreams cannot be read",
        );
    }
    if second.damaged.is_empty() {
        return Ok(Outcome::Done);
    }
    let named: Vec<String> = second
        .damaged
        .iter()
        .take(NAMED)
        .map(ToString::to_string)
        .collect();
    hint(&format!(
        "{} damaged files were left out, among them {}: see `breakwater verify --repair`",
        second.damaged.len(),
        named.join(", ")
    ));
    Ok(Outcome::Bad)
}

/// Copies the files of content with a bar.
pub(super) fn copy(from: &Path, to: &Path) -> Result<CopiedFiles> {
    let bar = Bar::new();
    let copied = copy_files(from, to, &|done, all| bar.show(done, all));
    bar.clear();
    copied
}

/// The directory may be root's, and this process is the data directory's owner by now.
fn may_be_somebody_elses(error: Error, directory: &Path) -> Error {
    let own = rustix::process::geteuid().as_raw();
    match fs::metadata(directory) {
        Ok(owner) if error.kind() == Kind::Io && owner.uid() != own => error.remedy(format!(
            "give {} to the owner of the data directory: chown -R {own} {0}",
            directory.display()
        )),
        _ => error,
    }
}
