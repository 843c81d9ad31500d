//! Where an archive's bytes come from: one file, or the parts of one, as whoever opened them presents them.

use std::io::{self, Read};

use super::tar::Entry;
use crate::error::{Error, Kind, Result};

/// An archive's bytes.
pub trait Source: Send + Sync {
    /// In bytes, of all parts together.
    fn length(&self) -> u64;

    /// Reads some bytes from there on; none behind the end.
    ///
    /// # Errors
    /// `Io` with the file's path.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> Result<usize>;

    /// What is the matter with a part that was changed or belongs to another archive, as far as somebody noted checksums:
    /// asked once something is wrong with the content.
    fn damaged_part(&self) -> Option<String> {
        None
    }

    /// Fills the buffer.
    ///
    /// # Errors
    /// `Io` where the archive ends before.
    fn read_exact_at(&self, mut buffer: &mut [u8], mut at: u64) -> Result<()> {
        while !buffer.is_empty() {
            let read = self.read_at(buffer, at)?;
            if read == 0 {
                let what = format!("the archive is cut off: it ends at byte {at}");
                return Err(
                    Error::new(Kind::Io, what).remedy("copy it again from where it was made")
                );
            }
            at = at.saturating_add(read as u64);
            buffer = buffer.get_mut(read..).unwrap_or_default();
        }
        Ok(())
    }
}

/// One entry, from its start on.
pub(super) struct Reading<'a> {
    source: &'a dyn Source,
    at: u64,
    end: u64,
}

impl<'a> Reading<'a> {
    pub(super) fn of(source: &'a dyn Source, entry: &Entry) -> Self {
        Self {
            source,
            at: entry.at,
            end: entry.at.saturating_add(entry.size),
        }
    }
}

impl Read for Reading<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        let buffer = buffer.get_mut(..room).unwrap_or_default();
        let read = self
            .source
            .read_at(buffer, self.at)
            .map_err(io::Error::other)?;
        self.at = self.at.saturating_add(read as u64);
        Ok(read)
    }
}
