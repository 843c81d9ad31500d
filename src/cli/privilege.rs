//! What the process may do, and others with it: root becomes the data directory's owner, so that no file
//! changes hands, and nobody reads what is in memory.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Gid, Resource, Rlimit, Uid};

use super::account::owner_of_home;
use crate::error::{Error, Kind, Result};

/// Run as root on a directory of somebody else: becomes that user, with that group alone. Does
/// nothing where there is no directory yet, or where the caller is not root.
///
/// Linux changes identities thread by thread, and threads inherit it: this has to run before any
/// other thread is made, and before any file is.
pub(super) fn drop_to_owner(directory: &Path) -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let owner = match std::fs::metadata(directory) {
        Ok(owner) => owner,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("cannot look at", directory, error)),
    };
    if owner.uid() == 0 {
        return Ok(());
    }
    become_user(Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid())).map_err(|error| {
        let what = format!(
            "cannot become user {}, who owns {}",
            owner.uid(),
            directory.display()
        );
        Error::new(Kind::Io, what)
            .because(std::io::Error::from(error))
            .remedy("run this as that user")
    })
}

/// Run as root for a data directory that is missing: makes it for the account whose home it is, as that of the service is
/// by `scripts/install`. What root made there for itself the service could not open.
pub(super) fn make_home(directory: &Path) -> Result<()> {
    if !is_root() || directory.exists() {
        return Ok(());
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let Some((user, group)) = owner_of_home(directory, &passwd) else {
        return Ok(());
    };
    let made = DirBuilder::new().mode(0o700).create(directory);
    let given = made.and_then(|()| chown(directory, Some(user.as_raw()), Some(group.as_raw())));
    given.map_err(|error| Error::io("cannot make", directory, error))
}

/// From here on, what is written is its owner's alone; the process leaves no core file, in which secrets would
/// lie, and lets no other process of the same user look into its memory; and nothing that it starts can gain
/// rights. After any change of identity, which the kernel takes for a reason to begin anew.
pub(super) fn close_to_others() -> Result<()> {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    rustix::process::setrlimit(Resource::Core, none)
        .and_then(|()| rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable))
        .and_then(|()| rustix::thread::set_no_new_privs(true))
        .map_err(|error| {
            let what = "cannot close this process to others";
            Error::new(Kind::Io, what).because(std::io::Error::from(error))
        })
}

/// Whether the process may do anything on this machine, which no command here needs.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Groups first: afterwards there is no right to change them.
fn become_user(user: Uid, group: Gid) -> rustix::io::Result<()> {
    rustix::thread::set_thread_groups(&[group])?;
    rustix::thread::set_thread_res_gid(group, group, group)?;
    rustix::thread::set_thread_res_uid(user, user, user)
}
