//! The last few requests that were refused or failed, in memory, for `breakwater top`. The audit has all refusals.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::Appliance;
use super::call::Call;
use crate::admin::TroubleView;

/// How many there are.
const KEPT: usize = 5;
/// Characters of a path and of a reason, which come from outside.
const LONGEST: usize = 300;

/// The newest last.
#[derive(Default)]
pub(super) struct Troubles(Mutex<VecDeque<TroubleView>>);

impl Troubles {
    /// Takes the place of the same trouble, if that is among the last, and counts it.
    pub(super) fn note(&self, mut trouble: TroubleView) {
        let mut last = self.0.lock();
        let same = last.iter().position(|known| known.is_same(&trouble));
        if let Some(known) = same.and_then(|at| last.remove(at)) {
            trouble.times = known.times.saturating_add(1);
        }
        while last.len() >= KEPT {
            last.pop_front();
        }
        last.push_back(trouble);
    }

    /// The newest first.
    pub(super) fn newest(&self) -> Vec<TroubleView> {
        self.0.lock().iter().rev().cloned().collect()
    }
}

/// Notes a request that was refused or failed with this status.
pub(super) fn note(appliance: &Appliance, call: &Call<'_>, status: u16) {
    let cut = |text: &str| text.chars().take(LONGEST).collect::<String>();
    appliance.troubles.note(TroubleView {
        at: call.now,
        times: 1,
        status,
        path: cut(&call.request.path),
        address: call.address.ip.to_string(),
        why: call.note.why.as_deref().map(cut),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn the_last_few_are_kept_and_the_same_one_counts_up() {
        let troubles = Troubles::default();
        let trouble = |path: usize, at: i64| TroubleView {
            at: Timestamp(at),
            times: 1,
            status: 403,
            path: path.to_string(),
            address: "127.0.0.1".to_owned(),
            why: None,
        };
        for path in 0..KEPT + 2 {
            troubles.note(trouble(path, 1));
        }
        troubles.note(trouble(3, 2));
        let newest = troubles.newest();
        assert_eq!(newest.len(), KEPT);
        let first = newest.first().unwrap();
        assert_eq!((first.path.as_str(), first.times, first.at.0), ("3", 2, 2));
        assert!(newest.iter().all(|trouble| trouble.path != "0"));
    }
}
