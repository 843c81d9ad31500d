//! Cleanup policies of projects: takes the tags that a policy no longer keeps, and the manifests that nothing needs
//! any more without them. Also the deletion of many tags of one repository, which is the same thing asked for once.
//!
//! The box acts as nobody, so that every rule that asks for a level to delete keeps a tag, whatever the level is. Rules
//! and policy are read again before each hundred tags: what is changed meanwhile counts. A run that a crash ended is due
//! as before, and goes on.

mod judge;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::garbage;
use crate::auth::policy::protection::{Expressions, TagRules, keeps_tag};
use crate::error::Result;
use crate::metrics::counters;
use crate::oci::{Digest, Reference, Tag};
use crate::store::{
    Actor, CleanupPolicy, CleanupRequest, CleanupRun, Event, EventKind, HostedRepository, Project,
    ProjectId, ProtectionRule, PushedTag, RepositoryRow, RuleOwner, Store, Window,
};
use crate::time::Timestamp;

pub use judge::{Rules, Stays};

/// So many tags go between two looks at rules and policy.
const TAGS_AT_ONCE: usize = 100;
/// When a policy that failed is tried again.
const RETRY: Duration = Duration::from_secs(60 * 60);

counters! {
    /// What cleanups have done in this process.
    pub struct Counters {
        "breakwater_retention_runs_total" ["result"] "Runs of cleanup policies, and deletions of many tags, by how they ended." {
            done = "done",
            failed = "failed",
        }
        "breakwater_retention_tags_removed_total" "Tags that they have removed." { tags }
        "breakwater_retention_manifests_removed_total" "Manifests that nothing needed any more afterwards." { manifests }
    }
}

/// Who runs cleanup policies, one run at a time.
#[derive(Debug, Default)]
pub struct Retention {
    counters: Counters,
    /// The tables of tag rules, which are read again and again during a run.
    expressions: Arc<Expressions>,
    running: Mutex<()>,
}

/// A repository with its tags, those first that were pushed last, and why each stays; `None`: it goes.
#[derive(Debug)]
pub struct Judged {
    pub path: String,
    pub tags: Vec<(PushedTag, Option<Stays>)>,
}

impl Retention {
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What the project's policy would take now, and why the rest would stay.
    ///
    /// # Errors
    /// `BadRequest` for a policy that cannot be used, `Sql`.
    pub fn judged(&self, store: &Store, project: ProjectId, now: Timestamp) -> Result<Vec<Judged>> {
        let rules = Rules::of_policy(&store.access.cleanup_policy(project)?)?;
        let protection = self.protection(store, project)?;
        let repositories = store.registry.rows_of(&[project], Window::ALL)?.entries;
        let judged = repositories.into_iter().map(|row| {
            let mut tags = Vec::new();
            judge(store, &row, &rules, &protection, now, |tag, stays| {
                tags.push((tag, stays));
            })?;
            let path = row.path;
            Ok(Judged { path, tags })
        });
        judged.collect()
    }

    /// Does what is due: deletions that were asked for, policies, and manifests that were too young before. The server
    /// calls it every second. What fails is tried again later.
    ///
    /// # Errors
    /// `Io`, `Sql`, where it could not even be written that something failed.
    pub fn run_due(&self, store: &Store, now: Timestamp) -> Result<()> {
        for request in store.registry.cleanup_requests()? {
            self.run_request(store, &request, now)?;
        }
        for (project, due) in store.access.due_cleanups(now)? {
            if let Some(project) = store.access.project(project)? {
                self.run_policy(store, &Actor::server(), &project, Some(due), now)?;
            }
        }
        self.sweep(store, now)
    }

