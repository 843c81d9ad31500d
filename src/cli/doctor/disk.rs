//! The disk: room for blobs and files, whether it takes writes, and who else may read what lies there.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Finding, Severity};
use crate::cli::output::shown_size;
use crate::cli::workplace::Workplace;
use crate::config::Size;
use crate::error::Result;
use crate::store::{Space, Store, reserve};

/// Fewer free files than this are few: each blob is one.
const FEW_INODES: u64 = 10_000;
/// Wide or foreign paths that are named; of more only the number is said.
const NAMED: usize = 5;

pub(super) fn find(
    place: &Workplace,
    store: &Store,
    locked: Option<Finding>,
) -> Result<Vec<Finding>> {
    let data = store.directory();
    let mut findings = Vec::new();
    let condition = store.condition();
    match &condition.space {
        Ok(space) => findings.extend(of_space(data, *space, place.config.cache.min_free)),
        Err(error) => findings.push(Finding::new(
            Severity::Error,
            "disk_unknown",
            error.what_and_why(),
            "look at the filesystem of the data directory",
        )),
    }
    let is_read_only = condition.space.is_ok_and(|space| space.is_read_only);
    if let Err(error) = condition.writing
        && !is_read_only
    {
        findings.push(Finding::new(
            Severity::Error,
            "disk_not_writable",
            format!("nothing can be kept: {}", error.what_and_why()),
            format!(
                "give the data directory and all below it to the user of the service: chown -R USER: {}",
                data.display()
            ),
        ));
    }
    findings.extend(locked);
    findings.extend(wide(store)?);
    findings.extend(foreign(data));
    Ok(findings)
}

/// What can be said where the store cannot be opened.
pub(super) fn without_store(place: &Workplace) -> Vec<Finding> {
    let data = &place.config.data;
    let space = Space::of(data).ok();
    let findings = space.map(|space| of_space(data, space, place.config.cache.min_free));
    let mut findings = findings.unwrap_or_default();
    findings.extend(foreign(data));
    findings
}

fn of_space(data: &Path, space: Space, min_free: Size) -> Vec<Finding> {
    let mut findings = Vec::new();
    let at = data.display();
    if space.is_read_only {
        findings.push(Finding::new(
            Severity::Error,
            "disk_read_only",
            format!("the filesystem of {at} is read-only: nothing can be kept or changed"),
            "look into the kernel's log for why, repair it, and mount it for writing",
        ));
    }
    let least = min_free.of(space.size);
    let free = shown_size(space.free);
    let remedy =
        "free space on it, or give it more; what does not fit is passed through and not kept";
    if space.free < reserve(space.size) {
        let what =
            format!("the disk of {at} is full: {free} are free, and no blob is kept any more");
        findings.push(Finding::new(Severity::Error, "disk_full", what, remedy));
    } else if space.free < least || space.free < reserve(space.size).saturating_mul(2) {
        let what = format!(
            "the disk of {at} is almost full: {free} are free, of which {} are kept for the databases and {} are to stay free by cache.min_free",
            shown_size(reserve(space.size)),
            shown_size(least)
        );
        findings.push(Finding::new(
            Severity::Warning,
            "disk_almost_full",
            what,
            remedy,
        ));
    }
    if let Some(inodes) = space.free_inodes.filter(|free| *free < FEW_INODES) {
        findings.push(Finding::new(
            Severity::Warning,
            "disk_inodes",
            format!("the filesystem of {at} has room for {inodes} more files only"),
            "make a filesystem with more inodes; each blob is a file",
        ));
    }
    findings
}

/// Databases that a process has locked and does not let go. Takes the writer of each for a moment.
pub(super) fn locked(store: &Store) -> Option<Finding> {
    let locked = store.locked();
    let paths = locked
        .iter()
        .map(|(name, _)| store.directory().join(name).display().to_string());
    let named = listed(paths.collect())?;
    Some(Finding::new(
        Severity::Error,
        "database_locked",
        format!("a process keeps these locked, and nothing can be written to them: {named}"),
        format!("find it with `fuser -v {named}`, and end it if it is stuck"),
    ))
}

/// Paths that other users may enter or read.
fn wide(store: &Store) -> Result<Option<Finding>> {
    let wide = store.wide_paths()?;
    // Who cannot enter the data directory cannot read what is in it.
    let is_open = wide.iter().any(|(path, _)| path == store.directory());
    let named = wide
        .iter()
        .map(|(path, mode)| format!("{} ({mode:04o})", path.display()));
    Ok(listed(named.collect()).map(|named| {
        Finding::new(
            if is_open {
                Severity::Error
            } else {
                Severity::Warning
            },
            "permissions_wide",
            format!("other users of this machine may read {named}"),
            format!("chmod -R go= {}", store.directory().display()),
        )
    }))
}

/// What does not belong to the data directory's owner, and may be out of the server's reach.
fn foreign(data: &Path) -> Option<Finding> {
    let owner = std::fs::metadata(data).ok()?.uid();
    let mut foreign = Vec::new();
    // The databases and what lies beside them; blobs are too many, and `verify` reads each.
    for folder in ["", "keys", "log", "blobs", "staging"] {
        for entry in std::fs::read_dir(data.join(folder))
            .into_iter()
            .flatten()
            .flatten()
        {
            let uid = entry.metadata().map(|metadata| metadata.uid());
            if let Some(uid) = uid.ok().filter(|uid| *uid != owner) {
                foreign.push(format!("{} (user {uid})", entry.path().display()));
            }
        }
    }
    listed(foreign).map(|named| {
        Finding::new(
            Severity::Error,
            "permissions_owner",
            format!("these belong to another user than the data directory does: {named}"),
            format!("chown -R --reference={0} {0}", data.display()),
        )
    })
}

/// The first few, and how many more there are; `None` where there is none.
fn listed(mut names: Vec<String>) -> Option<String> {
    names.sort();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let named = names.join(", ");
    match (named.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(named),
        (false, more) => Some(format!("{named} and {more} more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_almost_full_read_only_or_well() {
        const GIB: u64 = 1 << 30;
        let space = |free, free_inodes, is_read_only| Space {
            free,
            size: 100 * GIB,
            free_inodes,
            is_read_only,
        };
        let small = |free| Space {
            size: 12 << 20,
            ..space(free, None, false)
        };
        let table: [(Space, &[&str]); 9] = [
            // Of a small disk a sixteenth is kept for the databases.
            (small(4 << 20), &[]),
            (small((12 << 17) - 1), &["disk_almost_full"]),
            (small(1 << 19), &["disk_full"]),
            (space(50 * GIB, Some(1_000_000), false), &[]),
            (space(50 * GIB, None, false), &[]),
            (space(4 * GIB, None, false), &["disk_almost_full"]),
            (space(1 << 20, None, false), &["disk_full"]),
            (space(50 * GIB, Some(9_999), false), &["disk_inodes"]),
            (space(50 * GIB, None, true), &["disk_read_only"]),
        ];
        for (space, expected) in table {
            let found = of_space(Path::new("/data"), space, Size::Percent(5));
            let found: Vec<_> = found.iter().map(|finding| finding.check).collect();
            assert_eq!(found, expected, "{space:?}");
        }
    }

    #[test]
    fn long_lists_are_cut() {
        let names = |count: usize| (0..count).map(|n| n.to_string()).collect();
        assert_eq!(listed(names(0)), None);
        assert_eq!(listed(names(2)).as_deref(), Some("0, 1"));
        assert_eq!(
            listed(names(7)).as_deref(),
            Some("0, 1, 2, 3, 4 and 2 more")
        );
    }
}
