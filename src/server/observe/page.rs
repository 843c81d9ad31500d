//! The page of `/metrics`: asks every room for its numbers, and puts them down. What cannot be told at this
//! moment, because a database does not answer for example, is left out, and the rest is there.

use crate::proxy::UpstreamFigures;
use crate::server::Appliance;
use crate::telemetry::metrics::{Page, name, write_process};
use crate::time::Timestamp;

/// The label of the upstreams that groups bring: their names are the groups' business. No name of an
/// upstream has a bracket.
const OF_GROUPS: &str = "(groups)";

pub(super) fn metrics(appliance: &Appliance) -> String {
    let mut page = Page::default();
    let version = env!("CARGO_PKG_VERSION");
    page.family(&name::BUILD).sample(&[version], 1);
    page.single(&name::OFFLINE, u8::from(appliance.is_offline()));
    appliance.observed.traffic.write(&mut page);
    front_door(appliance, &mut page);
    match appliance.proxy.upstream_figures() {
        Ok(figures) => upstreams(&figures, &mut page),
        Err(error) => tracing::warn!(%error, "metrics without upstreams"),
    }
    fetches(appliance, &mut page);
    disk(appliance, &mut page);
    logins(appliance, &mut page);
    write_process(&mut page, appliance.observed.started_at);
    page.into_text()
}

fn front_door(appliance: &Appliance, page: &mut Page) {
    let Some(load) = appliance.observed.load() else {
        return;
    };
    page.single(&name::CONNECTIONS, load.connections);
    page.single(&name::CONNECTIONS_LIMIT, load.max_connections);
    page.single(&name::ACCEPTED, load.accepted);
    let mut refused = page.family(&name::REFUSED_CONNECTIONS);
    refused.sample(&["server"], load.refused_by_server);
    refused.sample(&["address"], load.refused_by_address);
    page.single(&name::WORKERS, load.workers);
    page.single(&name::WORKERS_BUSY, load.busy);
    page.single(&name::QUEUED, load.queued);
    if let Some(end) = load.certificate_ends {
        page.single(&name::CERTIFICATE_ENDS, end.0);
        let outdated = u8::from(load.certificate_is_outdated);
        page.single(&name::CERTIFICATE_OUTDATED, outdated);
    }
}

fn upstreams(figures: &[UpstreamFigures], page: &mut Page) {
    let label = |figures: &UpstreamFigures| match &figures.name {
        Some(name) => name.clone(),
        None => OF_GROUPS.to_owned(),
    };
    let mut family = page.family(&name::UPSTREAM_REQUESTS);
    for upstream in figures {
        for (result, count) in upstream.counts.tries() {
            family.sample(&[&label(upstream), result], count);
        }
    }
    let mut family = page.family(&name::UPSTREAM_BYTES);
    for upstream in figures {
        family.sample(&[&label(upstream)], upstream.counts.received());
    }
    let mut family = page.family(&name::UPSTREAM_LIES);
    for upstream in figures {
        family.sample(&[&label(upstream)], upstream.counts.lies());
    }
    let mut family = page.family(&name::UPSTREAM_STATE);
    for upstream in figures {
        for state in ["closed", "slow", "half-open", "open", "offline", "unusable"] {
            let known = upstream.states.iter().find(|(known, _)| *known == state);
            family.sample(
                &[&label(upstream), state],
                known.map_or(0, |(_, count)| *count),
            );
        }
    }
    let mut family = page.family(&name::UPSTREAM_SUCCESS);
    for upstream in figures {
        if let Some(at) = upstream.last_success_at {
            family.sample(&[&label(upstream)], at.0);
        }
    }
    let limits = || {
        let limited = figures.iter().filter_map(|upstream| {
            let limit = upstream.rate_limit.as_ref()?;
            Some((label(upstream), limit))
        });
        limited.collect::<Vec<_>>()
    };
    let mut family = page.family(&name::RATE_LIMIT);
    for (label, limit) in limits() {
        family.sample(&[&label], limit.limit);
    }
    let mut family = page.family(&name::RATE_REMAINING);
    for (label, limit) in limits() {
        family.sample(&[&label], limit.remaining);
    }
    let mut family = page.family(&name::RATE_RESET);
    for (label, limit) in limits() {
        let window = std::time::Duration::from_secs(limit.window_seconds);
        family.sample(&[&label], limit.read_at.plus(window).0);
    }
}

fn fetches(appliance: &Appliance, page: &mut Page) {
    let figures = appliance.proxy.figures();
    let mut family = page.family(&name::REVALIDATIONS);
    family.sample(&["confirmed"], figures.confirmed);
    family.sample(&["moved"], figures.moved);
    family.sample(&["stale"], figures.stale);
    page.single(&name::FETCHES, figures.in_flight);
    page.single(&name::FILLS, figures.fills);
    page.single(&name::FETCH_CLIENTS, figures.clients);
    page.single(&name::FETCHES_BEGUN, figures.begun);
    let mut family = page.family(&name::FETCHES_ENDED);
    family.sample(&["kept"], figures.kept);
    family.sample(&["passed"], figures.passed);
    family.sample(&["present"], figures.present);
    family.sample(&["unkept"], figures.unkept);
    family.sample(&["failed"], figures.failed);
    page.single(&name::JOINS, figures.joined);
    let mut family = page.family(&name::RESUMES);
    family.sample(&["break"], figures.resumed_after_break);
    family.sample(&["restart"], figures.resumed_after_restart);
    page.single(&name::NO_ROOM, figures.without_room);
    page.single(&name::PUSHED_BYTES, appliance.registry.pushed_bytes());
}

fn disk(appliance: &Appliance, page: &mut Page) {
    let store = appliance.store();
    match store.condition().space {
        Ok(space) => {
            page.single(&name::DISK_FREE, space.free);
            page.single(&name::DISK_SIZE, space.size);
            page.single(&name::DISK_TAKEN, store.blobs.room_taken());
            page.single(&name::DISK_READ_ONLY, u8::from(space.is_read_only));
        }
        Err(error) => tracing::warn!(%error, "metrics without the disk"),
    }
    match appliance.observed.totals(store) {
        Ok(totals) => {
            page.single(&name::CACHED_BLOBS, totals.blobs);
            page.single(&name::CACHED_BYTES, totals.bytes);
        }
        Err(error) => tracing::warn!(%error, "metrics without the cache's size"),
    }
    let mut family = page.family(&name::DATABASE_ERRORS);
    for failures in store.database_failures() {
        family.sample(&[failures.reason.as_str()], failures.count);
    }
}

fn logins(appliance: &Appliance, page: &mut Page) {
    let now = Timestamp::now();
    match appliance.store().access.active_tokens(now) {
        Ok(counts) => {
            let mut family = page.family(&name::TOKENS);
            for (kind, count) in counts {
                family.sample(&[kind.as_str()], count);
            }
        }
        Err(error) => tracing::warn!(%error, "metrics without tokens"),
    }
    let logins = appliance.authenticator.logins(now);
    let mut family = page.family(&name::LOGINS);
    family.sample(&["accepted"], logins.accepted);
    family.sample(&["failed"], logins.failed);
    family.sample(&["banned"], logins.banned);
    page.single(&name::BANS, logins.bans);
}
