//! Manifests and indexes: what they refer to (image-spec manifest.md, image-index.md; Docker's image
//! manifest v2, schema 2). Only read here: the bytes are kept as they came and never written again.

mod platforms;
mod pushed;
#[cfg(test)]
mod tests;

pub use platforms::ChosenChildren;
pub use pushed::{MAX_ARTIFACT_TYPE, MAX_CONTENT_SIZE};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::Digest;
use crate::error::{Error, Kind, Result};

/// The most bytes a manifest may have (distribution-spec asks registries for at least 4 MiB).
pub const MAX_MANIFEST_SIZE: u64 = 4 * 1024 * 1024;

/// The media types of manifests that clients accept, in the order in which an upstream is asked for them.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantNames,
)]
#[strum(ascii_case_insensitive)]
pub enum MediaType {
    #[strum(serialize = "application/vnd.oci.image.index.v1+json")]
    OciIndex,
    #[strum(serialize = "application/vnd.docker.distribution.manifest.list.v2+json")]
    DockerList,
    #[strum(serialize = "application/vnd.oci.image.manifest.v1+json")]
    OciManifest,
    #[strum(serialize = "application/vnd.docker.distribution.manifest.v2+json")]
    DockerManifest,
}

impl MediaType {
    /// The type's name, without parameters.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Reads a `Content-Type` or `mediaType`; parameters after `;` are dropped. `None` for others,
    /// among them Docker's schema 1, which is not served.
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.split(';').next().unwrap_or_default();
        name.trim().parse().ok()
    }

    /// Whether it lists manifests rather than layers.
    pub fn is_index(self) -> bool {
        matches!(self, Self::OciIndex | Self::DockerList)
    }
}

/// What a manifest says of one thing that it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    pub digest: Digest,
    /// The content's size in bytes.
    pub size: u64,
    /// Its media type, as written.
    pub media_type: String,
    /// Whether it names places outside registries that have the content.
    pub has_urls: bool,
}

impl Descriptor {
    /// Whether the content is not to be had from the registry: non-distributable and foreign layers.
    pub fn is_foreign(&self) -> bool {
        self.media_type.contains("nondistributable") || self.media_type.contains("foreign")
    }
}

/// What a manifest refers to.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The manifest's own type.
    pub media_type: MediaType,
    /// Child manifests of an index.
    pub manifests: Vec<Descriptor>,
    /// Config and layers of an image.
    pub blobs: Vec<Descriptor>,
    /// The manifest that this one is a referrer of.
    pub subject: Option<Descriptor>,
    /// Its `artifactType`; for an image manifest without one, its config's media type.
    pub artifact_type: Option<String>,
    /// Its annotations, as JSON.
    pub annotations: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u64,
    media_type: Option<String>,
    config: Option<RawDescriptor>,
    layers: Option<Vec<RawDescriptor>>,
    manifests: Option<Vec<RawDescriptor>>,
    subject: Option<RawDescriptor>,
    artifact_type: Option<String>,
    annotations: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    media_type: Option<String>,
    digest: String,
    size: u64,
    // Whatever is in it: only whether there is something counts.
    urls: Option<Vec<IgnoredAny>>,
}

impl RawDescriptor {
    fn descriptor(self) -> Result<Descriptor> {
        let digest = Digest::parse(&self.digest)?;
        Ok(Descriptor {
            digest,
            size: self.size,
            media_type: self.media_type.unwrap_or_default(),
            has_urls: self.urls.is_some_and(|urls| !urls.is_empty()),
        })
    }
}

