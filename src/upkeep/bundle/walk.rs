//! What an image consists of, by the bytes of its manifests: which of it is here, and which of that was asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::error::{Error, Result};
use crate::oci::{Digest, Manifest, MediaType, Platform};
use crate::store::{BlobDir, CarriedImage};

/// What a file of an image is, in the order in which they stand in a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Index,
    Manifest,
    Config,
    Layer,
}

impl Role {
    pub(super) fn is_manifest(self) -> bool {
        self <= Self::Manifest
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) role: Role,
    pub(super) size: u64,
    /// Of a manifest.
    pub(super) media_type: Option<MediaType>,
}

/// An image that docker's classic archive can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Classic {
    pub(super) config: Digest,
    pub(super) layers: Vec<Digest>,
    pub(super) is_amd64: bool,
}

/// All that goes with an image.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) parts: BTreeMap<Digest, Part>,
    pub(super) platforms: BTreeSet<String>,
    pub(super) absent: BTreeSet<String>,
    /// Manifests that are attached to it, with their tags.
    pub(super) referrers: BTreeSet<(Digest, Option<String>)>,
    /// What is attached to it and not whole here.
    pub(super) broken_referrers: BTreeSet<Digest>,
    pub(super) classic: Vec<Classic>,
}

/// Why an image was not walked to its end.
pub(super) enum Stop {
    Missing(Missing),
    Failed(Error),
}

impl From<Missing> for Stop {
    fn from(missing: Missing) -> Self {
        Self::Missing(missing)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Why an image cannot go.
pub(super) enum Missing {
    /// A file that its rows promise, or whose bytes are not what they should be.
    Damaged(Digest),
    /// It was never here: of an image that was pulled in part.
    NotHere(Digest),
    /// An index of which no platform that was asked for is here.
    NoPlatform,
}

/// Looks at one image.
pub(super) struct Walk<'a> {
    pub(super) blobs: &'a BlobDir,
    /// What was found damaged: it counts as not here.
    pub(super) damaged: &'a BTreeSet<Digest>,
}

impl Walk<'_> {
    /// All that goes with the image, or why it cannot go.
    pub(super) fn image(
        &self,
        image: &CarriedImage,
        platforms: &[Platform],
    ) -> Result<Walked, Stop> {
        let known: HashMap<&Digest, MediaType> = image
            .parts
            .iter()
            .filter_map(|part| Some((&part.digest, MediaType::parse(&part.media_type)?)))
            .collect();
        let mut walked = Walked::default();
        let Some(root) = image.parts.first() else {
            return Err(Missing::NoPlatform.into());
        };
        self.manifest(&root.digest, &known, &mut walked, platforms)?;
        self.attached(image, &known, &mut walked)?;
        Ok(walked)
    }

    /// Adds a manifest with all that it consists of, or nothing of it.
    fn manifest(
        &self,
        digest: &Digest,
        known: &HashMap<&Digest, MediaType>,
        walked: &mut Walked,
        platforms: &[Platform],
    ) -> Result<(), Stop> {
        if walked.parts.contains_key(digest) {
            return Ok(());
        }
        let Some(&media_type) = known.get(digest) else {
            return Err(Missing::NotHere(digest.clone()).into());
        };
        let Some(bytes) = self.read(digest)? else {
            return Err(Missing::Damaged(digest.clone()).into());
        };
        let Ok(parsed) = Manifest::parse(&bytes, Some(media_type)) else {
            return Err(Missing::Damaged(digest.clone()).into());
        };
        let own = Part {
            role: match media_type.is_index() {
                true => Role::Index,
                false => Role::Manifest,
            },
            size: bytes.len() as u64,
            media_type: Some(media_type),
        };
        if media_type.is_index() {
            // Before its children, so that one that names itself ends here.
            walked.parts.insert(digest.clone(), own);
            let found = self.children(&parsed, &bytes, known, walked, platforms);
            return found.inspect_err(|_| {
                walked.parts.remove(digest);
            });
        }
        let mut files = Vec::new();
        for (place, blob) in parsed.blobs.iter().enumerate() {
            match self.size_of(&blob.digest)? {
                Some(size) => files.push((blob, place, size)),
                // Such layers are had from elsewhere, by whoever pulls.
                None if blob.is_foreign() => {}
                None if self.damaged.contains(&blob.digest) => {
                    return Err(Missing::Damaged(blob.digest.clone()).into());
                }
                None => return Err(Missing::NotHere(blob.digest.clone()).into()),
            }
        }
        if let (Some((config, layers)), true) = (
            parsed.blobs.split_first(),
            files.len() == parsed.blobs.len(),
        ) && is_of_docker(
            &config.media_type,
            layers.iter().map(|layer| &*layer.media_type),
        ) {
            walked.classic.push(Classic {
                config: config.digest.clone(),
                layers: layers.iter().map(|layer| layer.digest.clone()).collect(),
                is_amd64: false,
            });
        }
        walked.parts.insert(digest.clone(), own);
        for (blob, place, size) in files {
            let role = match place {
                0 => Role::Config,
                _ => Role::Layer,
            };
            let part = Part {
                role,
                size,
                media_type: None,
            };
            let part = match walked.parts.get(&blob.digest) {
                Some(known) if known.role < role => continue,
                _ => part,
            };
            walked.parts.insert(blob.digest.clone(), part);
        }
        Ok(())
    }

