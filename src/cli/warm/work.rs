//! The images one after the other, as many at once as there are jobs: each job is a thread that asks the server and waits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::shown::{Failed, Shown};
use crate::admin::{Operation, WarmImage, WarmedView};
use crate::cli::workplace::Workplace;
use crate::control::{Asked, Client};
use crate::error::{Error, Kind, Result};

/// Between two looks whether a signal came.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// One image, and where it was named.
pub(super) struct Task {
    pub(super) place: Option<String>,
    pub(super) request: WarmImage,
}

/// What a job tells.
enum News {
    Begun(usize, String),
    Progress(usize, u64, u64),
    Ended(usize, std::result::Result<Box<WarmedView>, Failed>),
}

struct Queued {
    image: String,
    place: Option<String>,
    asked: Asked,
}

/// Warms them all, or until a signal comes: then what is under way is left to the server, which ends it.
pub(super) fn all(
    place: &Workplace,
    server: Arc<Client>,
    tasks: Vec<Task>,
    jobs: u8,
    shown: &mut Shown,
    interrupted: &AtomicBool,
) -> Result<()> {
    let queued = tasks.into_iter().map(|task| {
        Ok(Queued {
            asked: place.asked(&task.request)?,
            image: task.request.image,
            place: task.place,
        })
    });
    let queue = queued.collect::<Result<VecDeque<_>>>()?;
    shown.begin(queue.len());
    let queue = Arc::new(Mutex::new(queue));
    let (news, told) = channel();
    for job in 0..usize::from(jobs) {
        let (server, queue, news) = (Arc::clone(&server), Arc::clone(&queue), news.clone());
        let spawned = std::thread::Builder::new()
            .name("warm".into())
            .spawn(move || {
                while let Some(next) = queue.lock().ok().and_then(|mut queue| queue.pop_front()) {
                    if work(&server, job, next, &news).is_none() {
                        return;
                    }
                }
            });
        spawned.map_err(|error| Error::new(Kind::Io, "cannot start a thread").because(error))?;
    }
    drop(news);
    let done = hear(&told, shown, interrupted);
    if let Ok(mut queue) = queue.lock() {
        let left = std::mem::take(&mut *queue).into_iter();
        shown.interrupted(left.map(|queued| queued.image));
    }
    done
}

/// One image; `None` where nobody hears of it any more.
fn work(server: &Client, job: usize, next: Queued, news: &Sender<News>) -> Option<()> {
    let Queued {
        image,
        place,
        asked,
    } = next;
    news.send(News::Begun(job, image.clone())).ok()?;
    let progress = {
        let news = Mutex::new(news.clone());
        move |done, total| {
            if let Ok(news) = news.lock() {
                // Whoever does not hear it has gone, as the process will.
                let _ = news.send(News::Progress(job, done, total));
            }
        }
    };
    let view = server
        .perform_watched(WarmImage::NAME, &asked, &progress)
        .and_then(|view| {
            serde_json::from_value(view)
                .map_err(|error| Error::internal("what the server did is no JSON").because(error))
        });
    let ended = view.map_err(|error| Failed {
        image,
        place,
        error: error.to_string(),
    });
    news.send(News::Ended(job, ended)).ok()
}

fn hear(told: &Receiver<News>, shown: &mut Shown, interrupted: &AtomicBool) -> Result<()> {
    while !interrupted.load(Ordering::Relaxed) {
        match told.recv_timeout(LOOK_AGAIN) {
            Ok(News::Begun(job, image)) => shown.begun(job, &image),
            Ok(News::Progress(job, done, total)) => shown.progress(job, done, total),
            Ok(News::Ended(job, ended)) => {
                shown.ended(job);
                match ended {
                    Ok(view) => shown.warmed(&view)?,
                    Err(failed) => shown.failed(failed)?,
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
    shown.stop();
    Ok(())
}
