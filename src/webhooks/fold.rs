//! Sums up what happens too often: of each kind a receiver hears so many events a minute one by one, and of the rest
//! their number when the minute is over. Pure; the time is a parameter.

use std::collections::HashMap;
use std::time::Duration;

use crate::store::{Notice, NoticeKind};
use crate::time::Timestamp;

/// So many a minute, of each kind, are told one by one.
pub const ONE_BY_ONE: u32 = 20;
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct Fold(HashMap<(String, NoticeKind), Minute>);

struct Minute {
    since: Timestamp,
    told: u32,
    folded: u64,
    first: Timestamp,
    last: Timestamp,
}

impl Fold {
    /// Whether a receiver hears of this one by itself; otherwise it is counted.
    pub(super) fn admits(&mut self, receiver: &str, kind: NoticeKind, now: Timestamp) -> bool {
        let minute = self.0.entry((receiver.to_owned(), kind));
        let minute = minute.or_insert(Minute {
            since: now,
            told: 0,
            folded: 0,
            first: now,
            last: now,
        });
        if minute.told < ONE_BY_ONE {
            minute.told = minute.told.saturating_add(1);
            return true;
        }
        if minute.folded == 0 {
            minute.first = now;
        }
        minute.folded = minute.folded.saturating_add(1);
        minute.last = now;
        false
    }

    /// The sums of the minutes that are over, or of all.
    pub(super) fn sums(&mut self, now: Timestamp, all: bool) -> Vec<(String, Notice)> {
        // Also of those that began while the clock was ahead.
        let is_over =
            |minute: &Minute| all || now < minute.since || now.since(minute.since) >= MINUTE;
        let over = self.0.extract_if(|_, minute| is_over(minute));
        let told = over.filter(|(_, minute)| minute.folded > 0);
        told.map(|((receiver, of), minute)| {
            let sum = Notice::EventsSummed {
                of,
                count: minute.folded,
                since: minute.first,
                until: minute.last,
            };
            (receiver, sum)
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_kind_a_receiver_hears_twenty_a_minute_and_the_number_of_the_rest() {
        let mut fold = Fold::default();
        let start = Timestamp(1_800_000_000);
        let (filled, refused) = (NoticeKind::ImageFilled, NoticeKind::PullRefused);
        let admitted = (0..50).filter(|_| fold.admits("a", filled, start)).count();
        assert_eq!(admitted, 20);
        assert!(
            fold.admits("a", refused, start),
            "another kind counts apart"
        );
        assert!(fold.admits("b", filled, start), "so does another receiver");
        let later = start.plus(Duration::from_secs(59));
        assert!(!fold.admits("a", filled, later));
        assert_eq!(fold.sums(later, false), []);
        let over = start.plus(MINUTE);
        let sum = Notice::EventsSummed {
            of: filled,
            count: 31,
            since: start,
            until: later,
        };
        assert_eq!(fold.sums(over, false), [("a".to_owned(), sum)]);
        assert!(fold.admits("a", filled, over), "a new minute begins");
        assert_eq!(fold.sums(over.plus(MINUTE), true), []);
    }
}
