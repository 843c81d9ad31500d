//! How much of what is kept was pushed to this box: by project, and by group with all that is below it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::Admin;
use crate::error::Result;
use crate::store::HostedTotals;

/// What was pushed to this box.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PushedView {
    pub totals: HostedTotals,
    /// Those that something was pushed to
    pub projects: Vec<PushedShare>,
    /// Those above them
    pub groups: Vec<PushedShare>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PushedShare {
    pub path: String,
    pub images: u64,
    /// What quotas count, each file once
    pub bytes: u64,
    /// Bytes that may be pushed; null: no limit of its own
    pub quota: Option<u64>,
}

impl PushedView {
    pub(super) fn read(admin: &Admin<'_>) -> Result<Self> {
        let (access, registry) = (&admin.store.access, &admin.store.registry);
        let mut projects = Vec::new();
        for (id, images) in registry.projects_with_images()? {
            // A project that is gone has no share: its images follow.
            if let Some(project) = access.project(id)? {
                projects.push(PushedShare {
                    bytes: registry.usage(&project.path)?,
                    path: project.path,
                    images,
                    quota: project.quota,
                });
            }
        }
        projects.sort_by(|one, other| one.path.cmp(&other.path));
        let mut groups = Vec::new();
        for group in access.groups()? {
            let prefix = format!("{}/", group.path);
            let below = projects.iter();
            let below = below.filter(|project| project.path.starts_with(&prefix));
            let images: u64 = below.map(|project| project.images).sum();
            if images > 0 {
                groups.push(PushedShare {
                    bytes: registry.usage(&group.path)?,
                    path: group.path,
                    images,
                    quota: group.quota,
                });
            }
        }
        Ok(Self {
            totals: registry.totals()?,
            projects,
            groups,
        })
    }
}
