//! What is stored about users, groups and projects, as decisions need it.
//!
//! It is kept in memory until `access.sqlite` changes, by this process or another: then the very next request
//! reads it again, because each asks once, at its start, whether something changed. One that finds nothing changed
//! makes no query.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::Authenticator;
use crate::auth::external::Signing;
use crate::auth::identity::{PlacedProject, Principal};
use crate::auth::policy::protection::{Expressions, TagRules};
use crate::auth::policy::{HostedProject, Quota};
use crate::auth::seal::SealingKeys;
use crate::error::Result;
use crate::oci::RepositoryName;
use crate::store::{
    AccessDb, Feature, Group, GroupId, Level, Network, ProjectId, ProtectionRule, RuleOwner, Token,
    TokenId, User, UserId, Visibility,
};

/// Entries kept of each kind; beyond that all of that kind are dropped and read again.
const MEMO_ENTRIES: usize = 10_000;

/// What was read from `access.sqlite` since `generation`.
#[derive(Default)]
pub(super) struct Memo {
    generation: u64,
    users: HashMap<UserId, Option<Arc<User>>>,
    tokens: HashMap<TokenId, Option<Arc<Token>>>,
    groups: HashMap<String, Option<Arc<Group>>>,
    levels: HashMap<(GroupId, UserId), Option<Level>>,
    groups_by_id: HashMap<GroupId, Option<Arc<Group>>>,
    lineages: HashMap<GroupId, Arc<[GroupId]>>,
    projects: HashMap<ProjectId, Option<Arc<PlacedProject>>>,
    /// Of repository paths: the project that owns them.
    owners: HashMap<RepositoryName, Option<ProjectId>>,
    hosted: HashMap<ProjectId, Option<Arc<HostedProject>>>,
    project_levels: HashMap<(ProjectId, UserId), Option<Level>>,
    group_rules: HashMap<GroupId, Arc<[ProtectionRule]>>,
    networks: Option<Arc<[Network]>>,
    features: Option<Arc<[Feature]>>,
    external: Option<Arc<[Signing]>>,
}

impl Authenticator {
    /// A group by its path.
    ///
    /// # Errors
    /// `Sql`.
    pub fn group(&self, path: &str) -> Result<Option<Arc<Group>>> {
        let read = |access: &AccessDb| Ok(access.group_by_path(path)?.map(Arc::new));
        self.remember(|memo| &mut memo.groups, path.to_owned(), read)
    }

    /// The user's level on a group, inherited ones included.
    ///
    /// # Errors
    /// `Sql`.
    pub fn level(&self, group: GroupId, user: UserId) -> Result<Option<Level>> {
        self.remember(
            |memo| &mut memo.levels,
            (group, user),
            |access| access.level(group, user),
        )
    }

    /// All network rules.
    ///
    /// # Errors
    /// `Sql`.
    pub fn networks(&self) -> Result<Arc<[Network]>> {
        self.remember_all(
            |memo| &mut memo.networks,
            |access| Ok(access.networks()?.into()),
        )
    }

    /// The external registries that take our tokens, with what signs for each.
    ///
    /// # Errors
    /// `Sql`; `Io` and `Config` for the key that their keys are sealed with.
    pub fn external_registries(&self) -> Result<Arc<[Signing]>> {
        let keys = || SealingKeys::find(self.store.directory());
        self.remember_all(
            |memo| &mut memo.external,
            |access| Signing::of(access.external_registries()?, keys),
        )
    }

    /// The project that owns the repository of this path: the one whose path is its longest prefix.
    ///
    /// # Errors
    /// `Sql`.
    pub fn project_owning(
        &self,
        repository: &RepositoryName,
    ) -> Result<Option<Arc<HostedProject>>> {
        let owner = self.remember(
            |memo| &mut memo.owners,
            repository.clone(),
            |access| access.project_owning(repository.as_str()),
        )?;
        owner.map_or(Ok(None), |project| self.hosted_project(project))
    }

