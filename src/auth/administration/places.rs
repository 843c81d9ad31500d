//! Groups and projects: what stands in the way of a new one, of a removal, of a setting.

use crate::error::{Error, Kind, Result};
use crate::oci::RegistryHost;
use crate::store::{Group, GroupId, Store};

/// What the mirror occupies.
#[derive(Debug, Clone, Copy)]
pub struct Mirror<'a> {
    /// The group whose policy it follows.
    pub group: &'a str,
    /// The upstream of its paths that name none.
    pub default: &'a RegistryHost,
}

/// Whether a group of this path, whose name was checked, can be made.
///
/// # Errors
/// `NotFound` where the group above is missing; `Conflict` where a project has the path, or the mirror serves
/// images below the name.
pub fn check_new_group(store: &Store, mirror: Mirror<'_>, path: &str) -> Result<()> {
    refuse_mirrored_name(store, path, mirror.default)?;
    refuse_orphan(store, path)?;
    if store.access.project_by_path(path)?.is_some() {
        let what = format!("there is a project `{path}` already");
        return Err(Error::new(Kind::Conflict, what).remedy("choose another name"));
    }
    Ok(())
}

/// A path whose first part is a group is never the mirror's any more, so a group must not take the
/// name of images that are pulled through it.
fn refuse_mirrored_name(store: &Store, path: &str, default: &RegistryHost) -> Result<()> {
    if path.contains('/') {
        return Ok(());
    }
    match store.cache.kept_below(default.as_str(), path)? {
        Some(repository) => Err(Error::new(
            Kind::Conflict,
            format!(
                "a top-level group cannot be called `{path}`: the mirror serves {default}/{repository}, which clients could not pull any more"
            ),
        )
        .remedy("choose another name")),
        None => Ok(()),
    }
}

fn refuse_orphan(store: &Store, path: &str) -> Result<()> {
    match path.rsplit_once('/') {
        Some((parent, _)) if store.access.group_by_path(parent)?.is_none() => Err(Error::new(
            Kind::NotFound,
            format!("there is no group `{parent}` to make `{path}` in"),
        )
        .remedy(format!("make it with `breakwater group add {parent}`"))),
        _ => Ok(()),
    }
}

/// Whether the group of this path can be removed.
///
/// # Errors
/// `Conflict` for the mirror's group.
pub fn check_group_removal(mirror: Mirror<'_>, path: &str) -> Result<()> {
    if path == mirror.group {
        let what = format!("`{path}` is the mirror's group and stays");
        return Err(Error::new(Kind::Conflict, what)
            .remedy("to end the mirror, set enabled = false in [mirror]"));
    }
    Ok(())
}

/// Whether `host` can be the default upstream of a group: one that means nothing would turn every path of
/// the group into a 404. `is_configured` says whether the configuration file has an upstream of that name.
///
/// # Errors
/// `Conflict` where neither the box nor the group, nor one above it, has such an upstream.
pub fn check_default_upstream(
    store: &Store,
    is_configured: bool,
    group: &Group,
    host: &RegistryHost,
) -> Result<()> {
    let rows = store.access.upstreams()?;
    let groups = store.access.lineage(group.id)?;
    let is_above = |of: Option<GroupId>| of.is_none_or(|of| groups.contains(&of));
    let known = is_configured
        || rows
            .iter()
            .any(|row| row.upstream.name == *host && is_above(row.upstream.group));
    if known {
        return Ok(());
    }
    let what = format!("{} has no upstream {host}", group.path);
    Err(Error::new(Kind::Conflict, what).remedy("add it with `breakwater upstream add` first"))
}
