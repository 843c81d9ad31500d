//! Cleanup policies of projects, in GitLab's fields, and their runs when somebody asks for one; the running server runs
//! those that are due.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Admin, Named, Operation};
use crate::auth::policy::protection::NameExpression;
use crate::error::{Error, Kind, Result, excerpt};
use crate::store::{
    Cadence, CleanupPolicy, CleanupRequest, CleanupRun, Detail, Event, EventKind, OlderThan,
    ProjectId,
};
use crate::time::Timestamp;
use crate::upkeep::retention::{self, Retention, Stays};

/// How many of the newest tags a policy may keep.
const KEEP_N: [u32; 6] = [1, 5, 10, 25, 50, 100];

/// What of a policy is to be changed. Null takes away what may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CleanupChanges {
    /// whether it runs
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// how often; a month has 30 days
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cadence: Option<Cadence>,
    /// 1, 5, 10, 25, 50 or 100: so many of the newest matching tags of each repository stay
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub keep_n: Option<Option<u32>>,
    /// younger tags stay
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub older_than: Option<Option<OlderThan>>,
    /// another name of name_regex_delete
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub name_regex: Option<Option<String>>,
    /// a regular expression of the whole names of tags that may go
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub name_regex_delete: Option<Option<String>>,
    /// a regular expression of the whole names of tags that stay all the same
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub name_regex_keep: Option<Option<String>>,
}

/// Tells null from nothing.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl CleanupChanges {
    /// What becomes of `policy`, which then runs next after its cadence from `now`.
    ///
    /// # Errors
    /// `Usage` about the field that is wrong.
    pub(super) fn applied(self, policy: CleanupPolicy, now: Timestamp) -> Result<CleanupPolicy> {
        let enabled = self.enabled.unwrap_or(policy.enabled);
        let cadence = self.cadence.unwrap_or(policy.cadence);
        let regex = |field, new: Option<Option<String>>, old| match new {
            None => Ok(old),
            // GitLab's forms send nothing for none.
            Some(new) => match new.filter(|text| !text.is_empty()) {
                Some(text) => match NameExpression::new(&text) {
                    Ok(_) => Ok(Some(text)),
                    Err(error) => Err(error.about(field)),
                },
                None => Ok(None),
            },
        };
        let keep_n = self.keep_n.unwrap_or(policy.keep_n);
        if keep_n.is_some_and(|keep_n| !KEEP_N.contains(&keep_n)) {
            return Err(Error::new(Kind::Usage, "is not included in the list")
                .remedy("use 1, 5, 10, 25, 50 or 100, or null")
                .about("container_expiration_policy.keep_n"));
        }
        Ok(CleanupPolicy {
            enabled,
            cadence,
            keep_n,
            older_than: self.older_than.unwrap_or(policy.older_than),
            name_regex: regex(
                "container_expiration_policy.name_regex",
                self.name_regex_delete.or(self.name_regex),
                policy.name_regex,
            )?,
            name_regex_keep: regex(
                "container_expiration_policy.name_regex_keep",
                self.name_regex_keep,
                policy.name_regex_keep,
            )?,
            next_run_at: enabled.then(|| now.plus(cadence.period())),
        })
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ContainerExpirationPolicy")]
#[serde(deny_unknown_fields)]
pub struct CleanupPolicyView {
    pub cadence: Cadence,
    pub enabled: bool,
    pub keep_n: Option<u32>,
    pub older_than: Option<OlderThan>,
    /// The same as name_regex_delete
    pub name_regex: Option<String>,
    pub name_regex_delete: Option<String>,
    pub name_regex_keep: Option<String>,
    /// Null where it is not enabled
    pub next_run_at: Option<Timestamp>,
    /// Null where it has never run
    pub last_run: Option<CleanupRunView>,
}

/// How the policy's last run went, or how far it has come.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CleanupRunView {
    pub started_at: Timestamp,
    /// Null while it goes on
    pub finished_at: Option<Timestamp>,
    pub removed_tags: u64,
    pub kept_tags: u64,
    /// Why it failed
    pub error: Option<String>,
}

impl From<CleanupRun> for CleanupRunView {
    fn from(run: CleanupRun) -> Self {
        Self {
            started_at: run.started_at,
            finished_at: run.finished_at,
            removed_tags: run.removed_tags,
            kept_tags: run.kept_tags,
            error: run.error,
        }
    }
}

/// The policies of some projects, with their last runs, to be shown.
pub(super) struct Policies {
    policies: HashMap<ProjectId, CleanupPolicy>,
    runs: HashMap<ProjectId, CleanupRun>,
}

impl Policies {
    pub(super) fn of(admin: &Admin<'_>, projects: &[ProjectId]) -> Result<Self> {
        Ok(Self {
            policies: admin.store.access.cleanup_policies(projects)?,
            runs: admin.store.registry.cleanup_runs(projects)?,
        })
    }

    pub(super) fn view(&mut self, project: ProjectId) -> CleanupPolicyView {
        let policy = self.policies.remove(&project).unwrap_or_default();
        CleanupPolicyView {
            cadence: policy.cadence,
            enabled: policy.enabled,
            keep_n: policy.keep_n,
            older_than: policy.older_than,
            name_regex: policy.name_regex.clone(),
            name_regex_delete: policy.name_regex,
            name_regex_keep: policy.name_regex_keep,
            next_run_at: policy.next_run_at,
            last_run: self.runs.remove(&project).map(CleanupRunView::from),
        }
    }
}