    /// A project, with what decisions about its repositories need to know.
    ///
    /// # Errors
    /// `Sql`.
    pub fn hosted_project(&self, id: ProjectId) -> Result<Option<Arc<HostedProject>>> {
        self.remember(
            |memo| &mut memo.hosted,
            id,
            |access| hosted_project(access, id, &self.expressions),
        )
    }

    /// The user's level on a project, inherited ones included.
    ///
    /// # Errors
    /// `Sql`.
    pub fn project_level(&self, project: ProjectId, user: UserId) -> Result<Option<Level>> {
        self.remember(
            |memo| &mut memo.project_levels,
            (project, user),
            |access| access.project_level(project, user),
        )
    }

    /// The rules about what a group has in the cache: its own, and those of the groups above it.
    ///
    /// # Errors
    /// `Sql`.
    pub fn group_rules(&self, group: GroupId) -> Result<Arc<[ProtectionRule]>> {
        self.remember(
            |memo| &mut memo.group_rules,
            group,
            |access| {
                let mut rules = Vec::new();
                for group in access.lineage(group)? {
                    rules.extend(access.rules(RuleOwner::Group(group))?);
                }
                Ok(rules.into())
            },
        )
    }

    /// A user by its id.
    ///
    /// # Errors
    /// `Sql`.
    pub fn user(&self, id: UserId) -> Result<Option<Arc<User>>> {
        self.remember(
            |memo| &mut memo.users,
            id,
            |access| Ok(access.user(id)?.map(Arc::new)),
        )
    }

    pub(super) fn token(&self, id: TokenId) -> Result<Option<Arc<Token>>> {
        self.remember(
            |memo| &mut memo.tokens,
            id,
            |access| Ok(access.token(id)?.map(Arc::new)),
        )
    }

    /// A group and its ancestors, nearest first; nothing where it was removed just now.
    ///
    /// # Errors
    /// `Sql`.
    pub fn lineage(&self, group: GroupId) -> Result<Arc<[GroupId]>> {
        self.remember(
            |memo| &mut memo.lineages,
            group,
            |access| Ok(access.lineage(group)?.into()),
        )
    }

    /// All values of feature flags that were set.
    ///
    /// # Errors
    /// `Sql`.
    pub fn features(&self) -> Result<Arc<[Feature]>> {
        self.remember_all(
            |memo| &mut memo.features,
            |access| Ok(access.features()?.into()),
        )
    }

    /// A group by its id.
    ///
    /// # Errors
    /// `Sql`.
    pub fn group_by_id(&self, id: GroupId) -> Result<Option<Arc<Group>>> {
        self.remember(
            |memo| &mut memo.groups_by_id,
            id,
            |access| Ok(access.group(id)?.map(Arc::new)),
        )
    }

    /// A project by its id, with the groups that it lies in.
    ///
    /// # Errors
    /// `Sql`.
    pub fn project(&self, id: ProjectId) -> Result<Option<Arc<PlacedProject>>> {
        self.remember(
            |memo| &mut memo.projects,
            id,
            |access| {
                let Some(project) = access.project(id)? else {
                    return Ok(None);
                };
                let groups: Arc<[GroupId]> = access.lineage(project.group)?.into();
                Ok(Some(Arc::new(PlacedProject { project, groups })))
            },
        )
    }

    /// What the memo has under `key` for the current generation, or what `read` reads.
    fn remember<K: std::hash::Hash + Eq + Clone, V: Clone>(
        &self,
        map: fn(&mut Memo) -> &mut HashMap<K, V>,
        key: K,
        read: impl FnOnce(&AccessDb) -> Result<V>,
    ) -> Result<V> {
        let known = |memo: &mut Memo| map(memo).get(&key).cloned();
        let keep = |memo: &mut Memo, value: V| {
            let map = map(memo);
            if map.len() >= MEMO_ENTRIES {
                map.clear();
            }
            map.insert(key.clone(), value);
        };
        self.remember_by(known, keep, read)
    }

