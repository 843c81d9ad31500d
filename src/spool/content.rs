//! Bytes that are whole, to be sent and read any number of times.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{IN_MEMORY, Owner, Permit, no_room};
use crate::error::{Error, Kind, Result};

/// Bytes that are whole: in memory if they are few, in a file otherwise. A clone shares them.
#[derive(Clone)]
pub enum Content {
    Memory(Arc<[u8]>),
    /// The first `length` bytes of a file.
    File {
        /// Read with positions of its own.
        file: Arc<File>,
        /// In bytes.
        length: u64,
        /// What a temporary file takes of the budget for those; `None` for a file that is kept.
        permit: Option<Arc<Mutex<Permit>>>,
    },
}

impl Content {
    /// The first `length` bytes of a file that is kept anyway.
    pub fn kept(file: Arc<File>, length: u64) -> Self {
        Self::File {
            file,
            length,
            permit: None,
        }
    }

    pub(super) fn spooled(file: File, length: u64, permit: Permit) -> Self {
        Self::File {
            file: Arc::new(file),
            length,
            permit: Some(Arc::new(Mutex::new(permit))),
        }
    }

    /// In bytes.
    pub fn length(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    /// Lets `owner` answer for a temporary file that an upstream's answer is in.
    ///
    /// # Errors
    /// `Unavailable` where that is more than its share.
    pub fn hand_over(&self, owner: &Owner) -> Result<()> {
        let Self::File {
            permit: Some(permit),
            ..
        } = self
        else {
            return Ok(());
        };
        let mut permit = permit.lock();
        if permit.hand_over(owner) {
            return Ok(());
        }
        Err(no_room("this box holds as much for your address as it may"))
    }

    /// All of it in memory: for [`Spools::work`](super::Spools::work).
    ///
    /// # Errors
    /// `Io`.
    pub fn read(&self) -> Result<Cow<'_, [u8]>> {
        match self {
            Self::Memory(bytes) => Ok(Cow::Borrowed(bytes)),
            Self::File { file, length, .. } => {
                let mut bytes = vec![0; usize::try_from(*length).unwrap_or(usize::MAX)];
                file.read_exact_at(&mut bytes, 0).map_err(unreadable)?;
                Ok(bytes.into())
            }
        }
    }

    /// Reads it from the beginning.
    pub fn reader(&self) -> impl Read + use<> {
        Reader {
            content: self.clone(),
            at: 0,
        }
    }

    /// Gives it piece by piece to `take`.
    ///
    /// # Errors
    /// `Io` for a file that cannot be read or is shorter than it was, and those of `take`.
    pub fn for_each_piece(&self, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if let Self::Memory(bytes) = self {
            return take(bytes);
        }
        let (mut reader, mut left) = (self.reader(), self.length());
        let mut piece = vec![0; IN_MEMORY];
        while left > 0 {
            match reader.read(&mut piece) {
                Ok(0) => return Err(unreadable(ErrorKind::UnexpectedEof.into())),
                Ok(count) => {
                    take(piece.get(..count).unwrap_or_default())?;
                    left = left.saturating_sub(count as u64);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Content {
    /// Without the bytes, which do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self {
            Self::Memory(_) => "memory",
            Self::File { .. } => "a file",
        };
        write!(f, "{} bytes in {place}", self.length())
    }
}

fn unreadable(error: io::Error) -> Error {
    Error::new(Kind::Io, "cannot read what was written to a file").because(error)
}

struct Reader {
    content: Content,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.content.length().saturating_sub(self.at);
        let room = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = match &self.content {
            Content::Memory(bytes) => {
                let at = usize::try_from(self.at).unwrap_or(bytes.len());
                bytes.get(at..).unwrap_or_default().read(buffer)?
            }
            Content::File { file, .. } => {
                // This content is long: let threads with short work go first.
                std::thread::yield_now();
                file.read_at(buffer.get_mut(..room).unwrap_or_default(), self.at)?
            }
        };
        self.at = self.at.saturating_add(count as u64);
        Ok(count)
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Memory(bytes.into())
    }
}

impl<T: AsRef<[u8]> + ?Sized> From<&T> for Content {
    fn from(bytes: &T) -> Self {
        Self::Memory(bytes.as_ref().into())
    }
}
