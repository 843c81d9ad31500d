//! The reading side of a fetch: readers follow behind in the staged file.

use std::io::{self, Read};
use std::sync::Arc;

use super::state::{Failure, Phase, SharedFetch, is_of_the_disk};
use crate::context;
use crate::error::Error;
use crate::store::Blob;

/// The reading side of a fetch. The upstream client's timeouts bound every wait.
pub(in crate::proxy) struct FetchReader(pub(super) Arc<SharedFetch>);

impl FetchReader {
    /// Waits until the upstream has answered; the blob's size, if it said it. Of nothing at all there is
    /// no last byte to hold back: whether that is right must be known before a head says it.
    ///
    /// # Errors
    /// Why the upstream did not give it.
    pub(in crate::proxy) fn head(&self) -> Result<Option<u64>, Error> {
        context::waits();
        let mut state = self.0.lock();
        loop {
            match &state.phase {
                Phase::Asking => self.0.wait(&mut state),
                Phase::Arriving if state.total == Some(0) => self.0.wait(&mut state),
                Phase::Arriving | Phase::Whole => return Ok(state.total),
                Phase::Failed(failure) => return Err(failure.clone().into()),
            }
        }
    }

    /// Whether somebody who may fill takes part by now.
    pub(in crate::proxy) fn is_kept(&self) -> bool {
        self.0.lock().keep
    }
}

impl Drop for FetchReader {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.readers = state.readers.saturating_sub(1);
    }
}

/// Reads a blob while it arrives; fails where the fetch fails.
pub(in crate::proxy) struct ArrivingBlob {
    reader: Arc<FetchReader>,
    position: u64,
    end: Option<u64>,
}

impl ArrivingBlob {
    /// Reads `length` bytes from `offset` on (`None`: to the end), as they arrive.
    pub(in crate::proxy) fn new(
        reader: Arc<FetchReader>,
        offset: u64,
        length: Option<u64>,
    ) -> Self {
        Self {
            reader,
            position: offset,
            end: length.map(|length| offset.saturating_add(length)),
        }
    }

    /// What comes next as a part of the staged file: the file, where in it, and how many bytes. Waits until there are some;
    /// none at the end.
    ///
    /// # Errors
    /// As reading.
    pub(in crate::proxy) fn arrived(&self) -> io::Result<(Blob, u64, u64)> {
        let (blob, available) = self.available()?;
        Ok((blob, self.position, available))
    }

    /// Goes on behind so many bytes.
    pub(in crate::proxy) fn skip(&mut self, bytes: u64) {
        self.position = self.position.saturating_add(bytes);
    }

    /// Where it goes on, and how many bytes from there (`None`: to the end).
    pub(in crate::proxy) fn rest(&self) -> (u64, Option<u64>) {
        let left = self.end.map(|end| end.saturating_sub(self.position));
        (self.position, left)
    }

    /// Whether reading failed because the disk has no room for the blob, or takes no writes.
    pub(in crate::proxy) fn is_of_the_disk(error: &io::Error) -> bool {
        let failure = error.get_ref().and_then(|inner| inner.downcast_ref());
        failure.is_some_and(|failure: &Failure| is_of_the_disk(failure.kind))
    }

    /// Waits until there is something to read: the file, and how many bytes from the position on.
    /// Zero at the end.
    fn available(&self) -> io::Result<(Blob, u64)> {
        let fetch = &self.reader.0;
        let mut state = fetch.lock();
        loop {
            let (readable, whole) = match &state.phase {
                Phase::Asking => (0, false),
                Phase::Arriving => (state.written.saturating_sub(1), false),
                Phase::Whole => (state.written, true),
                Phase::Failed(failure) => return Err(io::Error::other(failure.clone())),
            };
            let readable = self.end.map_or(readable, |end| readable.min(end));
            let done = self.end.is_some_and(|end| self.position >= end);
            if let Some(blob) = &state.blob
                && (readable > self.position || whole || done)
            {
                return Ok((blob.clone(), readable.saturating_sub(self.position)));
            }
            fetch.wait(&mut state);
        }
    }
}

impl Read for ArrivingBlob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (blob, available) = self.available()?;
        let wanted = usize::try_from(available)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let read = blob.read_at(buffer.get_mut(..wanted).unwrap_or_default(), self.position)?;
        self.position = self.position.saturating_add(read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::key;
    use super::super::{JoinOrStart, SharedFetches};
    use super::*;
    use crate::error::Kind;

    #[test]
    fn the_head_of_an_empty_blob_waits_until_its_hash_is_known() {
        let key = key("a.example", b"not empty");
        let Ok(JoinOrStart::Started(reader, writer)) =
            Arc::new(SharedFetches::new(Arc::default())).join_or_start(&key, true)
        else {
            panic!("nobody else flies");
        };
        let blob = Blob::from(tempfile::tempfile().unwrap());
        writer.arriving(blob, Some(0), 0);
        let (told, head) = std::sync::mpsc::channel();
        let waiting = std::thread::spawn(move || told.send(reader.head()));
        assert!(head.recv_timeout(Duration::from_millis(100)).is_err());
        writer.fail(Error::new(Kind::UpstreamLied, "it is not empty"));
        let head = head.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!(head.unwrap_err().kind(), Kind::UpstreamLied);
        waiting.join().unwrap().unwrap();
    }
}
