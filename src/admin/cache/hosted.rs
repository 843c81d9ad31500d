//! The same of an image that was pushed to this box; and what an image consists of, by its own rows.

use std::collections::HashMap;

use super::show::{ImageDetails, PartView, read};
use super::{TAGS_SHOWN, referrers};
use crate::admin::Admin;
use crate::error::{Error, Kind, Result};
use crate::oci::{Digest, Manifest, Reference, Tag};
use crate::store::{HostedRepository, RepositoryId, Store};

/// `PATH:TAG`, or `PATH@DIGEST`.
pub(super) fn show(admin: &Admin<'_>, image: &str) -> Result<ImageDetails> {
    let (path, reference) = match (image.split_once('@'), image.split_once(':')) {
        (Some((path, digest)), _) => (path, Reference::Digest(Digest::parse(digest)?)),
        (None, Some((path, tag))) => (path, Reference::Tag(Tag::parse(tag)?)),
        (None, None) => (image, Reference::Tag(Tag::parse("latest")?)),
    };
    let missing = || {
        let what = format!("there is no pushed image hosted:{image}");
        let error = Error::new(Kind::NotFound, what);
        error.remedy("write it as hosted:PATH:TAG, with the whole path of its repository")
    };
    let store = admin.store;
    let project = store.access.project_owning(path)?.ok_or_else(missing)?;
    let place = HostedRepository { project, path };
    let manifest = store
        .registry
        .manifest(place, &reference)?
        .ok_or_else(missing)?;
    let record = store
        .registry
        .push_record(place, &manifest.digest)?
        .ok_or_else(missing)?;
    let parts = parts(admin, Rows::Hosted(place), &manifest.digest)?;
    let (size, exclusive_bytes) = distinct(store, (&manifest.digest, manifest.size), &parts)?;
    // Without its own bytes nothing is known of its parts.
    let missing = match parts.is_empty() {
        true => 1,
        false => parts.iter().filter(|part| !part.is_cached).count() as u64,
    };
    Ok(ImageDetails {
        upstream: None,
        repository: path.to_owned(),
        tag: match &reference {
            Reference::Tag(tag) => Some(tag.as_str().to_owned()),
            Reference::Digest(_) => None,
        },
        digest: manifest.digest.to_string(),
        media_type: manifest.media_type.as_str().to_owned(),
        tags: store
            .registry
            .tags_of(place, &manifest.digest, TAGS_SHOWN)?,
        size,
        exclusive_bytes,
        missing,
        fetched_at: record.pushed_at,
        pushed_by: Some(record.pushed_by),
        confirmed_at: None,
        last_pulled_at: record.last_pulled_at,
        gone_at: None,
        referrers: referrers::hosted(store, place, &manifest.digest)?,
        pulls: Vec::new(),
        pins: Vec::new(),
        stays: None,
        before: None,
        unused_at: None,
        parts,
    })
}

/// In which rows the parts of an image are looked up.
#[derive(Clone, Copy)]
pub(super) enum Rows<'a> {
    Hosted(HostedRepository<'a>),
    Cached(RepositoryId),
}

impl Rows<'_> {
    fn have_manifest(self, store: &Store, digest: &Digest) -> Result<bool> {
        match self {
            Self::Hosted(place) => {
                let reference = Reference::Digest(digest.clone());
                Ok(store.registry.manifest(place, &reference)?.is_some())
            }
            Self::Cached(repository) => Ok(store.cache.manifest(repository, digest)?.is_some()),
        }
    }

    fn have_blob(self, store: &Store, digest: &Digest) -> Result<bool> {
        Ok(match self {
            Self::Hosted(place) => {
                store.registry.blob(place, digest)?.is_some() && store.blobs.contains(digest)?
            }
            Self::Cached(repository) => store.cache.blob(repository, digest)?.is_some(),
        })
    }
}

