//! What webhooks hear of that no request tells: upstreams that go away and come back, tokens that end soon, a disk with
//! little room, and what went from the cache on a day. Looked at only while there are webhooks.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use super::Appliance;
use crate::auth::administration::expiry::ends_soon;
use crate::error::Result;
use crate::proxy::UpstreamState;
use crate::store::{GroupId, Notice, NoticeKind, Store, Token, reserve};
use crate::time::Timestamp;
use crate::upstream::BreakerState;
use crate::webhooks::ONE_BY_ONE;

/// How often is looked for what is due, where nothing comes; and where there is no webhook.
const TICK: Duration = Duration::from_millis(500);
const IDLE_TICK: Duration = Duration::from_secs(1);
/// What failed, because the disk is full as a rule, is left alone so long.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_AT_DISK_EVERY: Duration = Duration::from_secs(10);
const LOOK_AT_TOKENS_EVERY: Duration = Duration::from_secs(60 * 60);
/// Where there are more than are told one by one: a moment longer than the minute that sums are of.
const LOOK_AT_MORE_TOKENS: Duration = Duration::from_secs(61);
const DAY: i64 = 24 * 60 * 60;
/// Evictions of a day are summed up so long after its end, when the audit has all of them.
const AFTER_MIDNIGHT: i64 = 60;
/// What was told so long ago may be told again.
const TOLD_FOR: i64 = 90 * DAY;
/// The disk has room again when it has a tenth more than it needs.
const ROOM_AGAIN: u64 = 10;

/// What was looked at, and when.
#[derive(Default)]
struct Watch {
    looked: Option<Instant>,
    disk: Option<Instant>,
    tokens: Option<Instant>,
    /// Whether the last look left some tokens to be told.
    has_more_tokens: bool,
    /// The last day whose evictions were told, as its first moment.
    day: Option<i64>,
    /// Upstreams by whose they are and name, and whether they were told to be down.
    down: HashMap<String, bool>,
    /// What is to be noted as told, or not told any more, once it is queued. Kept until that is written.
    marks: HashMap<String, bool>,
}

impl Appliance {
    /// Tells webhooks what happens until it is stopped; a failure is handed to `complain`, and a later round goes on.
    pub fn run_webhooks(&self, stopped: &Receiver<()>, mut complain: impl FnMut(Result<()>)) {
        let mut watch = Watch::default();
        let notices = &self.store.audit.notices;
        while !is_stopped(stopped) {
            let worked = self.webhook_round(&mut watch, Timestamp::now(), stopped);
            let has_failed = worked.is_err();
            complain(worked);
            match (has_failed, notices.is_wanted()) {
                // What could not be queued would end any other wait at once.
                (true, _) => match stopped.recv_timeout(AFTER_FAILURE) {
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => break,
                },
                (false, true) => notices.wait(TICK),
                (false, false) => notices.wait(IDLE_TICK),
            }
        }
        let now = Timestamp::now();
        let queued = self.webhooks.stop(now);
        complain(queued.and_then(|()| watch.write_marks(&self.store, now)));
    }

    fn webhook_round(
        &self,
        watch: &mut Watch,
        now: Timestamp,
        stopped: &Receiver<()>,
    ) -> Result<()> {
        let looked = match self.store.audit.notices.is_wanted() {
            true => watch.look(self, now, stopped),
            false => Ok(()),
        };
        self.webhooks.work(now)?;
        watch.write_marks(&self.store, now)?;
        looked
    }
}

fn is_stopped(stopped: &Receiver<()>) -> bool {
    !matches!(stopped.try_recv(), Err(TryRecvError::Empty))
}

fn is_due(last: &mut Option<Instant>, period: Duration) -> bool {
    let is_due = last.is_none_or(|at| at.elapsed() >= period);
    if is_due {
        *last = Some(Instant::now());
    }
    is_due
}

impl Watch {
    fn look(
        &mut self,
        appliance: &Appliance,
        now: Timestamp,
        stopped: &Receiver<()>,
    ) -> Result<()> {
        if !is_due(&mut self.looked, LOOK_EVERY) {
            return Ok(());
        }
        let mut seen = HashSet::new();
        for upstream in appliance.proxy.upstreams().states()? {
            let what = name_of(&upstream);
            self.look_at_upstream(appliance, &upstream, &what)?;
            seen.insert(what);
        }
        self.down.retain(|what, _| seen.contains(what));
        if is_due(&mut self.disk, LOOK_AT_DISK_EVERY) {
            self.look_at_disk(appliance)?;
        }
        let every = match self.has_more_tokens {
            true => LOOK_AT_MORE_TOKENS,
            false => LOOK_AT_TOKENS_EVERY,
        };
        if is_due(&mut self.tokens, every) {
            // Also where it fails.
            self.has_more_tokens = true;
            self.has_more_tokens = self.look_at_tokens(appliance, now, stopped)?;
        }
        self.look_at_evictions(appliance, now)
    }

    fn was_told(&self, store: &Store, what: &str) -> Result<bool> {
        match self.marks.get(what) {
            Some(is_told) => Ok(*is_told),
            None => store.audit.was_told(what),
        }
    }

    fn write_marks(&mut self, store: &Store, now: Timestamp) -> Result<()> {
        if self.marks.is_empty() {
            return Ok(());
        }
        let before = Timestamp(now.0.saturating_sub(TOLD_FOR));
        store.audit.mark_told(&self.marks, now, before)?;
        self.marks.clear();
        Ok(())
    }

