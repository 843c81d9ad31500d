//! What webhooks are told: a closed set of notices, each with the fields of its JSON body, and the place in memory where
//! they wait until whoever delivers them fetches them.
//!
//! Telling one costs a look at a flag where no webhook exists, and otherwise a lock for a moment: what has no room is
//! counted and forgotten, so that no pull ever waits for a webhook. No secret gets in: the fields are names that lists
//! and the audit show anyway.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde::Serialize;

use super::ids::{GroupId, TokenId};
use super::statement::words_in_sql;
use crate::time::Timestamp;

/// So many wait in memory, for the moment that it takes to queue them.
const MOST_WAITING: usize = 10_000;

macro_rules! notices { ($($(#[$doc:meta])* $kind:ident = $word:literal { $($field:ident: $type:ty,)* })*) => {
    /// The kinds of notices, as dotted words.
    #[derive(
        Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
        strum::EnumString, strum::IntoStaticStr, strum::VariantNames,
    )]
    pub enum NoticeKind { $($(#[$doc])* #[serde(rename = $word)] #[strum(serialize = $word)] $kind,)* }

    /// What happened. As JSON: `{"type": …, "data": {…}}`.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    #[serde(tag = "type", content = "data")]
    pub enum Notice { $($(#[$doc])* #[serde(rename = $word)] $kind { $($field: $type,)* },)* }

    impl Notice {
        pub fn kind(&self) -> NoticeKind {
            match self { $(Self::$kind { .. } => NoticeKind::$kind,)* }
        }
    }
}; }
notices! {
    /// A manifest was fetched from an upstream and kept.
    ImageFilled = "image.filled" { image: String, digest: String, media_type: &'static str, bytes: u64, }
    /// A manifest was pushed to this box.
    ImagePushed = "image.pushed" { repository: String, digest: String, tags: Vec<String>, tag_count: i64, by: String, }
    /// Pushed images were deleted: a tag, an image, a blob, a whole repository, or the tags that a cleanup took.
    ImageDeleted = "image.deleted" { repository: String, reference: Option<String>, tags: Option<i64>, by: String, }
    /// What went from the cache on a day, by reason.
    CacheEvicted = "cache.evicted" { day: String, images: i64, bytes: i64, reasons: BTreeMap<String, EvictedFor>, }
    /// A pull was refused.
    PullRefused = "pull.refused" { path: String, status: u16, why: Option<String>, by: String, address: String, }
    /// An upstream is not asked any more: it does not answer, or refuses the box's credentials.
    UpstreamDown = "upstream.down" { upstream: String, state: &'static str, why: Option<String>, }
    /// It answers again.
    UpstreamUp = "upstream.up" { upstream: String, }
    /// A token ends within two weeks.
    TokenExpiring = "token.expiring" { id: TokenId, name: String, kind: &'static str, expires_at: Timestamp, }
    /// The disk has little room left.
    DiskShort = "disk.short" { free_bytes: u64, needed_bytes: u64, size_bytes: u64, }
    /// A kept blob was found damaged or missing.
    ScrubDamaged = "scrub.damaged" { blob: String, images: String, pushed: bool, }
    /// Somebody tests a webhook.
    Ping = "ping" { webhook_id: i64, }
    /// Further events of one kind within a minute, which were too many to be told one by one.
    EventsSummed = "events.summed" { of: NoticeKind, count: u64, since: Timestamp, until: Timestamp, }
}
crate::schema::words_in_schema!(NoticeKind);
words_in_sql!(NoticeKind);

impl NoticeKind {
    /// Whether a webhook can ask for it: a test reaches any, and sums are of the kinds that it hears.
    pub fn is_to_be_chosen(self) -> bool {
        !matches!(self, Self::Ping | Self::EventsSummed)
    }
}

/// What went for one reason.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct EvictedFor {
    pub images: i64,
    pub bytes: i64,
}

/// A notice, with the group that it is about and when it happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub notice: Notice,
    /// Whose webhooks hear of it, with those of the groups above; the box's hear of everything.
    pub group: Option<GroupId>,
    pub at: Timestamp,
}

#[derive(Default)]
pub struct Notices {
    is_wanted: AtomicBool,
    waiting: Mutex<VecDeque<Told>>,
    came: Condvar,
    /// How many found no room.
    lost: AtomicU64,
    /// Receivers that took a test since.
    ready: Mutex<Vec<String>>,
}

impl Notices {
    /// Notes something for webhooks; `notice` is called only where there are any.
    pub fn tell(&self, group: Option<GroupId>, notice: impl FnOnce() -> Notice) {
        if !self.is_wanted() {
            return;
        }
        let told = Told {
            notice: notice(),
            group,
            at: Timestamp::now(),
        };
        let mut waiting = self.waiting.lock();
        if waiting.len() >= MOST_WAITING {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.push_back(told);
        // Whoever fetches them takes all at once: one call is enough.
        if waiting.len() == 1 {
            self.came.notify_all();
        }
    }

    /// Whether there is a webhook that is told anything.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    pub fn want(&self, is_wanted: bool) {
        self.is_wanted.store(is_wanted, Ordering::Relaxed);
    }

    /// Waits until something comes, [`Self::wake`] is called, or `period` is over.
    pub fn wait(&self, period: Duration) {
        let mut waiting = self.waiting.lock();
        if waiting.is_empty() {
            self.came.wait_for(&mut waiting, period);
        }
    }

    pub fn wake(&self) {
        self.came.notify_all();
    }

    /// What waits for this receiver need not wait for the end of a pause: it took a test.
    pub fn note_ready(&self, receiver: &str) {
        self.ready.lock().push(receiver.to_owned());
        self.wake();
    }

    pub fn take_ready(&self) -> Vec<String> {
        std::mem::take(&mut *self.ready.lock())
    }

    /// What came since, and how many had no room.
    pub fn take(&self) -> (Vec<Told>, u64) {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        (waiting.into(), self.lost.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_made_where_nobody_listens_and_too_many_are_counted() {
        let notices = Notices::default();
        notices.tell(None, || panic!("nobody wants it"));
        notices.want(true);
        for number in 0..MOST_WAITING + 7 {
            let webhook_id = i64::try_from(number).unwrap();
            notices.tell(None, || Notice::Ping { webhook_id });
        }
        let (waiting, lost) = notices.take();
        assert_eq!((waiting.len(), lost), (MOST_WAITING, 7));
        assert_eq!(waiting[0].notice, Notice::Ping { webhook_id: 0 });
        assert_eq!(notices.take(), (vec![], 0));
    }
}
