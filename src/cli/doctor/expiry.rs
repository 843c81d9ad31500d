//! Tokens that will soon be refused, and those that are refused already while somebody still sends them.

use std::time::Duration;

use super::tokens::first_tokens;
use super::{Finding, Severity};
use crate::admin::tokens::Owners;
use crate::auth::administration::expiry::ends_soon;
use crate::cli::output::shown_time;
use crate::error::Result;
use crate::store::{Store, Token, TokenId, TokenKind};
use crate::time::Timestamp;

/// Whoever has not tried for so long has given up, or is gone.
const STILL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

pub(super) fn find(store: &Store) -> Result<Vec<Finding>> {
    let owners = Owners::read(store)?;
    let now = Timestamp::now();
    let (mut soon, mut still) = (Vec::new(), Vec::new());
    for token in store.access.tokens(None)? {
        // A job token ends with its job.
        if token.kind == TokenKind::Job {
            continue;
        }
        let is_over = token.revoked || token.expires_at.is_some_and(|at| at <= now);
        if !is_over {
            if let Some(at) = ends_soon(&token, now) {
                let what = format!(
                    "{}, on {}",
                    shown(&token, &owners),
                    shown_time(Some(at), "")
                );
                soon.push((token.id, what));
            }
            continue;
        }
        let Some((used_at, address)) = store.cache.token_last_used(token.id)? else {
            continue;
        };
        // When it was revoked is not known; the rest of its uses may lie before that.
        let is_after = token.expires_at.is_some_and(|at| at <= used_at);
        if is_after && now.since(used_at) <= STILL {
            let what = format!(
                "{}, from {address} at {}",
                shown(&token, &owners),
                shown_time(Some(used_at), "")
            );
            still.push((token.id, what));
        }
    }
    let finding = |check, what: &str, remedy, found: Vec<(TokenId, String)>| {
        (!found.is_empty()).then(|| {
            let (named, ids) = first_tokens(&found, "; ", Clone::clone);
            let what = format!("{what} {named}");
            let mut finding = Finding::new(Severity::Warning, check, what, remedy);
            finding.tokens = ids;
            finding
        })
    };
    let soon = finding(
        "tokens_expire_soon",
        "within two weeks these tokens expire:",
        "make new secrets with `breakwater token rotate ID`, and hand them out",
        soon,
    );
    let still = finding(
        "tokens_expired_in_use",
        "these tokens have expired, but are still sent:",
        "give whoever sends them a new one, or take the old one out of their settings",
        still,
    );
    Ok(soon.into_iter().chain(still).collect())
}

fn shown(token: &Token, owners: &Owners) -> String {
    format!(
        "token {} `{}` ({}, {})",
        token.id.0,
        token.name,
        token.kind.as_str(),
        owners.of(token)
    )
}
