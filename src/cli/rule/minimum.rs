//! The options that say who may push and who may delete, in both vocabularies: the least level that may, or the
//! level up to which everybody may not.

use clap::{Args, ValueEnum};

use crate::store::MinimumLevel;

/// `--min-push`, `--push-protected-up-to`, and the same for deleting.
#[derive(Debug, Args)]
pub(super) struct Minimums {
    /// Who may push at least; with `rule set`, none takes it away
    #[arg(
        long,
        visible_alias = "minimum-access-level-for-push",
        value_name = "LEVEL",
        conflicts_with = "push_protected_up_to"
    )]
    min_push: Option<Least>,
    /// Up to which level nobody may push; no_access: nobody at all, not even an administrator
    #[arg(
        long,
        visible_alias = "push-protected-up-to-access-level",
        value_name = "LEVEL"
    )]
    push_protected_up_to: Option<UpTo>,
    /// Who may delete at least; with `rule set`, none takes it away
    #[arg(
        long,
        visible_alias = "minimum-access-level-for-delete",
        value_name = "LEVEL",
        conflicts_with = "delete_protected_up_to"
    )]
    min_delete: Option<Least>,
    /// Up to which level nobody may delete; no_access: nobody at all, not even an administrator
    #[arg(
        long,
        visible_alias = "delete-protected-up-to-access-level",
        value_name = "LEVEL"
    )]
    delete_protected_up_to: Option<UpTo>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Least {
    Maintainer,
    Owner,
    Admin,
    NoAccess,
    None,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum UpTo {
    Developer,
    Maintainer,
    Owner,
    NoAccess,
}

/// What becomes of a minimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It stays.
    Keep,
    /// It becomes this; `None`: the rule does not say any more.
    To(Option<MinimumLevel>),
}

impl Change {
    /// What comes of it.
    pub(super) fn of(self, before: Option<MinimumLevel>) -> Option<MinimumLevel> {
        match self {
            Self::Keep => before,
            Self::To(minimum) => minimum,
        }
    }
}

impl Minimums {
    /// What is said about pushing.
    pub(super) fn push(&self) -> Change {
        change(self.min_push, self.push_protected_up_to)
    }

    /// What is said about deleting.
    pub(super) fn delete(&self) -> Change {
        change(self.min_delete, self.delete_protected_up_to)
    }
}

fn change(least: Option<Least>, up_to: Option<UpTo>) -> Change {
    let least = least.map(|least| match least {
        Least::Maintainer => Some(MinimumLevel::Maintainer),
        Least::Owner => Some(MinimumLevel::Owner),
        Least::Admin => Some(MinimumLevel::Admin),
        Least::NoAccess => Some(MinimumLevel::NoAccess),
        Least::None => None,
    });
    let up_to = up_to.map(|up_to| {
        Some(match up_to {
            UpTo::Developer => MinimumLevel::Maintainer,
            UpTo::Maintainer => MinimumLevel::Owner,
            UpTo::Owner => MinimumLevel::Admin,
            UpTo::NoAccess => MinimumLevel::NoAccess,
        })
    });
    least.or(up_to).map_or(Change::Keep, Change::To)
}
