//! Lists of tokens, with what can be done to each.

use std::time::Duration;

use maud::{Markup, html};

use super::new::expiry;
use crate::admin::tokens::{AccessTokenView, DeployTokenView, JobTokenView};
use crate::server::ui::parts;
use crate::server::ui::places::level_name;
use crate::server::ui::visit::Visit;
use crate::time::{Timestamp, parse_moment};

/// A token that ends within this time is pointed out.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// A token of any kind.
pub(super) struct Row {
    id: i64,
    name: String,
    /// With which it logs in, where that is not said elsewhere.
    username: Option<String>,
    scopes: Vec<String>,
    revoked: bool,
    expired: bool,
    ends_at: Option<Timestamp>,
    created_at: Option<Timestamp>,
    created_by: String,
    /// Unknown of job tokens.
    last_used: Option<(Option<Timestamp>, Vec<String>)>,
    /// Of REST.
    path: String,
    can_rotate: bool,
    /// What a revocation also ends.
    and: &'static str,
    extra: Markup,
}

impl Row {
    /// The same with what only this list tells.
    pub(super) fn with(self, extra: Markup) -> Self {
        Self { extra, ..self }
    }

    pub(super) fn of_access(token: &AccessTokenView, list: &str) -> Self {
        let ends_at = token.expires_at.as_deref().and_then(parse_moment);
        let level = token.access_level.map(level_name);
        Self {
            id: token.id.0,
            name: token.name.clone(),
            username: None,
            scopes: token.scopes.clone(),
            revoked: token.revoked,
            expired: !token.active && !token.revoked,
            ends_at,
            created_at: Some(token.created_at),
            created_by: token.created_by.clone(),
            last_used: Some((token.last_used_at, token.last_used_ips.clone())),
            path: format!("{list}/{}", token.id.0),
            can_rotate: true,
            and: match token.user_id {
                Some(_) => " Personal tokens that were made with it end too.",
                None => "",
            },
            extra: html! { (level.unwrap_or_default()) },
        }
    }

    pub(super) fn of_deploy(token: &DeployTokenView, list: &str) -> Self {
        Self {
            id: token.id.0,
            name: token.name.clone(),
            username: token.username.clone(),
            scopes: token.scopes.clone(),
            revoked: token.revoked,
            expired: token.expired,
            ends_at: token.expires_at,
            created_at: None,
            created_by: token.created_by.clone(),
            last_used: Some((token.last_used_at, token.last_used_ips.clone())),
            path: format!("{list}/{}", token.id.0),
            can_rotate: true,
            and: "",
            extra: html! {},
        }
    }

    pub(super) fn of_job(token: &JobTokenView, list: &str) -> Self {
        Self {
            id: token.id.0,
            name: token.name.clone(),
            username: None,
            scopes: Vec::new(),
            revoked: token.revoked,
            expired: !token.active && !token.revoked,
            ends_at: token.expires_at,
            created_at: Some(token.created_at),
            created_by: token.created_by.clone(),
            last_used: None,
            path: format!("{list}/{}", token.id.0),
            can_rotate: false,
            and: "",
            extra: html! {},
        }
    }

    fn badge(&self, now: Timestamp) -> Markup {
        let ends_soon = self.ends_at.is_some_and(|at| at <= now.plus(SOON));
        html! {
            @if self.revoked { " " span.badge.bad { "revoked" } }
            @else if self.expired { " " span.badge.warn { "expired" } }
            @else if ends_soon && self.can_rotate { " " span.badge.warn { "ends soon" } }
        }
    }

    fn actions(&self, visit: &Visit<'_, '_>) -> Markup {
        let rotate = format!("{}/rotate", self.path);
        let form = format!("POST{rotate}");
        let rotation = html! {
            p { "The secret of " strong { (self.name) } " is refused from the next request on: docker, CI jobs and scripts that log in with it fail until they have the new one. It is shown next, and only then." }
            (expiry(visit, &form))
        };
        let revocation = format!(
            "Whatever logs in with {} is refused from its next request on: docker, CI jobs, scripts.{} This cannot be taken back.",
            self.name, self.and
        );
        html! {
            @if self.can_rotate && !self.revoked {
                (parts::confirmed_with(visit, ("POST", &rotate), "Rotate", &rotation, "The token was rotated."))
            }
            @if !self.revoked && !self.expired {
                (parts::confirmed(visit, ("DELETE", &self.path), "Revoke", &revocation, "The token was revoked."))
            }
        }
    }
}

/// `extra`: the heading of what only this list tells.
pub(super) fn table(visit: &Visit<'_, '_>, extra: Option<&str>, rows: Vec<Row>) -> Markup {
    if rows.is_empty() {
        let has_form = !matches!(extra, Some("User" | "Of"));
        return html! { p.empty { "There is no token here." @if has_form { " Make one below." } } };
    }
    let headings = [
        Some("Token"),
        extra,
        Some("May do"),
        Some("Ends"),
        Some("Last used"),
        Some(""),
    ];
    let headings: Vec<_> = headings.into_iter().flatten().collect();
    let now = visit.call.now;
    let cells = rows.iter().map(|row| {
        html! {
            td {
                strong { (row.name) } (row.badge(now))
                @if let Some(username) = &row.username { small { "logs in as " code { (username) } } }
                small {
                    "token " (row.id) ", made " @if let Some(at) = row.created_at { (parts::time(at)) " " } "by " (row.created_by)
                }
            }
            @if extra.is_some() { td { (row.extra) } }
            td.scopes { @for scope in &row.scopes { code { (scope) } " " } @if row.scopes.is_empty() { "as its user" } }
            td { span.narrow { "Ends: " } (ends(row.ends_at)) }
            td {
                span.narrow { "Last used: " }
                @match &row.last_used {
                    Some((Some(at), addresses)) => {
                        (parts::time(*at))
                        @for address in addresses { small { "from " (address) } }
                    }
                    Some((None, _)) => "Never",
                    None => span.soft { "Not noted" },
                }
            }
            td { (row.actions(visit)) }
        }
    });
    parts::table(&headings, cells)
}

/// The day alone, where REST tells no more or where it ends with the day.
fn ends(at: Option<Timestamp>) -> Markup {
    let Some(at) = at else {
        return html! { "Never" };
    };
    let text = at.to_string();
    match text.strip_suffix("T00:00:00Z") {
        Some(day) => html! { time datetime=(day) { (day) } },
        None => parts::time(at),
    }
}
