//! One blob's way from the upstream into the directory: taken from where it is kept already, or staged and
//! hashed as it comes (`transfer`), and kept only if the bytes are what the digest says.

mod pace;
mod room;
mod transfer;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use super::download::Download;
use super::figures::note;
use super::shared_fetch::{FetchKey, FetchWriter, is_of_the_disk};
use super::{Proxy, Target, TargetKey, upstream_error};
use crate::error::{Error, Kind, Result};
use crate::hops;
use crate::oci::Digest;
use crate::store::{Blob, BlobWriter, FillRoom, GroupId, Limit};
use crate::time::Timestamp;
use crate::upstream::{Fault, FaultKind};

pub(super) use room::has_no_room;

/// Starts the fetch of a new fetch on a thread of its own.
pub(super) fn start(
    proxy: &Arc<Proxy>,
    group: GroupId,
    target: &Target,
    digest: &Digest,
    writer: FetchWriter,
) {
    let fetch = Fetch {
        proxy: Arc::clone(proxy),
        group,
        target: target.clone(),
        digest: digest.clone(),
        is_refused: Cell::new(false),
    };
    let run = move || match fetch.run(&writer) {
        Ok(()) => writer.finish(),
        Err(error) => {
            note(&fetch.proxy.counters.failed);
            fetch.log(&error);
            writer.fail(error);
        }
    };
    let spawned = std::thread::Builder::new()
        .name("fetch".into())
        .stack_size(256 * 1024)
        .spawn(hops::along(run));
    if let Err(error) = spawned {
        tracing::error!(%error, "cannot start a thread for a fetch");
    }
}

struct Fetch {
    proxy: Arc<Proxy>,
    /// Whose request began it.
    group: GroupId,
    target: Target,
    digest: Digest,
    /// Whether it failed because the upstream refuses the box's username and password.
    is_refused: Cell<bool>,
}

impl Fetch {
    fn run(&self, writer: &FetchWriter) -> Result<()> {
        let kept = match self.kept_meanwhile()? {
            Some(kept) => Some(kept),
            None => self.confirm_kept_elsewhere(writer)?,
        };
        if let Some(blob) = kept {
            note(&self.proxy.counters.present);
            let size = blob.size();
            writer.arriving(blob, Some(size), size);
            return Ok(());
        }
        let mut staged = self.stage(writer)?;
        let mut room = None;
        match self.fetch(writer, &mut staged, &mut room) {
            Ok(size) => {
                let is_kept = self.keep(writer, staged, size);
                if let (Some(room), true) = (room, is_kept) {
                    room.kept(size);
                }
                Ok(())
            }
            Err(error) => {
                if error.kind() == Kind::Full {
                    note(&self.proxy.counters.without_room);
                }
                if is_of_the_disk(error.kind()) {
                    self.proxy.no_room.note(self.key(), ());
                }
                // What a full disk refused must not go on filling it.
                if matches!(error.kind(), Kind::UpstreamLied | Kind::Full) {
                    staged.discard();
                } else {
                    drop(staged);
                    if let Err(error) = self.proxy.store.blobs.forget_old_fills() {
                        tracing::warn!("cannot forget interrupted fills: {error}");
                    }
                }
                Err(error)
            }
        }
    }

    fn log(&self, error: &Error) {
        match error.kind() {
            Kind::BlobUnknown => tracing::debug!("{error}"),
            // That is logged once in a while for all that is asked of it.
            _ if self.is_refused.get() => tracing::debug!("{error}"),
            // Logged where it was noticed.
            Kind::UpstreamLied => {}
            _ => tracing::warn!("fetch failed: {error}"),
        }
    }

    /// The blob, if another fetch kept it between this request's look and its fetch.
    fn kept_meanwhile(&self) -> Result<Option<Blob>> {
        let Some(repository) = self.proxy.repository_of(&self.target)? else {
            return Ok(None);
        };
        match self.proxy.store.cache.blob(repository, &self.digest)? {
            Some(_) => self.proxy.store.blobs.open(&self.digest),
            None => Ok(None),
        }
    }

    /// The blob, if it is kept for another repository of the same origin and the upstream confirms that
    /// this one has it too: knowing a digest alone opens nothing.
    ///
    /// Of what came from other origins this upstream's word proves nothing: whoever runs it could say yes
    /// to any digest, and read what others keep. Nor is it asked, which would tell what they keep. It has to
    /// give the bytes, which prove themselves; the directory keeps them once.
    fn confirm_kept_elsewhere(&self, writer: &FetchWriter) -> Result<Option<Blob>> {
        let (cache, key) = (&self.proxy.store.cache, &self.target.origin);
        let Some(origin) = cache.find_origin(key.upstream(), key.fingerprint())? else {
            return Ok(None);
        };
        let Some(size) = cache.blob_of_origin(origin, &self.digest)? else {
            return Ok(None);
        };
        let opened = self.proxy.store.blobs.open(&self.digest)?;
        let Some(blob) = opened.filter(|blob| blob.size() == size) else {
            return Ok(None);
        };
        let head = self
            .target
            .upstream
            .head_blob(&self.target.repository, &self.digest);
        let head = match head {
            Ok(head) => head,
            Err(fault)
                if matches!(
                    fault.kind,
                    FaultKind::NotFound | FaultKind::Offline | FaultKind::BreakerOpen { .. }
                ) =>
            {
                return Err(self.upstream_error(fault));
            }
            // It cannot confirm, but it may give, as a signed URL of a CDN that is for GET only: GET tells.
            Err(fault) => {
                tracing::debug!(blob = %self.digest, "not confirmed by HEAD: {fault}");
                return Ok(None);
            }
        };
        if head.size.is_some_and(|said| said != size) {
            return Ok(None);
        }
        if writer.decide_keep() {
            let linked = self.proxy.store.while_kept(&self.digest, || {
                // It may have gone since it was opened.
                match self.proxy.store.blobs.open(&self.digest)? {
                    Some(blob) if blob.size() == size => self.link(size),
                    _ => Ok(()),
                }
            });
            if let Err(error) = linked {
                self.log_not_kept(&error);
            }
        }
        Ok(Some(blob))
    }

