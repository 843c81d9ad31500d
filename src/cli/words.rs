//! The words of options, and what they mean to the store.

use clap::ValueEnum;

use crate::config::Size;
pub(super) use crate::error::nearest;
use crate::store;

/// `--level`
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Level {
    Guest,
    Reporter,
    Developer,
    Maintainer,
    Owner,
}

impl From<Level> for store::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Guest => Self::Guest,
            Level::Reporter => Self::Reporter,
            Level::Developer => Self::Developer,
            Level::Maintainer => Self::Maintainer,
            Level::Owner => Self::Owner,
        }
    }
}

/// A level's word.
pub(super) fn level_word(level: store::Level) -> &'static str {
    match level {
        store::Level::Guest => "guest",
        store::Level::Reporter => "reporter",
        store::Level::Developer => "developer",
        store::Level::Maintainer => "maintainer",
        store::Level::Owner => "owner",
    }
}

/// A quota: a size in bytes, or nothing for none. `None` for what is neither; zero is refused, as elsewhere it
/// means that there is no limit.
pub(super) fn parse_quota(text: &str) -> Option<Option<u64>> {
    match (text, Size::parse(text)) {
        ("", _) => Some(None),
        (_, Ok(Size::Bytes(bytes))) if bytes > 0 => Some(Some(bytes)),
        _ => None,
    }
}

/// What else `max_size=` could have been.
pub(super) const LIMIT_VALUES: &str = "a size such as 50GiB, or nothing for no limit";

/// What else `quota=` could have been.
pub(super) const QUOTA_VALUES: &str = "a size such as 50GiB, or nothing for no quota";
