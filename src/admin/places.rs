//! What a path names where it may be a group's or a project's.

use super::Admin;
use crate::error::{Error, Kind, Result};
use crate::store::{GroupId, Project};

/// The two never have the same path.
pub(super) enum Place {
    Group(GroupId),
    Project(Project),
}

pub(super) fn find_place(admin: &Admin<'_>, path: &str) -> Result<Place> {
    if let Some(group) = admin.store.access.group_by_path(path)? {
        return Ok(Place::Group(group.id));
    }
    let project = admin.store.access.project_by_path(path)?;
    project.map(Place::Project).ok_or_else(|| {
        let what = format!("there is no group or project `{path}`");
        Error::new(Kind::NotFound, what)
            .remedy("see `breakwater group list` and `breakwater project list`")
    })
}
