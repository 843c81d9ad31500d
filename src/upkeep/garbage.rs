//! Garbage collection: what was pushed and is not needed any more, what expired, and files that no row names.
//!
//! Runs beside pushes, mounts and pulls. A link to a blob goes when no manifest of its repository refers to it and
//! no push has relied on it for a grace; a manifest goes only when somebody deletes it or asks for those without a
//! tag. Every removal asks again, in the transaction or under the lock that a push takes too. A file goes last, and
//! only if neither the cache nor another repository has a row for it. Whoever reads it has it open.

use std::collections::HashSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Kind, Result};
use crate::oci::Digest;
use crate::store::{BlobPrefix, HostedUpload, Store, UntaggedManifest};
use crate::time::Timestamp;

/// What is collected, and as of when.
#[derive(Debug, Clone, Copy)]
pub struct Collection {
    pub now: Timestamp,
    /// How long what is not needed is left alone.
    pub grace: Duration,
    /// How long after its last byte an upload can go on.
    pub uploads_expire: Duration,
    /// Whether manifests without a tag go too.
    pub untagged: bool,
    /// Whether what belonged to projects that were removed goes too.
    pub removed_projects: bool,
    /// Whether files go too that were taken up and that nothing refers to: they may have belonged to rows that were
    /// lost with their database, or are younger than a restored one.
    pub unreferenced: bool,
    /// Whether to look only.
    pub dry_run: bool,
}

impl Collection {
    /// What the running box does by itself.
    pub fn periodic(now: Timestamp) -> Self {
        Self {
            now,
            grace: GRACE,
            uploads_expire: UPLOADS_EXPIRE,
            untagged: false,
            removed_projects: false,
            unreferenced: false,
            dry_run: false,
        }
    }
}

/// The grace unless somebody says otherwise.
pub const GRACE: Duration = Duration::from_secs(60 * 60);
/// When uploads expire.
pub const UPLOADS_EXPIRE: Duration = Duration::from_secs(24 * 60 * 60);