/// Runs the project's policy now, enabled or not.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CleanUpProject {
    pub project: Named<ProjectId>,
    /// Whether to look only.
    pub dry_run: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct CleanedUpProject {
    pub dry_run: bool,
    pub removed_tags: u64,
    pub kept_tags: u64,
    /// Of a dry run: what would become of each tag.
    pub repositories: Vec<CleanedUpRepository>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct CleanedUpRepository {
    pub path: String,
    /// Those first that were pushed last.
    pub tags: Vec<CleanedUpTag>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct CleanedUpTag {
    pub name: String,
    pub digest: String,
    pub pushed_at: Timestamp,
    pub last_pulled_at: Option<Timestamp>,
    /// Why it stays; nothing: it would go.
    pub stays: Option<Stays>,
}

impl Operation for CleanUpProject {
    const NAME: &'static str = "projects.clean-up";
    type View = CleanedUpProject;
    // There may be many tags.
    const TAKES_LONG: bool = true;

    fn perform(self, admin: &Admin<'_>) -> Result<CleanedUpProject> {
        let (store, now) = (admin.store, Timestamp::now());
        let project = admin.project(&self.project)?;
        let of_command = Retention::default();
        let retention = match admin.server {
            Some(server) => server.retention(),
            None => &of_command,
        };
        if self.dry_run {
            return Ok(would_go(retention.judged(store, project.id, now)?));
        }
        let run = retention.run_policy(store, &admin.actor, &project, None, now)?;
        if let Some(why) = run.error {
            let what = format!("the tags of {} could not be cleaned up", project.path);
            return Err(Error::new(Kind::Internal, format!("{what}: {why}")).remedy("see the log"));
        }
        retention.sweep(store, now)?;
        if admin.server.is_none() {
            store.finish_removals()?;
        }
        Ok(CleanedUpProject {
            dry_run: false,
            removed_tags: run.removed_tags,
            kept_tags: run.kept_tags,
            repositories: Vec::new(),
        })
    }
}

fn would_go(judged: Vec<retention::Judged>) -> CleanedUpProject {
    let repository = |judged: retention::Judged| CleanedUpRepository {
        path: judged.path,
        tags: judged
            .tags
            .into_iter()
            .map(|(tag, stays)| CleanedUpTag {
                name: tag.name.to_string(),
                digest: tag.digest.to_string(),
                pushed_at: tag.pushed_at,
                last_pulled_at: tag.last_pulled_at,
                stays,
            })
            .collect(),
    };
    let repositories: Vec<_> = judged.into_iter().map(repository).collect();
    let tags = || repositories.iter().flat_map(|repository| &repository.tags);
    CleanedUpProject {
        dry_run: true,
        removed_tags: tags().filter(|tag| tag.stays.is_none()).count() as u64,
        kept_tags: tags().filter(|tag| tag.stays.is_some()).count() as u64,
        repositories,
    }
}

/// Has many tags of one repository deleted in the background, as a policy does it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeleteTags {
    #[schemars(skip)]
    pub project: Named<ProjectId>,
    #[schemars(skip)]
    pub repository_id: i64,
    /// a regular expression of the whole names of the tags to delete, such as .*
    pub name_regex_delete: Option<String>,
    /// another name of name_regex_delete
    pub name_regex: Option<String>,
    /// a regular expression of the whole names of tags that stay all the same
    pub name_regex_keep: Option<String>,
    /// so many of the newest of them stay
    pub keep_n: Option<u64>,
    /// younger ones stay: 1h, 7d, 1month
    pub older_than: Option<String>,
}

impl Operation for DeleteTags {
    const NAME: &'static str = "tags.delete";
    type View = ();

    fn perform(self, admin: &Admin<'_>) -> Result<()> {
        let (store, project) = (admin.store, admin.project(&self.project)?);
        let missing = || Error::new(Kind::NotFound, "there is no such repository");
        let row = store.registry.row(self.repository_id)?;
        let row = row.filter(|row| row.project == project.id);
        let row = row.ok_or_else(|| missing().about("Repository"))?;
        let older_than = self.older_than.filter(|text| !text.is_empty());
        let older_than = older_than.map(|text| {
            humantime::parse_duration(&text).map_err(|_| {
                Error::new(Kind::Usage, format!("`{}` is no time", excerpt(&text)))
                    .remedy("write 1h, 7d or 1month")
                    .about("older_than")
            })
        });
        let name_regex_delete = self.name_regex_delete.or(self.name_regex);
        let request = CleanupRequest {
            repository: row.id,
            name_regex_delete: name_regex_delete.unwrap_or_default(),
            name_regex_keep: self.name_regex_keep.filter(|text| !text.is_empty()),
            keep_n: self.keep_n,
            older_than: older_than.transpose()?,
            requested_at: Timestamp::now(),
        };
        NameExpression::new(&request.name_regex_delete)
            .map_err(|error| error.about("name_regex_delete"))?;
        if let Some(keep) = &request.name_regex_keep {
            NameExpression::new(keep).map_err(|error| error.about("name_regex_keep"))?;
        }
        let place = store.access.project_place(project.id)?;
        store.registry.request_cleanup(&request)?;
        let event = Event::new(EventKind::CleanupRequested)
            .subject("repository", &row.path, None)
            .place(place)
            .detail(
                "name_regex_delete",
                Detail::name(&request.name_regex_delete),
            )
            .detail_if(
                "name_regex_keep",
                request.name_regex_keep.as_deref().map(Detail::name),
            );
        let recorded = store
            .access
            .record_cleanup(&admin.actor, project.id, None, event);
        if recorded.is_err() {
            store.registry.end_cleanup_request(row.id)?;
        }
        recorded
    }
}