    /// Runs the project's policy, enabled or not. A scheduled run was `due`; it is then due again after its cadence, or in an
    /// hour if it failed.
    ///
    /// # Errors
    /// `Io`, `Sql`, where it cannot be written how it went. What else fails is in the answer.
    pub fn run_policy(
        &self,
        store: &Store,
        actor: &Actor,
        project: &Project,
        due: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<CleanupRun> {
        let _running = self.running.lock();
        let id = project.id;
        let policy = store.access.cleanup_policy(id)?;
        let place = store.access.project_place(id)?;
        store.registry.begin_cleanup(id, now)?;
        let mut cleaned = Cleaned {
            counted: Some(id),
            ..Cleaned::default()
        };
        let went = self.clean_project(store, id, &policy, now, &mut cleaned);
        let (kept, error) = (cleaned.kept, went.err().map(|error| error.to_string()));
        // Where this fails, the next run counts on, and what went is told then.
        let ended = store
            .registry
            .end_cleanup(id, kept, error.as_deref(), now)?;
        let wait = match error {
            None => policy.cadence.period(),
            Some(_) => RETRY,
        };
        let schedule = due.map(|due| (due, now.plus(wait)));
        let event = event(&project.path, Some(id.0), ended.removed_tags, kept, &error).place(place);
        store.audit.tell_webhooks(actor, &event);
        self.tell(&project.path, ended.removed_tags, kept, error.as_deref());
        store.access.record_cleanup(actor, id, schedule, event)?;
        Ok(ended)
    }

    fn clean_project(
        &self,
        store: &Store,
        project: ProjectId,
        policy: &CleanupPolicy,
        now: Timestamp,
        cleaned: &mut Cleaned,
    ) -> Result<()> {
        let rules = Rules::of_policy(policy)?;
        let still = || Ok(store.access.cleanup_policy(project)? == *policy);
        for row in store.registry.rows_of(&[project], Window::ALL)?.entries {
            self.clean(store, &row, &rules, now, &still, cleaned)?;
        }
        Ok(())
    }

    /// Deletes the tags that somebody asked to be deleted.
    fn run_request(&self, store: &Store, request: &CleanupRequest, now: Timestamp) -> Result<()> {
        let _running = self.running.lock();
        let Some(row) = store.registry.row(request.repository)? else {
            return store.registry.end_cleanup_request(request.repository);
        };
        let place = store.access.project_place(row.project)?;
        let mut cleaned = Cleaned::default();
        let went = Rules::of_request(request)
            .and_then(|rules| self.clean(store, &row, &rules, now, &|| Ok(true), &mut cleaned));
        let error = went.err().map(|error| error.to_string());
        let event = event(&row.path, None, cleaned.removed, cleaned.kept, &error).place(place);
        let actor = Actor::server();
        store.audit.tell_webhooks(&actor, &event);
        let ended = store.registry.end_cleanup_request(request.repository);
        // What cannot be ended is run again each second: then it is an event only where something went.
        if ended.is_ok() || cleaned.removed > 0 {
            self.tell(&row.path, cleaned.removed, cleaned.kept, error.as_deref());
            let access = &store.access;
            access.record_cleanup(&actor, row.project, None, event)?;
        }
        ended
    }

    /// Removes the tags of one repository that no rule keeps, for as long as that is `still` wanted. Adds to `cleaned`
    /// what went and what stays, also before an error.
    fn clean(
        &self,
        store: &Store,
        row: &RepositoryRow,
        rules: &Rules,
        now: Timestamp,
        still: &dyn Fn() -> Result<bool>,
        cleaned: &mut Cleaned,
    ) -> Result<()> {
        let mut going = Vec::new();
        let protection = self.protection(store, row.project)?;
        judge(
            store,
            row,
            rules,
            &protection,
            now,
            |tag, stays| match stays {
                None => going.push(tag),
                Some(_) => cleaned.kept = cleaned.kept.saturating_add(1),
            },
        )?;
        for tags in going.chunks(TAGS_AT_ONCE) {
            if !still()? {
                return Ok(());
            }
            let protection = self.protection(store, row.project)?;
            let may_go = |tag: &&PushedTag| !protection.keeps(&row.path, &tag.name);
            let tags: Vec<_> = tags.iter().filter(may_go).cloned().collect();
            let (registry, grace, mut removed) = (&store.registry, garbage::GRACE, 0);
            let counted = cleaned.counted;
            let went =
                registry.remove_pushed_tags(counted, row.id, &tags, now, grace, &mut removed);
            self.counters.tags.add(removed);
            cleaned.removed = cleaned.removed.saturating_add(removed);
            went?;
        }
        Ok(())
    }

    /// Removes the manifests that nothing needs any more, and their files.
    ///
    /// # Errors
    /// `Io`, `Sql`: the rest is found the next time.
    pub fn sweep(&self, store: &Store, now: Timestamp) -> Result<()> {
        let mut gone = Vec::new();
        let swept = store.registry.sweep_left(now, garbage::GRACE, &mut gone);
        self.counters.manifests.add(gone.len() as u64);
        for digest in gone {
            store.release_blob(&digest)?;
        }
        swept
    }

    fn tell(&self, path: &str, removed: u64, kept: u64, error: Option<&str>) {
        match error {
            None => {
                self.counters.done.one();
                tracing::info!(
                    path,
                    removed_tags = removed,
                    kept_tags = kept,
                    "removed the tags that a cleanup no longer keeps"
                );
            }
            Some(error) => {
                self.counters.failed.one();
                tracing::warn!(
                    path,
                    removed_tags = removed,
                    error,
                    "a cleanup could not be finished"
                );
            }
        }
    }

    fn protection(&self, store: &Store, project: ProjectId) -> Result<Protection> {
        let access = &store.access;
        Ok(Protection {
            rules: access.rules(RuleOwner::Project(project))?,
            tag_rules: TagRules::new(&access.tag_rules(project)?, &self.expressions),
        })
    }
}

fn event(
    path: &str,
    project: Option<i64>,
    removed: u64,
    kept: u64,
    error: &Option<String>,
) -> Event {
    let noun = match project {
        Some(_) => "project",
        None => "repository",
    };
    let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
    Event::new(EventKind::CleanupRan)
        .subject(noun, path, project)
        .detail("removed_tags", number(removed))
        .detail("kept_tags", number(kept))
        .detail("failed", error.is_some())
}

#[derive(Debug, Default)]
struct Cleaned {
    /// The project whose run counts in the database what goes.
    counted: Option<ProjectId>,
    removed: u64,
    kept: u64,
}

/// Judges the tags of one repository, those first that were pushed last.
fn judge(
    store: &Store,
    row: &RepositoryRow,
    rules: &Rules,
    protection: &Protection,
    now: Timestamp,
    mut see: impl FnMut(PushedTag, Option<Stays>),
) -> Result<()> {
    let place = HostedRepository {
        project: row.project,
        path: &row.path,
    };
    let is_here = |digest: &Digest| {
        let found = store
            .registry
            .manifest(place, &Reference::Digest(digest.clone()));
        // Where it cannot be known, nothing goes.
        found.map_or(true, |found| found.is_some())
    };
    let mut judge = judge::Judge::new(rules, now);
    store.registry.tags_by_push(row.id, |tag| {
        let stays = judge.stays(&tag, is_here, |name| protection.keeps(&row.path, name));
        see(tag, stays);
    })
}

/// The rules of a project.
struct Protection {
    rules: Vec<ProtectionRule>,
    tag_rules: TagRules,
}

impl Protection {
    fn keeps(&self, path: &str, tag: &Tag) -> bool {
        keeps_tag(&self.rules, &self.tag_rules, path, tag.as_str())
    }
}
