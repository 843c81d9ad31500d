//! Manifests and indexes: what they refer to (image-spec manifest.md, image-index.md; Docker's image
//! manifest v2, schema 2). Only read here: the bytes are kept as they came and never written again.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::Digest;
use crate::error::{Error, Kind, Result};

/// The most bytes a manifest may have (distribution-spec asks registries for at least 4 MiB).
pub const MAX_MANIFEST_SIZE: u64 = 4 * 1024 * 1024;

/// The media types of manifests that clients accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// `application/vnd.oci.image.manifest.v1+json`
    OciManifest,
    /// `application/vnd.oci.image.index.v1+json`
    OciIndex,
    /// `application/vnd.docker.distribution.manifest.v2+json`
    DockerManifest,
    /// `application/vnd.docker.distribution.manifest.list.v2+json`
    DockerList,
}

impl MediaType {
    /// All of them, in the order in which they are asked for from an upstream.
    pub const ALL: [Self; 4] = [
        Self::OciIndex,
        Self::DockerList,
        Self::OciManifest,
        Self::DockerManifest,
    ];

    /// The type's name, without parameters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OciManifest => "application/vnd.oci.image.manifest.v1+json",
            Self::OciIndex => "application/vnd.oci.image.index.v1+json",
            Self::DockerManifest => "application/vnd.docker.distribution.manifest.v2+json",
            Self::DockerList => "application/vnd.docker.distribution.manifest.list.v2+json",
        }
    }

    /// Reads a `Content-Type` or `mediaType`; parameters after `;` are dropped. `None` for others,
    /// among them Docker's schema 1, which is not served.
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.split(';').next().unwrap_or_default().trim();
        Self::ALL
            .into_iter()
            .find(|media_type| media_type.as_str().eq_ignore_ascii_case(name))
    }

    /// Whether it lists manifests rather than layers.
    pub fn is_index(self) -> bool {
        matches!(self, Self::OciIndex | Self::DockerList)
    }
}

/// What a manifest says of one thing that it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// The content's digest.
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
    /// Parses `bytes` as a manifest of the type that `announced` says (a `Content-Type`; `None` where
    /// the sender gave none that is known: then the body's own `mediaType`, or its shape, decides).
    ///
    /// # Errors
    /// `ManifestInvalid` when it is not JSON, too large, of schema 1, or of another type than announced.
    pub fn parse(bytes: &[u8], announced: Option<MediaType>) -> Result<Self> {
        let invalid =
            |why: &str| Error::new(Kind::ManifestInvalid, format!("not a manifest: {why}"));
        if bytes.len() as u64 > MAX_MANIFEST_SIZE {
            return Err(invalid("it is larger than 4 MiB"));
        }
        let raw: Raw = serde_json::from_slice(bytes)
            .map_err(|error| invalid("its JSON is wrong").because(error))?;
        if raw.schema_version != 2 {
            return Err(invalid("its schemaVersion is not 2"));
        }
        let own = match &raw.media_type {
            Some(text) => {
                Some(MediaType::parse(text).ok_or_else(|| invalid("its mediaType is not known"))?)
            }
            None => None,
        };
        let by_shape = || {
            if raw.manifests.is_some() {
                MediaType::OciIndex
            } else {
                MediaType::OciManifest
            }
        };
        let media_type = match (announced, own) {
            (Some(announced), Some(own)) if announced != own => {
                return Err(invalid(
                    "it was announced as another type than it says itself",
                ));
            }
            (Some(media_type), _) | (None, Some(media_type)) => media_type,
            (None, None) => by_shape(),
        };
        let all = |list: Option<Vec<RawDescriptor>>| -> Result<Vec<Descriptor>> {
            list.unwrap_or_default()
                .into_iter()
                .map(RawDescriptor::descriptor)
                .collect()
        };
        let wrap = |error: Error| invalid("a descriptor in it is wrong").because(error);
        let subject = raw
            .subject
            .map(RawDescriptor::descriptor)
            .transpose()
            .map_err(wrap)?;
        // An empty one says nothing.
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let artifact_type = given(raw.artifact_type);
        let annotations = raw
            .annotations
            .filter(|annotations| annotations.get().starts_with('{'));
        if media_type.is_index() {
            if raw.manifests.is_none() {
                return Err(invalid("an index without manifests"));
            }
            let manifests = all(raw.manifests).map_err(wrap)?;
            return Ok(Self {
                media_type,
                manifests,
                blobs: Vec::new(),
                subject,
                artifact_type,
                annotations,
            });
        }
        let Some(config) = raw.config else {
            return Err(invalid("an image manifest without config"));
        };
        let config = config.descriptor().map_err(wrap)?;
        let artifact_type = artifact_type.or_else(|| given(Some(config.media_type.clone())));
        let mut blobs = vec![config];
        blobs.extend(all(raw.layers).map_err(wrap)?);
        Ok(Self {
            media_type,
            manifests: Vec::new(),
            blobs,
            subject,
            artifact_type,
            annotations,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(content: &[u8]) -> String {
        format!(
            r#"{{"mediaType":"x/y","digest":"{}","size":{}}}"#,
            Digest::of(content),
            content.len()
        )
    }

    #[test]
    fn every_media_type_is_read_back() {
        for media_type in MediaType::ALL {
            let with_parameter = format!("{}; charset=utf-8", media_type.as_str());
            assert_eq!(MediaType::parse(&with_parameter), Some(media_type));
        }
        assert_eq!(
            MediaType::parse("application/vnd.docker.distribution.manifest.v1+prettyjws"),
            None
        );
    }

    #[test]
    fn an_image_refers_to_config_and_layers_and_an_index_to_manifests() {
        let (config, layer) = (descriptor(b"c"), descriptor(b"l"));
        let image = format!(
            r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}],"subject":{layer}}}"#
        );
        let image = Manifest::parse(image.as_bytes(), None).unwrap();
        assert_eq!(image.media_type, MediaType::OciManifest);
        assert_eq!(image.blobs.len(), 2);
        assert_eq!(image.subject.unwrap().digest, Digest::of(b"l"));

        let index = format!(r#"{{"schemaVersion":2,"manifests":[{layer}]}}"#);
        let index = Manifest::parse(index.as_bytes(), Some(MediaType::DockerList)).unwrap();
        assert_eq!(index.media_type, MediaType::DockerList);
        assert_eq!(index.manifests[0].size, 1);
    }

    #[test]
    fn what_is_not_what_it_says_is_refused() {
        let config = descriptor(b"c");
        let oci = MediaType::OciManifest.as_str();
        for (body, announced) in [
            ("".to_owned(), None),
            ("<html>".to_owned(), None),
            ("[]".to_owned(), None),
            (r#"{"schemaVersion":1}"#.to_owned(), None),
            (r#"{"schemaVersion":2}"#.to_owned(), None),
            (
                r#"{"schemaVersion":2,"config":{"digest":"sha256:0","size":1}}"#.to_owned(),
                None,
            ),
            (
                r#"{"schemaVersion":2,"config":{"digest":5,"size":-1}}"#.to_owned(),
                None,
            ),
            (
                format!(r#"{{"schemaVersion":2,"mediaType":"text/html","config":{config}}}"#),
                None,
            ),
            (
                format!(r#"{{"schemaVersion":2,"mediaType":"{oci}","config":{config}}}"#),
                Some(MediaType::DockerManifest),
            ),
            (
                format!(r#"{{"schemaVersion":2,"config":{config}}}"#),
                Some(MediaType::OciIndex),
            ),
        ] {
            assert!(
                Manifest::parse(body.as_bytes(), announced).is_err(),
                "{body}"
            );
        }
    }
}
