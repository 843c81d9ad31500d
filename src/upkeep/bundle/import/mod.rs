//! What somebody brought: a bundle, or an archive of skopeo, podman or docker. It is judged as a whole before anything is
//! written, then staged, hashed on the way; making it visible is somebody else's.
//!
//! - `source`, `tar`: bytes, and the entries in them. Nothing is unpacked by name: what is looked for is known.
//! - `bundle`, `layout`, `docker_archive`: the three forms, each read into the images that it has and where their files lie.
//! - `parts`: what an image consists of, by its manifests.
//! - `delta`: layers that are made again from what has changed in them.
//! - `stage`: copies to the data directory what is not there.

mod bundle;
mod delta;
mod docker_archive;
mod layout;
mod parts;
mod source;
mod stage;
mod tar;

use std::collections::HashMap;
use std::io::Read as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::VerifyKey;
use super::{BundledReferrer, DOCKER_MANIFEST, INDEX, ImageKind, LAYOUT, MANIFEST};
use crate::error::{Error, Kind, Result, excerpt};
use crate::oci::{Algorithm, Digest, Hasher, ImageName};
use delta::ArchivedDelta;
pub use parts::{ImageParts, ToStage, to_stage};
use source::Reading;
pub use source::Source;
pub use stage::{Staged, stage};
use tar::{Entries, Entry};

/// The longest document that is read into memory.
const MAX_DOCUMENT: u64 = 4 * 1024 * 1024;

/// An image to be imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImportedImage {
    /// `HOST/NAME:TAG` or `HOST/NAME@DIGEST` of a cached one, without the host of one that was pushed to a box.
    pub name: String,
    pub kind: ImageKind,
    #[schemars(with = "String")]
    pub digest: Digest,
    /// As the archive says it; the manifest may say it itself.
    pub media_type: Option<String>,
    /// What is attached to it.
    #[schemars(with = "Vec<serde_json::Value>")]
    pub referrers: Vec<BundledReferrer>,
}

/// What kind of archive it is, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Bundle,
    Layout,
    /// Docker's classic archive, for whose images manifests were made.
    DockerArchive,
}

/// An archive, judged as far as that is possible without the box that it comes to.
pub struct Archive<'a> {
    source: &'a dyn Source,
    pub form: Form,
    /// The digest of the document that says what is in it.
    pub id: Digest,
    pub images: Vec<ImportedImage>,
    /// The key that its signature was verified with.
    pub signed_by: Option<String>,
    /// Where manifests and blobs lie.
    files: HashMap<Digest, Entry>,
    /// Layers of which only what has changed is in it.
    deltas: HashMap<Digest, ArchivedDelta>,
    /// Manifests that do not stand in the archive.
    made: HashMap<Digest, Vec<u8>>,
}

impl<'a> Archive<'a> {
    /// Reads what is in it. With keys, only what all of them have signed is taken; `name` is what an image is to be called
    /// whose archive does not say so, or says otherwise.
    ///
    /// # Errors
    /// `Denied` for a signature that is missing or wrong; `ManifestInvalid` and `Io` for what is no such archive, was changed
    /// or is cut off; `Usage` where a name is missing.
    pub fn open(source: &'a dyn Source, keys: &[VerifyKey], name: Option<&str>) -> Result<Self> {
        let name = name.map(canonical).transpose()?;
        let entries = tar::entries(source).map_err(|error| match source.damaged_part() {
            Some(part) => error.context(part),
            None => error,
        })?;
        let has = |name: &str| entries.contains_key(name);
        let mut archive = if has(MANIFEST) {
            bundle::open(source, entries, keys)?
        } else if !keys.is_empty() {
            let what = "the archive is not signed, and only what is signed by the key of `verify_key` is imported";
            return Err(Error::new(Kind::Denied, what)
                .remedy("import a bundle that `breakwater export --sign` has made"));
        } else if has(LAYOUT) && has(INDEX) {
            layout::open(source, entries)?
        } else if has(DOCKER_MANIFEST) {
            docker_archive::open(source, entries)?
        } else {
            let what = "the archive is neither a bundle nor an image: it has no breakwater-bundle.json, no index.json with an oci-layout, and no manifest.json";
            return Err(Error::new(Kind::ManifestInvalid, what).remedy(
                "make it with `breakwater export`, `skopeo copy … oci-archive:FILE`, `podman save` or `docker save`",
            ));
        };
        archive.rename(name)?;
        Ok(archive)
    }

    /// Calls its one image so; each image has to have a name then.
    fn rename(&mut self, name: Option<String>) -> Result<()> {
        if let Some(name) = name {
            self.images.dedup_by(|a, b| a.digest == b.digest);
            return match &mut self.images[..] {
                [image] => {
                    image.name = name;
                    image.kind = ImageKind::Cached;
                    Ok(())
                }
                images => {
                    let what = format!(
                        "--name is for one image, and the archive has {}",
                        images.len()
                    );
                    Err(Error::new(Kind::Usage, what).remedy("import it without --name"))
                }
            };
        }
        match self.images.iter().find(|image| image.name.is_empty()) {
            Some(image) => {
                let what = format!(
                    "the archive does not say what its image {} is called",
                    image.digest
                );
                Err(Error::new(Kind::Usage, what)
                    .remedy("say it with --name IMAGE, such as --name registry.example/app:1.2"))
            }
            None if self.images.is_empty() => {
                let what = "the archive has no image";
                Err(Error::new(Kind::ManifestInvalid, what).remedy("export it again"))
            }
            None => Ok(()),
        }
    }

