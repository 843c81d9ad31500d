//! The files of pushes that have begun and not ended: `staging/upload-ID`. They outlive a restart, and only
//! whoever knows their rows removes them.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::staging::Staging;
use super::{BlobDir, BlobWriter};
use crate::error::{Error, Result};
use crate::time::Timestamp;

const PREFIX: &str = "upload-";
/// Hex digits of an id.
const ID_LENGTH: usize = 32;

/// The file of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedUpload {
    pub id: String,
    /// How many bytes have arrived.
    pub length: u64,
    /// When it was last written to.
    pub written_at: Timestamp,
}

impl BlobDir {
    /// The file of an upload, with what has arrived, or new. Kept on drop unless committed or discarded. `None`
    /// while another request writes to it: two writers never share one.
    ///
    /// # Errors
    /// `Internal` for an id that is not one, `Io`, `Full`.
    pub fn stage_upload(&self, id: &str) -> Result<Option<BlobWriter>> {
        Staging::open_named(&self.staging, &name(id)?)
    }

    /// As [`Self::stage_upload`], for an upload that has begun: makes no file.
    ///
    /// # Errors
    /// `NotFound` where there is none: the upload has ended. `Internal` for an id that is not one, `Io`.
    pub fn resume_upload(&self, id: &str) -> Result<Option<BlobWriter>> {
        Staging::open_existing(&self.staging, &name(id)?)
    }

    /// How much of an upload has arrived; `None` where there is no such file.
    ///
    /// # Errors
    /// `Io` with the path.
    pub fn upload(&self, id: &str) -> Result<Option<StagedUpload>> {
        let path = self.upload_path(id)?;
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(StagedUpload {
                id: id.to_owned(),
                length: metadata.len(),
                written_at: Timestamp(metadata.mtime()),
            })),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("cannot read", &path, error)),
        }
    }

    /// The files of all uploads.
    ///
    /// # Errors
    /// `Io` with the path.
    pub fn uploads(&self) -> Result<Vec<StagedUpload>> {
        let directory = self.staging.directory();
        let failed = |error| Error::io("cannot read", directory, error);
        let mut uploads = Vec::new();
        for entry in fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if let Some(id) = entry.file_name().to_str().and_then(id_of) {
                uploads.extend(self.upload(id)?);
            }
        }
        Ok(uploads)
    }

    /// Removes the file of an upload that nobody writes to. Idempotent.
    ///
    /// # Errors
    /// `Io` with the path.
    pub fn remove_upload(&self, id: &str) -> Result<()> {
        let path = self.upload_path(id)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("cannot remove", &path, error))
            }
            _ => Ok(()),
        }
    }

    fn upload_path(&self, id: &str) -> Result<PathBuf> {
        Ok(self.staging.directory().join(name(id)?))
    }
}

/// The id in the name of an upload's file.
pub(super) fn id_of(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX).filter(|id| is_id(id))
}

fn name(id: &str) -> Result<String> {
    if is_id(id) {
        Ok(format!("{PREFIX}{id}"))
    } else {
        Err(Error::internal(
            "an upload's id is not made of 32 hex digits",
        ))
    }
}

fn is_id(id: &str) -> bool {
    id.len() == ID_LENGTH
        && id
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
