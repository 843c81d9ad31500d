//! What the doctor finds on the box of a running server. Its checks are the command line's; here is how they look.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admin, Operation};
use crate::error::{Error, Kind, Result};
use crate::store::TokenId;
use crate::time::Timestamp;
use crate::words::words;

words! {
    "lowercase"
    #[derive(PartialOrd, Ord)]
    /// How bad a finding is.
    pub enum Severity {
        /// Something does not work, or anybody may do what nobody should.
        Error,
        /// It works, and will hurt.
        Warning,
        /// Good to know; counts as neither.
        Note,
    }
}

/// What is wrong or risky; asks no upstream. What is older than a minute is looked at anew, and what was found before is
/// given if that does not end at once: it can be as old as the last question, an hour at most.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ShowFindings {}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Findings")]
#[serde(deny_unknown_fields)]
pub struct FindingsView {
    /// When it was looked; null: the first look goes on, or the first one for an hour
    pub as_of: Option<Timestamp>,
    /// Null where nothing was looked at yet, which is no good sign
    pub errors: Option<usize>,
    pub warnings: Option<usize>,
    /// The worst first
    pub findings: Vec<FindingView>,
    /// Those that `doctor.accept` names
    pub accepted: Vec<FindingView>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Finding")]
#[serde(deny_unknown_fields)]
pub struct FindingView {
    pub severity: Severity,
    /// A word for programs, the same for the same kind of finding
    pub check: String,
    pub what: String,
    pub remedy: String,
    /// The tokens that it is about; the first 50
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<TokenId>,
}

impl Operation for ShowFindings {
    const NAME: &'static str = "findings.show";
    type View = FindingsView;

    fn perform(self, admin: &Admin<'_>) -> Result<FindingsView> {
        let Some(server) = admin.server else {
            let what = "no server runs that could say what it finds";
            return Err(Error::new(Kind::Conflict, what).remedy("run `breakwater doctor`"));
        };
        Ok(server.findings().unwrap_or_default())
    }
}
