//! A blob as it comes from its upstream: over one connection or over several, each byte once, counted, hashed, and
//! compared with the digest at the end. The caller decides where the bytes go, and passes the last one on only when
//! [`Download::finish`] has found them right.

use std::io::{self, Read};
use std::ops::Range;

use super::Target;
use crate::oci::{Digest, Hasher};
use crate::upstream::Fault;

/// One read from the upstream.
pub(super) const CHUNK: usize = 32 * 1024;

pub(super) struct Download {
    target: Target,
    digest: Digest,
    hasher: Hasher,
    received: u64,
    total: Option<u64>,
    /// So that a connection that goes on brings the same bytes.
    etag: Option<String>,
    connection: Option<Connection>,
}

struct Connection {
    reader: Box<dyn Read + Send>,
    /// Where in the blob its next byte lies.
    offset: u64,
}

/// How an upstream that answered did not give what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
pub(super) enum Lie {
    #[strum(serialize = "its size changed on the way")]
    SizeChanged,
    #[strum(serialize = "more bytes than the upstream says there are were staged")]
    MoreStaged,
    #[strum(serialize = "it sent more bytes than it announced")]
    MoreSent,
    #[strum(serialize = "it sent another length than it announced")]
    OtherLength,
    #[strum(serialize = "its bytes do not match the digest")]
    OtherBytes,
}

/// Why nothing, or no more, came.
pub(super) enum DownloadFailure {
    /// The upstream did not answer with bytes.
    Fault(Fault),
    /// The connection broke: another one may go on.
    Broken(io::Error),
    Lied(Lie),
}

impl From<Fault> for DownloadFailure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Download {
    pub(super) fn new(target: &Target, digest: &Digest) -> Self {
        Self {
            target: target.clone(),
            digest: digest.clone(),
            hasher: Hasher::new(digest.algorithm()),
            received: 0,
            total: None,
            etag: None,
            connection: None,
        }
    }

    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// The blob's size, if the upstream said it.
    pub(super) fn total(&self) -> Option<u64> {
        self.total
    }

    /// Takes bytes that came earlier as received.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.received = self.received.saturating_add(bytes.len() as u64);
    }

    /// Forgets all that was received.
    pub(super) fn restart(&mut self) {
        self.hasher = Hasher::new(self.digest.algorithm());
        self.received = 0;
    }

    /// Asks the upstream for what is missing.
    pub(super) fn connect(&mut self) -> Result<(), DownloadFailure> {
        let (upstream, repository) = (&self.target.upstream, &self.target.repository);
        let etag = self.etag.as_deref();
        let stream = upstream.get_blob(repository, &self.digest, self.received, etag)?;
        match (self.total, stream.total) {
            (Some(before), Some(now)) if before != now => {
                return Err(DownloadFailure::Lied(Lie::SizeChanged));
            }
            (None, total) => self.total = total,
            _ => {}
        }
        if self.total.is_some_and(|total| self.received > total) {
            return Err(DownloadFailure::Lied(Lie::MoreStaged));
        }
        // Of nothing there is no last byte that could be held back.
        if self.total == Some(0) && !self.is_whole() {
            return Err(DownloadFailure::Lied(Lie::OtherBytes));
        }
        self.etag = stream.etag;
        self.connection = Some(Connection {
            reader: stream.reader,
            offset: stream.offset,
        });
        Ok(())
    }

    /// Reads once: where in the buffer the bytes lie that are new, which may be none; `None` at the end.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
    ) -> Result<Option<Range<usize>>, DownloadFailure> {
        let Some(connection) = &mut self.connection else {
            return Ok(None);
        };
        let read = loop {
            match connection.reader.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read.map_err(DownloadFailure::Broken)?,
            }
        };
        if read == 0 {
            return Ok(None);
        }
        // An upstream that ignored Range begins at byte 0: what is there already is skipped.
        let known = usize::try_from(self.received.saturating_sub(connection.offset))
            .unwrap_or(usize::MAX)
            .min(read);
        connection.offset = connection.offset.saturating_add(read as u64);
        self.take(buffer.get(known..read).unwrap_or_default());
        if self.total.is_some_and(|total| self.received > total) {
            return Err(DownloadFailure::Lied(Lie::MoreSent));
        }
        Ok(Some(known..read))
    }

    /// Whether what was received is the blob.
    pub(super) fn is_whole(&self) -> bool {
        self.hasher.clone().finish() == self.digest
    }

    /// Compares what was received with what was announced, and with the digest.
    pub(super) fn finish(&self) -> Result<(), Lie> {
        match self.total {
            Some(total) if total != self.received => Err(Lie::OtherLength),
            _ if self.is_whole() => Ok(()),
            _ => Err(Lie::OtherBytes),
        }
    }

    /// The sentence that names the lie, which is counted and logged.
    pub(super) fn lied(&self, lie: Lie) -> String {
        let (upstream, digest) = (self.target.upstream.name(), &self.digest);
        let (repository, why) = (&self.target.repository, <&str>::from(lie));
        let sentence = format!("{upstream} lied about blob {digest} of {repository}: {why}");
        self.target.upstream.note_lie(&sentence);
        sentence
    }
}
