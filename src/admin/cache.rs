//! What is kept of the upstreams' images.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admin, Operation};
use crate::error::{Error, Kind, Result};
use crate::oci::{ImageName, Reference};
use crate::store::{CachedImage, Page, Totals, Window};

/// The host of an image that is written without one, as docker has it.
const DOCKER_HUB: &str = "docker.io";

/// The images that are kept.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListCachedImages {
    /// A part of HOST/NAME:TAG; * for any run of characters
    pub search: Option<String>,
    #[serde(default)]
    #[schemars(skip)]
    pub window: Window,
}

/// One of them.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShowCachedImage {
    /// As for docker: alpine, alpine:3.20, quay.io/org/x@sha256:…
    pub image: String,
}

/// How much is kept.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CacheStatistics {}

/// How much is kept, and how much room there is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CacheStatistics", extend("additionalProperties" = false))]
pub struct CacheStatisticsView {
    #[serde(flatten)]
    pub totals: Totals,
    pub disk_free_bytes: u64,
    pub disk_bytes: u64,
}

impl Operation for ListCachedImages {
    const NAME: &'static str = "cache.list";
    type View = Page<CachedImage>;

    fn perform(self, admin: &Admin<'_>) -> Result<Page<CachedImage>> {
        let cache = &admin.store.cache;
        cache.images(self.search.as_deref(), self.window)
    }
}

impl Operation for ShowCachedImage {
    const NAME: &'static str = "cache.show";
    type View = CachedImage;

    fn perform(self, admin: &Admin<'_>) -> Result<CachedImage> {
        let wanted = Wanted::parse(&self.image)?;
        let pattern = format!("{}/{}", wanted.upstream, wanted.repository);
        let images = admin.store.cache.images(Some(&pattern), Window::ALL)?;
        let mut images = images.entries.into_iter();
        images.find(|image| wanted.is(image)).ok_or_else(|| {
            let what = format!("`{}` is not cached", self.image);
            Error::new(Kind::NotFound, what)
                .remedy(format!("see `breakwater cache list {pattern}`"))
        })
    }
}

impl Operation for CacheStatistics {
    const NAME: &'static str = "cache.statistics";
    type View = CacheStatisticsView;

    fn perform(self, admin: &Admin<'_>) -> Result<CacheStatisticsView> {
        let totals = admin.store.cache.totals()?;
        let (disk_free_bytes, disk_bytes) = admin.store.blobs.space()?;
        Ok(CacheStatisticsView {
            totals,
            disk_free_bytes,
            disk_bytes,
        })
    }
}

/// An image as the cache knows it.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    upstream: String,
    repository: String,
    reference: String,
    by_digest: bool,
}

impl Wanted {
    /// By docker's rules: no host is Docker Hub, no tag is `latest`.
    fn parse(text: &str) -> Result<Self> {
        if text.starts_with("hosted:") {
            let what = "showing a pushed image is not available in this version";
            return Err(Error::new(Kind::Usage, what));
        }
        let image = ImageName::parse(text)?;
        let upstream = image
            .host
            .as_ref()
            .map_or(DOCKER_HUB, |host| host.as_str())
            .to_owned();
        let repository = if upstream == DOCKER_HUB {
            image.repository.with_library()
        } else {
            image.repository
        };
        let by_digest = matches!(image.reference, Some(Reference::Digest(_)));
        let reference = image
            .reference
            .as_ref()
            .map_or("latest", Reference::as_str)
            .to_owned();
        Ok(Self {
            upstream,
            repository: repository.as_str().to_owned(),
            reference,
            by_digest,
        })
    }

    fn is(&self, image: &CachedImage) -> bool {
        let reference = if self.by_digest {
            image.digest == self.reference
        } else {
            image.tag.as_deref() == Some(self.reference.as_str())
        };
        image.upstream == self.upstream && image.repository == self.repository && reference
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_found_as_docker_writes_them() {
        let digest = crate::oci::Digest::of(b"x");
        let cases = [
            (
                "alpine".to_owned(),
                "docker.io",
                "library/alpine",
                "latest".to_owned(),
            ),
            (
                "alpine:3.20".to_owned(),
                "docker.io",
                "library/alpine",
                "3.20".to_owned(),
            ),
            (
                "docker.io/alpine".to_owned(),
                "docker.io",
                "library/alpine",
                "latest".to_owned(),
            ),
            (
                "org/x".to_owned(),
                "docker.io",
                "org/x",
                "latest".to_owned(),
            ),
            ("quay.io/x".to_owned(), "quay.io", "x", "latest".to_owned()),
            (
                format!("quay.io/x:1@{digest}"),
                "quay.io",
                "x",
                digest.to_string(),
            ),
        ];
        for (text, upstream, repository, reference) in cases {
            let wanted = Wanted::parse(&text).unwrap();
            assert_eq!(
                (
                    wanted.upstream.as_str(),
                    wanted.repository.as_str(),
                    &wanted.reference
                ),
                (upstream, repository, &reference),
                "{text}"
            );
        }
        assert_eq!(
            Wanted::parse("hosted:acme/x:1").unwrap_err().kind(),
            Kind::Usage
        );
        assert!(Wanted::parse("A:b:c").is_err());
    }
}