    fn look_at_upstream(
        &mut self,
        appliance: &Appliance,
        upstream: &UpstreamState,
        what: &str,
    ) -> Result<()> {
        let store = &appliance.store;
        let status = &upstream.status;
        let is_down = match status.breaker {
            BreakerState::Open
            | BreakerState::HalfOpen
            | BreakerState::CredentialsRefused
            | BreakerState::Unusable => true,
            // After a restart nothing is known of it until it has answered.
            BreakerState::Closed | BreakerState::Slow if status.last_success_at.is_some() => false,
            BreakerState::Closed | BreakerState::Slow | BreakerState::Offline => return Ok(()),
        };
        let was_down = match self.down.get(what) {
            Some(was_down) => *was_down,
            None => self.was_told(store, what)?,
        };
        if is_down != was_down {
            let path = upstream.group.as_deref();
            let group = path.map(|path| store.access.group_by_path(path));
            let group = group.transpose()?.flatten().map(|group| group.id);
            // Whoever hears of either end of an outage hears of this one; else it is told to a webhook that comes.
            let webhooks = &appliance.webhooks;
            if !webhooks.hear(NoticeKind::UpstreamDown, group)?
                && !webhooks.hear(NoticeKind::UpstreamUp, group)?
            {
                return Ok(());
            }
            let name = status.name.clone();
            store.audit.notices.tell(group, || match is_down {
                true => Notice::UpstreamDown {
                    upstream: name,
                    state: status.breaker.into(),
                    why: status.last_failure.clone(),
                },
                false => Notice::UpstreamUp { upstream: name },
            });
            self.marks.insert(what.to_owned(), is_down);
        }
        self.down.insert(what.to_owned(), is_down);
        Ok(())
    }

    fn look_at_disk(&mut self, appliance: &Appliance) -> Result<()> {
        const WHAT: &str = "disk";
        let store = &appliance.store;
        let (free, size) = store.blobs.space()?;
        let needed = store.room.limits().min_free;
        let needed = needed.max(reserve(size).saturating_mul(2));
        let was_short = self.was_told(store, WHAT)?;
        let again = needed.saturating_add(needed.checked_div(ROOM_AGAIN).unwrap_or_default());
        let is_news = free < needed && !was_short;
        if is_news && appliance.webhooks.hear(NoticeKind::DiskShort, None)? {
            store.audit.notices.tell(None, || Notice::DiskShort {
                free_bytes: free,
                needed_bytes: needed,
                size_bytes: size,
            });
            self.marks.insert(WHAT.to_owned(), true);
        }
        if free >= again && was_short {
            self.marks.insert(WHAT.to_owned(), false);
        }
        Ok(())
    }

    /// Tells of as many as are told one by one within a minute; whether there are more.
    fn look_at_tokens(
        &mut self,
        appliance: &Appliance,
        now: Timestamp,
        stopped: &Receiver<()>,
    ) -> Result<bool> {
        let store = &appliance.store;
        let mut left = ONE_BY_ONE;
        for token in store.access.tokens(None)? {
            let Some(expires_at) = ends_soon(&token, now) else {
                continue;
            };
            let what = format!("token {} {}", token.id.0, expires_at.0);
            if self.was_told(store, &what)? {
                continue;
            }
            let group = group_of(appliance, &token)?;
            if !appliance.webhooks.hear(NoticeKind::TokenExpiring, group)? {
                continue;
            }
            if left == 0 || is_stopped(stopped) {
                return Ok(true);
            }
            left = left.saturating_sub(1);
            store.audit.notices.tell(group, || Notice::TokenExpiring {
                id: token.id,
                name: token.name,
                kind: token.kind.as_str(),
                expires_at,
            });
            self.marks.insert(what, true);
        }
        Ok(false)
    }

    /// What went yesterday, once it is over.
    fn look_at_evictions(&mut self, appliance: &Appliance, now: Timestamp) -> Result<()> {
        let moment = now.0.saturating_sub(AFTER_MIDNIGHT);
        let today = moment.saturating_sub(moment.rem_euclid(DAY));
        if self.day == Some(today) || !appliance.webhooks.hear(NoticeKind::CacheEvicted, None)? {
            return Ok(());
        }
        let audit = &appliance.store.audit;
        let from = Timestamp(today.saturating_sub(DAY));
        let day: String = from.to_string().chars().take("2026-01-31".len()).collect();
        let what = format!("evicted {day}");
        if !self.was_told(&appliance.store, &what)? {
            let reasons = audit.evicted_between(from, Timestamp(today))?;
            if !reasons.is_empty() {
                let sum = |of: fn(&(String, crate::store::EvictedFor)) -> i64| {
                    reasons.iter().map(of).fold(0, i64::saturating_add)
                };
                let (images, bytes) = (sum(|(_, went)| went.images), sum(|(_, went)| went.bytes));
                audit.notices.tell(None, || Notice::CacheEvicted {
                    day,
                    images,
                    bytes,
                    reasons: BTreeMap::from_iter(reasons),
                });
            }
            self.marks.insert(what, true);
        }
        self.day = Some(today);
        Ok(())
    }
}

fn name_of(upstream: &UpstreamState) -> String {
    let group = upstream.group.as_deref().unwrap_or_default();
    format!("upstream {group} {}", upstream.status.name)
}

/// The group that a token belongs to, or in which its project lies.
fn group_of(appliance: &Appliance, token: &Token) -> Result<Option<GroupId>> {
    let project = token
        .project_id
        .map(|id| appliance.store.access.project(id));
    let project = project.transpose()?.flatten();
    Ok(token.group_id.or(project.map(|project| project.group)))
}
