//! The bytes of a fetch: asked for, resumed where they break off, written.

use std::time::{Duration, Instant};

use super::Fetch;
use super::pace::Pace;
use crate::error::{Error, Kind, Result};
use crate::proxy::download::{CHUNK, Download, DownloadFailure, Lie};
use crate::proxy::figures::note;
use crate::proxy::shared_fetch::FetchWriter;
use crate::store::{BlobWriter, FillRoom};
use crate::upstream::FaultKind;

/// How long a fetch goes on asking without a new byte after the upstream broke off.
const BARREN: Duration = Duration::from_secs(45);
/// Between two questions to an upstream that is away.
const PAUSE: Duration = Duration::from_millis(500);
/// Broken connections in all, after which a fetch gives up.
const TRIES: u32 = 64;

/// How far a fetch is.
struct Progress<'a> {
    staged: &'a mut BlobWriter,
    download: Download,
    pace: Pace,
}

impl Fetch {
    /// Fetches all bytes and compares their hash; the blob's size.
    pub(super) fn fetch(
        &self,
        writer: &FetchWriter,
        staged: &mut BlobWriter,
        room: &mut Option<FillRoom>,
    ) -> Result<u64> {
        let mut progress = self.resume_staged(staged)?;
        let begun = progress.download.received();
        if begun > 0 && progress.download.is_whole() {
            writer.arriving(progress.staged.reader()?, Some(begun), begun);
            return Ok(begun);
        }
        self.connect(&mut progress)?;
        let (total, received) = (progress.download.total(), progress.download.received());
        self.take_room(writer, room, &progress.download, received.saturating_add(1))?;
        let expected = progress.staged.expect(total);
        expected.map_err(|error| error.context(self.shown()))?;
        writer.arriving(progress.staged.reader()?, total, received);
        let mut buffer = vec![0_u8; CHUNK].into_boxed_slice();
        let (mut tries, mut barren_since) = (0_u32, None);
        loop {
            let before = progress.download.received();
            match self.read_connection(writer, room, &mut progress, &mut buffer)? {
                Ended::Whole => break,
                Ended::Broken(error) => {
                    tries = tries.saturating_add(1);
                    let at = progress.download.received();
                    if at > before {
                        barren_since = None;
                    }
                    let since = *barren_since.get_or_insert_with(Instant::now);
                    if tries >= TRIES || since.elapsed() >= BARREN {
                        return Err(self.unavailable(&error.to_string()));
                    }
                    note(&self.proxy.counters.resumed_after_break);
                    tracing::info!(blob = %self.digest, repository = self.target.shown(), at,
                        "the upstream broke off, resuming: {error}");
                    self.reconnect(writer, &mut progress.download, since)?;
                }
            }
        }
        match progress.download.finish() {
            Ok(()) => Ok(progress.download.received()),
            Err(Lie::OtherBytes) if begun > 0 => {
                // Nobody knows whether these or those are wrong: the next fetch begins anew and finds out.
                let why = "what was staged before an interruption does not fit what came now";
                let what = format!("{}: {why}", self.shown());
                tracing::error!("nothing of it was kept: {what}");
                Err(Error::new(Kind::UpstreamLied, what))
            }
            Err(lie) => Err(lied(&progress.download, lie)),
        }
    }

    /// Where an earlier fetch of the same blob was interrupted: its bytes, hashed again.
    fn resume_staged<'a>(&self, staged: &'a mut BlobWriter) -> Result<Progress<'a>> {
        let mut download = Download::new(&self.target, &self.digest);
        let staged_so_far = staged.reader()?;
        staged_so_far
            .read_up_to(staged_so_far.size(), CHUNK, |bytes| download.take(bytes))
            .map_err(|error| {
                let what = format!("cannot read what was staged of {}", self.digest);
                Error::new(Kind::Io, what).because(error)
            })?;
        let at = download.received();
        if at > 0 {
            note(&self.proxy.counters.resumed_after_restart);
            tracing::info!(blob = %self.digest, repository = self.target.shown(), at, "resuming an interrupted fill");
        }
        Ok(Progress {
            staged,
            download,
            pace: Pace::new(at),
        })
    }

    /// Asks the upstream for what is missing, and for all of it where what was staged does not fit.
    fn connect(&self, progress: &mut Progress<'_>) -> Result<()> {
        let Progress {
            staged, download, ..
        } = progress;
        let connected = match download.connect() {
            Err(DownloadFailure::Fault(fault))
                if fault.kind == FaultKind::Protocol && download.received() > 0 =>
            {
                staged.restart()?;
                download.restart();
                download.connect()
            }
            connected => connected,
        };
        connected.map_err(|failure| self.failed(download, failure))
    }

    /// Asks the upstream for what is missing after it broke off: again and again while it is away, as
    /// clients wait for the rest, but not for longer than `BARREN` without a new byte.
    fn reconnect(
        &self,
        writer: &FetchWriter,
        download: &mut Download,
        since: Instant,
    ) -> Result<()> {
        loop {
            let failure = match download.connect() {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            let is_passing = matches!(&failure, DownloadFailure::Fault(fault) if matches!(
                fault.kind,
                FaultKind::Unreachable
                    | FaultKind::TimedOut
                    | FaultKind::ServerError { .. }
                    | FaultKind::BreakerOpen { .. }
            ));
            if !is_passing || since.elapsed() >= BARREN {
                return Err(self.failed(download, failure));
            }
            self.check_wanted(writer)?;
            std::thread::sleep(PAUSE);
        }
    }

    fn failed(&self, download: &Download, failure: DownloadFailure) -> Error {
        match failure {
            DownloadFailure::Fault(fault) => self.upstream_error(fault),
            DownloadFailure::Lied(lie) => lied(download, lie),
            DownloadFailure::Broken(error) => {
                Error::new(Kind::Io, "the upstream broke off").because(error)
            }
        }
    }

    /// Whether the fetch should go on.
    fn check_wanted(&self, writer: &FetchWriter) -> Result<()> {
        if self.proxy.is_stopping() {
            return Err(self.unavailable("this box is being stopped"));
        }
        if !writer.is_wanted() {
            return Err(self.unavailable("nobody waits for it any more"));
        }
        Ok(())
    }

    /// Reads the connection to its end into the file.
    fn read_connection(
        &self,
        writer: &FetchWriter,
        room: &mut Option<FillRoom>,
        progress: &mut Progress<'_>,
        buffer: &mut [u8],
    ) -> Result<Ended> {
        let Progress {
            staged,
            download,
            pace,
        } = progress;
        loop {
            self.check_wanted(writer)?;
            let at = download.received();
            if pace.is_lost(Instant::now(), at, writer.is_read()) {
                return Err(self
                    .unavailable("it came too slowly to go on without anybody who waits for it"));
            }
            let news = match download.read(buffer) {
                Ok(Some(news)) => buffer.get(news).unwrap_or_default(),
                Ok(None) => return Ok(Ended::Whole),
                Err(DownloadFailure::Broken(error)) => return Ok(Ended::Broken(error)),
                Err(failure) => return Err(self.failed(download, failure)),
            };
            self.take_room(writer, room, download, at.saturating_add(news.len() as u64))?;
            let written = staged.write(news, at);
            written.map_err(|error| error.context(self.shown()))?;
            writer.written(download.received());
        }
    }
}

/// How a connection ended.
enum Ended {
    Whole,
    /// Another connection may go on.
    Broken(std::io::Error),
}

fn lied(download: &Download, lie: Lie) -> Error {
    Error::new(Kind::UpstreamLied, download.lied(lie))
}
