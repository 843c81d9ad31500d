//! What callers get of what is not kept, where they may not fill and their group says
//! `on_read_only_miss=deny`: nothing is fetched for them, but what somebody else fetches at this moment
//! is served from that fetch.
//!
//! An image is many blobs, which its filler's client asks for one after the other. So a reader who comes
//! upon one that is not there yet waits while the repository is being filled.

use std::time::Duration;

use super::{Proxy, Target};
use crate::auth::Grant;
use crate::error::{Error, Kind, Result};
use crate::time::deadline;

/// The refusal, for the manifest, blob or list `what`. A rule that keeps the caller from filling is named in the log, and to
/// whoever may see it.
pub(super) fn refused(grant: &Grant, unknown: Kind, what: &str) -> Error {
    let what = format!(
        "{what} is not cached here, and this group fetches nothing for callers who may not fill the cache"
    );
    let error = match grant.kept_from_filling_by() {
        Some(rule) if rule.is_shown() => {
            Error::new(unknown, format!("{what}: {}", rule.sentence()))
        }
        Some(rule) => Error::new(unknown, &what).logged(format!("{what}: {}", rule.sentence())),
        None => Error::new(unknown, what),
    };
    error.remedy("let somebody who may fill it ask for it first")
}

/// Runs `attempt` until it finds something, as long as somebody fills the repository, and for at most
/// `patience`. For grants that pass through it runs once.
pub(super) fn waiting<T>(
    proxy: &Proxy,
    grant: &Grant,
    target: &Target,
    patience: Duration,
    attempt: impl Fn() -> Result<T>,
) -> Result<T> {
    let deadline = deadline(patience);
    loop {
        let error = match attempt() {
            Err(error) if !grant.passes_through() => error,
            result => return result,
        };
        let absent = matches!(error.kind(), Kind::ManifestUnknown | Kind::BlobUnknown);
        if !absent || proxy.is_stopping() || !proxy.fetches.wait_for_fill(&target.key(), deadline) {
            return Err(error);
        }
    }
}

impl Proxy {
    /// Notes that somebody fills the repository now.
    pub(super) fn note_fill(&self, grant: &Grant, target: &Target) {
        if grant.may_fill() {
            self.fetches.note_fill(target.key());
        }
    }
}
