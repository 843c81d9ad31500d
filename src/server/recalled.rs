//! What is remembered for whoever looks at the box: statistics of the cache, what the doctor finds, what would go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Appliance;
use super::remembered::{Patience, Remembered};
use crate::admin::{
    Admin, CacheStatistics, CacheStatisticsView, FindingsView, Operation, perform_named,
};
use crate::error::{Error, Kind, Result};
use crate::priority::{AFTER_PULLS, lower};
use crate::store::{Actor, ImageSizes};

/// The overview asks for two of these, one after the other, and should be there at once.
const FIRST: Duration = Duration::from_millis(10);

/// On a box where this takes no time, what was just changed is in it.
const STATISTICS: Patience = Patience {
    age: Duration::from_secs(5 * 60),
    quick: Duration::from_millis(250),
    first: FIRST,
    again: Duration::from_secs(2),
    gives_very_old: true,
};
const FINDINGS: Patience = Patience {
    age: Duration::from_secs(60),
    quick: Duration::ZERO,
    first: FIRST,
    again: Duration::ZERO,
    gives_very_old: true,
};

/// Whoever wants a list by size cannot do without, and waits almost as long as a list may take.
const SIZES: Patience = Patience {
    first: Duration::from_secs(8),
    again: Duration::from_secs(8),
    ..STATISTICS
};
/// When to come again for a list by size.
const COME_AGAIN: Duration = Duration::from_secs(10);

/// Whoever wants to purge or evict looks once or twice before.
const PREVIEWS: Patience = Patience {
    age: Duration::from_secs(15),
    quick: PAGE_WAITS,
    first: PAGE_WAITS,
    again: PAGE_WAITS,
    gives_very_old: false,
};
/// The page is to be there within 50 ms.
const PAGE_WAITS: Duration = Duration::from_millis(25);
/// When to come again to see it.
const PREVIEW_COMES_AGAIN: Duration = Duration::from_secs(2);
/// So many of them are remembered.
const MOST_PREVIEWS: usize = 8;

/// The view of an operation as JSON, or why it failed: whoever asks is told.
#[derive(Clone)]
enum WorkedOut {
    View(Arc<RawValue>),
    Failed(Arc<Error>),
}

/// Held by the one preview that is worked out, for which all rows are read.
struct Turn(Arc<AtomicBool>);

