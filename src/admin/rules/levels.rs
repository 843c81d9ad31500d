//! Who may push and who may delete, in both vocabularies: the least level that may, or the level up to which everybody
//! may not.

use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, VariantNames};

use crate::schema::words_in_schema;
use crate::store::MinimumLevel;

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema, Args)]
pub struct Minimums {
    /// Who may push at least; with `rule set`, none takes it away
    #[arg(
        long = "min-push",
        visible_alias = "minimum-access-level-for-push",
        value_name = "LEVEL",
        conflicts_with = "push_protected_up_to_access_level"
    )]
    #[schemars(description = "who may push; empty: everybody who may anyway")]
    pub minimum_access_level_for_push: Option<Least>,
    /// Up to which level nobody may push; no_access: nobody at all, not even an administrator
    #[arg(
        long = "push-protected-up-to",
        visible_alias = "push-protected-up-to-access-level",
        value_name = "LEVEL"
    )]
    #[schemars(description = "another way to say who may push")]
    pub push_protected_up_to_access_level: Option<UpTo>,
    /// Who may delete at least; with `rule set`, none takes it away
    #[arg(
        long = "min-delete",
        visible_alias = "minimum-access-level-for-delete",
        value_name = "LEVEL",
        conflicts_with = "delete_protected_up_to_access_level"
    )]
    #[schemars(description = "who may delete; empty: everybody who may anyway")]
    pub minimum_access_level_for_delete: Option<Least>,
    /// Up to which level nobody may delete; no_access: nobody at all, not even an administrator
    #[arg(
        long = "delete-protected-up-to",
        visible_alias = "delete-protected-up-to-access-level",
        value_name = "LEVEL"
    )]
    #[schemars(description = "another way to say who may delete")]
    pub delete_protected_up_to_access_level: Option<UpTo>,
}

/// In JSON the last is an empty text, as in GitLab.
#[derive(
    Debug, Clone, Copy, Serialize, Deserialize, EnumString, VariantNames, ValueEnum, PartialEq, Eq,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Least {
    Maintainer,
    Owner,
    Admin,
    NoAccess,
    #[serde(rename = "")]
    #[strum(serialize = "")]
    None,
}

#[derive(
    Debug, Clone, Copy, Serialize, Deserialize, EnumString, VariantNames, ValueEnum, PartialEq, Eq,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum UpTo {
    Developer,
    Maintainer,
    Owner,
    NoAccess,
    #[serde(rename = "")]
    #[strum(serialize = "")]
    #[value(skip)]
    None,
}

words_in_schema!(Least, UpTo);

impl Minimums {
    pub fn is_empty(&self) -> bool {
        self.minimum_access_level_for_push.is_none()
            && self.push_protected_up_to_access_level.is_none()
            && self.minimum_access_level_for_delete.is_none()
            && self.delete_protected_up_to_access_level.is_none()
    }

    /// Who may push from now on.
    pub(super) fn push(&self, before: Option<MinimumLevel>) -> Option<MinimumLevel> {
        changed(
            before,
            self.minimum_access_level_for_push,
            self.push_protected_up_to_access_level,
        )
    }

    /// Who may delete from now on.
    pub(super) fn delete(&self, before: Option<MinimumLevel>) -> Option<MinimumLevel> {
        changed(
            before,
            self.minimum_access_level_for_delete,
            self.delete_protected_up_to_access_level,
        )
    }
}

fn changed(
    before: Option<MinimumLevel>,
    least: Option<Least>,
    up_to: Option<UpTo>,
) -> Option<MinimumLevel> {
    match (least, up_to) {
        (Some(least), _) => least.into(),
        (None, Some(up_to)) => up_to.into(),
        (None, None) => before,
    }
}

impl From<Least> for Option<MinimumLevel> {
    fn from(least: Least) -> Self {
        match least {
            Least::Maintainer => Some(MinimumLevel::Maintainer),
            Least::Owner => Some(MinimumLevel::Owner),
            Least::Admin => Some(MinimumLevel::Admin),
            Least::NoAccess => Some(MinimumLevel::NoAccess),
            Least::None => None,
        }
    }
}

impl From<UpTo> for Option<MinimumLevel> {
    fn from(up_to: UpTo) -> Self {
        match up_to {
            UpTo::Developer => Some(MinimumLevel::Maintainer),
            UpTo::Maintainer => Some(MinimumLevel::Owner),
            UpTo::Owner => Some(MinimumLevel::Admin),
            UpTo::NoAccess => Some(MinimumLevel::NoAccess),
            UpTo::None => None,
        }
    }
}

impl From<MinimumLevel> for UpTo {
    fn from(minimum: MinimumLevel) -> Self {
        match minimum {
            MinimumLevel::Maintainer => Self::Developer,
            MinimumLevel::Owner => Self::Maintainer,
            MinimumLevel::Admin => Self::Owner,
            MinimumLevel::NoAccess => Self::NoAccess,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use strum::VariantNames as _;

    use super::*;

    #[test]
    fn both_vocabularies_say_the_same() {
        for (minimum, older) in [
            ("maintainer", "developer"),
            ("owner", "maintainer"),
            ("admin", "owner"),
            ("no_access", "no_access"),
        ] {
            let parsed: MinimumLevel = minimum.parse().unwrap();
            let (least, up_to): (Least, UpTo) = (minimum.parse().unwrap(), older.parse().unwrap());
            assert_eq!(Option::from(least), Some(parsed), "{minimum}");
            assert_eq!(Option::from(up_to), Some(parsed), "{older}");
            assert_eq!(json!([parsed, UpTo::from(parsed)]), json!([minimum, older]));
        }
        assert!("developer".parse::<MinimumLevel>().is_err());
        assert!("admin".parse::<UpTo>().is_err());
        assert_eq!(Option::<MinimumLevel>::from(Least::None), None);
        assert_eq!(json!([Least::None, UpTo::None]), json!(["", ""]));
        let all = MinimumLevel::VARIANTS
            .iter()
            .map(|word| word.parse::<MinimumLevel>());
        assert!(all.map(Result::unwrap).is_sorted());
    }
}
