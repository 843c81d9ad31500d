//! Uploads (distribution-spec 1.1, "Pushing blobs"): begun, continued, asked about, ended by a digest or given up.
//!
//! An upload is a row, which says whose it is, and a file in `staging/`, whose length says how far it is. Nothing
//! of it can be read before it is whole and its digest is right.

use super::receive::{Hashed, receive};
use super::{Piece, Registry, check, limits, repository};
use crate::auth::policy::{RepositoryGrant, Wanted};
use crate::error::{Error, Kind, Result};
use crate::oci::{Algorithm, Digest};
use crate::store::{BlobWriter, HostedUpload};
use crate::time::Timestamp;

/// How many uploads may be open in a project at once.
const OPEN_UPLOADS: u64 = 1_000;

/// How far an upload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadStatus {
    pub id: String,
    /// The bytes that have arrived.
    pub length: u64,
}

impl Registry {
    /// Begins an upload whose bytes are hashed by `algorithm` while they arrive.
    ///
    /// # Errors
    /// `Denied` where the project has very many open already; `Io`, `Full`, `Sql`.
    pub fn start_upload(
        &self,
        grant: &RepositoryGrant,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<UploadStatus> {
        check(grant, Wanted::Push)?;
        let upload = HostedUpload {
            id: crate::auth::keys::random_hex::<16>()?,
            algorithm,
            started_at: now,
        };
        drop(self.store.blobs.stage_upload(&upload.id)?);
        let rows = &self.store.registry;
        let begun = rows.start_upload(repository(grant), &upload, OPEN_UPLOADS);
        if !matches!(begun, Ok(true)) {
            self.remove_file(&upload.id);
        }
        if !begun? {
            let what = format!("the project has {OPEN_UPLOADS} unfinished uploads already");
            return Err(Error::new(Kind::Denied, what).remedy(
                "finish some or give them up; those that nobody writes to expire after a day",
            ));
        }
        Ok(UploadStatus {
            id: upload.id,
            length: 0,
        })
    }

    /// How far an upload is.
    ///
    /// # Errors
    /// `BlobUploadUnknown` where there is none of this id in this repository; `Io`, `Sql`.
    pub fn upload_status(&self, grant: &RepositoryGrant, id: &str) -> Result<UploadStatus> {
        check(grant, Wanted::Push)?;
        let upload = self.upload(grant, id)?;
        match self.store.blobs.upload(&upload.id)? {
            Some(file) => Ok(UploadStatus {
                id: upload.id,
                length: file.length,
            }),
            None => Err(unknown()),
        }
    }

    /// Adds a piece at the end of what has arrived.
    ///
    /// # Errors
    /// `RangeInvalid` for a piece that does not begin there, and `Conflict` while another request writes to the
    /// upload: both leave it as it was. `Denied` for a quota, `SizeInvalid` for a body that has not the length that
    /// it should have. `BlobUploadInvalid` where the client went away: what has arrived stays. `Full` for a disk
    /// without room, which ends the upload, as a quota does that it runs into on the way.
    pub fn append_upload(
        &self,
        grant: &RepositoryGrant,
        id: &str,
        piece: Piece<'_>,
    ) -> Result<UploadStatus> {
        check(grant, Wanted::Push)?;
        let upload = self.upload(grant, id)?;
        let staged = self.stage(grant, &upload)?;
        let (_staged, hashed) = self.add(grant, &upload, staged, piece)?;
        Ok(UploadStatus {
            id: upload.id,
            length: hashed.length(),
        })
    }

    /// Adds the last piece (which may be empty) and makes the blob visible, if its bytes have this digest.
    ///
    /// # Errors
    /// As [`Self::append_upload`]; `DigestInvalid` for other bytes, which ends the upload.
    pub fn commit_upload(
        &self,
        grant: &RepositoryGrant,
        id: &str,
        piece: Piece<'_>,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<()> {
        check(grant, Wanted::Push)?;
        let mut upload = self.upload(grant, id)?;
        let staged = self.stage(grant, &upload)?;
        if staged.length()? == 0 {
            // Nothing is hashed yet, so that it is hashed by the right algorithm from the start.
            upload.algorithm = digest.algorithm();
            self.hashes.remove(&upload.id);
        }
        let (staged, hashed) = self.add(grant, &upload, staged, piece)?;
        self.hashes.remove(&upload.id);
        let length = hashed.length();
        let hashed = if hashed.algorithm() == digest.algorithm() {
            hashed
        } else {
            Hashed::again(&staged.reader()?, digest.algorithm(), length)?
        };
        let done = self.keep(grant, staged, hashed, digest, Some(&upload.id), now);
        if done.is_err() {
            // Its file is gone, or wrong: nobody can go on with it.
            self.forget(&upload.id);
        }
        done
    }

    /// Takes a blob in one request, without an upload that could be resumed.
    ///
    /// # Errors
    /// As [`Self::commit_upload`].
    pub fn push_blob(
        &self,
        grant: &RepositoryGrant,
        piece: Piece<'_>,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<()> {
        check(grant, Wanted::Push)?;
        let mut room = self.room(grant, None, 0, &piece)?;
        let mut staged = self.store.blobs.stage()?;
        staged.expect(piece.announced())?;
        let mut hashed = Hashed::nothing(digest.algorithm());
        receive(
            piece.body,
            &mut hashed,
            &self.counters.pushed,
            |bytes, at| {
                room.let_in(at.saturating_add(bytes.len() as u64))?;
                staged.write(bytes, at)
            },
        )?;
        // The wait for the disk is over before its bytes count as kept, and not any more as staged.
        staged.sync()?;
        drop(room);
        self.keep(grant, staged, hashed, digest, None, now)
    }

    /// Gives an upload up.
    ///
    /// # Errors
    /// `BlobUploadUnknown`; `Conflict` while another request writes to it.
    pub fn cancel_upload(&self, grant: &RepositoryGrant, id: &str) -> Result<()> {
        check(grant, Wanted::Push)?;
        let upload = self.upload(grant, id)?;
        let staged = self.stage(grant, &upload)?;
        self.store.registry.end_upload(&upload.id)?;
        self.hashes.remove(&upload.id);
        staged.discard();
        Ok(())
    }

    fn upload(&self, grant: &RepositoryGrant, id: &str) -> Result<HostedUpload> {
        self.store
            .registry
            .upload(repository(grant), id)?
            .ok_or_else(unknown)
    }

    /// The upload's file, for this request alone.
    fn stage(&self, grant: &RepositoryGrant, upload: &HostedUpload) -> Result<BlobWriter> {
        let staged = match self.store.blobs.resume_upload(&upload.id) {
            Err(error) if error.kind() == Kind::NotFound => Err(unknown()),
            other => other,
        }?
        .ok_or_else(|| {
            Error::new(Kind::Conflict, "another request is writing to this upload")
                .remedy("wait until it is done, and ask how far the upload is")
        })?;
        // Whoever had the file before may have ended the upload since the caller looked.
        match self.upload(grant, &upload.id) {
            Err(ended) if ended.kind() == Kind::BlobUploadUnknown => {
                staged.discard();
                Err(ended)
            }
            other => other.map(|_| staged),
        }
    }

    /// Adds a piece to the file, and keeps its hash for the next request. A piece for which there is no room ends
    /// the upload: what was staged of it would only take more.
    fn add(
        &self,
        grant: &RepositoryGrant,
        upload: &HostedUpload,
        mut staged: BlobWriter,
        piece: Piece<'_>,
    ) -> Result<(BlobWriter, Hashed)> {
        let at = staged.length()?;
        if let Some((first, _)) = piece.range.filter(|(first, _)| *first != at) {
            let what = format!("the piece begins at byte {first}, but the upload goes on at {at}");
            return Err(
                Error::new(Kind::RangeInvalid, what).remedy("send the pieces in order, each once")
            );
        }
        piece.check_length()?;
        let expected = piece.announced().map(|length| at.saturating_add(length));
        let room = self.room(grant, Some(&upload.id), at, &piece);
        let room = room.and_then(|room| staged.expect(expected).map(|()| room));
        let mut room = match room {
            Err(error) if is_without_room(&error) && (at > 0 || error.kind() == Kind::Full) => {
                staged.discard();
                self.forget(&upload.id);
                return Err(error);
            }
            other => other?,
        };
        let kept = self
            .hashes
            .get(&upload.id)
            .filter(|kept| kept.length() == at && kept.algorithm() == upload.algorithm);
        let mut hashed = match kept {
            Some(hashed) => hashed,
            None => Hashed::again(&staged.reader()?, upload.algorithm, at)?,
        };
        let announced = piece
            .range
            .map(|_| at.saturating_add(piece.announced().unwrap_or(0)));
        let received = receive(
            piece.body,
            &mut hashed,
            &self.counters.pushed,
            |bytes, at| {
                let end = at.saturating_add(bytes.len() as u64);
                if announced.is_some_and(|announced| end > announced) {
                    let what = "the body is longer than its Content-Range says";
                    return Err(Error::new(Kind::SizeInvalid, what));
                }
                room.let_in(end)?;
                staged.write(bytes, at)
            },
        );
        if let Err(error) = received {
            if is_without_room(&error) {
                staged.discard();
                self.forget(&upload.id);
            } else {
                self.hashes.insert(upload.id.clone(), hashed);
            }
            return Err(error);
        }
        self.hashes.insert(upload.id.clone(), hashed.clone());
        if announced.is_some_and(|announced| hashed.length() < announced) {
            return Err(Error::new(
                Kind::SizeInvalid,
                "the body is shorter than its Content-Range says",
            )
            .remedy("ask the upload how far it is, and go on from there"));
        }
        Ok((staged, hashed))
    }

    /// Puts a whole file in its place, and then its rows.
    fn keep(
        &self,
        grant: &RepositoryGrant,
        staged: BlobWriter,
        hashed: Hashed,
        digest: &Digest,
        upload: Option<&str>,
        now: Timestamp,
    ) -> Result<()> {
        let length = hashed.length();
        let found = hashed.digest();
        if found != *digest {
            staged.discard();
            return Err(Error::new(
                Kind::DigestInvalid,
                format!("the uploaded bytes have the digest {found}, not {digest}"),
            )
            .remedy("upload them again"));
        }
        // Most of the waiting for the disk happens here, where nobody else waits too.
        staged.sync()?;
        let kept = self.store.while_pushed(digest, || {
            staged.replace(digest)?;
            self.store.registry.keep_blob(
                repository(grant),
                digest,
                length,
                upload,
                &limits(grant),
                now,
            )
        });
        if kept.is_err() {
            self.release(digest);
        }
        kept
    }

    /// Ends an upload that failed: first its file, which makes the room that its row may need. What cannot be
    /// removed now expires.
    fn forget(&self, id: &str) {
        self.hashes.remove(id);
        self.remove_file(id);
        if let Err(error) = self.store.registry.end_upload(id) {
            tracing::warn!(upload = id, "cannot end a failed upload: {error}");
        }
    }

    fn remove_file(&self, id: &str) {
        if let Err(error) = self.store.blobs.remove_upload(id) {
            tracing::warn!(upload = id, "cannot remove a failed upload's file: {error}");
        }
    }
}

/// Whether a quota or the disk has no room.
fn is_without_room(error: &Error) -> bool {
    matches!(error.kind(), Kind::Full | Kind::Denied)
}

fn unknown() -> Error {
    Error::new(
        Kind::BlobUploadUnknown,
        "there is no such upload here: it has ended, expired, or never begun",
    )
    .remedy("start it again")
}
