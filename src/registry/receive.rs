//! A body on its way into an upload's file: written and hashed as it arrives, in memory of one size whatever the
//! body's is. Knows no row.

use std::io::{ErrorKind, Read};

use crate::error::{Error, Kind, Result};
use crate::metrics::Counter;
use crate::oci::{Algorithm, Digest, Hasher};
use crate::store::Blob;

/// How much of a body is in memory at once, for each client that is slow in sending.
const BUFFER: usize = 32 * 1024;

/// A part of a blob as a request brings it.
pub struct Piece<'a> {
    pub body: &'a mut dyn Read,
    /// Its announced length in bytes; `None`: as much as comes.
    pub length: Option<u64>,
    /// First and last byte that `Content-Range` says it is; `None`: whatever comes next.
    pub range: Option<(u64, u64)>,
}

impl Piece<'_> {
    /// The bytes that it will have, as far as its head tells.
    pub(super) fn announced(&self) -> Option<u64> {
        self.range
            .map(|(first, last)| last.saturating_sub(first).saturating_add(1))
            .or(self.length)
    }

    /// Fails if the two things that announce its length disagree.
    pub(super) fn check_length(&self) -> Result<()> {
        match (self.length, self.range) {
            (Some(length), Some((first, last)))
                if last.checked_sub(first) != length.checked_sub(1) =>
            {
                Err(Error::new(
                    Kind::SizeInvalid,
                    format!("Content-Range says {first}-{last}, but Content-Length is {length}"),
                ))
            }
            _ => Ok(()),
        }
    }
}

/// How far a file is hashed.
#[derive(Clone)]
pub(super) struct Hashed {
    hasher: Hasher,
    algorithm: Algorithm,
    length: u64,
}

impl Hashed {
    pub(super) fn nothing(algorithm: Algorithm) -> Self {
        Self {
            hasher: Hasher::new(algorithm),
            algorithm,
            length: 0,
        }
    }

    /// Reads the first `length` bytes again: after a restart, or for another algorithm.
    pub(super) fn again(blob: &Blob, algorithm: Algorithm, length: u64) -> Result<Self> {
        let mut hashed = Self::nothing(algorithm);
        blob.read_up_to(length, BUFFER, |bytes| hashed.add(bytes))
            .map_err(|error| Error::new(Kind::Io, "cannot read an upload").because(error))?;
        Ok(hashed)
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn digest(self) -> Digest {
        self.hasher.finish()
    }

    fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.length = self.length.saturating_add(bytes.len() as u64);
    }
}

/// Writes a body behind what is hashed, and hashes it. What has arrived when the client goes away stays, so that
/// it can go on from there.
///
/// `write` is given the bytes and where they belong; its error breaks the body off. `counter` hears of what is
/// written.
pub(super) fn receive(
    body: &mut dyn Read,
    hashed: &mut Hashed,
    counter: &Counter,
    mut write: impl FnMut(&[u8], u64) -> Result<()>,
) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = match body.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => {
                let what = "the body did not arrive whole";
                return Err(Error::new(Kind::BlobUploadInvalid, what)
                    .because(error)
                    .remedy("ask the upload how far it is, and go on from there"));
            }
        };
        let piece = buffer.get(..read).unwrap_or_default();
        write(piece, hashed.length)?;
        hashed.add(piece);
        counter.add(read as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    #[test]
    fn what_arrives_is_written_and_hashed_and_what_is_too_much_is_not() {
        for (algorithm, most) in [
            (Algorithm::Sha256, None),
            (Algorithm::Sha512, Some(700_000)),
            (Algorithm::Sha256, Some(699_999)),
        ] {
            let file = tempfile::tempfile().unwrap();
            let bytes: Vec<u8> = (0..700_000_u32).map(|n| (n % 251) as u8).collect();
            let mut hashed = Hashed::nothing(algorithm);
            let counter = Counter::default();
            let mut body = bytes.as_slice();
            let write = |bytes: &[u8], at: u64| match most {
                Some(most) if at + bytes.len() as u64 > most => {
                    Err(Error::new(Kind::Denied, "enough"))
                }
                _ => {
                    file.write_all_at(bytes, at).unwrap();
                    Ok(())
                }
            };
            let result = receive(&mut body, &mut hashed, &counter, write);
            let written = file.metadata().unwrap().len();
            assert_eq!(counter.value(), written);
            assert_eq!(hashed.length(), written);
            assert_eq!(result.is_ok(), most != Some(699_999));
            assert!(most.is_none_or(|most| written <= most));
            let part = &bytes[..usize::try_from(written).unwrap()];
            let again = Hashed::again(&Blob::from(file), algorithm, written).unwrap();
            assert_eq!(hashed.digest(), Digest::of_with(algorithm, part));
            assert_eq!(again.digest(), Digest::of_with(algorithm, part));
        }
    }

    #[test]
    fn two_lengths_must_agree() {
        for (length, range, good) in [
            (Some(5), None, true),
            (None, Some((0, 4)), true),
            (Some(5), Some((10, 14)), true),
            (Some(5), Some((10, 15)), false),
            (Some(0), Some((0, 0)), false),
            (Some(1), Some((0, 0)), true),
            (Some(5), Some((u64::MAX, 0)), false),
        ] {
            let piece = Piece {
                body: &mut std::io::empty(),
                length,
                range,
            };
            assert_eq!(piece.check_length().is_ok(), good, "{length:?} {range:?}");
        }
    }
}
