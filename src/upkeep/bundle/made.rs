//! A bundle before it is written: its own list, which can be signed, and what lies in it beside the blobs.

use std::io::{self, Write};

use super::delta::CarriedDelta;
use super::format::BundleManifest;
use super::sign::{Message, SigningKey};
use crate::error::{Error, Result};
use crate::oci::{Digest, Hasher};

/// A bundle that can be written.
#[derive(Debug)]
pub struct Bundle {
    pub manifest: BundleManifest,
    pub(super) index: Vec<u8>,
    pub(super) docker_manifest: Vec<u8>,
    pub(super) signature: Option<String>,
    pub(super) deltas: Vec<CarriedDelta>,
}

impl Bundle {
    /// Signs it, with a comment that says when and by whom. Its size has to have been counted with a signature.
    ///
    /// # Errors
    /// `Internal`.
    pub fn sign(&mut self, key: &SigningKey, comment: &str) -> Result<()> {
        let mut message = Message::default();
        self.manifest.write(&mut message).map_err(no_json)?;
        self.signature = Some(key.sign(message, comment));
        Ok(())
    }

    /// The digest of `breakwater-bundle.json`, in which that of everything else stands.
    ///
    /// # Errors
    /// `Internal`.
    pub fn digest(&self) -> Result<Digest> {
        let mut hashing = Hashing(Hasher::new(crate::oci::Algorithm::Sha256));
        self.manifest.write(&mut hashing).map_err(no_json)?;
        Ok(hashing.0.finish())
    }
}

struct Hashing(Hasher);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn no_json(error: io::Error) -> Error {
    Error::internal("a bundle's manifest is no JSON").because(error)
}

/// How long the text of a bundle's manifest is.
pub(super) fn length(manifest: &BundleManifest) -> Result<u64> {
    struct Counting(u64);
    impl Write for Counting {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.saturating_add(bytes.len() as u64);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counting = Counting(0);
    manifest.write(&mut counting).map_err(no_json)?;
    Ok(counting.0)
}
