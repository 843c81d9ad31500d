//! How requests name what there is already: by its id or by its path or name.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::Admin;
use crate::error::{Error, Kind, Result};
use crate::store::{Group, GroupId, Project, ProjectId, User, UserId};

/// An id, which is a number in JSON, or a path or name, which is a text. The command line has only the latter, so that
/// a group that is called 7 is found there; where REST takes both, digits are an id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Named<Id> {
    Id(Id),
    Text(String),
}

impl<Id> From<String> for Named<Id> {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<Id> JsonSchema for Named<Id> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Named".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [{ "type": "integer" }, { "type": "string" }] })
    }
}

/// A group or a project, flattened into a request: REST says which of the two; a path of the command line may be of
/// either, which never have the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamedPlace {
    Group(Named<GroupId>),
    Project(Named<ProjectId>),
    Path(String),
}

impl From<String> for NamedPlace {
    fn from(path: String) -> Self {
        Self::Path(path)
    }
}

/// What a [`NamedPlace`] names.
pub enum Place {
    Group(Group),
    Project(Project),
}

impl Admin<'_> {
    /// The group or project that is named.
    pub(super) fn place(&self, named: &NamedPlace) -> Result<Place> {
        match named {
            NamedPlace::Group(named) => self.group(named).map(Place::Group),
            NamedPlace::Project(named) => self.project(named).map(Place::Project),
            NamedPlace::Path(path) => self.place_of_path(path),
        }
    }

    /// The group or project of that path.
    pub(super) fn place_of_path(&self, path: &str) -> Result<Place> {
        let access = &self.store.access;
        if let Some(group) = access.group_by_path(path)? {
            return Ok(Place::Group(group));
        }
        let project = access.project_by_path(path)?;
        project.map(Place::Project).ok_or_else(|| {
            let what = format!("there is no group or project `{path}`");
            Error::new(Kind::NotFound, what)
                .remedy("see `breakwater group list` and `breakwater project list`")
        })
    }

    /// The group that is named.
    pub(super) fn group(&self, named: &Named<GroupId>) -> Result<Group> {
        let access = &self.store.access;
        let (found, shown) = match named {
            Named::Id(id) => (access.group(*id)?, format!("with the id {}", id.0)),
            Named::Text(path) => (access.group_by_path(path)?, format!("`{path}`")),
        };
        found.ok_or_else(|| {
            Error::new(Kind::NotFound, format!("there is no group {shown}"))
                .remedy("see `breakwater group list`")
        })
    }

    /// The project that is named.
    pub(super) fn project(&self, named: &Named<ProjectId>) -> Result<Project> {
        let access = &self.store.access;
        let (found, shown) = match named {
            Named::Id(id) => (access.project(*id)?, format!("with the id {}", id.0)),
            Named::Text(path) => (access.project_by_path(path)?, format!("`{path}`")),
        };
        found.ok_or_else(|| {
            Error::new(Kind::NotFound, format!("there is no project {shown}"))
                .remedy("see `breakwater project list`")
        })
    }

    /// The user who is named.
    pub(super) fn user(&self, named: &Named<UserId>) -> Result<User> {
        let access = &self.store.access;
        let (found, shown) = match named {
            Named::Id(id) => (access.user(*id)?, format!("with the id {}", id.0)),
            Named::Text(name) => (access.user_by_name(name)?, format!("`{name}`")),
        };
        found.ok_or_else(|| {
            Error::new(Kind::NotFound, format!("there is no user {shown}"))
                .remedy("see `breakwater user list`")
                .about("User")
        })
    }
}
