//! Docker's classic archive: `docker save` before version 25, `podman save`, `skopeo copy … docker-archive:`.
//!
//! It holds no manifest of a registry, only a config and layers that are not compressed. A manifest is made of them, always the
//! same one, so that the image has a digest by which it can be pulled, although not the one that it had where it came from.
//! A config names its layers by the digests of what they are unpacked, which is what they are here.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::json;

use super::source::Source;
use super::tar::{Entries, Entry};
use super::{Archive, Form, ImportedImage, MAX_DOCUMENT, canonical, digest_of, document};
use crate::error::{Error, Kind, Result, excerpt};
use crate::oci::{Algorithm, Digest, MediaType};
use crate::upkeep::bundle::{DOCKER_MANIFEST, ImageKind};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// Links lead to files, or to links of no longer chains than this.
const MAX_LINKS: usize = 8;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    config: String,
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct Config {
    rootfs: RootFilesystem,
}

#[derive(Deserialize)]
struct RootFilesystem {
    diff_ids: Vec<Digest>,
}

pub(super) fn open<'a>(source: &'a dyn Source, entries: Entries) -> Result<Archive<'a>> {
    let list = document(
        source,
        find(&entries, DOCKER_MANIFEST)?,
        DOCKER_MANIFEST,
        MAX_DOCUMENT,
    )?;
    let images: Vec<Image> = super::json(&list, DOCKER_MANIFEST)?;
    let mut archive = Archive {
        source,
        form: Form::DockerArchive,
        id: Digest::of(&list),
        images: Vec::new(),
        signed_by: None,
        files: HashMap::new(),
        deltas: HashMap::new(),
        made: HashMap::new(),
    };
    for image in images {
        let digest = make_manifest(&mut archive, &entries, &image)?;
        let mut names = image.repo_tags.unwrap_or_default();
        if names.is_empty() {
            names.push(String::new());
        }
        for name in names {
            archive.images.push(ImportedImage {
                name: match name.is_empty() {
                    true => name,
                    false => canonical(&name)?,
                },
                kind: ImageKind::Cached,
                digest: digest.clone(),
                media_type: Some(MediaType::OciManifest.as_str().to_owned()),
                referrers: Vec::new(),
            });
        }
    }
    Ok(archive)
}

/// Makes the image's manifest, and notes where its config and layers lie.
fn make_manifest(archive: &mut Archive<'_>, entries: &Entries, image: &Image) -> Result<Digest> {
    let source = archive.source;
    let place = find(entries, &image.config)?;
    let config = document(source, place, &image.config, MAX_DOCUMENT)?;
    let digest = Digest::of(&config);
    let described = json!({ "mediaType": CONFIG, "digest": digest, "size": place.size });
    archive.files.insert(digest, place.clone());
    let config: Config = super::json(&config, &image.config)?;
    let diff_ids = config.rootfs.diff_ids;
    if diff_ids.len() != image.layers.len() {
        let what = format!(
            "the archive has {} layers of an image whose config names {}",
            image.layers.len(),
            diff_ids.len()
        );
        return Err(Error::new(Kind::ManifestInvalid, what).remedy("save the image again"));
    }
    let mut layers = Vec::new();
    for (name, diff_id) in image.layers.iter().zip(diff_ids) {
        let place = find(entries, name)?;
        let (digest, ending) = match compression(source, place)? {
            // It is not what the config names, and nothing else says what it is.
            Some(ending) => (digest_of(source, place, Algorithm::Sha256)?, ending),
            None => (diff_id, ""),
        };
        layers.push(json!({
            "mediaType": format!("{LAYER}{ending}"), "digest": digest, "size": place.size,
        }));
        archive.files.insert(digest, place.clone());
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciManifest.as_str(),
        "config": described,
        "layers": layers,
    });
    let manifest = manifest.to_string().into_bytes();
    let digest = Digest::of(&manifest);
    archive.made.insert(digest.clone(), manifest);
    Ok(digest)
}

/// The ending of the media type of a layer that is compressed.
fn compression(source: &dyn Source, place: &Entry) -> Result<Option<&'static str>> {
    let mut begin = [0; 4];
    let length = begin
        .len()
        .min(usize::try_from(place.size).unwrap_or(usize::MAX));
    source.read_exact_at(begin.get_mut(..length).unwrap_or_default(), place.at)?;
    Ok(match begin {
        [0x1f, 0x8b, ..] => Some("+gzip"),
        [0x28, 0xb5, 0x2f, 0xfd] => Some("+zstd"),
        _ => None,
    })
}

/// The file of that name. Old archives have links from one layer to the same one elsewhere.
fn find<'e>(entries: &'e Entries, name: &str) -> Result<&'e Entry> {
    let mut at = name;
    for _ in 0..MAX_LINKS {
        match entries.get(at) {
            Some(Entry {
                link: Some(target), ..
            }) => at = target,
            Some(entry) => return Ok(entry),
            None => break,
        }
    }
    let what = format!(
        "the archive lacks `{}`, which its {DOCKER_MANIFEST} names",
        excerpt(name)
    );
    Err(Error::new(Kind::ManifestInvalid, what).remedy("save the image again"))
}
