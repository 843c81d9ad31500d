//! What the limits ask for: room is made before it is needed.

use super::limits::Reason;
use super::plan::Goal;
use crate::error::Result;
use crate::store::{Asked, Limit, Scope, Store};

/// Hundredths of a limit from which on something goes, and down to which.
const HIGH: u64 = 97;
const LOW: u64 = 95;

/// What a limit asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Demand {
    pub(super) limit: Limit,
    pub(super) goal: Goal,
    pub(super) reason: Reason,
}

impl Demand {
    pub(super) fn scope(&self) -> &Scope {
        match &self.limit {
            Limit::Size(scope) => scope,
            Limit::MinFree => &Scope::All,
        }
    }
}

/// What the limits ask for now, if fills wait for so much.
///
/// # Errors
/// `Sql`, `Io`.
pub(super) fn demands(store: &Store, asked: &Asked) -> Result<Vec<Demand>> {
    let room = &store.room;
    let limits = room.limits();
    let of = |scope: &Scope, used: u64, most: u64, reason| {
        let limit = Limit::Size(scope.clone());
        let used = used.saturating_add(room.filling(scope));
        let bytes = over(used, most, asked.get(&limit).copied())?;
        let goal = Goal::Bytes(bytes);
        Some(Demand {
            limit,
            goal,
            reason,
        })
    };
    let mut demands = Vec::new();
    if let Some(most) = limits.max_size {
        let used = store.cache.used()?;
        demands.extend(of(&Scope::All, used, most, Reason::MaxSize));
    }
    let (free, _) = store.blobs.space()?;
    let asked_of_disk = asked.get(&Limit::MinFree).copied().unwrap_or_default();
    let free = free.saturating_sub(asked_of_disk);
    if limits.min_free > 0 && free < part(limits.min_free, 110) {
        demands.push(Demand {
            limit: Limit::MinFree,
            goal: Goal::Disk(part(limits.min_free, 120).saturating_sub(free)),
            reason: Reason::MinFree,
        });
    }
    for limited in &limits.parts {
        let reason = match limited.scope {
            Scope::Group(_) => Reason::GroupMaxSize,
            Scope::All | Scope::Upstream(_) => Reason::UpstreamMaxSize,
        };
        demands.extend(of(&limited.scope, limited.used, limited.max_size, reason));
    }
    Ok(demands)
}

/// How many bytes are to go of what is used: if it is near its limit, or there is no room for what is asked for.
fn over(used: u64, most: u64, asked: Option<u64>) -> Option<u64> {
    // For what fits in no case, nothing goes.
    let asked = asked.filter(|asked| *asked <= most).unwrap_or_default();
    let is_near = used > part(most, HIGH) || used.saturating_add(asked) > most;
    let target = part(most, LOW).min(most.saturating_sub(asked));
    is_near
        .then(|| used.saturating_sub(target))
        .filter(|bytes| *bytes > 0)
}

fn part(of: u64, hundredths: u64) -> u64 {
    (of / 100)
        .saturating_mul(hundredths)
        .saturating_add((of % 100).saturating_mul(hundredths) / 100)
}
