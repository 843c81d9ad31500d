//! When something goes: the limits that were set, and how far the cache is from them.
//!
//! Room is made before it is needed: from 97 % of a limit on, down to 95 %. `cache.min_free` is the one that holds in any
//! case: for it images of an upstream that is away go too, where nothing else is left.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::plan::{Goal, Plan, Question, plan};
use super::{Evicted, after_others, evict, release};
use crate::error::Result;
use crate::metrics::counters;
use crate::oci::RegistryHost;
use crate::store::{Inventory, LimitedPart, RepositoryId, RoomLimits, Scope, Store};
use crate::time::Timestamp;

/// Hundredths of a limit from which on something goes, and down to which.
const HIGH: u64 = 97;
const LOW: u64 = 95;
/// How often it is looked for images that nobody pulls.
const UNUSED_EVERY: Duration = Duration::from_secs(60 * 60);
/// How often the parts with a limit of their own are added up.
const PARTS_EVERY: Duration = Duration::from_secs(60);
/// How long nothing is planned after a plan that came to nothing.
const REST: Duration = Duration::from_secs(60);
/// Images that nobody pulls go only if their upstream answered in this time: an outage is no reason not to pull.
const HEARD_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);

/// The limits, as they were set.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of all that is cached.
    pub max_size: Option<u64>,
    /// Bytes of the filesystem that stay free.
    pub min_free: u64,
    pub unused_days: u32,
    /// Of upstreams and groups.
    pub parts: Vec<(Scope, u64)>,
}

crate::words::words! {
    "snake_case"
    /// Why an image went.
    pub enum Reason {
        MaxSize,
        MinFree,
        Unused,
        UpstreamMaxSize,
        GroupMaxSize,
    }
}

counters! {
    /// What went since the start.
    pub struct Counters {
        "breakwater_evictions_total" ["reason"] "Images that went by what asked for it: cache.max_size, cache.min_free, cache.unused_days, max_size of an upstream or of a group." {
            images_max_size = "max_size",
            images_min_free = "min_free",
            images_unused = "unused",
            images_upstream = "upstream_max_size",
            images_group = "group_max_size",
        }
        "breakwater_evicted_bytes_total" ["reason"] "Bytes of the files that went with them." {
            bytes_max_size = "max_size",
            bytes_min_free = "min_free",
            bytes_unused = "unused",
            bytes_upstream = "upstream_max_size",
            bytes_group = "group_max_size",
        }
    }
}

/// What else decides.
pub struct World<'a> {
    pub now: Timestamp,
    pub is_pinned: &'a (dyn Fn(&str) -> bool + Sync),
    /// Whether an upstream does not answer, or may not be asked.
    pub is_away: &'a (dyn Fn(&RegistryHost) -> bool + Sync),
    /// When an upstream answered last.
    pub heard_at: &'a (dyn Fn(&RegistryHost) -> Option<Timestamp> + Sync),
}

/// What a limit asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    pub scope: Scope,
    pub goal: Goal,
    pub reason: Reason,
}

/// Lets go of images as limits ask for it.
pub struct Evictor {
    store: Arc<Store>,
    counters: Counters,
    times: Mutex<Times>,
}

#[derive(Default)]
struct Times {
    unused: Option<Timestamp>,
    parts: Option<Timestamp>,
    rests_until: Option<Timestamp>,
    /// Whether it was looked for what a crash left.
    has_finished: bool,
}