    /// A fill is staged under a name that the same fill finds again after a crash; what nobody may keep
    /// goes into a file without a name.
    fn stage(&self, writer: &FetchWriter) -> Result<BlobWriter> {
        if writer.keep_so_far() {
            let name = staging_name(&self.key());
            self.proxy.store.blobs.stage_named(&name)
        } else {
            self.proxy.store.blobs.stage_unlinked()
        }
    }

    /// Keeps the blob if somebody who may fill has joined: file first, then rows.
    ///
    /// The bytes are right, so a failure here is logged and does not fail the readers. Says whether it is kept.
    fn keep(&self, writer: &FetchWriter, staged: BlobWriter, size: u64) -> bool {
        let counters = &self.proxy.counters;
        if !writer.decide_keep() {
            note(&counters.passed);
            staged.discard();
            return false;
        }
        let kept = self.proxy.store.while_kept(&self.digest, || {
            staged.commit(&self.digest)?;
            self.link(size)
        });
        match &kept {
            Ok(()) => note(&counters.kept),
            Err(error) => {
                note(&counters.unkept);
                self.log_not_kept(error);
            }
        }
        kept.is_ok()
    }

    /// Takes room for a fill to become `to` bytes long. Where the limits of the cache leave none and nothing may go, the fetch
    /// goes on for those who read it, and is not kept.
    ///
    /// # Errors
    /// `Full` where it would take what is to stay free on the disk: then it is not staged any further either.
    fn take_room(
        &self,
        writer: &FetchWriter,
        room: &mut Option<FillRoom>,
        download: &Download,
        to: u64,
    ) -> Result<()> {
        if !writer.keep_so_far() {
            return Ok(());
        }
        let store = &self.proxy.store;
        let fill = room.get_or_insert_with(|| {
            let upstream = self.target.origin.upstream();
            let repository = self.proxy.repository_of(&self.target).ok().flatten();
            let (staged, total) = (download.received(), download.total());
            store.begin_fill(staged, total, upstream, self.group, repository)
        });
        let limit = match store.grow_fill(fill, to) {
            Ok(None) => return Ok(()),
            Ok(Some(limit)) => limit,
            // It can be kept all the same.
            Err(error) => {
                tracing::warn!("cannot look for room in the cache: {error}");
                return Ok(());
            }
        };
        if limit == Limit::MinFree {
            let what = format!(
                "{}: the disk has no room beside what stays free",
                self.shown()
            );
            return Err(Error::new(Kind::Full, what).remedy("see cache.min_free"));
        }
        *room = None;
        tracing::info!(blob = %self.digest, repository = self.target.shown(), bytes = download.total(),
            "passed on and not kept: {limit} leaves no room for it, and nothing may go");
        note(&self.proxy.counters.without_room);
        writer.give_up_keeping();
        Ok(())
    }

    /// Rows for the blob, whose file is in place.
    fn link(&self, size: u64) -> Result<()> {
        let repository = self.proxy.repository_to_fill(&self.target)?;
        let cache = &self.proxy.store.cache;
        cache.keep_blob(repository, &self.digest, size, Timestamp::now())
    }

    fn log_not_kept(&self, error: &Error) {
        tracing::error!(blob = %self.digest, repository = self.target.shown(), "served, but not kept: {error}");
    }

    fn key(&self) -> FetchKey {
        (self.target.key(), self.digest.clone())
    }

    fn shown(&self) -> String {
        format!("blob {} of {}", self.digest, self.target.shown())
    }

    fn upstream_error(&self, fault: Fault) -> Error {
        self.is_refused
            .set(fault.kind == FaultKind::CredentialsRefused);
        upstream_error(fault, Kind::BlobUnknown, &self.shown())
    }

    fn unavailable(&self, why: &str) -> Error {
        let retry_after = Duration::from_secs(5);
        Error::new(
            Kind::Unavailable { retry_after },
            format!("{}: {why}", self.shown()),
        )
        .remedy("try again")
    }
}

/// The name under which a fill is staged: the same for the same upstream, credentials, repository and digest.
fn staging_name(key: &FetchKey) -> String {
    let (TargetKey { origin, repository }, digest) = key;
    let (upstream, fingerprint) = (origin.upstream(), origin.fingerprint());
    Digest::of(format!("{upstream}\0{fingerprint}\0{repository}\0{digest}").as_bytes())
        .hex()
        .to_owned()
}
