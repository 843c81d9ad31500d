//! What was found damaged, under the lock of its digest: cached files are set aside and noted to be fetched again, what
//! was pushed stays in place. Either way nobody is given the bytes until good ones are there.

use serde::{Deserialize, Serialize};

use super::backup::ASIDE;
use super::{Blob, Notice, Repair, Store};
use crate::error::{Result, excerpt};
use crate::metrics::counters;
use crate::oci::Digest;
use crate::time::Timestamp;

counters! {
    /// What was read, found and mended since the start.
    pub struct RepairCounters {
        "breakwater_scrub_read_bytes_total" "Bytes that the scrub has read again." { read }
        "breakwater_damage_found_total" "Blobs that were found damaged or missing, by the scrub or by verify --repair." { found }
        "breakwater_damage_repaired_total" "Those of them that were fetched or pushed again." { repaired }
        "breakwater_damage_lost_total" "Those of them that their upstream has no more." { lost }
    }
}

/// What a repair did, and what it could not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    /// Blobs that were set aside, or were missing.
    pub set_aside: u64,
    /// Those that were fetched again.
    pub fetched: Vec<String>,
    /// Those that their upstream has no more, with what they were part of.
    pub lost: Vec<String>,
    /// What is still to be fetched again, and why it is not yet.
    pub waiting: Vec<String>,
    /// What was pushed and is damaged: it stays where it is.
    pub pushed: Vec<String>,
}

impl Repaired {
    pub(crate) fn add(&mut self, digest: &Digest, set_aside: &SetAside) {
        let images = match set_aside {
            SetAside::Changed => return,
            SetAside::Pushed { images } => {
                self.pushed.push(format!("{digest} of {images}"));
                return;
            }
            SetAside::Unneeded => None,
            SetAside::ToFetch { images } => Some(images),
        };
        self.set_aside = self.set_aside.saturating_add(1);
        if let Some(images) = images {
            let why = "a running server fetches it again, or the next pull";
            self.waiting.push(format!("{digest} of {images}: {why}"));
        }
    }

    /// With what became of everything that is noted, by a server that has fetched it since.
    #[must_use]
    pub fn fetched_since(self, since: Self) -> Self {
        Self {
            set_aside: self.set_aside,
            ..since
        }
    }

    /// Whether what was damaged is whole again.
    pub fn is_complete(&self) -> bool {
        self.lost.is_empty() && self.waiting.is_empty() && self.pushed.is_empty()
    }
}

/// What became of a file that was found damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetAside {
    /// Another one has taken its place meanwhile, or nothing needs it any more.
    Changed,
    /// It is in the directory of what is damaged, and nothing needs it.
    Unneeded,
    /// Images of the cache need it: it is to be fetched again for them.
    ToFetch { images: String },
    /// Pushed images need it: it stays where it is.
    Pushed { images: String },
}

impl Store {
    /// Takes what is damaged under `digest` out of use, if it is still what was `seen` (`None`: nothing).
    ///
    /// # Errors
    /// `Io`, `Full`, `Sql`: then it is found again the next time.
    pub fn set_aside(
        &self,
        digest: &Digest,
        seen: Option<&Blob>,
        now: Timestamp,
    ) -> Result<SetAside> {
        let _settling = self.settling.lock(digest);
        if !self.blobs.is_still(digest, seen)? {
            return Ok(SetAside::Changed);
        }
        let is_pushed = self.registry.needs(digest)?;
        let images = self.images_with(digest)?;
        let aside = self.directory.join(ASIDE);
        if !is_pushed && self.cache.blob_anywhere(digest)?.is_none() {
            self.blobs.move_aside(digest, &aside)?;
            return Ok(SetAside::Unneeded);
        }
        if !self.blobs.is_known_damaged(digest) {
            self.cache.note_repair(digest, &images, now)?;
            self.blobs.hide_damaged(digest);
            self.repairs.found.one();
            self.audit.notices.tell(None, || Notice::ScrubDamaged {
                blob: digest.to_string(),
                images: excerpt(&images),
                pushed: is_pushed,
            });
        }
        if is_pushed {
            return Ok(SetAside::Pushed { images });
        }
        self.blobs.move_aside(digest, &aside)?;
        Ok(SetAside::ToFetch { images })
    }

    /// The images that a file is part of, pushed ones by tag, cached ones by repository; for a sentence.
    ///
    /// # Errors
    /// `Sql`.
    pub fn images_with(&self, digest: &Digest) -> Result<String> {
        let mut images = self.registry.images_with(digest)?;
        for from in self.cache.fetched_from(digest)? {
            images.push(format!("{}/{}", from.upstream, from.repository));
        }
        Ok(match images.is_empty() {
            true => "no image".to_owned(),
            false => images.join(", "),
        })
    }

    /// Whether something that was pushed needs the file.
    ///
    /// # Errors
    /// `Sql`.
    pub fn is_pushed(&self, digest: &Digest) -> Result<bool> {
        self.registry.needs(digest)
    }

    /// Takes the note of a repair back: good bytes are in place, or nothing needs them any more.
    ///
    /// # Errors
    /// `Sql`.
    pub fn end_repair(&self, digest: &Digest, is_repaired: bool) -> Result<()> {
        let _settling = self.settling.lock(digest);
        self.cache.forget_repair(digest)?;
        self.blobs.show_again(digest);
        if is_repaired {
            self.repairs.repaired.one();
        }
        Ok(())
    }

    /// Notes that the upstream has a cached blob no more: what was linked to it is forgotten, and said in reports.
    ///
    /// # Errors
    /// `Sql`.
    pub fn give_up_repair(&self, repair: &Repair, now: Timestamp) -> Result<()> {
        let digest = &repair.digest;
        let _settling = self.settling.lock(digest);
        self.cache.note_lost(digest, now)?;
        self.blobs.show_again(digest);
        self.repairs.lost.one();
        Ok(())
    }
}
