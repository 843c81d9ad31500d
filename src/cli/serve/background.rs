//! What runs beside the requests: writing what was noted, collecting garbage, saving rows every night, the scrub and its repairs,
//! and comparing rows with files after a crash.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::system::wait_for_others;
use super::threads::spawn;
use crate::error::Result;
use crate::server::Appliance;
use crate::store::Store;
use crate::time::Timestamp;
use crate::upkeep::garbage::{self, Collection};
use crate::upkeep::nightly;
use crate::upkeep::scrub::{self, Pace};

/// How old a noted login or refusal may get before it is written.
const AUDIT_EVERY: Duration = Duration::from_secs(1);
/// How often is looked for rows that deletions have left: those of many or large images.
const REMOVE_EVERY: Duration = Duration::from_secs(1);
/// How often is looked for cleanup policies that are due, and deletions of tags that were asked for.
const CLEAN_EVERY: Duration = Duration::from_secs(1);
/// How long nothing is tried after it could not even be written that a cleanup failed.
const CLEAN_AFTER_FAILURE: Duration = Duration::from_secs(60);
/// How old a noted pull may get before it is written.
const NOTES_EVERY: Duration = Duration::from_secs(5);
/// How much of the history a crash may lose.
const HISTORY_EVERY: Duration = Duration::from_secs(60);
/// How often the log says that they cannot be written.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
/// How often interrupted fills are looked through for those that are too old or too many.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);
/// How long after the start garbage is collected for the first time: a box that is restarted often must come to it too.
const COLLECT_FIRST: Duration = Duration::from_secs(5 * 60);
/// How often afterwards.
const COLLECT_EVERY: Duration = Duration::from_secs(60 * 60);
/// How long after the start is looked for the first time whether a night was missed.
const NIGHTLY_FIRST: Duration = Duration::from_secs(7 * 60);
/// How often afterwards is looked whether it is night.
const NIGHTLY_EVERY: Duration = Duration::from_secs(60);
/// How long after it failed, on a full disk for example, it is tried again.
const NIGHTLY_AGAIN: Duration = Duration::from_secs(60 * 60);
/// How often is looked for what is damaged and is to be fetched again.
const REPAIR_EVERY: Duration = Duration::from_secs(1);
/// How often is looked whether a directory is due to be read again.
const SCRUB_EVERY: Duration = Duration::from_secs(60);

/// How often it is looked how far the cache is from its limits, unless a fill waits for room.
const EVICT_EVERY: Duration = Duration::from_secs(5);

/// How long after the start for the first time.
const EVICT_FIRST: Duration = Duration::from_secs(1);

/// The running threads.
pub(super) struct Background {
    stop_notes: mpsc::Sender<()>,
    notes: JoinHandle<()>,
    /// Dropping it ends the waiting for the next collection. One that goes on is not waited for: it may be broken off
    /// anywhere.
    _stop_collecting: mpsc::Sender<()>,
    /// The same for what deletions have left.
    _stop_removing: mpsc::Sender<()>,
    /// The same for images that go for want of room.
    _stop_evicting: mpsc::Sender<()>,
    /// The same for what is saved every night.
    _stop_saving: mpsc::Sender<()>,
    /// The same for what was found damaged and is fetched again.
    _stop_repairing: mpsc::Sender<()>,
    _stop_scrubbing: mpsc::Sender<()>,
    stop_webhooks: mpsc::Sender<()>,
    webhooks: JoinHandle<()>,
    /// Breaks off the file that the scrub reads.
    stopping: Arc<AtomicBool>,
    /// The same for cleanup policies: what one has not come to is due at the next start.
    _stop_cleaning: mpsc::Sender<()>,
    /// Whether rows and files are known to agree.
    reconciled: Arc<AtomicBool>,
}

