//! What is seen of warming: bars on a terminal, a line for each image elsewhere, or JSON; and the sum of it.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::admin::{WarmOutcome, WarmedView};
use crate::cli::Outcome;
use crate::cli::output::{counted, hint, print, shown_size};
use crate::error::{Error, Result};
use crate::telemetry::escape_text;

/// An image that is not here, and why.
#[derive(Debug, Serialize)]
pub(super) struct Failed {
    pub(super) image: String,
    pub(super) place: Option<String>,
    pub(super) error: String,
}

#[derive(Debug, Default, Serialize)]
struct Summary {
    images: u64,
    warmed: u64,
    current: u64,
    failed: u64,
    /// For the sake of the rate limit.
    left: u64,
    /// Because of a signal.
    interrupted: u64,
    fetched_bytes: u64,
    present_bytes: u64,
    seconds: f64,
}

pub(super) struct Shown {
    json: bool,
    begun: Instant,
    summary: Summary,
    left: Vec<String>,
    resets: Vec<String>,
    is_stopped: bool,
    bars: Option<Bars>,
}

/// One bar in all, and one for each job.
struct Bars {
    multi: MultiProgress,
    whole: ProgressBar,
    jobs: HashMap<usize, ProgressBar>,
    /// Bytes of what each job has ended, or is at.
    bytes: HashMap<usize, (u64, u64)>,
    ended: (u64, u64),
}

impl Shown {
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            begun: Instant::now(),
            summary: Summary::default(),
            left: Vec::new(),
            resets: Vec::new(),
            is_stopped: false,
            bars: (!json && std::io::stderr().is_terminal()).then(Bars::new),
        }
    }

    /// So many images are to be warmed, beside those that have failed already.
    pub(super) fn begin(&mut self, images: usize) {
        let images = u64::try_from(images).unwrap_or(u64::MAX);
        self.summary.images = self.summary.failed.saturating_add(images);
        self.tell_bars();
    }

    pub(super) fn begun(&mut self, job: usize, image: &str) {
        if let Some(bars) = &mut self.bars {
            bars.begin(job, image);
        }
    }

    pub(super) fn progress(&mut self, job: usize, done: u64, total: u64) {
        if let Some(bars) = &mut self.bars {
            bars.progress(job, done, total);
        }
    }

    pub(super) fn ended(&mut self, job: usize) {
        if let Some(bars) = &mut self.bars {
            bars.end(job);
        }
    }

    pub(super) fn warmed(&mut self, view: &WarmedView) -> Result<()> {
        let summary = &mut self.summary;
        summary.fetched_bytes = summary.fetched_bytes.saturating_add(view.fetched_bytes);
        summary.present_bytes = summary.present_bytes.saturating_add(view.present_bytes);
        let count = match view.outcome {
            WarmOutcome::Warmed => &mut summary.warmed,
            WarmOutcome::Current => &mut summary.current,
            WarmOutcome::Left => &mut summary.left,
        };
        *count = count.saturating_add(1);
        if view.outcome == WarmOutcome::Left {
            self.left.push(view.image.clone());
            self.resets.extend(view.resets_at.map(|at| at.to_string()));
        }
        let told = match self.json {
            true => self.json_line(view),
            false => self.line(&sentence(view)),
        };
        self.tell_bars();
        told
    }

    pub(super) fn failed(&mut self, failed: Failed) -> Result<()> {
        self.summary.failed = self.summary.failed.saturating_add(1);
        if self.json {
            return self.json_line(&failed);
        }
        let place = failed.place.map(|place| format!(" ({place})"));
        let place = place.unwrap_or_default();
        self.aside(&format!(
            "{}{place}: failed: {}",
            failed.image, failed.error
        ));
        self.tell_bars();
        Ok(())
    }

    /// A signal came.
    pub(super) fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// What nobody came to, because of a signal.
    pub(super) fn interrupted(&mut self, images: impl Iterator<Item = String>) {
        if self.is_stopped {
            self.summary.interrupted = u64::try_from(images.count()).unwrap_or(u64::MAX);
        }
    }

    /// Prints the sum.
    pub(super) fn end(mut self) -> Result<Outcome> {
        if let Some(bars) = self.bars.take() {
            bars.clear();
        }
        let spent = self.begun.elapsed();
        let summary = &mut self.summary;
        summary.seconds = (spent.as_secs_f64() * 1000.0).round() / 1000.0;
        let known = [
            summary.warmed,
            summary.current,
            summary.failed,
            summary.left,
        ];
        let known = known.into_iter().fold(0_u64, u64::saturating_add);
        if self.is_stopped {
            summary.interrupted = summary.images.saturating_sub(known);
        }
        let is_whole = summary.failed == 0 && summary.left == 0 && !self.is_stopped;
        if self.json {
            self.json_line(&serde_json::json!({ "summary": self.summary }))?;
        } else {
            self.tell(spent)?;
        }
        Ok(match is_whole {
            true => Outcome::Done,
            false => Outcome::Bad,
        })
    }

    fn tell(&self, spent: Duration) -> Result<()> {
        let summary = &self.summary;
        if summary.images == 0 {
            return print("no image is named: nothing to warm");
        }
        if !self.left.is_empty() {
            let reset = self.resets.iter().max();
            let reset = reset.map(|at| format!("; its rate limit resets by {at}"));
            self.aside(&format!(
                "left for the sake of the upstream's rate limit{}: {}",
                reset.unwrap_or_default(),
                self.left.join(", ")
            ));
        }
        let here = summary.warmed.saturating_add(summary.current);
        let spent = Duration::from_secs(spent.as_secs());
        let mut line = format!(
            "{here} of {} here, {} new: {} fetched, {} was here, in {}",
            counted(summary.images, "image"),
            summary.warmed,
            shown_size(summary.fetched_bytes),
            shown_size(summary.present_bytes),
            humantime::format_duration(spent),
        );
        for (count, word) in [
            (summary.failed, "failed"),
            (summary.left, "left"),
            (
                summary.interrupted,
                "not come to, because it was interrupted",
            ),
        ] {
            if count > 0 {
                line.push_str(&format!("; {count} {word}"));
            }
        }
        print(&line)
    }

    fn json_line(&self, value: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(value);
        let line = line.map_err(|error| Error::internal("an answer is no JSON").because(error))?;
        crate::cli::output::print_text(&format!("{line}\n"))
    }

    /// A line on standard output, above the bars.
    fn line(&self, line: &str) -> Result<()> {
        match &self.bars {
            Some(bars) => bars.multi.suspend(|| print(line)),
            None => print(line),
        }
    }

    fn aside(&self, line: &str) {
        match &self.bars {
            Some(bars) => bars.multi.suspend(|| hint(line)),
            None => hint(line),
        }
    }

    fn tell_bars(&self) {
        let summary = &self.summary;
        if let Some(bars) = &self.bars {
            let ended = [
                summary.warmed,
                summary.current,
                summary.failed,
                summary.left,
            ];
            let ended = ended.into_iter().fold(0_u64, u64::saturating_add);
            bars.whole
                .set_message(format!("{ended} of {}", counted(summary.images, "image")));
        }
    }
}

