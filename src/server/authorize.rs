//! From an identity and a path to the policy's verdict: gathers the stored facts that the rules need.

use super::Appliance;
use crate::auth::features::Flags;
use crate::auth::policy::{self, GroupFacts, Refusal};
use crate::auth::{Grant, Identity};
use crate::error::Result;

/// A grant, or why there is none; the outer error is ours.
pub(super) type Verdict = Result<std::result::Result<Grant, Refusal>>;

impl Appliance {
    /// Judges an identity by the policy of a group's dependency proxy.
    pub(super) fn authorize_group(&self, identity: &Identity, path: &str) -> Verdict {
        let authenticator = &self.authenticator;
        let Some(group) = authenticator.group(path)? else {
            return Ok(policy::dependency_proxy(identity, None));
        };
        let level = match identity.principal.user() {
            Some(user) => authenticator.level(group.id, user.id)?,
            None => None,
        };
        let lineage = authenticator.lineage(group.id)?;
        let facts = GroupFacts {
            group: &group,
            lineage: &lineage,
            level,
            is_mirror: self.mirror_group.as_deref() == Some(path),
            networks: &authenticator.networks()?,
            flags: Flags::of(&authenticator.features()?, &lineage),
        };
        Ok(policy::dependency_proxy(identity, Some(facts)))
    }

    /// Judges an identity by the policy of the mirror's group.
    pub(super) fn authorize_mirror(&self, identity: &Identity) -> Verdict {
        match &self.mirror_group {
            Some(group) => self.authorize_group(identity, group),
            None => Ok(policy::dependency_proxy(identity, None)),
        }
    }

    /// The flags as they hold for the box: for logins, which name no group.
    pub(super) fn box_flags(&self) -> Result<Flags> {
        Ok(Flags::of(&self.authenticator.features()?, &[]))
    }

    /// The flags as they hold for a group; the box's where there is no such group.
    pub(super) fn group_flags(&self, path: &str) -> Result<Flags> {
        match self.authenticator.group(path)? {
            Some(group) => {
                let lineage = self.authenticator.lineage(group.id)?;
                Ok(Flags::of(&self.authenticator.features()?, &lineage))
            }
            None => self.box_flags(),
        }
    }
}
