//! Names by how they begin, for completions: a few of them, by indexes, whatever there is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admin, ListBans, Operation};
use crate::error::Result;
use crate::store::NamesOf;

/// Nobody reads more than this below a command line.
const MOST: usize = 100;
/// What `docker pull alpine` asks Docker Hub for is `library/alpine`.
const OFFICIAL: &str = "library/";

crate::words::words! {
    "snake_case"
    /// What a name is the name of.
    pub enum NameKind {
        User,
        Group,
        Project,
        /// A group or a project.
        Place,
        Upstream,
        /// What is cached: as for docker.
        Image,
        /// What was pushed.
        Repository,
        /// An address or a user that may not log in.
        Ban,
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListNames {
    pub kind: NameKind,
    pub beginning: String,
}

impl Operation for ListNames {
    const NAME: &'static str = "names.list";
    type View = Vec<String>;

    fn perform(self, admin: &Admin<'_>) -> Result<Vec<String>> {
        let beginning = self.beginning.as_str();
        let of = |kind| admin.store.access.names(kind, beginning, MOST as u64);
        let mut names = match self.kind {
            NameKind::User => of(NamesOf::User)?,
            NameKind::Group => of(NamesOf::Group)?,
            NameKind::Project => of(NamesOf::Project)?,
            NameKind::Place => [of(NamesOf::Group)?, of(NamesOf::Project)?].concat(),
            NameKind::Upstream => upstreams(admin, beginning)?,
            NameKind::Image => images(admin, beginning)?,
            NameKind::Repository => repositories(admin, beginning)?,
            NameKind::Ban => bans(admin, beginning)?,
        };
        names.sort_unstable();
        names.dedup();
        names.truncate(MOST);
        Ok(names)
    }
}

fn upstreams(admin: &Admin<'_>, beginning: &str) -> Result<Vec<String>> {
    let states = admin.server.map(|server| server.upstreams()).transpose()?;
    let names = states.unwrap_or_default().into_iter();
    let names = names.map(|upstream| upstream.status.name);
    Ok(names.filter(|name| name.starts_with(beginning)).collect())
}

fn bans(admin: &Admin<'_>, beginning: &str) -> Result<Vec<String>> {
    let bans = ListBans::default().perform(admin)?.entries.into_iter();
    let names = bans.filter_map(|ban| ban.address.or(ban.username));
    Ok(names.filter(|name| name.starts_with(beginning)).collect())
}

/// `alp` → `alpine`; `alpine:3` → `alpine:3.20`; `qu` → `quay.io/`; `quay.io/or` → `quay.io/org/app`
fn images(admin: &Admin<'_>, beginning: &str) -> Result<Vec<String>> {
    let default = admin.config.mirror.default.as_str();
    let hosts = upstreams(admin, "")?;
    let host = beginning.split_once('/').map(|(host, _)| host);
    let host = hosts.iter().find(|known| Some(known.as_str()) == host);
    // What stands before the name, of which upstream it is, and how the name there begins.
    let mut places = Vec::new();
    match host {
        Some(host) => {
            let shown = format!("{host}/");
            let name = beginning.strip_prefix(&shown).unwrap_or_default();
            places.push((shown.clone(), host.as_str(), "", name));
        }
        None => {
            places.push((String::new(), default, "", beginning));
            if !beginning.contains('/') {
                places.push((String::new(), default, OFFICIAL, beginning));
            }
        }
    }
    let mut names = Vec::new();
    for (shown, upstream, hidden, name) in places {
        let most = MOST as u64;
        let cache = &admin.store.cache;
        if let Some((repository, tag)) = name.rsplit_once(':') {
            let tags = cache.tag_names(upstream, &format!("{hidden}{repository}"), tag, most)?;
            let tags = tags.iter().map(|tag| format!("{shown}{repository}:{tag}"));
            names.extend(tags);
            continue;
        }
        let found = cache.repository_names(upstream, &format!("{hidden}{name}"), most)?;
        for name in found {
            // `library/alpine` is shown as `alpine` alone.
            let is_official = shown.is_empty() && hidden.is_empty() && name.starts_with(OFFICIAL);
            let name = name.strip_prefix(hidden).unwrap_or(&name);
            if !is_official || beginning.starts_with(OFFICIAL) {
                names.push(format!("{shown}{name}"));
            }
        }
    }
    if host.is_none() {
        let hosts = hosts.iter().filter(|host| host.starts_with(beginning));
        names.extend(hosts.map(|host| format!("{host}/")));
    }
    Ok(names)
}

/// Those of the projects that the beginning is in, or that begin so.
fn repositories(admin: &Admin<'_>, beginning: &str) -> Result<Vec<String>> {
    let access = &admin.store.access;
    let mut projects = Vec::new();
    for (end, _) in beginning.match_indices('/') {
        let path = beginning.get(..end).unwrap_or_default();
        projects.extend(access.project_by_path(path)?.map(|project| project.id));
    }
    for path in access.names(NamesOf::Project, beginning, 20)? {
        projects.extend(access.project_by_path(&path)?.map(|project| project.id));
    }
    let mut names = Vec::new();
    for project in projects {
        let registry = &admin.store.registry;
        names.extend(registry.paths_beginning(project, beginning, MOST as u64)?);
    }
    Ok(names)
}
