//! What decides which image goes: the box's own order, and those of the literature.

use std::collections::VecDeque;

use breakwater::store::Frequency;
use breakwater::time::Timestamp;
use breakwater::upkeep::eviction::order;

use super::replay::Cache;
use super::trace::{ImageId, Trace};

pub(crate) trait Policy {
    /// `image` was pulled; `known` is whether it was kept before.
    fn pulled(&mut self, image: ImageId, now: Timestamp, cache: &Cache<'_>, known: bool);
    /// Room is about to be made.
    fn begin(&mut self, cache: &Cache<'_>, busy: ImageId);
    /// What goes next, `busy` excepted.
    fn victim(&mut self, busy: ImageId) -> Option<ImageId>;
}

/// A policy that gives each kept image a number whenever room is made. The least goes first.
pub(crate) trait Rank {
    fn pulled(&mut self, image: ImageId, now: Timestamp, cache: &Cache<'_>, known: bool);
    fn worth(&self, image: ImageId, cache: &Cache<'_>) -> f64;
    fn evicted(&mut self, _worth: f64) {}
}

pub(crate) struct Ranked<R> {
    rank: R,
    order: VecDeque<(f64, ImageId)>,
}

impl<R: Rank + 'static> Ranked<R> {
    pub(crate) fn boxed(rank: R) -> Box<dyn Policy> {
        Box::new(Self {
            rank,
            order: VecDeque::new(),
        })
    }
}

impl<R: Rank> Policy for Ranked<R> {
    fn pulled(&mut self, image: ImageId, now: Timestamp, cache: &Cache<'_>, known: bool) {
        self.rank.pulled(image, now, cache, known);
    }

    fn begin(&mut self, cache: &Cache<'_>, busy: ImageId) {
        let kept = cache.kept().iter().filter(|image| **image != busy);
        let mut order: Vec<(f64, ImageId)> = kept
            .map(|image| (self.rank.worth(*image, cache), *image))
            .collect();
        order.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
        self.order = order.into();
    }

    fn victim(&mut self, _busy: ImageId) -> Option<ImageId> {
        let (worth, image) = self.order.pop_front()?;
        self.rank.evicted(worth);
        Some(image)
    }
}

/// What the box does.
pub(crate) struct Ours {
    pulls: Vec<Option<Frequency>>,
    bytes: fn(&Cache<'_>, ImageId) -> u64,
}

impl Ours {
    pub(crate) fn new(trace: &Trace) -> Self {
        Self {
            pulls: vec![None; trace.images.len()],
            bytes: |cache, image| cache.part(image),
        }
    }

    /// With an image charged only the bytes that its going frees.
    pub(crate) fn by_exclusive_bytes(trace: &Trace) -> Self {
        Self {
            bytes: |cache, image| cache.exclusive(image),
            ..Self::new(trace)
        }
    }
}

impl Rank for Ours {
    fn pulled(&mut self, image: ImageId, now: Timestamp, _: &Cache<'_>, known: bool) {
        let before = self.pulls[image].filter(|_| known);
        self.pulls[image] = Some(before.map_or(Frequency::once(now), |pulls| pulls.pulled(now)));
    }

    fn worth(&self, image: ImageId, cache: &Cache<'_>) -> f64 {
        let pulls = self.pulls[image].unwrap();
        order::worth(pulls, (self.bytes)(cache, image)).0 as f64
    }
}

/// Least recently used.
pub(crate) struct Lru(Vec<Timestamp>);

impl Lru {
    pub(crate) fn new(trace: &Trace) -> Self {
        Self(vec![Timestamp(0); trace.images.len()])
    }
}

impl Rank for Lru {
    fn pulled(&mut self, image: ImageId, now: Timestamp, _: &Cache<'_>, _: bool) {
        self.0[image] = now;
    }

    fn worth(&self, image: ImageId, _: &Cache<'_>) -> f64 {
        self.0[image].0 as f64
    }
}

/// The family of GreedyDual: an age, which is the worth of the last that went, plus the pulls since an image was kept,
/// times what a byte of it costs. With a cost that is the size, it is LFU with dynamic ageing.
pub(crate) struct GreedyDual {
    /// The cost of an image for each of its bytes.
    cost: fn(bytes: u64, blobs: u64) -> f64,
    age: f64,
    pulls: Vec<f64>,
    worth: Vec<f64>,
}

impl GreedyDual {
    /// LFU with dynamic ageing.
    pub(crate) fn lfu(trace: &Trace) -> Self {
        Self::new(trace, |_, _| 1.0)
    }

    /// GreedyDual-Size-Frequency: the cost is that of packets on a network.
    pub(crate) fn packets(trace: &Trace) -> Self {
        Self::new(trace, |bytes, _| {
            (2.0 + bytes as f64 / 536.0) / bytes as f64
        })
    }

    /// GreedyDual-Size-Frequency: the cost is that of requests.
    pub(crate) fn requests(trace: &Trace) -> Self {
        Self::new(trace, |bytes, blobs| blobs as f64 / bytes as f64)
    }

    fn new(trace: &Trace, cost: fn(u64, u64) -> f64) -> Self {
        Self {
            cost,
            age: 0.0,
            pulls: vec![0.0; trace.images.len()],
            worth: vec![0.0; trace.images.len()],
        }
    }
}

impl Rank for GreedyDual {
    fn pulled(&mut self, image: ImageId, _: Timestamp, cache: &Cache<'_>, known: bool) {
        self.pulls[image] = if known { self.pulls[image] + 1.0 } else { 1.0 };
        let (bytes, blobs) = cache.whole(image);
        self.worth[image] = self.age + self.pulls[image] * (self.cost)(bytes, blobs);
    }

    fn worth(&self, image: ImageId, _: &Cache<'_>) -> f64 {
        self.worth[image]
    }

    fn evicted(&mut self, worth: f64) {
        self.age = self.age.max(worth);
    }
}

/// SIEVE: a queue in the order of arrival. A hand goes from the oldest to the newest and round again; it spares, once,
/// what was pulled since it came by.
pub(crate) struct Sieve {
    queue: VecDeque<ImageId>,
    pulled: Vec<bool>,
    hand: usize,
}

impl Sieve {
    pub(crate) fn new(trace: &Trace) -> Self {
        Self {
            queue: VecDeque::new(),
            pulled: vec![false; trace.images.len()],
            hand: 0,
        }
    }
}

impl Policy for Sieve {
    fn pulled(&mut self, image: ImageId, _: Timestamp, _: &Cache<'_>, known: bool) {
        if !known {
            self.queue.push_back(image);
        }
        self.pulled[image] = known;
    }

    fn begin(&mut self, _: &Cache<'_>, _: ImageId) {}

    fn victim(&mut self, busy: ImageId) -> Option<ImageId> {
        for _ in 0..=2 * self.queue.len() {
            if self.hand >= self.queue.len() {
                self.hand = 0;
            }
            let image = *self.queue.get(self.hand)?;
            if image == busy || std::mem::take(&mut self.pulled[image]) {
                self.hand += 1;
            } else {
                return self.queue.remove(self.hand);
            }
        }
        None
    }
}