    /// As [`Self::remember`], for what there is one of.
    fn remember_all<V: Clone>(
        &self,
        entry: fn(&mut Memo) -> &mut Option<V>,
        read: impl FnOnce(&AccessDb) -> Result<V>,
    ) -> Result<V> {
        let known = |memo: &mut Memo| entry(memo).clone();
        let keep = |memo: &mut Memo, value: V| *entry(memo) = Some(value);
        self.remember_by(known, keep, read)
    }

    fn remember_by<V: Clone>(
        &self,
        known: impl FnOnce(&mut Memo) -> Option<V>,
        keep: impl FnOnce(&mut Memo, V),
        read: impl FnOnce(&AccessDb) -> Result<V>,
    ) -> Result<V> {
        let generation = self.store.access.generation();
        let kept = known(&mut self.memo(generation));
        if let Some(value) = kept {
            return Ok(value);
        }
        let value = read(&self.store.access)?;
        let mut memo = self.memo(generation);
        // What was read belongs to the generation asked before it, or to a later one: kept under the earlier
        // one, it can only be dropped too soon, never too late.
        if memo.generation == generation {
            keep(&mut memo, value.clone());
        }
        Ok(value)
    }

    /// The memo, emptied if it is of an earlier generation.
    fn memo(&self, generation: u64) -> MutexGuard<'_, Memo> {
        let mut memo = self.memo.lock();
        if memo.generation != generation {
            *memo = Memo {
                generation,
                ..Memo::default()
            };
        }
        memo
    }
}

/// A project as it is stored now, for whoever asks seldom.
///
/// # Errors
/// `Sql`.
pub fn hosted_project_now(access: &AccessDb, id: ProjectId) -> Result<Option<Arc<HostedProject>>> {
    hosted_project(access, id, &Arc::default())
}

/// Whom a token speaks for as it is stored now, for whoever asks seldom; `None` where what it belongs to is gone.
///
/// # Errors
/// `Sql`.
pub fn stored_principal(access: &AccessDb, token: Arc<Token>) -> Result<Option<Principal>> {
    let user = token.user_id.map(|id| access.user(id)).transpose()?;
    let group = token.group_id.map(|id| access.group(id)).transpose()?;
    let project = token.project_id.map(|id| access.project(id)).transpose()?;
    let project = match project.flatten() {
        Some(project) => {
            let groups = access.lineage(project.group)?.into();
            Some(Arc::new(PlacedProject { project, groups }))
        }
        None => None,
    };
    let (user, group) = (user.flatten(), group.flatten());
    Ok(Principal::of_token(
        token,
        user.map(Arc::new),
        group.map(Arc::new),
        project,
    ))
}

/// A project, whether the public may see it, and what holds for it: none of it depends on who asks.
fn hosted_project(
    access: &AccessDb,
    id: ProjectId,
    expressions: &Arc<Expressions>,
) -> Result<Option<Arc<HostedProject>>> {
    let Some(project) = access.project(id)? else {
        return Ok(None);
    };
    let groups: Arc<[GroupId]> = access.lineage(project.group)?.into();
    let mut is_public = project.visibility == Visibility::Public;
    let mut quotas: Vec<Quota> = Vec::new();
    let quota = |path: &str, quota: Option<u64>| {
        quota.map(|max_bytes| Quota {
            path: path.to_owned(),
            max_bytes,
        })
    };
    quotas.extend(quota(&project.path, project.quota));
    for &group in groups.iter() {
        // One that was removed just now takes the project with it: until then nobody new may see it.
        let group = access.group(group)?;
        is_public &= group
            .as_ref()
            .is_some_and(|group| group.visibility == Visibility::Public);
        quotas.extend(group.and_then(|group| quota(&group.path, group.quota)));
    }
    Ok(Some(Arc::new(HostedProject {
        is_public,
        quotas: quotas.into(),
        rules: access.rules(RuleOwner::Project(id))?.into(),
        tag_rules: Arc::new(TagRules::new(&access.tag_rules(id)?, expressions)),
        placed: Arc::new(PlacedProject { project, groups }),
    })))
}
