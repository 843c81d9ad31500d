//! Images stay while they are exported.

use std::time::Duration;

use crate::admin::HoldImages;
use crate::cli::workplace::Workplace;
use crate::store::CachedImage;

/// How often the server is told that images are still being carried; it lets them stay for longer than that.
pub(super) const HOLD_AGAIN: Duration = Duration::from_secs(3 * 60);

/// The images, which the server does not evict meanwhile.
pub(super) struct Holding<'a> {
    place: &'a Workplace,
    images: Vec<String>,
}

impl<'a> Holding<'a> {
    pub(super) fn new<'b>(
        place: &'a Workplace,
        images: impl Iterator<Item = &'b CachedImage>,
    ) -> Self {
        let cached = images.filter(|image| image.upstream.is_some());
        Self {
            place,
            images: cached.map(CachedImage::name).collect(),
        }
    }

    /// And these too.
    pub(super) fn with<'b>(mut self, images: impl Iterator<Item = &'b CachedImage>) -> Self {
        let cached = images.filter(|image| image.upstream.is_some());
        self.images.extend(cached.map(CachedImage::name));
        self
    }

    pub(super) fn hold(&self) {
        self.ask(false);
    }

    pub(super) fn release(&self) {
        self.ask(true);
    }

    /// A server that does not answer evicts nothing, and what goes all the same is named.
    fn ask(&self, release: bool) {
        if let Ok(Some(server)) = self.place.running_server() {
            let images = self.images.clone();
            let _ = self.place.ask(&server, &HoldImages { images, release });
        }
    }
}
