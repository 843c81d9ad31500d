//! What requests about groups have in common with those about projects.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::caller::forbidden_because;
use crate::error::Result;
use crate::store::{Level, SeenFilter, Visibility};

/// Which groups or projects a list shows.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct PlaceFilters {
    /// a part of the path
    pub search: Option<String>,
    /// only those that the caller owns
    pub owned: Option<bool>,
    /// only where the caller has this level
    pub min_access_level: Option<Level>,
    /// only these
    pub visibility: Option<Visibility>,
}

impl PlaceFilters {
    pub(super) fn seen(&self) -> SeenFilter {
        let owned = self.owned == Some(true);
        SeenFilter {
            search: self.search.as_deref().map(str::to_lowercase),
            visibility: self.visibility,
            least: self.min_access_level.max(owned.then_some(Level::Owner)),
            ..SeenFilter::default()
        }
    }
}

/// A quota that is to be set, where 0 is none. Whom a quota bounds does not set it.
pub(super) fn quota(admin: &Admin<'_>, bytes: Option<u64>) -> Result<Option<Option<u64>>> {
    if bytes.is_some() && !admin.caller.is_administrator() {
        return Err(forbidden_because("limits of size are for administrators"));
    }
    Ok(bytes.map(|bytes| Some(bytes).filter(|&bytes| bytes > 0)))
}
