//! What is attached to an image: what has it as its subject, and what is named after its digest, as cosign does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::show::read;
use crate::error::Result;
use crate::oci::{Digest, Manifest, MediaType, Reference, Tag};
use crate::store::{HostedRepository, RepositoryId, Store};

/// So many are told of one image.
const MOST: u32 = 50;
/// The ends of tags that begin with a digest: cosign's, and the fallback for lists of referrers.
const ENDS: [&str; 4] = ["", ".sig", ".att", ".sbom"];

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ImageReferrer")]
#[serde(deny_unknown_fields)]
pub struct ReferrerView {
    pub digest: String,
    /// What it is, such as application/vnd.dev.cosign.artifact.sig.v1+json; null where it does not say
    pub artifact_type: Option<String>,
    /// Null where it names the image as its subject
    pub tag: Option<String>,
}

/// Those that are kept of an upstream's image.
pub(super) fn cached(
    store: &Store,
    repository: RepositoryId,
    digest: &Digest,
) -> Result<Vec<ReferrerView>> {
    let found = store.cache.referrers(repository, digest, MOST)?.into_iter();
    let found = found.map(|one| view(store, &one.digest, Some(one.media_type), None));
    let mut views: Vec<_> = found.collect::<Result<_>>()?;
    for tag in tags(digest) {
        if let Some(kept) = store.cache.tag(repository, &tag)? {
            views.push(view(store, &kept.digest, None, Some(&tag))?);
        }
    }
    Ok(views)
}

/// Those of an image that was pushed.
pub(super) fn hosted(
    store: &Store,
    place: HostedRepository<'_>,
    digest: &Digest,
) -> Result<Vec<ReferrerView>> {
    let registry = &store.registry;
    let mut views = Vec::new();
    let found = registry.find_referrers(place, digest, None, "", u64::from(MOST))?;
    registry.read_referrers(&found, |one| {
        views.push(ReferrerView {
            digest: one.digest.to_string(),
            artifact_type: one.artifact_type.map(str::to_owned),
            tag: None,
        });
        Ok(())
    })?;
    for tag in tags(digest) {
        let reference = Reference::Tag(tag);
        if let Some(pushed) = registry.manifest(place, &reference)?
            && let Reference::Tag(tag) = &reference
        {
            views.push(view(
                store,
                &pushed.digest,
                Some(pushed.media_type),
                Some(tag),
            )?);
        }
    }
    Ok(views)
}

fn tags(digest: &Digest) -> impl Iterator<Item = Tag> {
    let beginning = digest.as_str().replace(':', "-");
    let tags = ENDS.into_iter();
    tags.filter_map(move |end| Tag::parse(&format!("{beginning}{end}")).ok())
}

fn view(
    store: &Store,
    digest: &Digest,
    media_type: Option<MediaType>,
    tag: Option<&Tag>,
) -> Result<ReferrerView> {
    // What is damaged is listed all the same.
    let parsed = read(store, digest)?.and_then(|bytes| Manifest::parse(&bytes, media_type).ok());
    Ok(ReferrerView {
        digest: digest.to_string(),
        artifact_type: parsed.and_then(|parsed| parsed.artifact_type),
        tag: tag.map(|tag| tag.as_str().to_owned()),
    })
}
