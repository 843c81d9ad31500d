//! `breakwater backup` and `breakwater restore`: the access database, taken while the server runs, and put
//! back while none does.
//!
//! The file outside is opened with the caller's rights, before root becomes the data directory's owner: so
//! root can keep backups where that owner may not write.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

mod whole;

use super::Outcome;
use super::output::{hint, print, print_json, tell};
use super::progress::Bar;
use super::workplace::Workplace;
use crate::admin::{BackUp, INITIAL_ROOT_PASSWORD, ROOT, SaveRows, forget_initial_password};
use crate::auth::password::{Attempt, Verifier};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::store::{PRECIOUS, PreparedRestore, Replaced, RestOfBackup, Store};

/// Write the access database to a new file, or all that the box is made of to a directory
///
/// The file has users, groups, projects, tokens, flags, networks, upstreams, and the rows of pushed images. The server may
/// run meanwhile. What is cached is not in it, and neither are the box's keys: keep
/// `secret.key` and `keys/` of the data directory apart from it. Without `secret.key` the passwords of
/// upstreams in the backup cannot be read; whoever has both can read them.
///
/// With --with-images all of that is in it, and the images: a directory that is added to each time.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater backup /var/backups/breakwater.sqlite
  breakwater backup --with-images /var/backups/breakwater
  breakwater backup --nightly")]
pub(super) struct Backup {
    /// Where to; must not exist
    #[arg(required_unless_present_any = ["nightly", "with_images"])]
    file: Option<PathBuf>,
    /// Copy to this directory what it lacks of images, then the databases and keys; it is made where it is not
    #[arg(long, value_name = "DIR", conflicts_with_all = ["file", "nightly"])]
    with_images: Option<PathBuf>,
    /// Write no file, but save in the data directory's `saved/`, now, what is saved there every night
    #[arg(long, conflicts_with = "file")]
    nightly: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Put a backup in the place of the access database; no server may run
///
/// Everything is as it was when the backup was made: what was revoked, blocked or removed since then counts
/// again. What is cached stays. Ids of what was made since then are not given out again.
///
/// From a directory that `backup --with-images` has made, files of images that are missing here come back too, the keys, and
/// the rows of what was cached where this box knows of nothing cached.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater restore /var/backups/breakwater.sqlite
  breakwater restore /var/backups/breakwater")]
pub(super) struct Restore {
    /// What `breakwater backup` has made: a file, or a directory
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Whether it is a directory, as the caller sees it.
    #[arg(skip)]
    is_whole: bool,
}

impl Backup {
    /// Makes the file, with the caller's rights; `None` where there is no store to fill it from.
    pub(super) fn make_file(&self, config: &Config) -> Result<Option<File>> {
        if let Some(directory) = &self.with_images {
            whole::make_directory(directory, config)?;
        }
        let Some(path) = self.file.as_deref() else {
            return Ok(None);
        };
        if !config.data.join("access.sqlite").exists() {
            return Ok(None);
        }
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .and_then(|file| {
                file.set_permissions(fs::Permissions::from_mode(0o600))?;
                Ok(file)
            });
        match made {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let what = format!("{} exists already", path.display());
                Err(Error::new(Kind::Conflict, what).remedy("name a file that does not exist"))
            }
            Err(error) => Err(Error::io("cannot make", path, error)),
        }
    }

    pub(super) fn run(self, place: &Workplace, file: Option<File>) -> Result<Outcome> {
        place.check_data()?;
        if let Some(directory) = &self.with_images {
            return whole::back_up(place, directory, self.json);
        }
        let Some(path) = self.file else {
            let bar = Bar::new("saving the rows", self.json);
            place.perform(SaveRows {})?;
            drop(bar);
            let saved = place.config.data.join("saved");
            let line = format!("saved the rows of the databases in {}", saved.display());
            tell(&json!({ "saved": saved }), self.json, &line)?;
            return Ok(Outcome::Done);
        };
        // Nothing was made here where the store came up only just now: then the file is somebody else's.
        let file = file.ok_or_else(|| Error::internal("the store was made meanwhile"))?;
        let bar = Bar::new("copying the databases", self.json);
        let filled = fill(place, file, &path, &bar);
        drop(bar);
        if let Err(error) = filled {
            // Half a backup is none. Where its directory is root's alone it stays, empty or not whole.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        let line = format!(
            "wrote the access database to {}; `secret.key`, `keys/` and the files of images are not in it: keep them apart, or use --with-images",
            path.display()
        );
        tell(&json!({ "file": path }), self.json, &line)?;
        Ok(Outcome::Done)
    }
}

