//! Who must be what, in the words of rules.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantNames};

use crate::schema::words_in_schema;
use crate::store::statement::words_in_sql;

/// The least that somebody must be to do what a rule is about. Ordered: the greatest is the strictest.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum MinimumLevel {
    Maintainer,
    Owner,
    /// Administrators of the box.
    Admin,
    /// Nobody, administrators included, until the rule changes.
    NoAccess,
}

words_in_sql!(MinimumLevel);
words_in_schema!(MinimumLevel);