/// What [`collect`] removed, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// Whether nothing was removed, only looked for.
    pub dry_run: bool,
    /// Uploads that expired.
    pub uploads: u64,
    /// Manifests without a tag, and those of removed projects, as `PATH@DIGEST`.
    pub manifests: Vec<String>,
    /// Images of removed projects that stay, because nobody asked for them to go.
    pub of_removed_projects: u64,
    /// Files that were taken up, and that nothing referred to: their digests.
    pub unreferenced: Vec<String>,
    /// Whether files without a row were left alone, because rows and files were not compared yet.
    pub strays_left: bool,
    /// Blobs that were taken out of repositories, once per repository.
    pub links: u64,
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Collected {
    fn add_file(&mut self, bytes: u64) {
        self.files = self.files.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Whether it came to nothing, and would not have either.
    pub fn is_nothing(&self) -> bool {
        [self.uploads, self.links, self.files] == [0; 3] && self.manifests.is_empty()
    }
}

/// Collects garbage.
///
/// # Errors
/// `Io`, `Sql`: what was removed before stays removed, and the rest is found the next time.
pub fn collect(store: &Store, collection: &Collection) -> Result<Collected> {
    let mut collected = Collected {
        dry_run: collection.dry_run,
        ..Collected::default()
    };
    if !collection.dry_run {
        store.registry.finish_removals()?;
    }
    expire_uploads(store, collection, &mut collected)?;
    sweep_manifests(store, collection, &mut collected)?;
    sweep_links(store, collection, &mut collected)?;
    sweep_strays(store, collection, &mut collected)?;
    if collection.unreferenced {
        sweep_unreferenced(store, collection, &mut collected)?;
    }
    if !collection.dry_run {
        store
            .registry
            .sweep_repositories(collection.before(collection.grace))?;
    }
    Ok(collected)
}

impl Collection {
    fn before(&self, age: Duration) -> Timestamp {
        let seconds = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        Timestamp(self.now.0.saturating_sub(seconds))
    }
}

/// Uploads that nobody has written to for a day. One that somebody writes to at this moment is young. What cannot be
/// removed is logged, keeps nothing else from going, and is found the next time.
fn expire_uploads(store: &Store, collection: &Collection, collected: &mut Collected) -> Result<()> {
    let before = collection.before(collection.uploads_expire);
    let uploads = store.registry.uploads()?;
    for upload in &uploads {
        match expire_upload(store, upload, before, collection.dry_run) {
            Ok(went) => collected.uploads = collected.uploads.saturating_add(u64::from(went)),
            Err(error) => {
                tracing::warn!(upload = upload.id, "cannot expire an upload: {error}");
            }
        }
    }
    if collection.dry_run {
        return Ok(());
    }
    // A file without a row: what a crash left between the two.
    let files = store.blobs.uploads()?;
    let known: HashSet<String> = store
        .registry
        .uploads()?
        .into_iter()
        .map(|upload| upload.id)
        .collect();
    for file in files {
        if file.written_at < before
            && !known.contains(&file.id)
            && let Err(error) = store.blobs.remove_upload(&file.id)
        {
            tracing::warn!(upload = file.id, "cannot remove a leftover upload: {error}");
        }
    }
    Ok(())
}

/// Ends an upload that was last written to before `before`; says whether it was, and nobody had it open.
fn expire_upload(
    store: &Store,
    upload: &HostedUpload,
    before: Timestamp,
    dry_run: bool,
) -> Result<bool> {
    let is_old = || -> Result<bool> {
        let file = store.blobs.upload(&upload.id)?;
        let touched = file.map_or(upload.started_at, |file| {
            file.written_at.max(upload.started_at)
        });
        Ok(touched < before)
    };
    if !is_old()? {
        return Ok(false);
    }
    if dry_run {
        return Ok(true);
    }
    match store.blobs.resume_upload(&upload.id) {
        // Only what is not open: a request that holds it is going on with it.
        Ok(None) => return Ok(false),
        // Whoever had it open until now has written to it.
        Ok(Some(_)) if !is_old()? => return Ok(false),
        // The file first: on a full disk it makes the room that the row's going takes.
        Ok(Some(staged)) => staged.discard(),
        Err(error) if error.kind() == Kind::NotFound => {}
        Err(error) => return Err(error),
    }
    store.registry.end_upload(&upload.id)?;
    Ok(true)
}

/// Manifests go first, so that the blobs that only they referred to are known to be unneeded: those have a grace
/// of their own from now on.
fn sweep_manifests(
    store: &Store,
    collection: &Collection,
    collected: &mut Collected,
) -> Result<()> {
    let mut swept: Vec<UntaggedManifest> = Vec::new();
    let before = collection.before(collection.grace);
    if collection.untagged {
        swept.extend(if collection.dry_run {
            store.registry.untagged(before)?
        } else {
            store.registry.sweep_untagged(before, collection.now)?
        });
    }
    for project in store.registry.projects()? {
        if store.access.project(project)?.is_some() {
            continue;
        }
        match (collection.removed_projects, collection.dry_run) {
            (true, false) => {
                swept.extend(store.registry.forget_project(project, collection.now)?);
            }
            (true, true) => swept.extend(store.registry.manifests_of_project(project)?),
            (false, _) => {
                let stay = store.registry.manifests_of_project(project)?;
                collected.of_removed_projects = collected
                    .of_removed_projects
                    .saturating_add(stay.len() as u64);
            }
        }
    }
    if !collection.dry_run {
        store.registry.finish_removals()?;
    }
    // Those without a tag may be found twice where nothing was removed.
    let mut seen = HashSet::new();
    swept.retain(|manifest| seen.insert(manifest.id));
    for manifest in swept {
        if !collection.dry_run {
            remove_file(store, &manifest.digest, collected)?;
        }
        collected
            .manifests
            .push(format!("{}@{}", manifest.repository, manifest.digest));
    }
    Ok(())
}

fn sweep_links(store: &Store, collection: &Collection, collected: &mut Collected) -> Result<()> {
    let before = collection.before(collection.grace);
    if collection.dry_run {
        let swept = store.registry.unneeded_links(before)?;
        collected.links = collected.links.saturating_add(swept.links);
        for (digest, size) in swept.blobs {
            if store.cache.blob_anywhere(&digest)?.is_none() {
                collected.add_file(size);
            }
        }
        return Ok(());
    }
    loop {
        let swept = store.registry.sweep_links(before)?;
        if swept.links == 0 {
            return Ok(());
        }
        collected.links = collected.links.saturating_add(swept.links);
        for (digest, _) in swept.blobs {
            remove_file(store, &digest, collected)?;
        }
    }
}

/// Files that a crash left without a row: those that a push, a deletion or a purge was about to settle, and those that
/// no row names and that nobody has written to for the grace; the latter only if the rows are known to be all there.
fn sweep_strays(store: &Store, collection: &Collection, collected: &mut Collected) -> Result<()> {
    for digest in store.content.unsettled()? {
        if !collection.dry_run {
            remove_file(store, &digest, collected)?;
        }
    }
    if !store.may_remove_strays()? {
        collected.strays_left = true;
        return Ok(());
    }
    let before = collection.before(collection.grace);
    for prefix in BlobPrefix::all() {
        // Rows before files would take a new file for a stray; so files first, and each again below.
        let files = store.blobs.listing(prefix)?.digests;
        let rows = store.content.blobs_in(prefix)?;
        let rows: HashSet<Digest> = rows.into_iter().map(|row| row.digest).collect();
        for digest in files.into_iter().filter(|digest| !rows.contains(digest)) {
            let size = store.blobs.size_of(&digest)?.unwrap_or(0);
            let went = if collection.dry_run {
                store
                    .blobs
                    .written_at(&digest)?
                    .is_some_and(|written| written < before)
            } else {
                store.release_stray(&digest, before)?
            };
            if went {
                collected.add_file(size);
            }
        }
    }
    Ok(())
}

/// Files that the comparison of rows and files took up. A push or a fill that comes to need one in between wins.
fn sweep_unreferenced(
    store: &Store,
    collection: &Collection,
    collected: &mut Collected,
) -> Result<()> {
    let before = collection.before(collection.grace);
    for digest in store.content.unreferenced(before)? {
        let files = collected.files;
        if collection.dry_run {
            collected.add_file(store.blobs.size_of(&digest)?.unwrap_or(0));
        } else {
            remove_file(store, &digest, collected)?;
        }
        if collected.files > files {
            collected.unreferenced.push(digest.to_string());
        }
    }
    match collection.dry_run {
        true => Ok(()),
        false => store.cache.let_unlinked_go(),
    }
}

fn remove_file(store: &Store, digest: &Digest, collected: &mut Collected) -> Result<()> {
    let size = store.blobs.size_of(digest)?.unwrap_or(0);
    if store.release_blob(digest)? {
        collected.add_file(size);
    }
    Ok(())
}
