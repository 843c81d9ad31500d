//! What the audit hears of images that come and go by the registry protocol and the REST API, and of pulls where
//! `audit.pulls` asks for them.

use super::Appliance;
use super::call::Call;
use super::refusals;
use crate::auth::Identity;
use crate::auth::policy::RepositoryGrant;
use crate::oci::{Digest, Reference, Tag};
use crate::store::{Detail, Event, EventKind, EventPlace};

/// What was removed of a repository.
pub(super) enum Removed<'a> {
    Image(&'a Reference),
    Blob(&'a Digest),
    All,
}

/// So many tags of a push are named.
const TAGS_NAMED: usize = 5;

impl Appliance {
    /// A manifest was pushed. Written with the next batch: the push itself is on the disk.
    pub(super) fn note_push(
        &self,
        call: &Call<'_>,
        identity: &Identity,
        grant: &RepositoryGrant,
        digest: &Digest,
        tags: &[Tag],
    ) {
        // One push may set many, and the audit has room for so many events, however long they are.
        let named: Vec<_> = tags
            .iter()
            .take(TAGS_NAMED)
            .map(|tag| tag.as_str().to_owned())
            .collect();
        let count = i64::try_from(tags.len()).unwrap_or(i64::MAX);
        let event = Event::new(EventKind::ImagePushed)
            .subject("repository", grant.repository().as_str(), None)
            .place(self.place_of(grant))
            .detail("digest", Detail::name(digest.as_str()))
            .detail("tags", Detail::names(&named))
            .detail("tag_count", count);
        self.store
            .audit
            .note(identity.actor(&call.id), event, call.now);
    }

    /// Somebody removed pushed content; written at once, because nothing else tells of it.
    pub(super) fn record_removal(
        &self,
        call: &Call<'_>,
        identity: &Identity,
        grant: &RepositoryGrant,
        removed: &Removed<'_>,
    ) {
        let event = Event::new(EventKind::ImagesRemoved)
            .subject("repository", grant.repository().as_str(), None)
            .place(self.place_of(grant));
        let event = match removed {
            Removed::Image(reference) => event.detail("image", Detail::name(reference.as_str())),
            Removed::Blob(digest) => event.detail("blob", Detail::name(digest.as_str())),
            Removed::All => event,
        };
        self.store.audit.record(&identity.actor(&call.id), &event);
    }

    /// A manifest was pulled, of `image`: `HOST/NAME`, or a repository of this box.
    pub(super) fn note_pull(
        &self,
        call: &Call<'_>,
        identity: &Identity,
        image: &str,
        reference: &Reference,
    ) {
        if !self.config.audit.pulls || call.is_head() {
            return;
        }
        let image = match reference {
            Reference::Tag(tag) => format!("{image}:{tag}"),
            Reference::Digest(digest) => format!("{image}@{digest}"),
        };
        // An event without its place is better than none.
        let place = refusals::place(self, &call.request.path).unwrap_or_default();
        let event = Event::new(EventKind::ImagePulled)
            .subject("image", &image, None)
            .place(place);
        self.store
            .audit
            .note(identity.actor(&call.id), event, call.now);
    }

    /// The project of a repository; none where that cannot be read, since an event without it is better than none.
    fn place_of(&self, grant: &RepositoryGrant) -> Option<EventPlace> {
        let repository = grant.repository();
        let owner = self.authenticator.project_owning(repository).ok()??;
        Some(owner.placed.event_place(&owner.placed.project.path))
    }
}
