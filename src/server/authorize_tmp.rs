//! TEMPORARY: stands in until the real one is merged.
use super::Appliance;
use crate::auth::Identity;
use crate::auth::identity::PlacedProject;
use crate::auth::policy::{
    self, HostedProject, Quota, Refusal, RepositoryFacts, RepositoryGrant, Wanted,
};
use crate::error::Result;
use crate::oci::RepositoryName;
use crate::store::{CatalogEntry, RuleOwner, Visibility};
use std::sync::Arc;
impl Appliance {
    fn hosted_project(&self, path: &str) -> Result<Option<HostedProject>> {
        let mut path = path;
        loop {
            if let Some(project) = self.store.access.project_by_path(path)? {
                let groups = self.authenticator.lineage(project.group)?;
                let mut quotas = vec![];
                if let Some(max) = project.quota {
                    quotas.push(Quota {
                        path: project.path.clone(),
                        max_bytes: max,
                    });
                }
                return Ok(Some(HostedProject {
                    is_public: project.visibility == Visibility::Public,
                    quotas: quotas.into(),
                    rules: self
                        .store
                        .access
                        .rules(RuleOwner::Project(project.id))?
                        .into(),
                    tag_rules: Arc::new(policy::protection::TagRules::new(
                        &self.store.access.tag_rules(project.id)?,
                    )),
                    placed: Arc::new(PlacedProject { project, groups }),
                }));
            }
            match path.rsplit_once('/') {
                Some((up, _)) => path = up,
                None => return Ok(None),
            }
        }
    }
    pub(super) fn authorize_repository(
        &self,
        identity: &Identity,
        name: &RepositoryName,
        wanted: Wanted,
    ) -> Result<std::result::Result<RepositoryGrant, Refusal>> {
        let project = self.hosted_project(name.as_str())?;
        let Some(project) = project else {
            return Ok(policy::repository(identity, None, wanted));
        };
        let level = match identity.principal.user() {
            Some(user) => self
                .authenticator
                .level(project.placed.project.group, user.id)?,
            None => None,
        };
        Ok(policy::repository(
            identity,
            Some(RepositoryFacts {
                project: &project,
                repository: name,
                level,
            }),
            wanted,
        ))
    }
    pub(super) fn sees_repository(
        &self,
        identity: &Identity,
        entry: &CatalogEntry,
    ) -> Result<bool> {
        let project = self.hosted_project(&entry.path)?;
        let Some(project) = project.filter(|p| p.placed.project.id == entry.project) else {
            return Ok(false);
        };
        let level = match identity.principal.user() {
            Some(user) => self
                .authenticator
                .level(project.placed.project.group, user.id)?,
            None => None,
        };
        Ok(policy::sees_project(identity, &project, level))
    }
}