/// By way of `staging/`: SQLite wants a path that this process may write beside.
fn fill(place: &Workplace, file: File, path: &Path, bar: &Bar) -> Result<()> {
    let process = std::process::id();
    let (staged, _) = place.perform(BackUp {
        process,
        with_images: false,
    })?;
    let staged = place.config.data.join(staged);
    let copied = File::open(&staged).and_then(|mut from| {
        let total = from.metadata()?.len();
        let mut to = Told {
            file: &file,
            done: 0,
            total,
            bar,
        };
        io::copy(&mut from, &mut to)?;
        file.sync_all()
    });
    // What cannot be removed is swept by the next start.
    let _ = fs::remove_file(&staged);
    copied.map_err(|error| Error::io("cannot write", path, error))?;
    // The name survives a power cut where the directory may be read; the bytes do in any case.
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let _ = File::open(parent.unwrap_or(Path::new("."))).and_then(|parent| parent.sync_all());
    Ok(())
}

/// A file that tells how much of it is written.
struct Told<'a> {
    file: &'a File,
    done: u64,
    total: u64,
    bar: &'a Bar,
}

impl io::Write for Told<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.done = self.done.saturating_add(written as u64);
        self.bar.show(self.done, self.total);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Restore {
    /// Opens the file, with the caller's rights.
    pub(super) fn open_file(&mut self) -> Result<File> {
        self.is_whole = self.file.is_dir();
        let path = match self.is_whole {
            true => self.file.join(PRECIOUS),
            false => self.file.clone(),
        };
        if self.is_whole && !path.exists() {
            let what = format!("{} is not a file, and holds no backup", self.file.display());
            return Err(Error::new(Kind::Usage, what).remedy(
                "name a file that `breakwater backup` has made, or a directory of `backup --with-images`",
            ));
        }
        let cannot = |error| Error::io("cannot read", &path, error);
        let file = File::open(&path).map_err(cannot)?;
        if !file.metadata().map_err(cannot)?.is_file() {
            let what = format!("{} is not a file", path.display());
            return Err(Error::new(Kind::Usage, what)
                .remedy("name a file that `breakwater backup` has made"));
        }
        let mut log = path.clone().into_os_string();
        log.push("-wal");
        if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
            let what = format!(
                "{} is not whole: what was written last lies in {}",
                path.display(),
                Path::new(&log).display()
            );
            return Err(Error::new(Kind::BadRequest, what)
                .remedy("make backups with `breakwater backup`, not by copying the database"));
        }
        Ok(file)
    }

    pub(super) fn run(self, place: &Workplace, file: Option<File>) -> Result<Outcome> {
        let mut file = file.ok_or_else(|| Error::internal("the backup was not opened"))?;
        let data = &place.config.data;
        let lock = Store::lock_for_restore(data)?;
        // All that can be wrong with it comes out before anything is changed.
        let reading = Bar::new("reading the backup", self.json);
        let prepared = PreparedRestore::read(&lock, data, &mut file)?;
        drop(reading);
        let (mut rest, mut outcome) = (None, Outcome::Done);
        let mut copied = None;
        if self.is_whole {
            whole::check_readable(&self.file)?;
            rest = Some(RestOfBackup::read(&self.file, data, &lock)?);
            // Files before the rows that name them.
            (outcome, copied) = whole::copy_back(&self.file, data, self.json)?;
        }
        let finishing = Bar::new("putting the databases back", self.json);
        let replaced = prepared.finish(&place.actor)?;
        drop(finishing);
        if !self.json {
            print(&format!(
                "restored the access database from {}: what was revoked, blocked or removed since it was made counts again",
                self.file.display()
            ))?;
        }
        if replaced == Replaced::Unreadable {
            hint(
                "the replaced database could not be read: new ids are a million higher, so that none comes twice",
            );
        }
        if let Some(rest) = rest {
            if rest.keeps_rows() {
                hint("the rows of what is cached stay: this box knows of cached images");
            }
            if !rest.has_secret() {
                hint(
                    "the backup holds no `secret.key`: stored passwords of upstreams can be read only with the one that they were stored with",
                );
            }
            let finishing = Bar::new("putting the rest back", self.json);
            let finished = rest.finish(data);
            drop(finishing);
            finished.map_err(|error| {
                error.context("the databases are restored, but not all of the rest: restore again")
            })?;
        }
        let forgotten = forget_stale_password(&Store::open(&place.config.data)?)?;
        if self.json {
            print_json(&json!({
                "restored_from": self.file,
                "images": copied,
                "forgotten_password": forgotten,
            }))?;
        } else if let Some(path) = forgotten {
            print(&format!(
                "removed {}: root's password is the one of the backup",
                path.display()
            ))?;
        }
        Ok(outcome)
    }
}

/// The password that the first start wrote down may be that of a root who is gone. Returns the file, if it was removed.
fn forget_stale_password(store: &Store) -> Result<Option<PathBuf>> {
    let path = store.directory().join(INITIAL_ROOT_PASSWORD);
    let Ok(written) = fs::read_to_string(&path) else {
        return Ok(None);
    };
    let root = store.access.user_by_name(ROOT)?;
    let hash = root.and_then(|root| root.password_hash);
    let attempt = Attempt {
        account: ROOT,
        password: written.trim_end(),
        address: Ipv4Addr::LOCALHOST.into(),
    };
    if Verifier::new()?.verify(&attempt, hash.as_deref())? {
        return Ok(None);
    }
    forget_initial_password(store)?;
    Ok(Some(path))
}
