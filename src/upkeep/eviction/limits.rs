//! When something goes: the limits that were set, and how far the cache is from them.
//!
//! Room is made before it is needed: from 97 % of a limit on, down to 95 %. `cache.min_free` is the one that holds in any
//! case: for it images of an upstream that is away go too, where nothing else is left.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::demand::{Demand, demands};
use super::plan::{Goal, Plan, Question, plan};
use super::sums::Sums;
use super::{Evicted, World, evict, release};
use crate::error::Result;
use crate::metrics::{Counter, counters};
use crate::oci::RegistryHost;
use crate::priority::after_pulls;
use crate::store::{Asked, Inventory, Limit, LimitedPart, Scope, Store};
use crate::time::Timestamp;

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

impl Counters {
    /// Whatever asked for it.
    pub fn evicted_bytes(&self) -> u64 {
        let reasons = [
            &self.bytes_max_size,
            &self.bytes_min_free,
            &self.bytes_unused,
            &self.bytes_upstream,
            &self.bytes_group,
        ];
        let bytes = reasons.into_iter().map(Counter::value);
        bytes.fold(0, u64::saturating_add)
    }
}

/// Lets go of images as limits ask for it.
pub struct Evictor {
    store: Arc<Store>,
    counters: Counters,
    times: Mutex<Times>,
    sums: Sums,
}

#[derive(Default)]
struct Times {
    unused: Option<Timestamp>,
    parts: Option<Timestamp>,
    /// Limits for which nothing could go.
    rests_until: HashMap<Limit, Timestamp>,
    /// Whether it was looked for what a crash left.
    has_finished: bool,
}