impl Turn {
    fn take(turn: &Arc<AtomicBool>) -> Option<Self> {
        let is_taken = turn.swap(true, Ordering::SeqCst);
        (!is_taken).then(|| Self(Arc::clone(turn)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// Runs the doctor's checks of this box, and calls what it is given when it holds nothing that pulls wait for.
pub type Examine = Arc<dyn Fn(fn()) -> Result<FindingsView> + Send + Sync>;

type Preview = Arc<Remembered<WorkedOut>>;

pub(super) struct Recalled {
    statistics: Arc<Remembered<CacheStatisticsView>>,
    findings: Arc<Remembered<FindingsView>>,
    image_sizes: Arc<Remembered<ImageSizes>>,
    /// Each with its operation and request, those that were asked for last at the end.
    previews: Mutex<Vec<((&'static str, Value), Preview)>>,
    /// See [`Turn`].
    preview_turn: Arc<AtomicBool>,
}

impl Default for Recalled {
    fn default() -> Self {
        Self {
            statistics: Remembered::new("how much is cached"),
            findings: Remembered::new("what the doctor says"),
            image_sizes: Remembered::new("how large cached images are"),
            previews: Mutex::default(),
            preview_turn: Arc::default(),
        }
    }
}

impl Recalled {
    /// What is being worked out is given to nobody then.
    pub(super) fn forget_previews(&self) {
        self.previews.lock().clear();
    }

    fn forget_preview(&self, name: &'static str, request: &Value) {
        let is_another = |known: &str, asked: &Value| known != name || asked != request;
        let mut previews = self.previews.lock();
        previews.retain(|((known, asked), _)| is_another(known, asked));
    }

    /// Forgets what has been worked out. What is being worked out now is given with its time: if it were thrown away,
    /// a box that evicts all the time would never say anything.
    pub(super) fn forget_finished_previews(&self) {
        for (_, preview) in self.previews.lock().iter() {
            preview.forget();
        }
    }

    /// The preview of this request, with the turn to work it out if nobody has that. Where somebody has it, what is not
    /// known yet is not begun to be: so what is being worked out is never forgotten for it.
    fn preview(&self, name: &'static str, request: &Value) -> Option<(Preview, Option<Turn>)> {
        let turn = Turn::take(&self.preview_turn);
        let is_asked = |(known, asked): &(&str, Value)| *known == name && asked == request;
        let mut previews = self.previews.lock();
        let known = previews.iter().position(|(asked, _)| is_asked(asked));
        let known = match known {
            Some(place) => previews.remove(place).1,
            None if turn.is_none() => return None,
            None => Remembered::new("what the page shows of all that is cached"),
        };
        if previews.len() >= MOST_PREVIEWS {
            previews.remove(0);
        }
        previews.push(((name, request.clone()), Arc::clone(&known)));
        Some((known, turn))
    }
}

impl Appliance {
    /// From here on it can say what the doctor finds. The checks are the command line's, which this room does not know.
    pub fn examine_by(&self, examine: Examine) {
        // There is only one doctor, so it is set once.
        let _ = self.examine.set(examine);
    }

    pub(super) fn recall_statistics(&self) -> Option<CacheStatisticsView> {
        let count = self.unhurried(|admin| CacheStatistics {}.perform(admin));
        let recalled = self.recalled.statistics.get(&STATISTICS, count);
        recalled.map(|(view, _)| view)
    }

    pub(super) fn recall_preview(
        &self,
        name: &'static str,
        request: Value,
    ) -> Result<Arc<RawValue>> {
        let recalled = match self.recalled.preview(name, &request) {
            Some((known, Some(turn))) => {
                let request = request.clone();
                let work_out = self.unhurried(move |admin| {
                    let _turn = turn;
                    Ok(match perform_named(admin, name, request) {
                        Ok(view) => WorkedOut::View(Arc::from(view)),
                        Err(error) => WorkedOut::Failed(Arc::new(error)),
                    })
                });
                known.get(&PREVIEWS, work_out).map(|(out, _)| out)
            }
            Some((known, None)) => known.young(&PREVIEWS),
            None => None,
        };
        match recalled {
            Some(WorkedOut::View(view)) => Ok(view),
            Some(WorkedOut::Failed(error)) => {
                // Whoever asks again has it tried again.
                self.recalled.forget_preview(name, &request);
                Err(error.again())
            }
            None => {
                let retry_after = PREVIEW_COMES_AGAIN;
                let what = "it is still being worked out";
                Err(Error::new(Kind::Unavailable { retry_after }, what)
                    .remedy("try again in some seconds"))
            }
        }
    }

    /// Work for a thread that lets pulls go first.
    fn unhurried<T>(
        &self,
        work: impl FnOnce(&Admin<'_>) -> Result<T> + Send + 'static,
    ) -> impl FnOnce() -> Result<T> + Send + 'static {
        let itself = self.itself.get().and_then(Weak::upgrade);
        move || {
            let itself = itself.ok_or_else(|| Error::internal("the box is being stopped"))?;
            // While pulls go first, others would wait long for the database's writer.
            if let Err(error) = itself.store.cache.write_notes() {
                tracing::warn!(%error, "the last pulls are not counted yet");
            }
            lower(AFTER_PULLS);
            work(&itself.admin(Actor::server()))
        }
    }

    /// Waits in the queue of lists for what is measured outside of it: once, for however many ask.
    pub(super) fn recall_image_sizes(&self) -> Result<ImageSizes> {
        let store = Arc::clone(&self.store);
        let measure = move || {
            lower(AFTER_PULLS);
            store.cache.image_sizes()
        };
        let recall = || Ok(self.recalled.image_sizes.get(&SIZES, measure));
        let recalled = self.store.in_list_queue::<_, Error>(recall)?;
        let (sizes, _) = recalled.ok_or_else(|| {
            let retry_after = COME_AGAIN;
            let what = "it is still being measured how large the cached images are";
            Error::new(Kind::Unavailable { retry_after }, what).remedy("try again later")
        })?;
        Ok(sizes)
    }

    pub(super) fn recall_findings(&self) -> Option<FindingsView> {
        let examine = Arc::clone(self.examine.get()?);
        let recalled = self
            .recalled
            .findings
            .get(&FINDINGS, move || examine(|| lower(AFTER_PULLS)));
        recalled.map(|(view, _)| view)
    }

    /// Forgets what nobody has asked for within the hour: called now and then.
    pub fn forget_unasked(&self) {
        self.recalled.statistics.forget_unasked();
        self.recalled.findings.forget_unasked();
        self.recalled.image_sizes.forget_unasked();
        for (_, preview) in self.recalled.previews.lock().iter() {
            preview.forget_unasked();
        }
    }
}
