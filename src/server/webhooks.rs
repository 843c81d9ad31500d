//! What webhooks hear of that no request tells: upstreams that go away and come back, tokens that end soon, a disk with
//! little room, and what went from the cache on a day. Looked at only while there are webhooks.

use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use super::Appliance;
use crate::auth::administration::expiry::ends_soon;
use crate::error::Result;
use crate::proxy::UpstreamState;
use crate::store::{GroupId, Notice, Token, reserve};
use crate::time::Timestamp;
use crate::upstream::BreakerState;

/// How often is looked for what is due, where nothing comes; and where there is no webhook.
const TICK: Duration = Duration::from_millis(500);
const IDLE_TICK: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_AT_DISK_EVERY: Duration = Duration::from_secs(10);
const LOOK_AT_TOKENS_EVERY: Duration = Duration::from_secs(60 * 60);
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
    /// The last day whose evictions were told, as its first moment.
    day: Option<i64>,
    /// Upstreams by whose they are and name, and whether they were told to be down.
    down: HashMap<String, bool>,
    /// What is noted as told, or not told any more, once it is queued.
    marks: Vec<(String, bool)>,
}

impl Appliance {
    /// Tells webhooks what happens until it is stopped; a failure is handed to `complain`, and the next round goes on.
    pub fn run_webhooks(&self, stopped: &Receiver<()>, mut complain: impl FnMut(Result<()>)) {
        let mut watch = Watch::default();
        let notices = &self.store.audit.notices;
        while let Err(TryRecvError::Empty) = stopped.try_recv() {
            complain(self.webhook_round(&mut watch, Timestamp::now()));
            notices.wait(match notices.is_wanted() {
                true => TICK,
                false => IDLE_TICK,
            });
        }
        complain(self.webhooks.stop(Timestamp::now()));
    }

    fn webhook_round(&self, watch: &mut Watch, now: Timestamp) -> Result<()> {
        let looked = match self.store.audit.notices.is_wanted() {
            true => watch.look(self, now),
            false => Ok(()),
        };
        self.webhooks.work(now)?;
        let before = Timestamp(now.0.saturating_sub(TOLD_FOR));
        for (what, is_told) in std::mem::take(&mut watch.marks) {
            match is_told {
                true => self.store.audit.note_told(&what, now, before)?,
                false => self.store.audit.forget_told(&what)?,
            }
        }
        looked
    }
}

fn is_due(last: &mut Option<Instant>, period: Duration) -> bool {
    let is_due = last.is_none_or(|at| at.elapsed() >= period);
    if is_due {
        *last = Some(Instant::now());
    }
    is_due
}

impl Watch {
    fn look(&mut self, appliance: &Appliance, now: Timestamp) -> Result<()> {
        if !is_due(&mut self.looked, LOOK_EVERY) {
            return Ok(());
        }
        for upstream in appliance.proxy.upstreams().states()? {
            self.look_at_upstream(appliance, &upstream)?;
        }
        if is_due(&mut self.disk, LOOK_AT_DISK_EVERY) {
            self.look_at_disk(appliance)?;
        }
        if is_due(&mut self.tokens, LOOK_AT_TOKENS_EVERY) {
            self.look_at_tokens(appliance, now)?;
        }
        self.look_at_evictions(appliance, now)
    }

    fn look_at_upstream(&mut self, appliance: &Appliance, upstream: &UpstreamState) -> Result<()> {
        let store = &appliance.store;
        let status = &upstream.status;
        let path = upstream.group.as_deref();
        let what = format!("upstream {} {}", path.unwrap_or_default(), status.name);
        let is_down = match status.breaker {
            BreakerState::Open
            | BreakerState::HalfOpen
            | BreakerState::CredentialsRefused
            | BreakerState::Unusable => true,
            // After a restart nothing is known of it until it has answered.
            BreakerState::Closed | BreakerState::Slow if status.last_success_at.is_some() => false,
            BreakerState::Closed | BreakerState::Slow | BreakerState::Offline => return Ok(()),
        };
        let was_down = match self.down.get(&what) {
            Some(was_down) => *was_down,
            None => store.audit.was_told(&what)?,
        };
        if is_down != was_down {
            let group = path
                .map(|path| store.access.group_by_path(path))
                .transpose()?;
            let group = group.flatten().map(|group| group.id);
            let name = status.name.clone();
            store.audit.notices.tell(group, || match is_down {
                true => Notice::UpstreamDown {
                    upstream: name,
                    state: status.breaker.into(),
                    why: status.last_failure.clone(),
                },
                false => Notice::UpstreamUp { upstream: name },
            });
            self.marks.push((what.clone(), is_down));
        }
        self.down.insert(what, is_down);
        Ok(())
    }

    fn look_at_disk(&mut self, appliance: &Appliance) -> Result<()> {
        const WHAT: &str = "disk";
        let store = &appliance.store;
        let (free, size) = store.blobs.space()?;
        let needed = store.room.limits().min_free;
        let needed = needed.max(reserve(size).saturating_mul(2));
        let was_short = store.audit.was_told(WHAT)?;
        let again = needed.saturating_add(needed.checked_div(ROOM_AGAIN).unwrap_or_default());
        if free < needed && !was_short {
            store.audit.notices.tell(None, || Notice::DiskShort {
                free_bytes: free,
                needed_bytes: needed,
                size_bytes: size,
            });
            self.marks.push((WHAT.to_owned(), true));
        }
        if free >= again && was_short {
            self.marks.push((WHAT.to_owned(), false));
        }
        Ok(())
    }

    fn look_at_tokens(&mut self, appliance: &Appliance, now: Timestamp) -> Result<()> {
        let store = &appliance.store;
        for token in store.access.tokens(None)? {
            let Some(expires_at) = ends_soon(&token, now) else {
                continue;
            };
            let what = format!("token {} {}", token.id.0, expires_at.0);
            if store.audit.was_told(&what)? {
                continue;
            }
            let group = group_of(appliance, &token)?;
            store.audit.notices.tell(group, || Notice::TokenExpiring {
                id: token.id,
                name: token.name,
                kind: token.kind.as_str(),
                expires_at,
            });
            self.marks.push((what, true));
        }
        Ok(())
    }

    /// What went yesterday, once it is over.
    fn look_at_evictions(&mut self, appliance: &Appliance, now: Timestamp) -> Result<()> {
        let moment = now.0.saturating_sub(AFTER_MIDNIGHT);
        let today = moment.saturating_sub(moment.rem_euclid(DAY));
        if self.day == Some(today) {
            return Ok(());
        }
        let audit = &appliance.store.audit;
        let from = Timestamp(today.saturating_sub(DAY));
        let day: String = from.to_string().chars().take("2026-01-31".len()).collect();
        let what = format!("evicted {day}");
        if !audit.was_told(&what)? {
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
            self.marks.push((what, true));
        }
        self.day = Some(today);
        Ok(())
    }
}

/// The group that a token belongs to, or in which its project lies.
fn group_of(appliance: &Appliance, token: &Token) -> Result<Option<GroupId>> {
    let project = token
        .project_id
        .map(|id| appliance.store.access.project(id));
    let project = project.transpose()?.flatten();
    Ok(token.group_id.or(project.map(|project| project.group)))
}