/// The bytes of an image, and those that only it needs: its manifest's, and each of its files once.
///
/// # Errors
/// `Sql`.
pub(super) fn distinct(
    store: &Store,
    (digest, size): (&Digest, u64),
    parts: &[PartView],
) -> Result<(u64, u64)> {
    let mut files: HashMap<&str, (u64, u64)> = HashMap::new();
    let others = store.content.needs_of(digest)?.saturating_sub(1);
    files.insert(digest.as_str(), (size, others));
    for part in parts.iter().filter(|part| part.is_cached) {
        let bytes = match part.platform {
            // Its size has its parts in it.
            Some(_) => own_bytes(part, parts),
            None => part.size,
        };
        files.insert(&part.digest, (bytes, part.shared_with));
    }
    let sum = |is_meant: &dyn Fn(u64) -> bool| {
        let files = files.values().filter(|(_, shared)| is_meant(*shared));
        files.fold(0_u64, |sum, (size, _)| sum.saturating_add(*size))
    };
    Ok((sum(&|_| true), sum(&|shared| shared == 0)))
}

/// Without those of its parts.
fn own_bytes(part: &PartView, parts: &[PartView]) -> u64 {
    let of = parts.iter();
    let of = of.filter(|child| child.of.as_deref() == Some(&part.digest) && child.is_cached);
    of.fold(part.size, |left, child| left.saturating_sub(child.size))
}

/// What the image of a manifest consists of, and for an index what its children that are here do.
pub(super) fn parts(admin: &Admin<'_>, rows: Rows<'_>, digest: &Digest) -> Result<Vec<PartView>> {
    let mut parts = own_parts(admin, rows, digest, None)?;
    let children: Vec<_> = parts
        .iter()
        .enumerate()
        .filter(|(_, part)| part.platform.is_some() && part.is_cached)
        .map(|(place, part)| (place, part.digest.clone()))
        .collect();
    for (place, child) in children {
        let own = own_parts(admin, rows, &Digest::parse(&child)?, Some(&child))?;
        let here = own.iter().filter(|part| part.is_cached);
        let bytes = here.fold(0_u64, |sum, part| sum.saturating_add(part.size));
        if let Some(part) = parts.get_mut(place) {
            part.size = part.size.saturating_add(bytes);
        }
        parts.extend(own);
    }
    let mut needs: HashMap<String, u64> = HashMap::new();
    for part in &parts {
        let own = needs.entry(part.digest.clone()).or_default();
        *own = own.saturating_add(1);
    }
    for part in &mut parts {
        let own = needs.get(&part.digest).copied().unwrap_or_default();
        part.shared_with = part.shared_with.saturating_sub(own);
    }
    Ok(parts)
}

/// Their `shared_with` counts this image's own needs too.
fn own_parts(
    admin: &Admin<'_>,
    rows: Rows<'_>,
    digest: &Digest,
    of: Option<&str>,
) -> Result<Vec<PartView>> {
    let store = admin.store;
    let Some(bytes) = read(store, digest)? else {
        return Ok(Vec::new());
    };
    let parsed = Manifest::parse(&bytes, None)?;
    let platforms: HashMap<_, _> = Manifest::platforms(&bytes).into_iter().collect();
    let parts = parsed
        .manifests
        .iter()
        .chain(&parsed.blobs)
        .map(|descriptor| {
            let is_index = parsed.media_type.is_index();
            let is_cached = match is_index {
                true => rows.have_manifest(store, &descriptor.digest)?,
                false => rows.have_blob(store, &descriptor.digest)?,
            };
            let needs = store.content.needs_of(&descriptor.digest)?;
            // A manifest that is here needs its own file.
            let own = u64::from(is_index && is_cached);
            Ok(PartView {
                digest: descriptor.digest.to_string(),
                media_type: descriptor.media_type.clone(),
                platform: platforms.get(&descriptor.digest).cloned(),
                of: of.map(str::to_owned),
                size: descriptor.size,
                is_cached,
                shared_with: needs.saturating_sub(own),
            })
        });
    parts.collect()
}
