//! Repositories of pushed images, as the box's own administrator sees and removes them: above the rules that keep images
//! from others, so that what they protect is shown.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admin, Named, Operation};
use crate::auth::policy::protection::{TagRules, keeps_tag};
use crate::error::{Error, Kind, Result, excerpt};
use crate::oci::{Digest, Reference, Tag};
use crate::store::{
    Detail, Event, EventKind, Going, HostedRepository, ProjectId, ProtectionRule, RepositoryRow,
    RuleOwner, Window,
};
use crate::time::Timestamp;

/// Repositories that something was pushed to, of one project or of all, by path.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListRepositories {
    pub project: Option<Named<ProjectId>>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShowRepository {
    pub path: String,
}

/// Removes a tag, an image with all of its tags, or a whole repository. An image goes with its last tag.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RemoveImages {
    /// PATH, PATH:TAG or PATH@DIGEST
    pub image: String,
    /// Remove nothing: say what would go
    #[serde(default)]
    pub dry_run: bool,
}

/// In the fields of REST.
#[derive(Debug, Serialize, Deserialize)]
pub struct HostedRepositoryView {
    pub id: i64,
    /// Below the project; empty for the project's own path.
    pub name: String,
    pub path: String,
    pub project_id: ProjectId,
    pub created_at: Timestamp,
    pub tags_count: u64,
    /// What quotas count here, and in the repositories below.
    pub bytes: u64,
}

