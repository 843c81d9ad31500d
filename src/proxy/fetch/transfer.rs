//! The bytes of a fetch: asked for, resumed where they break off, written, hashed.

use std::io::Read;
use std::time::{Duration, Instant};

use super::Fetch;
use super::pace::Pace;
use crate::error::{Error, Kind, Result};
use crate::oci::Hasher;
use crate::proxy::figures::note;
use crate::proxy::shared_fetch::FetchWriter;
use crate::store::{BlobWriter, FillRoom};
use crate::upstream::{BlobStream, Fault, FaultKind};

/// One read from the upstream.
const CHUNK: usize = 32 * 1024;
/// How long a fetch goes on asking without a new byte after the upstream broke off.
const BARREN: Duration = Duration::from_secs(45);
/// Between two questions to an upstream that is away.
const PAUSE: Duration = Duration::from_millis(500);
/// Broken connections in all, after which a fetch gives up.
const TRIES: u32 = 64;

/// How far a fetch is.
struct Progress<'a> {
    staged: &'a mut BlobWriter,
    hasher: Hasher,
    written: u64,
    total: Option<u64>,
    etag: Option<String>,
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
        let begun = progress.written;
        if begun > 0 && progress.hasher.clone().finish() == self.digest {
            writer.arriving(progress.staged.reader()?, Some(begun), begun);
            return Ok(begun);
        }
        let mut stream = self.first_stream(&mut progress)?;
        self.check_total(&mut progress, &stream)?;
        *room = self.take_room(writer, progress.total);
        let expected = progress.staged.expect(progress.total);
        expected.map_err(|error| error.context(self.shown()))?;
        writer.arriving(progress.staged.reader()?, progress.total, progress.written);
        let mut buffer = vec![0_u8; CHUNK].into_boxed_slice();
        let (mut tries, mut barren_since) = (0_u32, None);
        loop {
            let before = progress.written;
            match self.read_stream(writer, stream, &mut progress, &mut buffer) {
                Ok(()) => break,
                Err(Broken::Here(error)) => return Err(error),
                Err(Broken::Upstream(error)) => {
                    tries = tries.saturating_add(1);
                    if progress.written > before {
                        barren_since = None;
                    }
                    let since = *barren_since.get_or_insert_with(Instant::now);
                    if tries >= TRIES || since.elapsed() >= BARREN {
                        return Err(self.unavailable(&error.to_string()));
                    }
                    note(&self.proxy.counters.resumed_after_break);
                    tracing::info!(blob = %self.digest, repository = self.target.shown(), at = progress.written,
                        "the upstream broke off, resuming: {error}");
                    stream = self.next_stream(writer, &progress, since)?;
                    self.check_total(&mut progress, &stream)?;
                }
            }
        }
        if progress
            .total
            .is_some_and(|total| total != progress.written)
        {
            return Err(self.lied("it sent another length than it announced"));
        }
        if progress.hasher.finish() != self.digest {
            if begun > 0 {
                // Nobody knows whether these or those are wrong: the next fetch begins anew and finds out.
                let why = "what was staged before an interruption does not fit what came now";
                tracing::error!("nothing of it was kept: {}: {why}", self.shown());
                return Err(Error::new(
                    Kind::UpstreamLied,
                    format!("{}: {why}", self.shown()),
                ));
            }
            return Err(self.lied("its bytes do not match the digest"));
        }
        Ok(progress.written)
    }

    /// Where an earlier fetch of the same blob was interrupted: its bytes, hashed again.
    fn resume_staged<'a>(&self, staged: &'a mut BlobWriter) -> Result<Progress<'a>> {
        let mut hasher = Hasher::new(self.digest.algorithm());
        let staged_so_far = staged.reader()?;
        let written = staged_so_far
            .read_up_to(staged_so_far.size(), CHUNK, |bytes| hasher.update(bytes))
            .map_err(|error| {
                let what = format!("cannot read what was staged of {}", self.digest);
                Error::new(Kind::Io, what).because(error)
            })?;
        if written > 0 {
            note(&self.proxy.counters.resumed_after_restart);
            tracing::info!(blob = %self.digest, repository = self.target.shown(), at = written, "resuming an interrupted fill");
        }
        Ok(Progress {
            staged,
            hasher,
            written,
            total: None,
            etag: None,
            pace: Pace::new(written),
        })
    }

    /// Asks the upstream for what is missing, and for all of it where what was staged does not fit.
    fn first_stream(&self, progress: &mut Progress<'_>) -> Result<BlobStream> {
        match self.ask(progress) {
            Err(fault) if fault.kind == FaultKind::Protocol && progress.written > 0 => {
                progress.staged.restart()?;
                progress.hasher = Hasher::new(self.digest.algorithm());
                progress.written = 0;
                self.ask(progress)
            }
            asked => asked,
        }
        .map_err(|fault| self.upstream_error(fault))
    }

    /// Asks the upstream for what is missing after it broke off: again and again while it is away, as
    /// clients wait for the rest, but not for longer than `BARREN` without a new byte.
    fn next_stream(
        &self,
        writer: &FetchWriter,
        progress: &Progress<'_>,
        since: Instant,
    ) -> Result<BlobStream> {
        loop {
            let fault = match self.ask(progress) {
                Ok(stream) => return Ok(stream),
                Err(fault) => fault,
            };
            let passing = matches!(
                fault.kind,
                FaultKind::Unreachable
                    | FaultKind::TimedOut
                    | FaultKind::ServerError { .. }
                    | FaultKind::BreakerOpen { .. }
            );
            if !passing || since.elapsed() >= BARREN {
                return Err(self.upstream_error(fault));
            }
            self.check_wanted(writer).map_err(Broken::into_error)?;
            std::thread::sleep(PAUSE);
        }
    }

    fn ask(&self, progress: &Progress<'_>) -> Result<BlobStream, Fault> {
        let (upstream, repository) = (&self.target.upstream, &self.target.repository);
        upstream.get_blob(
            repository,
            &self.digest,
            progress.written,
            progress.etag.as_deref(),
        )
    }

    /// Whether the fetch should go on.
    fn check_wanted(&self, writer: &FetchWriter) -> Result<(), Broken> {
        if self.proxy.is_stopping() {
            return Err(Broken::Here(self.unavailable("this box is being stopped")));
        }
        if !writer.is_wanted() {
            return Err(Broken::Here(
                self.unavailable("nobody waits for it any more"),
            ));
        }
        Ok(())
    }

    /// Compares what the upstream says of the size with what it said before.
    fn check_total(&self, progress: &mut Progress<'_>, stream: &BlobStream) -> Result<()> {
        match (progress.total, stream.total) {
            (Some(before), Some(now)) if before != now => {
                return Err(self.lied("its size changed on the way"));
            }
            (None, total) => progress.total = total,
            _ => {}
        }
        if progress.total.is_some_and(|total| progress.written > total) {
            return Err(self.lied("more bytes than the upstream says there are were staged"));
        }
        progress.etag.clone_from(&stream.etag);
        Ok(())
    }

    /// Reads the stream to its end into the file.
    fn read_stream(
        &self,
        writer: &FetchWriter,
        mut stream: BlobStream,
        progress: &mut Progress<'_>,
        buffer: &mut [u8],
    ) -> Result<(), Broken> {
        let mut offset = stream.offset;
        loop {
            self.check_wanted(writer)?;
            let now = Instant::now();
            if progress
                .pace
                .is_lost(now, progress.written, writer.is_read())
            {
                return Err(Broken::Here(self.unavailable(
                    "it came too slowly to go on without anybody who waits for it",
                )));
            }
            let read = stream.reader.read(buffer).map_err(Broken::Upstream)?;
            if read == 0 {
                return Ok(());
            }
            // An upstream that ignored Range begins at byte 0: what is there already is skipped.
            let known = usize::try_from(progress.written.saturating_sub(offset))
                .unwrap_or(usize::MAX)
                .min(read);
            offset = offset.saturating_add(read as u64);
            let news = buffer.get(known..read).unwrap_or_default();
            let written = progress.written.saturating_add(news.len() as u64);
            if progress.total.is_some_and(|total| written > total) {
                return Err(Broken::Here(
                    self.lied("it sent more bytes than it announced"),
                ));
            }
            let staged = progress.staged.write(news, progress.written);
            staged.map_err(|error| Broken::Here(error.context(self.shown())))?;
            progress.hasher.update(news);
            progress.written = written;
            writer.written(progress.written);
        }
    }
}

/// Why a stream was not read to its end.
enum Broken {
    /// The connection: another one may go on.
    Upstream(std::io::Error),
    /// Something that another connection does not mend.
    Here(Error),
}

impl Broken {
    fn into_error(self) -> Error {
        match self {
            Self::Upstream(error) => Error::new(Kind::Io, "the upstream broke off").because(error),
            Self::Here(error) => error,
        }
    }
}