fn sentence(view: &WarmedView) -> String {
    let mut sentence = match view.outcome {
        WarmOutcome::Warmed => format!(
            "{}: {} fetched, {} was here",
            view.image,
            shown_size(view.fetched_bytes),
            shown_size(view.present_bytes)
        ),
        WarmOutcome::Current => format!(
            "{}: current, {}",
            view.image,
            shown_size(view.present_bytes)
        ),
        WarmOutcome::Left => format!(
            "{}: left, because the rate limit leaves {}",
            view.image,
            counted(view.remaining_pulls.unwrap_or(0), "pull")
        ),
    };
    if !view.absent_platforms.is_empty() {
        sentence.push_str(&format!("; it has no {}", view.absent_platforms.join(", ")));
    }
    sentence
}

impl Bars {
    fn new() -> Self {
        let multi = MultiProgress::new();
        let whole = multi.add(ProgressBar::no_length());
        whole.set_style(style(
            "{msg}  {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} left",
        ));
        whole.enable_steady_tick(Duration::from_secs(1));
        Self {
            multi,
            whole,
            jobs: HashMap::new(),
            bytes: HashMap::new(),
            ended: (0, 0),
        }
    }

    fn begin(&mut self, job: usize, image: &str) {
        let bar = self
            .multi
            .insert_before(&self.whole, ProgressBar::no_length());
        bar.set_style(style(
            "{wide_msg} [{bar:24}] {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}",
        ));
        bar.set_message(escape_text(image).to_string());
        self.jobs.insert(job, bar);
    }

    fn progress(&mut self, job: usize, done: u64, total: u64) {
        if let Some(bar) = self.jobs.get(&job) {
            bar.set_length(total);
            bar.set_position(done);
        }
        self.bytes.insert(job, (done, total));
        let (done, total) = self.bytes.values().fold(self.ended, |sum, bytes| {
            (sum.0.saturating_add(bytes.0), sum.1.saturating_add(bytes.1))
        });
        self.whole.set_length(total);
        self.whole.set_position(done);
    }

    fn end(&mut self, job: usize) {
        if let Some(bar) = self.jobs.remove(&job) {
            bar.finish_and_clear();
            self.multi.remove(&bar);
        }
        if let Some((_, total)) = self.bytes.remove(&job) {
            self.ended = (
                self.ended.0.saturating_add(total),
                self.ended.1.saturating_add(total),
            );
        }
    }

    fn clear(self) {
        self.whole.finish_and_clear();
        // A bar that cannot be cleared is no failure.
        let _ = self.multi.clear();
    }
}

/// Templates are ours; one that is wrong shows indicatif's own bar.
fn style(template: &str) -> ProgressStyle {
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("##.")
}
