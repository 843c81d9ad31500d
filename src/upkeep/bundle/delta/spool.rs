//! What is in layers, spooled into unlinked files of `staging/`, which take their room on the disk as blobs do.

use std::io::{self, ErrorKind, Read, Write};

use crate::error::{Error, Kind, Result};
use crate::oci::{Digest, Hasher};
use crate::recreate::delta::{ReadAt, can_be_inflated};
use crate::recreate::{Inflated, inflate};
use crate::store::{Blob, BlobDir, BlobWriter};
use crate::upkeep::bundle::format::DeltaReference;

/// How often it is looked whether enough of the disk is free.
const STEP: u64 = 16 << 20;

/// Bytes that are written one behind the other and then read from anywhere.
pub(in crate::upkeep::bundle) struct Spool<'a> {
    blobs: &'a BlobDir,
    file: BlobWriter,
    length: u64,
    /// So many bytes of the disk stay free.
    keep_free: u64,
    /// At which length it is looked again whether they are.
    look_at: u64,
    /// Why it could not be written.
    failed: Option<Error>,
}

impl<'a> Spool<'a> {
    pub(super) fn new(blobs: &'a BlobDir, keep_free: u64) -> Result<Self> {
        Ok(Self {
            blobs,
            file: blobs.stage_unlinked()?,
            length: 0,
            keep_free,
            look_at: 0,
            failed: None,
        })
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Forgets all that comes after.
    pub(super) fn cut(&mut self, length: u64) {
        self.length = self.length.min(length);
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if self.length >= self.look_at {
            self.look_at = self.length.saturating_add(STEP);
            if self.blobs.space()?.0 < self.keep_free.saturating_add(STEP) {
                let what = "the disk has no room to unpack layers";
                return Err(Error::new(Kind::Full, what).remedy("free space on it"));
            }
        }
        self.file.write(bytes, self.length)?;
        self.length = self.length.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// What is in it.
    pub(super) fn reader(&self) -> Result<Blob> {
        self.file.reader()
    }

    /// The error itself, where somebody who was writing to it has told of one.
    pub(super) fn why(&mut self, told: Error) -> Error {
        self.failed.take().unwrap_or(told)
    }
}

impl Write for Spool<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.append(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                self.failed = Some(error);
                Err(io::Error::other("the temporary file cannot be written"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes to one and shows it to another.
pub(super) struct Shown<'a, 'b, F> {
    pub(super) to: &'a mut Spool<'b>,
    pub(super) see: F,
}

impl<F: FnMut(&[u8])> Write for Shown<'_, '_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        (self.see)(bytes);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a blob from its start to its end, and hashes it on the way.
pub(super) struct Hashed<'a> {
    blob: &'a Blob,
    at: u64,
    hasher: Hasher,
}

impl<'a> Hashed<'a> {
    pub(super) fn new(blob: &'a Blob, digest: &Digest) -> Self {
        Self {
            blob,
            at: 0,
            hasher: Hasher::new(digest.algorithm()),
        }
    }

    pub(super) fn finish(self) -> Digest {
        self.hasher.finish()
    }
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.blob.read_at(buffer, self.at)?;
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        self.at = self.at.saturating_add(read as u64);
        Ok(read)
    }
}

impl ReadAt for Blob {
    fn fill_at(&self, mut buffer: &mut [u8], mut at: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            let read = self.read_at(buffer, at)?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            at = at.saturating_add(read as u64);
            buffer = buffer.get_mut(read..).unwrap_or_default();
        }
        Ok(())
    }
}

/// What is in the old layers, one behind the other; `see` is shown it. Each of them is verified by its digest. So many bytes
/// of the disk stay free.
///
/// # Errors
/// `Conflict` for one that is not here or not what it should be, `Full`, `Io`.
pub(in crate::upkeep::bundle) fn unpack_references(
    blobs: &BlobDir,
    references: &[DeltaReference],
    keep_free: u64,
    mut see: impl FnMut(&[u8]),
) -> Result<Blob> {
    let mut spool = Spool::new(blobs, keep_free)?;
    for DeltaReference { digest, plain_size } in references {
        let unfit = |why: &str| {
            let what = format!("the old layer {digest} {why}");
            Error::new(Kind::Conflict, what).remedy(
                "run `breakwater verify --repair`, or have it exported again with `--deltas off`",
            )
        };
        let blob = blobs
            .open(digest)?
            .ok_or_else(|| unfit("is not here any more"))?;
        if !can_be_inflated(blob.size(), *plain_size) {
            return Err(unfit("cannot have as much in it as the delta says"));
        }
        let mut gzip = Hashed::new(&blob, digest);
        let mut to = Shown {
            to: &mut spool,
            see: &mut see,
        };
        let inflated = inflate(&mut gzip, *plain_size, &mut to);
        let inflated = inflated.map_err(|error| spool.why(error))?;
        if gzip.finish() != *digest {
            return Err(unfit("has other bytes here than its digest says"));
        }
        match inflated {
            Inflated::Plain(size) if size == *plain_size => {}
            _ => return Err(unfit("has not in it what the delta says")),
        }
    }
    spool.reader()
}
