//! Who must be what, in the words of rules.

use serde::Serialize;

/// The least that somebody must be to do what a rule is about. Ordered: the greatest is the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MinimumLevel {
    /// Maintainers, owners, administrators.
    Maintainer,
    /// Owners and administrators.
    Owner,
    /// Administrators of the box.
    Admin,
    /// Nobody, administrators included, until the rule changes.
    NoAccess,
}

impl MinimumLevel {
    /// All, from the mildest to the strictest.
    pub const ALL: [Self; 4] = [Self::Maintainer, Self::Owner, Self::Admin, Self::NoAccess];

    /// The word in commands, JSON and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Maintainer => "maintainer",
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::NoAccess => "no_access",
        }
    }

    /// The minimum of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|minimum| minimum.as_str() == word)
    }

    /// The older way to say it: the level up to and including which everybody is kept out.
    pub fn protected_up_to(self) -> &'static str {
        match self {
            Self::Maintainer => "developer",
            Self::Owner => "maintainer",
            Self::Admin => "owner",
            Self::NoAccess => "no_access",
        }
    }

    /// The minimum that the older word means.
    pub fn parse_protected_up_to(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|minimum| minimum.protected_up_to() == word)
    }
}
