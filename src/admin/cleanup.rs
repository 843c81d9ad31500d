//! Cleanup policies of projects, in GitLab's fields.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::Admin;
use crate::auth::policy::protection::check_name_expression;
use crate::error::{Error, Kind, Result};
use crate::store::{Cadence, CleanupPolicy, OlderThan, ProjectId};
use crate::time::Timestamp;

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
                Some(text) => check_name_expression(&text)
                    .map_err(|error| error.about(field))
                    .map(|()| Some(text)),
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
}

/// The policies of some projects, to be shown.
pub(super) struct Policies(HashMap<ProjectId, CleanupPolicy>);

impl Policies {
    pub(super) fn of(admin: &Admin<'_>, projects: &[ProjectId]) -> Result<Self> {
        admin.store.access.cleanup_policies(projects).map(Self)
    }

    pub(super) fn view(&mut self, project: ProjectId) -> CleanupPolicyView {
        let policy = self.0.remove(&project).unwrap_or_default();
        CleanupPolicyView {
            cadence: policy.cadence,
            enabled: policy.enabled,
            keep_n: policy.keep_n,
            older_than: policy.older_than,
            name_regex: policy.name_regex.clone(),
            name_regex_delete: policy.name_regex,
            name_regex_keep: policy.name_regex_keep,
            next_run_at: policy.next_run_at,
        }
    }
}