impl Manifest {
    /// Parses what an upstream sent as a manifest of the type that `announced` says (a `Content-Type`; `None` where it
    /// gave none that is known: then the body's own `mediaType`, or its shape, decides).
    ///
    /// What it says beside its references is not looked at: nothing is made of it here, and the clients get the bytes as
    /// they came.
    ///
    /// # Errors
    /// `ManifestInvalid` when it is not JSON, too large, of schema 1, of another type than announced, or an image and an
    /// index at once.
    pub fn parse(bytes: &[u8], announced: Option<MediaType>) -> Result<Self> {
        if bytes.len() as u64 > MAX_MANIFEST_SIZE {
            return Err(invalid("it is larger than 4 MiB"));
        }
        let raw: Raw = serde_json::from_slice(bytes)
            .map_err(|error| invalid(&format!("its JSON is wrong: {}", excerpt(&error))))?;
        if raw.schema_version != 2 {
            return Err(invalid("its schemaVersion is not 2"));
        }
        let media_type = raw.type_of(announced)?;
        // Whoever goes by the type and whoever goes by the shape would read different images (CVE-2021-41190).
        let has_parts = raw.config.is_some() || raw.layers.is_some();
        if has_parts && raw.manifests.is_some() {
            return Err(invalid(
                "it has manifests beside config or layers, so that it is an image for some clients and an index for others",
            ));
        }
        raw.manifest(media_type)
            .map_err(|error| match error.kind() {
                Kind::ManifestInvalid => error,
                _ => invalid("a descriptor in it is wrong").because(error),
            })
    }

    /// Parses what somebody pushes: as [`Self::parse`], and nothing in it may be read in two ways, be beyond what JSON
    /// readers take, or have another type than the specification gives it.
    ///
    /// # Errors
    /// `ManifestInvalid`, with what is wrong with it.
    pub fn parse_pushed(bytes: &[u8], announced: Option<MediaType>) -> Result<Self> {
        let manifest = Self::parse(bytes, announced)?;
        pushed::check(bytes).map_err(|why| invalid(&why))?;
        Ok(manifest)
    }
}

impl Raw {
    fn type_of(&self, announced: Option<MediaType>) -> Result<MediaType> {
        let own = match &self.media_type {
            Some(text) => {
                Some(MediaType::parse(text).ok_or_else(|| invalid("its mediaType is not known"))?)
            }
            None => None,
        };
        match (announced, own) {
            (Some(announced), Some(own)) if announced != own => Err(invalid(
                "it was announced as another type than it says itself",
            )),
            (Some(media_type), _) | (None, Some(media_type)) => Ok(media_type),
            (None, None) if self.manifests.is_some() => Ok(MediaType::OciIndex),
            (None, None) => Ok(MediaType::OciManifest),
        }
    }

    fn manifest(self, media_type: MediaType) -> Result<Manifest> {
        let all = |list: Option<Vec<RawDescriptor>>| -> Result<Vec<Descriptor>> {
            let list = list.unwrap_or_default();
            list.into_iter().map(RawDescriptor::descriptor).collect()
        };
        // An empty one says nothing.
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let mut manifest = Manifest {
            media_type,
            manifests: Vec::new(),
            blobs: Vec::new(),
            subject: self.subject.map(RawDescriptor::descriptor).transpose()?,
            artifact_type: given(self.artifact_type),
            annotations: self
                .annotations
                .filter(|annotations| annotations.get().starts_with('{')),
        };
        if media_type.is_index() {
            if self.manifests.is_none() {
                return Err(invalid("an index without manifests"));
            }
            manifest.manifests = all(self.manifests)?;
            return Ok(manifest);
        }
        let Some(config) = self.config else {
            return Err(invalid("an image manifest without config"));
        };
        let config = config.descriptor()?;
        if manifest.artifact_type.is_none() {
            manifest.artifact_type = given(Some(config.media_type.clone()));
        }
        manifest.blobs.push(config);
        manifest.blobs.extend(all(self.layers)?);
        Ok(manifest)
    }
}

fn invalid(why: &str) -> Error {
    Error::new(Kind::ManifestInvalid, format!("not a manifest: {why}"))
}

/// What the parser says: its words may hold whatever was sent, at any length.
fn excerpt(error: &serde_json::Error) -> String {
    let said = error.to_string();
    said.chars()
        .take(200)
        .flat_map(char::escape_debug)
        .collect()
}