impl Evictor {
    pub fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            counters: Counters::default(),
            times: Mutex::default(),
            sums: Sums::default(),
        }
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Looks how far the cache is from its limits, and lets go what they ask for; fills wait for what is `asked`.
    ///
    /// # Errors
    /// `Sql`, `Io`, `Busy`: the next round goes on.
    pub fn round(&self, limits: &Limits, world: &World, asked: &Asked) -> Result<()> {
        self.finish()?;
        self.set_limits(limits, world.now)?;
        let demands = demands(&self.store, asked)?;
        for demand in &demands {
            let is_asked = asked.contains_key(&demand.limit);
            if is_asked || !self.is_resting(&demand.limit, world.now) {
                let was_enough = self.meet(demand, limits, world, is_asked)?;
                self.rest(&demand.limit, (!was_enough).then_some(world.now));
                self.store.room.answer(&demand.limit, was_enough);
            }
        }
        // Where nothing had to go, there is room by now.
        let met = |limit: &Limit| demands.iter().any(|demand| demand.limit == *limit);
        for limit in asked.keys().filter(|limit| !met(limit)) {
            self.store.room.answer(limit, true);
        }
        self.unused(limits, world)?;
        self.sums.tell(&self.store.audit, world.now);
        Ok(())
    }

    /// Tells the audit at last what it was not told yet; called when the server stops.
    pub fn stop(&self, now: Timestamp) {
        self.sums.tell_all(&self.store.audit, now);
    }

    /// Removes the files whose rows went before a crash.
    fn finish(&self) -> Result<()> {
        if std::mem::replace(&mut self.times.lock().has_finished, true) {
            return Ok(());
        }
        let digests = self.store.content.unsettled()?;
        release(&self.store, &digests, false, &mut Evicted::default())
    }

    fn is_resting(&self, limit: &Limit, now: Timestamp) -> bool {
        let times = self.times.lock();
        let rests_until = times.rests_until.get(limit);
        rests_until.is_some_and(|until| now < *until)
    }

    /// Notes that nothing more can go for a limit, as was seen at `since`; or that something could.
    fn rest(&self, limit: &Limit, since: Option<Timestamp>) {
        let mut times = self.times.lock();
        match since {
            Some(since) => drop(times.rests_until.insert(limit.clone(), since.plus(REST))),
            None => drop(times.rests_until.remove(limit)),
        }
    }

    /// Lets go of what nobody pulls, now and then.
    fn unused(&self, limits: &Limits, world: &World) -> Result<()> {
        let last = self.times.lock().unused;
        let is_due = last.is_none_or(|at| world.now.since(at) >= UNUSED_EVERY);
        if limits.unused_days == 0 || !is_due {
            return Ok(());
        }
        self.times.lock().unused = Some(world.now);
        let days = u64::from(limits.unused_days).saturating_mul(24 * 60 * 60);
        let demand = Demand {
            limit: Limit::Size(Scope::All),
            goal: Goal::PulledBefore(Timestamp(world.now.0.saturating_sub_unsigned(days))),
            reason: Reason::Unused,
        };
        self.meet(&demand, limits, world, false).map(drop)
    }

    /// Lets go of what one limit asks for; says whether it was enough.
    fn meet(
        &self,
        demand: &Demand,
        limits: &Limits,
        world: &World,
        is_asked: bool,
    ) -> Result<bool> {
        self.store.cache.write_notes()?;
        let (inventory, plan) = after_pulls("plan", || self.plan(demand, limits, world, is_asked))?;
        let room = &self.store.room;
        let mut answered = 0;
        let scope = demand.scope();
        let evicted = evict(&self.store, &inventory, &plan, scope, is_asked, |evicted| {
            let made = evicted.bytes.saturating_sub(answered);
            if room.asked(&demand.limit).is_some_and(|asked| made >= asked) {
                answered = evicted.bytes;
                room.answer(&demand.limit, true);
            }
            false
        })?;
        self.note(demand.reason, &evicted, world.now)?;
        if evicted.images > 0 {
            self.refresh_parts(limits)?;
        }
        Ok(plan.is_enough)
    }

    /// What goes for a demand. For `min_free`, what cannot be had again for now goes too, and only down to the limit itself.
    fn plan(
        &self,
        demand: &Demand,
        limits: &Limits,
        world: &World,
        is_asked: bool,
    ) -> Result<(Inventory, Plan)> {
        let inventory = self.store.content.inventory()?;
        let gentle = self.ask(&inventory, demand, world, false);
        let Goal::Disk(_) = demand.goal else {
            return Ok((inventory, gentle));
        };
        let (free, _) = self.store.blobs.space()?;
        let missing = limits.min_free.saturating_sub(free);
        if gentle.is_enough || is_asked || gentle.frees >= missing {
            return Ok((inventory, gentle));
        }
        let goal = Goal::Disk(missing);
        let hard = self.ask(
            &inventory,
            &Demand {
                goal,
                ..demand.clone()
            },
            world,
            true,
        );
        Ok((inventory, hard))
    }

    /// What goes for a demand, with what cannot be had again for now (`is_hard`) or without it.
    fn ask(&self, inventory: &Inventory, demand: &Demand, world: &World, is_hard: bool) -> Plan {
        let is_silent = |name: &RegistryHost| {
            let heard_at = world.heard_at(name);
            let is_heard = heard_at.is_some_and(|at| world.now.since(at) < HEARD_WITHIN);
            world.is_away(name) || !is_heard
        };
        let scope = demand.scope().clone();
        world.ask(&self.store, scope, demand.goal, |question| {
            let is_away: &dyn Fn(&RegistryHost) -> bool = match demand.goal {
                Goal::PulledBefore(_) => &is_silent,
                _ => question.is_away,
            };
            let question = Question {
                is_away,
                is_hard,
                ..question.clone()
            };
            plan(inventory, &question)
        })
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
        self.sums.add(reason, evicted);
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

    /// Tells fills of the limits.
    ///
    /// # Errors
    /// `Sql`, `Io`.
    pub fn set_limits(&self, limits: &Limits, now: Timestamp) -> Result<()> {
        let room = self.store.room.set_limits(limits.max_size, limits.min_free);
        let is_known = |part: &LimitedPart| {
            let mut wanted = limits.parts.iter();
            wanted.any(|(scope, most)| *scope == part.scope && *most == part.max_size)
        };
        let is_changed = room.parts.len() != limits.parts.len() || !room.parts.iter().all(is_known);
        let last = self.times.lock().parts;
        if is_changed || last.is_none_or(|at| now.since(at) >= PARTS_EVERY) {
            self.times.lock().parts = Some(now);
            self.refresh_parts(limits)?;
        }
        Ok(())
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
