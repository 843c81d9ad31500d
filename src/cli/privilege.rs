//! Root becomes the data directory's owner, so that no file changes hands.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Gid, Uid};

use crate::error::{Error, Kind, Result};

/// Run as root on a directory of somebody else: becomes that user, with that group alone. Does
/// nothing where there is no directory yet, or where the caller is not root.
///
/// Linux changes identities thread by thread, and threads inherit it: this has to run before any
/// other thread is made, and before any file is.
pub(super) fn drop_to_owner(directory: &Path) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
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

/// Groups first: afterwards there is no right to change them.
fn become_user(user: Uid, group: Gid) -> rustix::io::Result<()> {
    rustix::thread::set_thread_groups(&[group])?;
    rustix::thread::set_thread_res_gid(group, group, group)?;
    rustix::thread::set_thread_res_uid(user, user, user)
}
