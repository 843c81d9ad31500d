//! The same of an image that was pushed to this box; and what an image consists of, by its own rows.

use std::collections::{HashMap, HashSet};

use super::show::{ImageDetails, PartView, read};
use super::{PARTS_SHOWN, TAGS_SHOWN, referrers};
use crate::admin::Admin;
use crate::context;
use crate::error::{Error, Kind, Result};
use crate::oci::{Descriptor, Digest, Manifest, Reference, Tag};
use crate::store::{HostedRepository, RepositoryId, Store};
use crate::time::Timestamp;

/// `PATH:TAG`, or `PATH@DIGEST`.
pub(super) fn show(admin: &Admin<'_>, image: &str, sharing: Sharing) -> Result<ImageDetails> {
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
    let parts = parts(admin, Rows::Hosted(place), &manifest.digest, sharing)?;
    let (size, exclusive_bytes) = distinct(store, (&manifest.digest, manifest.size), &parts)?;
    // Without its own bytes nothing is known of its parts.
    let missing = match parts.shown.is_empty() {
        true => 1,
        false => parts.shown.iter().filter(|part| !part.is_cached).count() as u64,
    };
    Ok(ImageDetails {
        as_of: Timestamp::now(),
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
        parts: parts.shown,
        more_parts: parts.are_more,
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
    parts: &Parts,
) -> Result<(u64, u64)> {
    let here = || parts.shown.iter().filter(|part| part.is_cached);
    let mut inner: HashMap<&str, u64> = HashMap::new();
    for part in here() {
        if let Some(of) = &part.of {
            let bytes = inner.entry(of).or_default();
            *bytes = bytes.saturating_add(part.size);
        }
    }
    let mut files: HashMap<&str, (u64, u64)> = HashMap::new();
    let others = match parts.sharing {
        Sharing::Told => store.content.needs_of(digest)?.saturating_sub(1),
        Sharing::LeftOut => 0,
    };
    files.insert(digest.as_str(), (size, others));
    for part in here() {
        let bytes = match part.platform {
            // Its size has its parts in it.
            Some(_) => {
                let inner = inner.get(part.digest.as_str()).copied();
                part.size.saturating_sub(inner.unwrap_or_default())
            }
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

/// What an image consists of.
pub(super) struct Parts {
    pub(super) shown: Vec<PartView>,
    /// Whether there are more than are shown.
    pub(super) are_more: bool,
    sharing: Sharing,
}

/// Whether it is counted who else needs each file, which takes as long as they are many.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    Told,
    LeftOut,
}

/// What the image of a manifest consists of, and for an index what its children that are here do. Whoever pushes decides
/// how much that is, so it ends at [`PARTS_SHOWN`].
pub(super) fn parts(
    admin: &Admin<'_>,
    rows: Rows<'_>,
    digest: &Digest,
    sharing: Sharing,
) -> Result<Parts> {
    let mut parts = Parts {
        shown: Vec::new(),
        are_more: false,
        sharing,
    };
    parts.add(admin, rows, digest, None)?;
    let children: Vec<_> = parts
        .shown
        .iter()
        .enumerate()
        .filter(|(_, part)| part.platform.is_some() && part.is_cached)
        .map(|(place, part)| (place, part.digest.clone()))
        .collect();
    for (place, child) in children {
        context::check("list the parts of an image")?;
        if parts.shown.len() >= PARTS_SHOWN {
            parts.are_more = true;
            break;
        }
        let first = parts.shown.len();
        parts.add(admin, rows, &Digest::parse(&child)?, Some(&child))?;
        let own = parts.shown.iter().skip(first).filter(|part| part.is_cached);
        let bytes = own.fold(0_u64, |sum, part| sum.saturating_add(part.size));
        if let Some(part) = parts.shown.get_mut(place) {
            part.size = part.size.saturating_add(bytes);
        }
    }
    if sharing == Sharing::Told {
        let mut needs: HashMap<String, u64> = HashMap::new();
        for part in &parts.shown {
            let own = needs.entry(part.digest.clone()).or_default();
            *own = own.saturating_add(1);
        }
        for part in &mut parts.shown {
            let own = needs.get(&part.digest).copied().unwrap_or_default();
            part.shared_with = part.shared_with.saturating_sub(own);
        }
    }
    Ok(parts)
}

impl Parts {
    /// Adds what one manifest refers to, each digest once, for as long as there is place. Their `shared_with` counts this
    /// image's own needs too.
    fn add(
        &mut self,
        admin: &Admin<'_>,
        rows: Rows<'_>,
        digest: &Digest,
        of: Option<&str>,
    ) -> Result<()> {
        let store = admin.store;
        let Some(bytes) = read(store, digest)? else {
            return Ok(());
        };
        let parsed = Manifest::parse(&bytes, None)?;
        let platforms: HashMap<_, _> = Manifest::platforms(&bytes).into_iter().collect();
        let is_index = parsed.media_type.is_index();
        for descriptor in distinct_parts(&parsed) {
            if self.shown.len() >= PARTS_SHOWN {
                self.are_more = true;
                break;
            }
            let is_cached = match is_index {
                true => rows.have_manifest(store, &descriptor.digest)?,
                false => rows.have_blob(store, &descriptor.digest)?,
            };
            let needs = match self.sharing {
                Sharing::Told => store.content.needs_of(&descriptor.digest)?,
                Sharing::LeftOut => 0,
            };
            // A manifest that is here needs its own file.
            let own = u64::from(is_index && is_cached);
            self.shown.push(PartView {
                digest: descriptor.digest.to_string(),
                media_type: descriptor.media_type.clone(),
                platform: platforms.get(&descriptor.digest).cloned(),
                of: of.map(str::to_owned),
                size: descriptor.size,
                is_cached,
                shared_with: needs.saturating_sub(own),
            });
        }
        Ok(())
    }
}

/// What a manifest refers to, each digest once: it may name one as often as its pusher likes.
pub(super) fn distinct_parts(manifest: &Manifest) -> impl Iterator<Item = &Descriptor> {
    let mut known = HashSet::new();
    let all = manifest.manifests.iter().chain(&manifest.blobs);
    all.filter(move |descriptor| known.insert(&descriptor.digest))
}
