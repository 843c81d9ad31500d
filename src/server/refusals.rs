//! What the audit hears of refusals: 401, 403, and what is hidden behind a 404. One place for all routes.
//!
//! A challenge to somebody who brought nothing is no refusal: that is how every client begins. Failed logins
//! are noted where they are judged, by `auth`.

use super::Appliance;
use super::call::{Call, Credentials};
use super::router::{self, Place, Route};
use super::troubles;
use crate::error::{Kind, Result};
use crate::store::{Actor, Detail, Event, EventKind, EventPlace};

/// Notes the refusal that an answer with `status` is, if it is one; `kind` is that of the error behind it.
pub(super) fn note(appliance: &Appliance, call: &Call<'_>, kind: Option<Kind>, status: u16) {
    let event = refusal(call, kind, status);
    let is_refused_login = status == 401 && !matches!(call.credentials(), Credentials::None);
    // Whoever is granted something is told so of an upstream's limit.
    let is_banned = status == 429 && !call.note.is_granted;
    if event.is_some() || is_refused_login || is_banned {
        appliance.observed.refused.one();
    }
    if event.is_some() || status >= 500 {
        troubles::note(appliance, call, status);
    }
    let Some(event) = event else {
        return;
    };
    let path = &call.request.path;
    // An event without its place is better than none.
    let place = place(appliance, path).unwrap_or_default();
    let why = call.note.why.as_deref().map(Detail::name);
    let event = Event::new(event)
        .subject("path", path, None)
        .place(place)
        .detail_if("why", why);
    let actor = actor(appliance, call)
        .address(call.address.ip)
        .correlation_id(&call.id);
    let audit = &appliance.store.audit;
    let route = router::route(path, None);
    if call.reads() && matches!(route, Ok(Route::Repository(_) | Route::Token)) {
        audit.tell_refused_pull(&actor, &event, status);
    }
    audit.note(actor, event, call.now);
}

fn refusal(call: &Call<'_>, kind: Option<Kind>, status: u16) -> Option<EventKind> {
    let brought = call.credentials();
    match (status, kind) {
        // Basic credentials were judged as a login, and noted as such.
        (401, _) if matches!(brought, Credentials::Bearer(_)) => {
            Some(EventKind::AccessUnauthorized)
        }
        (401, _) => {
            let route = router::route(&call.request.path, None);
            let is_refused = match brought {
                Credentials::None => {
                    matches!(route, Ok(Route::Token)) && call.note.principal.is_some()
                }
                _ => matches!(route, Ok(Route::Repository(_))),
            };
            is_refused.then_some(EventKind::AccessUnauthorized)
        }
        (403, _) => Some(EventKind::AccessDenied),
        (404, Some(Kind::NameUnknown)) if !call.note.is_granted => Some(EventKind::AccessHidden),
        _ => None,
    }
}

/// Who was refused. Of a JWT that is no longer valid, whom it was issued for, if we have signed it.
fn actor(appliance: &Appliance, call: &Call<'_>) -> Actor {
    if let Some(actor) = &call.note.actor {
        return actor.clone();
    }
    let subject = match call.credentials() {
        Credentials::Bearer(jwt) => appliance
            .authenticator
            .jwts()
            .signed_subject(&jwt, call.now),
        _ => None,
    };
    match subject {
        Some(subject) => Actor::new(subject),
        None => Actor::nobody("unknown"),
    }
}

/// The group or project that a path is in, by the ids of those that there are.
pub(super) fn place(appliance: &Appliance, path: &str) -> Result<Option<EventPlace>> {
    let Ok(Route::Repository(route)) = router::route(path, None) else {
        return Ok(None);
    };
    if let Some(repository) = appliance.hosted_repository(&route.place)? {
        let owner = appliance.authenticator.project_owning(repository)?;
        return match owner {
            Some(owner) => {
                let project = &owner.placed.project;
                Ok(Some(owner.placed.event_place(&project.path)))
            }
            None => innermost_group(appliance, repository.as_str()),
        };
    }
    match &route.place {
        Place::Group { group, .. } => innermost_group(appliance, group),
        Place::Mirror { .. } => Ok(None),
    }
}

/// The innermost of the groups that a path begins with.
fn innermost_group(appliance: &Appliance, path: &str) -> Result<Option<EventPlace>> {
    let authenticator = &appliance.authenticator;
    let ends = path.match_indices('/').map(|(at, _)| at);
    let mut innermost = None;
    for end in ends.chain([path.len()]) {
        match authenticator.group(path.get(..end).unwrap_or_default())? {
            Some(group) => innermost = Some(group),
            // Groups nest: below what is not there, nothing is.
            None => break,
        }
    }
    let Some(group) = innermost else {
        return Ok(None);
    };
    let groups = authenticator.lineage(group.id)?;
    Ok(Some(EventPlace::in_groups(&group.path, &groups)))
}
