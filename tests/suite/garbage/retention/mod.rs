//! Cleanup policies: which tags go and which stay, what goes with the last tag of a manifest, and that all of it goes on
//! after a crash and holds up nobody.

mod crash;
mod images;
mod policies;
mod schedule;

use std::time::Duration;

use breakwater::oci::{Digest, MediaType, Reference, Tag};
use breakwater::store::{Actor, CleanupPolicy, HostedRepository, ProjectChanges};
use breakwater::time::Timestamp;
use breakwater::upkeep::retention;

use super::{Workshop, image};

const REPOSITORY: &str = "acme/api";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Workshop {
    fn place_of<'a>(&self, repository: &'a str) -> HostedRepository<'a> {
        HostedRepository {
            project: self.project.placed.project.id,
            path: repository,
        }
    }

    /// Pushes an image of its own under each of these tags, so long ago.
    fn push_tags(&mut self, tags: &[(&str, Duration)]) {
        self.push_blob(REPOSITORY, b"{}");
        let now = self.now;
        for (tag, age) in tags {
            self.now = Timestamp(now.0 - i64::try_from(age.as_secs()).unwrap());
            self.push_tag(tag, &[b"{}", tag.as_bytes()]);
        }
        self.now = now;
    }

    fn push_tag(&self, tag: &str, parts: &[&[u8]]) -> Digest {
        for part in parts {
            self.push_blob(REPOSITORY, part);
        }
        let bytes = image(parts, None);
        let reference = Reference::Tag(Tag::parse(tag).unwrap());
        self.put(REPOSITORY, &reference, &bytes, MediaType::OciManifest);
        Digest::of(&bytes)
    }

    /// Sets the policy; it is due now.
    fn set_policy(&self, policy: CleanupPolicy) {
        let changes = ProjectChanges {
            cleanup: Some(CleanupPolicy {
                enabled: true,
                next_run_at: Some(self.now),
                ..policy
            }),
            ..ProjectChanges::default()
        };
        let project = self.project.placed.project.id;
        let actor = Actor::on_the_box(None);
        self.store
            .access
            .set_project(&actor, project, &changes)
            .unwrap();
    }

    fn clean_up(&self) {
        retention::Retention::default()
            .run_due(&self.store, self.now)
            .unwrap();
    }

    fn tags(&self) -> Vec<String> {
        let place = self.place_of(REPOSITORY);
        self.store.registry.tags(place, "", u64::MAX).unwrap()
    }

    fn has_image(&self, digest: &Digest) -> bool {
        let reference = Reference::Digest(digest.clone());
        let place = self.place_of(REPOSITORY);
        let found = self.store.registry.manifest(place, &reference);
        found.unwrap().is_some()
    }
}

/// A policy that takes every tag but `latest`.
fn everything() -> CleanupPolicy {
    CleanupPolicy {
        keep_n: None,
        older_than: None,
        ..CleanupPolicy::default()
    }
}
