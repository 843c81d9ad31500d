//! All tokens that count, and what is known of whom they speak for: for the doctor, and for what a flag would change.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::auth::features::Flags;
use crate::auth::policy::{self, GroupFacts};
use crate::auth::scope::Ability;
use crate::auth::{PlacedProject, Principal};
use crate::error::Result;
use crate::store::{
    Feature, Group, GroupId, Level, Network, Project, ProjectId, Store, Token, User, UserId,
    Visibility,
};
use crate::time::Timestamp;

/// All that decisions about tokens in the dependency proxy need, read once: for whoever judges all of them.
pub struct Known {
    pub users: Vec<Arc<User>>,
    pub groups: Vec<Arc<Group>>,
    lineages: BTreeMap<GroupId, Vec<GroupId>>,
    /// The groups that are public with all those above them.
    public: HashSet<GroupId>,
    levels: BTreeMap<(GroupId, UserId), Level>,
    pub networks: Vec<Network>,
    pub features: Vec<Feature>,
    /// Those that count now: neither they nor their users are blocked, revoked or expired.
    pub tokens: Vec<Principal>,
}

impl Known {
    pub fn read(store: &Store) -> Result<Self> {
        let access = &store.access;
        let groups: Vec<_> = access.groups()?.into_iter().map(Arc::new).collect();
        let (mut levels, mut lineages) = (BTreeMap::new(), BTreeMap::new());
        for group in &groups {
            lineages.insert(group.id, access.lineage(group.id)?);
            for member in access.members(group.id)? {
                levels.insert((group.id, member.user_id), member.level);
            }
        }
        let users: Vec<_> = access.users()?.into_iter().map(Arc::new).collect();
        let owners = Owners {
            users: users.iter().map(|user| (user.id, user)).collect(),
            groups: groups.iter().map(|group| (group.id, group)).collect(),
            projects: projects(access.projects()?, &lineages),
        };
        let is_public = |lineage: &Vec<GroupId>| {
            let mut above = lineage.iter().filter_map(|id| owners.groups.get(id));
            above.all(|group| group.visibility == Visibility::Public)
        };
        let public = lineages.iter().filter(|(_, lineage)| is_public(lineage));
        let public = public.map(|(&id, _)| id).collect();
        let now = Timestamp::now();
        let tokens = access.tokens(None)?.into_iter();
        let tokens = tokens
            .filter_map(|token| owners.principal(Arc::new(token)))
            .filter(|principal| principal.is_valid(now))
            .collect();
        Ok(Self {
            users,
            groups,
            lineages,
            public,
            levels,
            networks: access.networks()?,
            features: access.features()?,
            tokens,
        })
    }

    /// The group and those above it, nearest first.
    pub fn lineage(&self, group: GroupId) -> &[GroupId] {
        self.lineages.get(&group).map_or(&[], Vec::as_slice)
    }

    /// The tokens among those that are meant which a setting of the flags refuses, with what they lack.
    pub fn refused(
        &self,
        flags: Flags,
        is_meant: impl Fn(&Token) -> bool,
    ) -> impl Iterator<Item = (&Principal, &Token, Ability)> {
        self.tokens.iter().filter_map(move |principal| {
            let missing = policy::cache_access(principal, flags).err()?;
            let token = principal.token().filter(|token| is_meant(token))?;
            Some((principal, token, missing))
        })
    }

    /// What decides about a group, without its networks, and as if it were not the mirror's.
    pub fn facts<'a>(&'a self, group: &'a Group, principal: &Principal) -> GroupFacts<'a> {
        let lineage = self.lineage(group.id);
        let level = principal.user().and_then(|user| {
            let levels = lineage
                .iter()
                .filter_map(|&id| self.levels.get(&(id, user.id)));
            levels.max().copied()
        });
        GroupFacts {
            group,
            lineage,
            level,
            is_public: self.public.contains(&group.id),
            is_mirror: false,
            networks: &[],
            flags: Flags::of(&self.features, lineage),
        }
    }
}

/// Whom tokens may speak for.
struct Owners<'a> {
    users: HashMap<UserId, &'a Arc<User>>,
    groups: HashMap<GroupId, &'a Arc<Group>>,
    projects: HashMap<ProjectId, Arc<PlacedProject>>,
}

impl Owners<'_> {
    /// Whom a token speaks for, as a login would find it.
    fn principal(&self, token: Arc<Token>) -> Option<Principal> {
        let user = token.user_id.and_then(|id| self.users.get(&id));
        let group = token.group_id.and_then(|id| self.groups.get(&id));
        let project = token.project_id.and_then(|id| self.projects.get(&id));
        let (user, group) = (
            user.map(|user| Arc::clone(user)),
            group.map(|group| Arc::clone(group)),
        );
        let project = project.map(Arc::clone);
        Principal::of_token(token, user, group, project)
    }
}

fn projects(
    projects: Vec<Project>,
    lineages: &BTreeMap<GroupId, Vec<GroupId>>,
) -> HashMap<ProjectId, Arc<PlacedProject>> {
    let placed = projects.into_iter().map(|project| {
        let groups = lineages.get(&project.group).map_or(&[][..], Vec::as_slice);
        let groups = groups.into();
        (project.id, Arc::new(PlacedProject { project, groups }))
    });
    placed.collect()
}