impl Evictor {
    pub fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            counters: Counters::default(),
            times: Mutex::default(),
        }
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Looks how far the cache is from its limits, and lets go what they ask for; `wanted`: so many bytes are waited for.
    ///
    /// # Errors
    /// `Sql`, `Io`, `Busy`: the next round goes on.
    pub fn round(&self, limits: &Limits, world: &World<'_>, wanted: Option<u64>) -> Result<()> {
        self.finish()?;
        let mut was_enough = true;
        let demands = self.demands(limits, world.now, wanted)?;
        let is_resting = self
            .times
            .lock()
            .rests_until
            .is_some_and(|until| world.now < until);
        if wanted.is_some() || !is_resting {
            for demand in demands {
                was_enough &= self.meet(&demand, limits, world, wanted)?;
            }
            let rests_until = (!was_enough).then(|| world.now.plus(REST));
            self.times.lock().rests_until = rests_until;
        }
        self.refresh_parts(limits)?;
        self.store.room.answer(was_enough);
        Ok(())
    }

    /// Removes the files whose rows went before a crash.
    fn finish(&self) -> Result<()> {
        if std::mem::replace(&mut self.times.lock().has_finished, true) {
            return Ok(());
        }
        let digests = self.store.content.unsettled()?;
        release(&self.store, &digests, &mut Evicted::default())
    }

    /// What the limits ask for now, if so many bytes more are `wanted`.
    ///
    /// # Errors
    /// `Sql`, `Io`.
    pub fn demands(
        &self,
        limits: &Limits,
        now: Timestamp,
        wanted: Option<u64>,
    ) -> Result<Vec<Demand>> {
        let room = self.set_limits(limits, now)?;
        let coming = self
            .store
            .room
            .filling()
            .saturating_add(wanted.unwrap_or_default());
        let mut demands = Vec::new();
        if let Some(most) = room.max_size {
            // For what fits in no case, nothing goes.
            let coming = if coming <= most { coming } else { 0 };
            let used = self.store.cache.used()?.saturating_add(coming);
            demands.extend(over(used, most, wanted.is_some()).map(|bytes| Demand {
                scope: Scope::All,
                goal: Goal::Bytes(bytes),
                reason: Reason::MaxSize,
            }));
        }
        let (free, _) = self.store.blobs.space()?;
        let free = free.saturating_sub(wanted.unwrap_or_default());
        if room.min_free > 0 && free < part(room.min_free, 110) {
            demands.push(Demand {
                scope: Scope::All,
                goal: Goal::Disk(part(room.min_free, 120).saturating_sub(free)),
                reason: Reason::MinFree,
            });
        }
        for limited in &room.parts {
            let reason = match limited.scope {
                Scope::Group(_) => Reason::GroupMaxSize,
                Scope::All | Scope::Upstream(_) => Reason::UpstreamMaxSize,
            };
            let wanted = wanted.filter(|wanted| *wanted <= limited.max_size);
            let used = limited.used.saturating_add(wanted.unwrap_or_default());
            demands.extend(
                over(used, limited.max_size, wanted.is_some()).map(|bytes| Demand {
                    scope: limited.scope.clone(),
                    goal: Goal::Bytes(bytes),
                    reason,
                }),
            );
        }
        let mut times = self.times.lock();
        let is_due = times.unused.is_none_or(|at| now.since(at) >= UNUSED_EVERY);
        if limits.unused_days > 0 && is_due {
            times.unused = Some(now);
            let days = u64::from(limits.unused_days).saturating_mul(24 * 60 * 60);
            demands.push(Demand {
                scope: Scope::All,
                goal: Goal::PulledBefore(Timestamp(now.0.saturating_sub_unsigned(days))),
                reason: Reason::Unused,
            });
        }
        Ok(demands)
    }

    /// Lets go of what one limit asks for; says whether it was enough.
    fn meet(
        &self,
        demand: &Demand,
        limits: &Limits,
        world: &World<'_>,
        wanted: Option<u64>,
    ) -> Result<bool> {
        self.store.cache.write_notes()?;
        let (inventory, plan) = after_others(|| self.plan(demand, limits, world, wanted))?;
        let evicted = evict(&self.store, &inventory, &plan, &demand.scope, |evicted| {
            if wanted.is_some_and(|wanted| evicted.bytes >= wanted) {
                self.store.room.answer(true);
            }
            false
        })?;
        self.note(demand.reason, &evicted, world.now)?;
        Ok(plan.is_enough || matches!(demand.goal, Goal::PulledBefore(_)))
    }

    /// What goes for a demand. For `min_free`, what cannot be had again for now goes too, and only down to the limit itself.
    fn plan(
        &self,
        demand: &Demand,
        limits: &Limits,
        world: &World<'_>,
        wanted: Option<u64>,
    ) -> Result<(Inventory, Plan)> {
        let inventory = self.store.content.inventory()?;
        let filled = self.store.room.filled();
        let gentle = ask(&inventory, demand, world, &filled, false);
        let is_of_disk = matches!(demand.goal, Goal::Disk(_));
        if gentle.is_enough || !is_of_disk || wanted.is_some() {
            return Ok((inventory, gentle));
        }
        let (free, _) = self.store.blobs.space()?;
        let missing = limits.min_free.saturating_sub(free);
        if gentle.frees >= missing {
            return Ok((inventory, gentle));
        }
        let goal = Goal::Disk(missing);
        let hard = ask(
            &inventory,
            &Demand {
                goal,
                ..demand.clone()
            },
            world,
            &filled,
            true,
        );
        Ok((inventory, hard))
    }

    /// Counts and tells what went.
    ///
    /// # Errors
    /// `Sql`.
    pub fn note(&self, reason: Reason, evicted: &Evicted, now: Timestamp) -> Result<()> {
        let counters = &self.counters;
        let (images, bytes) = match reason {
            Reason::MaxSize => (&counters.images_max_size, &counters.bytes_max_size),
            Reason::MinFree => (&counters.images_min_free, &counters.bytes_min_free),
            Reason::Unused => (&counters.images_unused, &counters.bytes_unused),
            Reason::UpstreamMaxSize => (&counters.images_upstream, &counters.bytes_upstream),
            Reason::GroupMaxSize => (&counters.images_group, &counters.bytes_group),
        };
        images.add(evicted.images);
        bytes.add(evicted.bytes);
        let Some(pulled_at) = evicted.last_pulled_at else {
            return Ok(());
        };
        tracing::info!(
            reason = reason.as_str(),
            images = evicted.images,
            files = evicted.files,
            bytes = evicted.bytes,
            last_pulled = %pulled_at,
            "let go of images"
        );
        match reason {
            // Says nothing about whether the disk is large enough.
            Reason::Unused => Ok(()),
            _ => self.store.cache.note_eviction(now, pulled_at),
        }
    }

    /// Tells fills of the limits; gives them with what is used.
    ///
    /// # Errors
    /// `Sql`, `Io`.
    pub fn set_limits(&self, limits: &Limits, now: Timestamp) -> Result<RoomLimits> {
        let known = self.store.room.limits().parts;
        let is_changed = known.len() != limits.parts.len()
            || known
                .iter()
                .any(|part| !limits.parts.contains(&(part.scope.clone(), part.max_size)));
        let due = {
            let times = self.times.lock();
            is_changed || times.parts.is_none_or(|at| now.since(at) >= PARTS_EVERY)
        };
        if due {
            self.times.lock().parts = Some(now);
            self.refresh_parts(limits)?;
        }
        Ok(self.store.room.set_limits(limits.max_size, limits.min_free))
    }

    /// Adds up the parts that have limits of their own.
    fn refresh_parts(&self, limits: &Limits) -> Result<()> {
        let parts = limits.parts.iter().map(|(scope, most)| {
            Ok(LimitedPart {
                scope: scope.clone(),
                max_size: *most,
                used: self.store.cache.used_by(scope)?,
            })
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        self.store.room.set_parts(parts);
        Ok(())
    }
}

/// How many bytes are to go of what is used, if it is near its limit, or somebody waits and it is beyond it.
fn over(used: u64, most: u64, is_urgent: bool) -> Option<u64> {
    let high = match is_urgent {
        true => most,
        false => part(most, HIGH),
    };
    (used > high).then(|| used.saturating_sub(part(most, LOW)))
}

fn part(of: u64, hundredths: u64) -> u64 {
    (of / 100)
        .saturating_mul(hundredths)
        .saturating_add((of % 100).saturating_mul(hundredths) / 100)
}

/// What goes for a demand.
fn ask(
    inventory: &Inventory,
    demand: &Demand,
    world: &World<'_>,
    filled: &HashSet<RepositoryId>,
    is_hard: bool,
) -> Plan {
    let is_silent = |upstream: &RegistryHost| {
        let heard_at = (world.heard_at)(upstream);
        (world.is_away)(upstream) || heard_at.is_none_or(|at| world.now.since(at) >= HEARD_WITHIN)
    };
    let is_away: &dyn Fn(&RegistryHost) -> bool = match demand.goal {
        Goal::PulledBefore(_) => &is_silent,
        _ => world.is_away,
    };
    plan(
        inventory,
        &Question {
            now: world.now,
            scope: demand.scope.clone(),
            goal: demand.goal,
            is_pinned: world.is_pinned,
            filled: filled.clone(),
            is_away,
            is_hard,
        },
    )
}
