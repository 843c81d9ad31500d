//! One blob, opened for reading: the only thing that other rooms know of a file. Where the bytes lie stays in here, so
//! that a second place to keep them concerns nobody else.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::Arc;

use super::Version;
use crate::spool::Content;

/// The bytes of a blob, or of one that is still being written. They stay, whatever becomes of the name.
#[derive(Debug, Clone)]
pub struct Blob {
    file: Arc<File>,
    size: u64,
}

impl Blob {
    pub(super) fn new(file: Arc<File>, size: u64) -> Self {
        Self { file, size }
    }

    /// In bytes, when it was opened; one that is being written has more later.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads at an offset; nothing behind the end.
    ///
    /// # Errors
    /// As `pread`.
    pub fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(buffer, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// Shows `see` the bytes from the start on, a buffer of `room` bytes at a time, no further than `end`; how many there
    /// were.
    ///
    /// # Errors
    /// As `pread`.
    pub fn read_up_to(&self, end: u64, room: usize, mut see: impl FnMut(&[u8])) -> io::Result<u64> {
        let mut buffer = vec![0; room];
        let mut at = 0_u64;
        while at < end {
            let read = self.read_at(&mut buffer, at)?;
            if read == 0 {
                break;
            }
            let left = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
            let read = read.min(left);
            see(buffer.get(..read).unwrap_or_default());
            at = at.saturating_add(read as u64);
        }
        Ok(at)
    }

    /// All of it, as content that stays on the disk.
    pub fn content(&self) -> Content {
        Content::kept(Arc::clone(&self.file), self.size)
    }

    /// What a socket's `sendfile` takes.
    pub fn to_send(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Whether both are the same bytes on the disk, and not only under the same digest.
    pub fn is_same_as(&self, other: &Self) -> io::Result<bool> {
        let of = |blob: &Self| blob.file.metadata().map(|now| (now.dev(), now.ino()));
        Ok(of(self)? == of(other)?)
    }

    /// Who may read it, as the bits of `chmod`.
    pub(crate) fn mode(&self) -> io::Result<u32> {
        self.file.metadata().map(|metadata| metadata.mode())
    }

    pub(super) fn version(&self) -> io::Result<Version> {
        self.file.metadata().map(|now| Version::of(&now))
    }
}

#[cfg(test)]
impl From<File> for Blob {
    fn from(file: File) -> Self {
        let size = file.metadata().unwrap().len();
        Self::new(Arc::new(file), size)
    }
}