impl Background {
    /// Starts them; `reconcile` is what [`Store::start_up`] said, `scrub` how often every byte is read.
    pub(super) fn start(
        appliance: &Arc<Appliance>,
        store: &Arc<Store>,
        reconcile: bool,
        scrub: Duration,
    ) -> Result<Self> {
        let (stop_notes, stopped) = mpsc::channel();
        let noting = Arc::clone(appliance);
        let notes = spawn("notes", move || write_notes(&noting, &stopped))?;
        let (stop_collecting, stopped) = mpsc::channel();
        let collecting = Arc::clone(store);
        spawn("garbage", move || collect_garbage(&collecting, &stopped))?;
        let (stop_removing, stopped) = mpsc::channel();
        let removing = Arc::clone(store);
        spawn("removals", move || finish_removals(&removing, &stopped))?;
        let (stop_evicting, stopped) = mpsc::channel();
        let evicting = Arc::clone(appliance);
        spawn("eviction", move || make_room(&evicting, &stopped))?;
        let (stop_saving, stopped) = mpsc::channel();
        let saving = Arc::clone(store);
        spawn("nightly", move || save_nightly(&saving, &stopped))?;
        let (stop_repairing, stopped) = mpsc::channel();
        let repairing = Arc::clone(appliance);
        spawn("repairs", move || fetch_damaged(&repairing, &stopped))?;
        let (stop_scrubbing, stopped) = mpsc::channel();
        let stopping = Arc::new(AtomicBool::new(false));
        if !scrub.is_zero() {
            let (appliance, stopping) = (Arc::clone(appliance), Arc::clone(&stopping));
            spawn("scrub", move || {
                run_scrub(&appliance, scrub, &stopping, &stopped)
            })?;
        }
        let (stop_webhooks, stopped) = mpsc::channel();
        let telling = Arc::clone(appliance);
        let webhooks = spawn("webhooks", move || tell_webhooks(&telling, &stopped))?;
        let (stop_cleaning, stopped) = mpsc::channel();
        let cleaning = Arc::clone(appliance);
        spawn("cleanup", move || clean_up(&cleaning, &stopped))?;
        let reconciled = Arc::new(AtomicBool::new(!reconcile));
        if reconcile {
            let (store, reconciled) = (Arc::clone(store), Arc::clone(&reconciled));
            // Not waited for at the end: it can take minutes, and may be broken off anywhere.
            spawn("reconcile", move || run_reconcile(&store, &reconciled))?;
        }
        Ok(Self {
            stop_notes,
            notes,
            _stop_collecting: stop_collecting,
            _stop_removing: stop_removing,
            _stop_evicting: stop_evicting,
            _stop_saving: stop_saving,
            _stop_repairing: stop_repairing,
            _stop_scrubbing: stop_scrubbing,
            stop_webhooks,
            webhooks,
            stopping,
            _stop_cleaning: stop_cleaning,
            reconciled,
        })
    }

    /// Stops writing notes, and queueing what webhooks are told. Whether rows and files are known to agree: otherwise the comparison is
    /// still running, or has failed, and is due again at the next start.
    pub(super) fn stop(self, store: &Store) -> bool {
        self.stopping.store(true, Ordering::Release);
        drop((self.stop_notes, self.stop_webhooks));
        store.audit.notices.wake();
        let _ = self.notes.join();
        let _ = self.webhooks.join();
        self.reconciled.load(Ordering::Acquire)
    }
}

/// A sentence that is said now and then: a full disk lasts, and shall not fill the log with it.
struct Complaint {
    sentence: &'static str,
    said: Option<Instant>,
}

impl Complaint {
    fn about(sentence: &'static str) -> Self {
        Self {
            sentence,
            said: None,
        }
    }

    fn of(&mut self, result: Result<()>) {
        if let Err(error) = result
            && self.said.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY)
        {
            self.said = Some(Instant::now());
            tracing::warn!(%error, "{}", self.sentence);
        }
    }
}

fn write_notes(appliance: &Appliance, stopped: &mpsc::Receiver<()>) {
    let store = appliance.store();
    let (mut noted, mut swept, mut summed) = (Instant::now(), Instant::now(), Instant::now());
    let mut audit = Complaint::about("logins and refusals could not be written to the audit");
    let mut marks = Complaint::about("what pushes rely on could not be written");
    let mut uses = Complaint::about("times of use could not be written");
    let mut history = Complaint::about("the history of what was served could not be written");
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(AUDIT_EVERY) {
        if let Err(error) = store.take_owed_note() {
            tracing::debug!(%error, "the start cannot be noted yet");
        }
        audit.of(store.audit.write_notes(Timestamp::now()));
        marks.of(store.registry.write_marks());
        if noted.elapsed() >= NOTES_EVERY {
            noted = Instant::now();
            uses.of(store.cache.write_notes().and(store.registry.write_notes()));
        }
        if summed.elapsed() >= HISTORY_EVERY {
            summed = Instant::now();
            history.of(appliance.write_history(Timestamp::now()));
        }
        if swept.elapsed() >= SWEEP_EVERY {
            swept = Instant::now();
            appliance.forget_unasked();
            if let Err(error) = store.blobs.forget_old_fills() {
                tracing::warn!(%error, "interrupted fills could not be forgotten");
            }
            if let Err(error) = store.audit.prune(Timestamp::now()) {
                tracing::warn!(%error, "old audit events could not be removed");
            }
        }
    }
    history.of(appliance.write_history(Timestamp::now()));
}

