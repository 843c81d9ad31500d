//! Replays a trace through a cache of a given size, which evicts images as a policy says.

use super::policies::Policy;
use super::trace::{BlobId, ImageId, Trace};

/// What is kept: whole images, whose blobs are shared.
pub(crate) struct Cache<'a> {
    trace: &'a Trace,
    kept: Vec<ImageId>,
    /// Where in `kept` each image stands.
    places: Vec<Option<usize>>,
    /// How many of the kept images need each blob.
    holders: Vec<u32>,
    pub(crate) bytes: u64,
}

impl<'a> Cache<'a> {
    fn new(trace: &'a Trace) -> Self {
        Self {
            trace,
            kept: Vec::new(),
            places: vec![None; trace.images.len()],
            holders: vec![0; trace.sizes.len()],
            bytes: 0,
        }
    }

    pub(crate) fn kept(&self) -> &[ImageId] {
        &self.kept
    }

    fn blobs(&self, image: ImageId) -> &'a [BlobId] {
        &self.trace.images[image]
    }

    /// The bytes that the image's going would free.
    pub(crate) fn exclusive(&self, image: ImageId) -> u64 {
        (self.blobs(image).iter())
            .filter(|blob| self.holders[**blob] == 1)
            .map(|blob| self.trace.sizes[*blob])
            .sum()
    }

    /// Its bytes, each blob's divided by the number of images that need it.
    pub(crate) fn part(&self, image: ImageId) -> u64 {
        (self.blobs(image).iter())
            .map(|blob| self.trace.sizes[*blob] / u64::from(self.holders[*blob]))
            .sum()
    }

    /// All its bytes, and the number of its blobs.
    pub(crate) fn whole(&self, image: ImageId) -> (u64, u64) {
        let blobs = self.blobs(image);
        (
            blobs.iter().map(|blob| self.trace.sizes[*blob]).sum(),
            blobs.len() as u64,
        )
    }

    fn keep(&mut self, image: ImageId) {
        if self.places[image].is_some() {
            return;
        }
        self.places[image] = Some(self.kept.len());
        self.kept.push(image);
        for blob in self.blobs(image) {
            if self.holders[*blob] == 0 {
                self.bytes += self.trace.sizes[*blob];
            }
            self.holders[*blob] += 1;
        }
    }

    pub(crate) fn evict(&mut self, image: ImageId) {
        let place = self.places[image].take().unwrap();
        self.kept.swap_remove(place);
        if let Some(moved) = self.kept.get(place) {
            self.places[*moved] = Some(place);
        }
        for blob in self.blobs(image) {
            self.holders[*blob] -= 1;
            if self.holders[*blob] == 0 {
                self.bytes -= self.trace.sizes[*blob];
            }
        }
    }
}

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) pulls: u64,
    /// Pulls for which nothing had to be fetched.
    pub(crate) whole: u64,
    pub(crate) bytes: u64,
    /// Bytes that did not have to be fetched.
    pub(crate) kept_bytes: u64,
}

impl Figures {
    pub(crate) fn byte_ratio(self) -> f64 {
        self.kept_bytes as f64 / self.bytes as f64
    }

    pub(crate) fn image_ratio(self) -> f64 {
        self.whole as f64 / self.pulls as f64
    }
}

/// Replays `trace` with room for `capacity` bytes. The first fifth fills the cache and does not count.
pub(crate) fn replay(trace: &Trace, capacity: u64, policy: &mut dyn Policy) -> Figures {
    let mut cache = Cache::new(trace);
    let mut figures = Figures::default();
    for (number, pull) in trace.pulls.iter().enumerate() {
        let (mut bytes, mut missing) = (0, 0);
        for blob in cache.blobs(pull.image) {
            bytes += trace.sizes[*blob];
            if cache.holders[*blob] == 0 {
                missing += trace.sizes[*blob];
            }
        }
        if number >= trace.pulls.len() / 5 {
            figures.pulls += 1;
            figures.bytes += bytes;
            figures.kept_bytes += bytes - missing;
            figures.whole += u64::from(missing == 0);
        }
        let known = cache.places[pull.image].is_some();
        cache.keep(pull.image);
        policy.pulled(pull.image, pull.at, &cache, known);
        if cache.bytes > capacity {
            make_room(&mut cache, capacity / 20 * 19, pull.image, policy);
        }
    }
    figures
}

/// Evicts down to `target`, the image that is just being pulled left alone.
fn make_room(cache: &mut Cache<'_>, target: u64, busy: ImageId, policy: &mut dyn Policy) {
    policy.begin(cache, busy);
    while cache.bytes > target {
        let Some(victim) = policy.victim(busy) else {
            return;
        };
        cache.evict(victim);
    }
}
