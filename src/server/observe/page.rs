//! The page of `/metrics`: asks every room for its numbers, and puts them down. What cannot be told at this
//! moment, because a database does not answer for example, is left out, and the rest is there.

use strum::VariantArray as _;

use crate::auth::LoginCounters;
use crate::metrics::{CATALOG, Metric, Page, name, write_process};
use crate::proxy::{self, UpstreamFigures};
use crate::registry;
use crate::server::{Appliance, refused_mirror};
use crate::store::{RepairCounters, Store};
use crate::time::Timestamp;
use crate::upkeep::{eviction, retention};
use crate::upstream::BreakerState;
use crate::webhooks;

/// The label of the upstreams that groups bring: which are private to the groups. No name of an
/// upstream has a bracket.
const OF_GROUPS: &str = "(groups)";

/// Every metric that can be on the page; the manual's table is this list.
pub fn catalog() -> impl Iterator<Item = &'static Metric> {
    CATALOG
        .iter()
        .copied()
        .chain(proxy::Counters::METRICS)
        .chain(registry::Counters::METRICS)
        .chain(RepairCounters::METRICS)
        .chain(retention::Counters::METRICS)
        .chain(LoginCounters::METRICS)
        .chain(eviction::Counters::METRICS)
        .chain(refused_mirror::Counters::METRICS)
        .chain(webhooks::Counters::METRICS)
}

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
    soundness(appliance.store(), &mut page);
    logins(appliance, &mut page);
    appliance.webhooks.counters.write(&mut page);
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
    let served = || {
        let all = figures.iter();
        all.flat_map(|upstream| {
            upstream
                .counts
                .served()
                .map(|served| (label(upstream), served))
        })
    };
    let mut family = page.family(&name::UPSTREAM_SERVED);
    for (label, (word, answers, _)) in served() {
        family.sample(&[&label, word], answers);
    }
    let mut family = page.family(&name::UPSTREAM_SERVED_BYTES);
    for (label, (word, _, bytes)) in served() {
        family.sample(&[&label, word], bytes);
    }
    let mut family = page.family(&name::UPSTREAM_LIES);
    for upstream in figures {
        family.sample(&[&label(upstream)], upstream.counts.lies());
    }
    let mut family = page.family(&name::UPSTREAM_STATE);
    for upstream in figures {
        for &state in BreakerState::VARIANTS {
            let known = upstream.states.iter().find(|(known, _)| *known == state);
            family.sample(
                &[&label(upstream), state.into()],
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
    let arriving = appliance.proxy.in_flight();
    page.single(&name::FETCHES, arriving.blobs);
    page.single(&name::FILLS, arriving.fills);
    page.single(&name::FETCH_CLIENTS, arriving.clients);
    appliance.proxy.counters().write(page);
    appliance.registry.counters().write(page);
    appliance.retention.counters().write(page);
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
    appliance.evictor.counters().write(page);
    if let Ok(Some((at, pulled_at))) = store.cache.last_eviction() {
        page.single(&name::EVICTION_AGE, at.since(pulled_at).as_secs());
        page.single(&name::EVICTED_AT, at.0);
    }
    let limits = store.room.limits();
    page.single(&name::CACHE_LIMIT, limits.max_size.unwrap_or_default());
    page.single(&name::MIN_FREE, limits.min_free);
    let mut family = page.family(&name::DATABASE_ERRORS);
    for failures in store.database_failures() {
        family.sample(&[failures.reason.as_str()], failures.count);
    }
}

fn soundness(store: &Store, page: &mut Page) {
    store.repairs.write(page);
    match store.cache.scrub_place() {
        Ok(Some(place)) => {
            page.single(&name::SCRUB_PLACE, place.next);
            if let Some(at) = place.ended_at {
                page.single(&name::SCRUB_ENDED, at.0);
            }
        }
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "metrics without the scrub"),
    }
    match store.cache.repairs() {
        Ok(notes) => {
            let lost = notes.iter().filter(|note| note.lost_at.is_some()).count();
            page.single(&name::DAMAGED, notes.len().saturating_sub(lost));
            page.single(&name::LOST, lost);
        }
        Err(error) => tracing::warn!(%error, "metrics without what is damaged"),
    }
    if let Some(at) = store.rows_saved_at() {
        page.single(&name::ROWS_SAVED, at.0);
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
    let authenticator = &appliance.authenticator;
    authenticator.logins().write(page);
    page.single(&name::BANS, authenticator.active_bans(now));
    appliance.refused_mirror.counters.write(page);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::metrics::MetricKind;

    #[test]
    fn names_are_as_prometheus_wants_them() {
        let mut names = HashSet::new();
        for metric in catalog() {
            let Metric {
                name, labels, help, ..
            } = metric;
            assert!(names.insert(name), "{name} is there twice");
            assert_eq!(
                name.ends_with("_total"),
                metric.kind == MetricKind::Counter,
                "{name}: counters end in _total, and nothing else does"
            );
            let is_word = |word: &str| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(is_word(name) && labels.iter().all(|label| is_word(label)));
            assert!(
                name.starts_with("breakwater_") || name.starts_with("process_"),
                "{name}"
            );
            assert!(
                !help.contains(['\\', '\n', '|']) && help.ends_with('.'),
                "{help}"
            );
        }
    }
}
