//! The box itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admin, Operation};
use crate::error::Result;

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShowVersion {}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Version")]
#[serde(deny_unknown_fields)]
pub struct VersionView {
    pub version: String,
    pub revision: String,
    pub enterprise: bool,
}

impl Operation for ShowVersion {
    const NAME: &'static str = "about.version";
    type View = VersionView;

    fn perform(self, _: &Admin<'_>) -> Result<VersionView> {
        Ok(VersionView::here())
    }
}

impl VersionView {
    /// Of this program.
    pub fn here() -> Self {
        let version = env!("CARGO_PKG_VERSION");
        Self {
            version: version.to_owned(),
            revision: version.to_owned(),
            enterprise: false,
        }
    }
}