    fn children(
        &self,
        index: &Manifest,
        bytes: &[u8],
        known: &HashMap<&Digest, MediaType>,
        walked: &mut Walked,
        platforms: &[Platform],
    ) -> Result<(), Stop> {
        let named: HashMap<Digest, String> = Manifest::platforms(bytes).into_iter().collect();
        let attested: HashMap<Digest, Digest> = Manifest::attestations(bytes).into_iter().collect();
        let platform_of = |digest: &Digest| {
            let platform = named.get(digest).map(String::as_str);
            platform.filter(|platform| *platform != "unknown/unknown")
        };
        let mut last_missing = None;
        let mut has_any = index.manifests.is_empty();
        let (images, others): (Vec<_>, Vec<_>) = index
            .manifests
            .iter()
            .partition(|child| platform_of(&child.digest).is_some());
        for child in images {
            let platform = platform_of(&child.digest).unwrap_or_default();
            let before = walked.classic.len();
            let own = platform.parse::<Platform>().ok();
            let includes = |wanted: &Platform| own.as_ref().is_some_and(|own| wanted.includes(own));
            let is_meant = platforms.is_empty() || platforms.iter().any(includes);
            let found = match is_meant {
                true => self.manifest(&child.digest, known, walked, platforms),
                false => Err(Missing::NoPlatform.into()),
            };
            match found {
                Ok(()) => {
                    has_any = true;
                    walked.platforms.insert(platform.to_owned());
                    for classic in walked.classic.iter_mut().skip(before) {
                        classic.is_amd64 = platform == "linux/amd64";
                    }
                }
                Err(stop @ (Stop::Failed(_) | Stop::Missing(Missing::Damaged(_)))) => {
                    return Err(stop);
                }
                Err(Stop::Missing(missing)) => {
                    walked.absent.insert(platform.to_owned());
                    if is_meant {
                        last_missing = Some(missing);
                    }
                }
            }
        }
        for child in others {
            let of = attested.get(&child.digest);
            let is_meant = of.is_none_or(|of| walked.parts.contains_key(of));
            if !is_meant {
                continue;
            }
            match self.manifest(&child.digest, known, walked, platforms) {
                Ok(()) => has_any |= of.is_none(),
                Err(stop @ (Stop::Failed(_) | Stop::Missing(Missing::Damaged(_)))) => {
                    return Err(stop);
                }
                Err(Stop::Missing(missing)) => {
                    if of.is_none() {
                        walked.absent.insert(child.digest.to_string());
                    }
                    last_missing = Some(missing);
                }
            }
        }
        // One platform may be named by several children.
        let platforms = &walked.platforms;
        walked
            .absent
            .retain(|platform| !platforms.contains(platform));
        match has_any {
            true => Ok(()),
            false => Err(last_missing.unwrap_or(Missing::NoPlatform).into()),
        }
    }

    /// What is attached to what goes, and to that.
    fn attached(
        &self,
        image: &CarriedImage,
        known: &HashMap<&Digest, MediaType>,
        walked: &mut Walked,
    ) -> Result<()> {
        let (platforms, absent) = (walked.platforms.clone(), walked.absent.clone());
        let classic = walked.classic.len();
        let mut left: Vec<_> = image.parts.iter().skip(1).collect();
        loop {
            let is_ready = |of: &Digest| walked.parts.contains_key(of);
            let (ready, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(|part| {
                let by_tag = part.tag.as_deref().and_then(subject_of_tag);
                part.subject.as_ref().is_some_and(is_ready)
                    || by_tag.is_some_and(|of| is_ready(&of))
            });
            if ready.is_empty() {
                break;
            }
            for part in ready {
                match self.manifest(&part.digest, known, walked, &[]) {
                    Ok(()) => {
                        let referrer = (part.digest.clone(), part.tag.clone());
                        walked.referrers.insert(referrer);
                    }
                    Err(Stop::Failed(error)) => return Err(error),
                    Err(Stop::Missing(_)) => {
                        walked.broken_referrers.insert(part.digest.clone());
                    }
                }
            }
            left = rest;
        }
        (walked.platforms, walked.absent) = (platforms, absent);
        walked.classic.truncate(classic);
        Ok(())
    }

    fn read(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        if self.damaged.contains(digest) {
            return Ok(None);
        }
        let Some(blob) = self.blobs.open(digest)? else {
            return Ok(None);
        };
        let content = self.blobs.intact(&blob, digest)?;
        let bytes = content.map(|content| Ok(content.read()?.into_owned()));
        bytes.transpose()
    }

    fn size_of(&self, digest: &Digest) -> Result<Option<u64>> {
        if self.damaged.contains(digest) {
            return Ok(None);
        }
        self.blobs.size_of(digest)
    }
}

/// What a tag such as `sha256-HEX.sig` says that its manifest is attached to.
pub(super) fn subject_of_tag(tag: &str) -> Option<Digest> {
    let (algorithm, rest) = tag.split_once('-')?;
    let end = rest.find(|c: char| !c.is_ascii_hexdigit());
    let hex = rest.get(..end.unwrap_or(rest.len()))?;
    Digest::parse(&format!("{algorithm}:{hex}")).ok()
}

/// Whether it is an image for containers, not another artifact.
fn is_of_docker<'a>(config: &str, mut layers: impl Iterator<Item = &'a str>) -> bool {
    let is_config = config.ends_with("image.config.v1+json")
        || config == "application/vnd.docker.container.image.v1+json";
    is_config
        && layers.all(|layer| layer.contains("image.layer.") || layer.contains("image.rootfs."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_of_a_signature_names_its_subject() {
        let of = Digest::of(b"x");
        for ending in ["", ".sig", ".att"] {
            let tag = format!("sha256-{}{ending}", of.hex());
            assert_eq!(subject_of_tag(&tag), Some(of.clone()), "{tag}");
        }
        for tag in ["latest", "sha256-", "sha256-abc.sig", "sha1-abc"] {
            assert_eq!(subject_of_tag(tag), None, "{tag}");
        }
    }
}
