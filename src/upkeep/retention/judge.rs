//! Which tags of a repository a cleanup takes, in GitLab's order: one stays for the first of the reasons. Pure.

use std::time::Duration;

use crate::auth::policy::protection::NameExpression;
use crate::error::Result;
use crate::oci::{Digest, Tag};
use crate::store::{CleanupPolicy, CleanupRequest, OlderThan, PushedTag};
use crate::time::Timestamp;
use crate::words::words;

/// The tag that always stays.
const LATEST: &str = "latest";

words! {
    "snake_case"
    /// Why a tag stays.
    pub enum Stays {
        /// It is `latest`.
        Latest,
        /// Its name is not one of those that may go.
        OtherName,
        /// Its name is one of those that stay.
        KeptName,
        /// It is a signature or something like it, by its name, of an image that is here.
        Attached,
        /// It is one of the newest of those that may go.
        Newest,
        /// It was pushed lately.
        Young,
        /// A protection rule keeps it from being deleted, or it is immutable.
        Protected,
    }
}

/// What a policy, or a deletion of many tags, asks for.
#[derive(Debug)]
pub struct Rules {
    /// `None`: no tag may go.
    delete: Option<NameExpression>,
    keep: Option<NameExpression>,
    keep_n: u64,
    older_than: Option<Duration>,
}

impl Rules {
    /// # Errors
    /// `BadRequest` for an expression that cannot be used: one that was stored by a version that could.
    pub fn of_policy(policy: &CleanupPolicy) -> Result<Self> {
        Ok(Self {
            delete: expression(policy.name_regex.as_deref())?,
            keep: expression(policy.name_regex_keep.as_deref())?,
            keep_n: policy.keep_n.map_or(0, u64::from),
            older_than: policy.older_than.map(OlderThan::age),
        })
    }

    /// # Errors
    /// `BadRequest` for an expression that cannot be used.
    pub fn of_request(request: &CleanupRequest) -> Result<Self> {
        Ok(Self {
            delete: expression(Some(&request.name_regex_delete))?,
            keep: expression(request.name_regex_keep.as_deref())?,
            keep_n: request.keep_n.unwrap_or(0),
            older_than: request.older_than,
        })
    }
}

fn expression(pattern: Option<&str>) -> Result<Option<NameExpression>> {
    pattern.map(NameExpression::new).transpose()
}

/// Judges the tags of one repository, those first that were pushed last.
pub(super) struct Judge<'a> {
    rules: &'a Rules,
    now: Timestamp,
    /// How many could go if they were not among the newest, so far.
    matching: u64,
}

impl<'a> Judge<'a> {
    pub(super) fn new(rules: &'a Rules, now: Timestamp) -> Self {
        Self {
            rules,
            now,
            matching: 0,
        }
    }

    /// Why the next tag stays; `None`: it goes.
    pub(super) fn stays(
        &mut self,
        tag: &PushedTag,
        is_here: impl Fn(&Digest) -> bool,
        is_protected: impl Fn(&Tag) -> bool,
    ) -> Option<Stays> {
        let name = tag.name.as_str();
        let matches = |expression: &Option<NameExpression>| {
            expression
                .as_ref()
                .is_some_and(|expression| expression.is_match(name))
        };
        if name == LATEST {
            return Some(Stays::Latest);
        }
        if !matches(&self.rules.delete) {
            return Some(Stays::OtherName);
        }
        if matches(&self.rules.keep) {
            return Some(Stays::KeptName);
        }
        if subject(name).is_some_and(|subject| is_here(&subject)) {
            return Some(Stays::Attached);
        }
        self.matching = self.matching.saturating_add(1);
        if self.matching <= self.rules.keep_n {
            return Some(Stays::Newest);
        }
        let age = self.now.since(tag.pushed_at);
        if self.rules.older_than.is_some_and(|least| age <= least) {
            return Some(Stays::Young);
        }
        is_protected(&tag.name).then_some(Stays::Protected)
    }
}

/// The image that a tag such as `sha256-HEX.sig` is about: cosign signs so, and a registry without the API for referrers
/// lists them so.
fn subject(tag: &str) -> Option<Digest> {
    let (algorithm, rest) = tag.split_once('-')?;
    let hex = rest.split('.').next().unwrap_or(rest);
    Digest::parse(&format!("{algorithm}:{hex}")).ok()
}