fn collect_garbage(store: &Store, stopped: &mpsc::Receiver<()>) {
    let mut wait = COLLECT_FIRST;
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(wait) {
        wait = COLLECT_EVERY;
        match garbage::collect(store, &Collection::periodic(Timestamp::now())) {
            Ok(collected) if collected.is_nothing() => {}
            Ok(collected) => tracing::info!(
                uploads = collected.uploads,
                links = collected.links,
                files = collected.files,
                bytes = collected.bytes,
                "collected garbage"
            ),
            Err(error) => tracing::warn!(%error, "garbage could not be collected"),
        }
    }
}

fn finish_removals(store: &Store, stopped: &mpsc::Receiver<()>) {
    let mut failed = Complaint::about("what was deleted could not be removed");
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(REMOVE_EVERY) {
        failed.of(store.finish_removals());
    }
}

fn make_room(appliance: &Appliance, stopped: &mpsc::Receiver<()>) {
    let mut failed = Complaint::about("no room could be made in the cache");
    let mut wait = EVICT_FIRST;
    while let Err(mpsc::TryRecvError::Empty) = stopped.try_recv() {
        failed.of(appliance.make_room(wait));
        wait = EVICT_EVERY;
    }
}

fn fetch_damaged(appliance: &Appliance, stopped: &mpsc::Receiver<()>) {
    let mut failed = Complaint::about("what is damaged could not be fetched again");
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(REPAIR_EVERY) {
        failed.of(appliance.fetch_damaged(false).map(drop));
    }
}

fn tell_webhooks(appliance: &Appliance, stopped: &mpsc::Receiver<()>) {
    let mut failed = Complaint::about("webhooks could not be told what happened");
    appliance.run_webhooks(stopped, |worked| failed.of(worked));
}

fn run_scrub(
    appliance: &Appliance,
    period: Duration,
    stopping: &AtomicBool,
    stopped: &mpsc::Receiver<()>,
) {
    wait_for_others();
    let mut failed = Complaint::about("the scrub could not go on");
    // Short periods are those of tests.
    let wait =
        Duration::from_millis(period.as_secs()).clamp(Duration::from_millis(50), SCRUB_EVERY);
    let pace = Pace {
        period,
        is_busy: &|| appliance.is_busy(),
        is_stopping: &|| stopping.load(Ordering::Acquire),
    };
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(wait) {
        failed.of(scrub::scrub(appliance.store(), &pace, &Timestamp::now).map(drop));
    }
}

fn save_nightly(store: &Store, stopped: &mpsc::Receiver<()>) {
    wait_for_others();
    let mut wait = NIGHTLY_FIRST;
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(wait) {
        wait = NIGHTLY_EVERY;
        match nightly::save_if_due(store, Timestamp::now()) {
            Ok(true) => tracing::info!("saved the rows of the databases"),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "the rows could not be saved; those of before stay");
                wait = NIGHTLY_AGAIN;
            }
        }
    }
}

fn clean_up(appliance: &Appliance, stopped: &mpsc::Receiver<()>) {
    let mut failed = Complaint::about("cleanup policies could not be run");
    let mut wait = CLEAN_EVERY;
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(wait) {
        let cleaned = appliance.clean_up();
        wait = match cleaned {
            Ok(()) => CLEAN_EVERY,
            Err(_) => CLEAN_AFTER_FAILURE,
        };
        failed.of(cleaned);
    }
}

fn run_reconcile(store: &Store, reconciled: &AtomicBool) {
    // Where it cannot be known, a crash is the likelier one.
    let why = match store.take_restored() {
        Ok(true) => "a backup was restored",
        Ok(false) | Err(_) => "the last stop was not clean",
    };
    tracing::info!("{why}: comparing rows with files");
    match store.reconcile() {
        Ok(done) => {
            reconciled.store(true, Ordering::Release);
            tracing::info!(
                adopted_files = done.adopted_files,
                dropped_rows = done.dropped_rows,
                "rows and files agree"
            );
            if done.missing_pushed > 0 {
                tracing::error!(
                    "but for {} files of pushed images that are missing, as after a restore without `blobs/`: pulls of them fail (put the files back from a backup, or push the images again; `breakwater verify` names them)",
                    done.missing_pushed
                );
            }
        }
        Err(error) => {
            tracing::error!(%error, "comparing rows with files failed; the next start tries again")
        }
    }
}
