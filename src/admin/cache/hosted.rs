//! The same of an image that was pushed to this box.

use std::collections::HashMap;

use super::show::{ImageDetails, PartView, read};
use crate::admin::Admin;
use crate::error::{Error, Kind, Result};
use crate::oci::{Digest, Manifest, Reference, Tag};
use crate::store::HostedRepository;

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
    let parts = parts(admin, place, &manifest.digest)?;
    let mut files: HashMap<&str, (u64, u64)> = HashMap::new();
    for part in parts.iter().filter(|part| part.is_cached) {
        files.insert(&part.digest, (part.size, part.shared_with));
    }
    let sum = |is_meant: &dyn Fn(u64) -> bool| {
        let files = files.values().filter(|(_, shared)| is_meant(*shared));
        files.fold(manifest.size, |sum, (size, _)| sum.saturating_add(*size))
    };
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
        size: sum(&|_| true),
        exclusive_bytes: sum(&|shared| shared == 0),
        missing,
        fetched_at: record.pushed_at,
        pushed_by: Some(record.pushed_by),
        confirmed_at: None,
        last_pulled_at: record.last_pulled_at,
        gone_at: None,
        pulls: Vec::new(),
        pins: Vec::new(),
        stays: None,
        before: None,
        unused_at: None,
        parts,
    })
}

fn parts(admin: &Admin<'_>, place: HostedRepository<'_>, digest: &Digest) -> Result<Vec<PartView>> {
    let mut parts = own_parts(admin, place, digest, None)?;
    let children: Vec<_> = parts
        .iter()
        .filter(|part| part.platform.is_some() && part.is_cached)
        .map(|part| part.digest.clone())
        .collect();
    for child in children {
        let digest = Digest::parse(&child)?;
        parts.extend(own_parts(admin, place, &digest, Some(&child))?);
    }
    Ok(parts)
}

fn own_parts(
    admin: &Admin<'_>,
    place: HostedRepository<'_>,
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
            let is_here = match parsed.media_type.is_index() {
                true => {
                    let reference = Reference::Digest(descriptor.digest.clone());
                    store.registry.manifest(place, &reference)?.is_some()
                }
                false => {
                    store.registry.blob(place, &descriptor.digest)?.is_some()
                        && store.blobs.contains(&descriptor.digest)?
                }
            };
            let needs = store.content.needs_of(&descriptor.digest)?;
            Ok(PartView {
                digest: descriptor.digest.to_string(),
                media_type: descriptor.media_type.clone(),
                platform: platforms.get(&descriptor.digest).cloned(),
                of: of.map(str::to_owned),
                size: descriptor.size,
                is_cached: is_here,
                // One of them is its own.
                shared_with: needs.saturating_sub(1),
            })
        });
    parts.collect()
}