    /// Whether the bytes of this digest are in it, or can be made from what is.
    pub fn has(&self, digest: &Digest) -> bool {
        let is_there = self.files.contains_key(digest) || self.made.contains_key(digest);
        is_there || self.deltas.contains_key(digest)
    }

    /// A manifest's bytes, which were hashed just now; `None` where it is not in the archive.
    fn manifest(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        if let Some(made) = self.made.get(digest) {
            return Ok(Some(made.clone()));
        }
        let Some(entry) = self.files.get(digest) else {
            return Ok(None);
        };
        let bytes = document(self.source, entry, digest.as_str(), MAX_DOCUMENT)?;
        match Digest::of_with(digest.algorithm(), &bytes) == *digest {
            true => Ok(Some(bytes)),
            false => Err(changed(self.source, &format!("the manifest {digest}"))),
        }
    }
}

/// The whole of an entry that is short.
fn document(source: &dyn Source, entry: &Entry, name: &str, most: u64) -> Result<Vec<u8>> {
    if entry.size > most {
        let what = format!(
            "`{}` in the archive has {} bytes, and {most} are the most that it may have",
            excerpt(name),
            entry.size
        );
        return Err(Error::new(Kind::ManifestInvalid, what).remedy("do not trust whoever made it"));
    }
    let mut bytes = vec![0; usize::try_from(entry.size).unwrap_or_default()];
    source.read_exact_at(&mut bytes, entry.at)?;
    Ok(bytes)
}

/// The digest of an entry, which is read piece by piece.
fn digest_of(source: &dyn Source, entry: &Entry, algorithm: Algorithm) -> Result<Digest> {
    let mut hasher = Hasher::new(algorithm);
    let mut reading = Reading::of(source, entry);
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = reading.read(&mut buffer).map_err(unread)?;
        if read == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
}

fn unread(error: std::io::Error) -> Error {
    Error::new(Kind::Io, "the archive cannot be read").because(error)
}

/// Bytes that are not what their name says; and which part of the archive is to blame, where that can be told.
fn changed(source: &dyn Source, what: &str) -> Error {
    let part = source.damaged_part();
    let part = part.map_or_else(String::new, |part| format!(": {part}"));
    let what = format!("{what} in the archive has other bytes than its digest says{part}");
    Error::new(Kind::Io, what).remedy("copy the archive again from where it was made")
}

/// Refuses links, which only docker's old archives have a use for.
fn refuse_links(entries: &Entries) -> Result<()> {
    let mut links = entries.iter().filter(|(_, entry)| entry.link.is_some());
    match links.next() {
        Some((name, entry)) => {
            let to = entry.link.as_deref().unwrap_or_default();
            let what = format!(
                "the archive has a link, `{}` to `{}`, and only plain files are taken",
                excerpt(name),
                excerpt(to)
            );
            Err(Error::new(Kind::ManifestInvalid, what).remedy("do not trust whoever made it"))
        }
        None => Ok(()),
    }
}

/// An image's name in full, with docker's defaults.
fn canonical(name: &str) -> Result<String> {
    use crate::oci::Reference;
    let image = ImageName::parse(name)?.with_docker_hub();
    Ok(match &image.reference {
        Some(Reference::Digest(digest)) => format!("{}@{digest}", image.full_name()),
        Some(Reference::Tag(tag)) => format!("{}:{tag}", image.full_name()),
        None => format!("{}:latest", image.full_name()),
    })
}

/// Reads JSON that somebody brought.
fn json<T: serde::de::DeserializeOwned>(bytes: &[u8], name: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        let what = format!("`{}` in the archive cannot be read", excerpt(name));
        Error::new(Kind::ManifestInvalid, what)
            .because(error)
            .remedy("export it again")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive in memory.
    pub(super) struct Bytes(pub(super) Vec<u8>);

    impl Source for Bytes {
        fn length(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, buffer: &mut [u8], at: u64) -> Result<usize> {
            let rest = self.0.get(at as usize..).unwrap_or_default();
            let length = rest.len().min(buffer.len());
            buffer[..length].copy_from_slice(&rest[..length]);
            Ok(length)
        }
    }

    #[test]
    fn names_get_dockers_defaults() {
        for (name, expected) in [
            ("alpine", "docker.io/library/alpine:latest"),
            ("alpine:3.20", "docker.io/library/alpine:3.20"),
            ("quay.io/org/x:1", "quay.io/org/x:1"),
            ("localhost/x", "localhost/x:latest"),
        ] {
            assert_eq!(canonical(name).unwrap(), expected);
        }
    }
}