/// A repository in a list, with what its project may take.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListedRepository {
    #[serde(flatten)]
    pub repository: HostedRepositoryView,
    pub project_path: String,
    /// What the whole project takes.
    pub project_bytes: u64,
    /// Null: no quota of its own.
    pub project_quota: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct HostedRepositoryDetails {
    #[serde(flatten)]
    pub repository: HostedRepositoryView,
    /// Those first that were pushed last.
    pub tags: Vec<HostedTagView>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostedTagView {
    pub name: String,
    pub digest: String,
    /// When it was last pushed
    pub pushed_at: Timestamp,
    pub last_pulled_at: Option<Timestamp>,
    /// Whether a rule keeps it from being deleted by somebody who could otherwise, or it is immutable
    pub is_protected: bool,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemovedImages {
    pub dry_run: bool,
    pub tags: Vec<HostedTagView>,
    /// Where one tag goes: those of the same digest, which stay, and keep the image
    pub other_tags: Vec<String>,
    /// The digests of manifests
    pub images: Vec<String>,
    /// Bytes of the files that nothing else needs; they follow with the garbage
    pub freed_bytes: u64,
}

impl Operation for ListRepositories {
    const NAME: &'static str = "repositories.list";
    type View = Vec<ListedRepository>;

    fn perform(self, admin: &Admin<'_>) -> Result<Vec<ListedRepository>> {
        let projects = match &self.project {
            Some(named) => vec![admin.project(named)?],
            None => admin.store.access.projects()?,
        };
        let mut views = Vec::new();
        for project in projects {
            let registry = &admin.store.registry;
            let rows = registry.rows_of(&[project.id], Window::ALL)?.entries;
            if rows.is_empty() {
                continue;
            }
            let project_bytes = registry.usage(&project.path)?;
            for row in rows {
                views.push(ListedRepository {
                    repository: view(admin, row, &project.path)?,
                    project_path: project.path.clone(),
                    project_bytes,
                    project_quota: project.quota,
                });
            }
        }
        Ok(views)
    }
}

impl Operation for ShowRepository {
    const NAME: &'static str = "repositories.show";
    type View = HostedRepositoryDetails;

    fn perform(self, admin: &Admin<'_>) -> Result<HostedRepositoryDetails> {
        let found = Found::at(admin, &self.path)?;
        let registry = &admin.store.registry;
        let mut tags = Vec::new();
        registry.tags_by_push(found.row.id, |tag| tags.push(tag))?;
        Ok(HostedRepositoryDetails {
            tags: tags.iter().map(|tag| found.tag(tag)).collect(),
            repository: view(admin, found.row, &found.project)?,
        })
    }
}

impl Operation for RemoveImages {
    const NAME: &'static str = "repositories.remove-images";
    type View = RemovedImages;
    // There may be many tags.
    const TAKES_LONG: bool = true;

    fn perform(self, admin: &Admin<'_>) -> Result<RemovedImages> {
        let (path, named) = parse(&self.image)?;
        let found = Found::at(admin, path)?;
        let registry = &admin.store.registry;
        let going = registry.going(found.row.id, named.as_ref())?;
        let going = going.ok_or_else(|| {
            let what = format!("the repository {path} has nothing that is called so");
            Error::new(Kind::NotFound, what)
                .remedy(format!("see `breakwater repository show {path}`"))
        })?;
        if let (Some(needing), Some(Reference::Digest(digest))) = (&going.needed_by, &named) {
            let what = format!("{path}@{digest} is part of, or belongs to, {needing}, which stays");
            return Err(Error::new(Kind::Conflict, what).remedy("delete that one instead"));
        }
        let mut freed_bytes = 0_u64;
        for (digest, bytes) in &going.files {
            if admin.store.cache.blob_anywhere(digest)?.is_none() {
                freed_bytes = freed_bytes.saturating_add(*bytes);
            }
        }
        if !self.dry_run {
            remove(admin, &found, named.as_ref(), &going)?;
        }
        Ok(RemovedImages {
            dry_run: self.dry_run,
            tags: going.tags.iter().map(|tag| found.tag(tag)).collect(),
            other_tags: going.other_tags.iter().map(Tag::to_string).collect(),
            images: going.manifests.iter().map(Digest::to_string).collect(),
            freed_bytes,
        })
    }
}

fn remove(
    admin: &Admin<'_>,
    found: &Found,
    named: Option<&Reference>,
    going: &Going,
) -> Result<()> {
    let (store, row, now) = (admin.store, &found.row, Timestamp::now());
    let place = store.access.project_place(row.project)?;
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let event = |tags: u64| {
        Event::new(EventKind::ImagesRemoved)
            .subject("repository", &row.path, None)
            .place(place.clone())
            .detail_if("image", named.map(|named| Detail::name(named.as_str())))
            .detail("tags", number(tags))
            .detail("images", number(going.manifests.len() as u64))
    };
    let all = going.tags.len() as u64;
    store
        .access
        .record_cleanup(&admin.actor, row.project, None, event(all))?;
    let mut gone = Gone::default();
    let went = match named {
        None => {
            let place = HostedRepository {
                project: row.project,
                path: &row.path,
            };
            let deleted = store.registry.delete_repository(place, now, |_| Ok(()));
            deleted.map(|_| gone.tags = all)
        }
        Some(named) => gone.take(admin, row, named, going, now),
    };
    // Also of what went before an error.
    if went.is_ok() || gone.tags > 0 || !gone.manifests.is_empty() {
        store.audit.tell_webhooks(&admin.actor, &event(gone.tags));
    }
    for digest in gone.manifests {
        store.release_blob(&digest)?;
    }
    went?;
    if admin.server.is_none() {
        store.finish_removals()?;
    }
    Ok(())
}

#[derive(Default)]
struct Gone {
    tags: u64,
    manifests: Vec<Digest>,
}

impl Gone {
    fn take(
        &mut self,
        admin: &Admin<'_>,
        row: &RepositoryRow,
        named: &Reference,
        going: &Going,
        now: Timestamp,
    ) -> Result<()> {
        let (registry, at_once) = (&admin.store.registry, Duration::ZERO);
        if let Reference::Digest(digest) = named {
            registry.note_untagged(row.id, digest, now)?;
        }
        let tags = &mut self.tags;
        registry.remove_pushed_tags(None, row.id, &going.tags, now, at_once, tags)?;
        registry.sweep_left(now, at_once, &mut self.manifests)
    }
}

/// The parts of `PATH[:TAG|@DIGEST]`.
fn parse(image: &str) -> Result<(&str, Option<Reference>)> {
    if let Some((path, digest)) = image.split_once('@') {
        return Ok((path, Some(Reference::Digest(Digest::parse(digest)?))));
    }
    match image.split_once(':') {
        Some((path, tag)) => Ok((path, Some(Reference::Tag(Tag::parse(tag)?)))),
        None => Ok((image, None)),
    }
}

/// A repository, with its project's path and rules.
struct Found {
    row: RepositoryRow,
    project: String,
    rules: Vec<ProtectionRule>,
    tag_rules: TagRules,
}

impl Found {
    fn at(admin: &Admin<'_>, path: &str) -> Result<Self> {
        let (access, registry) = (&admin.store.access, &admin.store.registry);
        let missing = || {
            let what = format!("there is no repository `{}`", excerpt(path));
            Error::new(Kind::NotFound, what).remedy("see `breakwater repository list`")
        };
        let project = access.project_owning(path)?.ok_or_else(missing)?;
        let row = registry.row_at(HostedRepository { project, path })?;
        Ok(Self {
            row: row.ok_or_else(missing)?,
            project: access.project(project)?.ok_or_else(missing)?.path,
            rules: access.rules(RuleOwner::Project(project))?,
            tag_rules: TagRules::new(&access.tag_rules(project)?, &Arc::default()),
        })
    }

    fn tag(&self, tag: &crate::store::PushedTag) -> HostedTagView {
        let name = tag.name.as_str();
        HostedTagView {
            name: name.to_owned(),
            digest: tag.digest.to_string(),
            pushed_at: tag.pushed_at,
            last_pulled_at: tag.last_pulled_at,
            is_protected: keeps_tag(&self.rules, &self.tag_rules, &self.row.path, name),
        }
    }
}

fn view(admin: &Admin<'_>, row: RepositoryRow, project: &str) -> Result<HostedRepositoryView> {
    let name = row.path.strip_prefix(project).unwrap_or_default();
    Ok(HostedRepositoryView {
        bytes: admin.store.registry.usage(&row.path)?,
        id: row.id,
        name: name.trim_start_matches('/').to_owned(),
        path: row.path,
        project_id: row.project,
        created_at: row.created_at,
        tags_count: row.tag_count,
    })
}
