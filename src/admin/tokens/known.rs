//! All tokens that count, and what is known of whom they speak for: for the doctor, and for what a flag would change.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::auth::features::Flags;
use crate::auth::policy::{self, GroupFacts};
use crate::auth::scope::Ability;
use crate::auth::{PlacedProject, Principal};
use crate::error::Result;
use crate::store::{
    Feature, Group, GroupId, Level, Network, Project, Store, Token, User, UserId, Visibility,
};
use crate::time::Timestamp;

/// All that decisions about tokens in the dependency proxy need, read once: for whoever judges all of them.
pub struct Known {
    pub users: Vec<Arc<User>>,
    pub groups: Vec<Arc<Group>>,
    lineages: BTreeMap<GroupId, Vec<GroupId>>,
    projects: Vec<Project>,
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
        let mut known = Self {
            users: access.users()?.into_iter().map(Arc::new).collect(),
            groups,
            lineages,
            projects: access.projects()?,
            levels,
            networks: access.networks()?,
            features: access.features()?,
            tokens: Vec::new(),
        };
        let now = Timestamp::now();
        let tokens = access.tokens(None)?.into_iter();
        known.tokens = tokens
            .filter_map(|token| known.principal(Arc::new(token)))
            .filter(|principal| principal.is_valid(now))
            .collect();
        Ok(known)
    }

    /// Whom a token speaks for, as a login would find it.
    fn principal(&self, token: Arc<Token>) -> Option<Principal> {
        let user = || {
            let found = self
                .users
                .iter()
                .find(|user| Some(user.id) == token.user_id);
            found.map(Arc::clone)
        };
        let group = || {
            let found = self
                .groups
                .iter()
                .find(|group| Some(group.id) == token.group_id);
            found.map(Arc::clone)
        };
        let project = || {
            let mut projects = self.projects.iter();
            let project = projects.find(|project| Some(project.id) == token.project_id)?;
            Some(Arc::new(PlacedProject {
                project: project.clone(),
                groups: self.lineage(project.group).into(),
            }))
        };
        Principal::of_token(Arc::clone(&token), user(), group(), project())
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
        let above = self
            .groups
            .iter()
            .filter(|group| lineage.contains(&group.id));
        let mut visibilities = above.map(|group| group.visibility);
        GroupFacts {
            group,
            lineage,
            level,
            is_public: visibilities.all(|visibility| visibility == Visibility::Public),
            is_mirror: false,
            networks: &[],
            flags: Flags::of(&self.features, lineage),
        }
    }
}
