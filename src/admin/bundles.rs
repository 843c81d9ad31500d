//! What commands ask for that carry images to another box: which images there are, what this box has, and that images stay
//! while they are carried.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admin, Operation};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::oci::{Digest, ImagePattern, matches_glob};
use crate::store::{CachedImage, CarriedImage};
use crate::time::Timestamp;

/// How long images stay that are being carried, unless whoever carries them says so again.
const HELD_FOR: Duration = Duration::from_secs(10 * 60);
/// What a list of all that a box has begins with.
pub const HAVE_HEADER: &str = "breakwater-have 1";

/// Finds images, with the manifests that belong to each, and lets them stay for a while.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct FindImages {
    /// As for docker, or a pattern with * for any run of characters; hosted:PATH:TAG for what was pushed. None means all
    pub images: Vec<String>,
    /// Only what was pulled since
    pub pulled_since: Option<Timestamp>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct FoundImages {
    pub images: Vec<FoundImage>,
    /// What was asked for and names no image.
    pub unknown: Vec<String>,
    /// What stands before the path of what was pushed where it is named for other boxes.
    pub host: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct FoundImage {
    pub image: CarriedImage,
    /// Which of what was asked for means it, by place in [`FindImages::images`].
    pub asked: Vec<usize>,
}

impl Operation for FindImages {
    const NAME: &'static str = "bundles.find";
    type View = FoundImages;
    const TAKES_LONG: bool = true;

    fn perform(self, admin: &Admin<'_>) -> Result<FoundImages> {
        let (cache, registry) = (&admin.store.cache, &admin.store.registry);
        let wanted = self.images.iter().map(|text| Wanted::parse(text));
        let wanted = wanted.collect::<Result<Vec<_>>>()?;
        if self.pulled_since.is_some() {
            // Pulls are written in batches.
            cache.write_notes()?;
            registry.write_notes()?;
        }
        let is_near =
            |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted.may_mean(name));
        let is_meant = |image: &CachedImage| {
            let mut is_named = wanted.is_empty();
            for wanted in &wanted {
                is_named |= wanted.take(image);
            }
            is_named
                && self
                    .pulled_since
                    .is_none_or(|since| image.last_pulled_at >= Some(since))
        };
        let mut images = cache.carried_images(is_near, is_meant)?;
        images.extend(registry.carried_images(is_near, is_meant)?);
        let parts = by_digest(&wanted);
        if !parts.is_empty() {
            let is_near = |name: &str| parts.iter().any(|(of, _)| of == without_reference(name));
            let mut near = cache.carried_images(is_near, |_| true)?;
            near.extend(registry.carried_images(is_near, |_| true)?);
            images.extend(near.iter().flat_map(|image| parts_of(image, &parts)));
        }
        for wanted in wanted.iter().filter(|wanted| !wanted.is_found.get()) {
            let mut images = images.iter();
            let is_found = images.any(|image| wanted.matches(&image.image.name()));
            wanted.is_found.set(is_found);
        }
        let images = newest(images).into_iter().map(|image| find(&wanted, image));
        let images: Vec<_> = images.collect();
        let cached = images.iter().map(|found| &found.image.image);
        let cached = cached.filter(|image| image.upstream.is_some());
        let names = cached.map(CachedImage::name);
        admin.store.held.hold(names, HELD_FOR);
        let unknown = wanted.into_iter().filter(|wanted| !wanted.is_found.get());
        Ok(FoundImages {
            images,
            unknown: unknown.map(|wanted| wanted.text).collect(),
            host: external_host(admin.config).unwrap_or_else(|| "localhost".to_owned()),
        })
    }
}

/// What somebody asked for.
struct Wanted {
    text: String,
    glob: Glob,
    is_found: Cell<bool>,
}

enum Glob {
    Cached(ImagePattern),
    Hosted(String),
}

impl Wanted {
    fn parse(text: &str) -> Result<Self> {
        let glob = match text.strip_prefix("hosted:") {
            Some(path) if path.contains([':', '@', '*']) => Glob::Hosted(text.to_owned()),
            Some(_) => Glob::Hosted(format!("{text}:latest")),
            None => {
                Glob::Cached(ImagePattern::of_image(text).map_err(|error| error.about("images"))?)
            }
        };
        Ok(Self {
            text: text.to_owned(),
            glob,
            is_found: Cell::new(false),
        })
    }

    fn matches(&self, name: &str) -> bool {
        match &self.glob {
            Glob::Cached(pattern) => !name.starts_with("hosted:") && pattern.matches(name),
            Glob::Hosted(glob) => matches_glob(glob, name),
        }
    }

    /// Whether it may mean an image of this name, whose digest is not read yet.
    fn may_mean(&self, name: &str) -> bool {
        let of_digest = || {
            let digest = self.digest();
            digest.is_some_and(|(of, _)| of == without_reference(name))
        };
        self.matches(name) || of_digest()
    }

    /// What it asks for by its digest: repository and digest.
    fn digest(&self) -> Option<(&str, &str)> {
        match &self.glob {
            Glob::Cached(pattern) => pattern.as_str().rsplit_once('@'),
            Glob::Hosted(glob) => glob.rsplit_once('@'),
        }
    }

    /// Whether it means the image, by its tag or by its digest.
    fn take(&self, image: &CachedImage) -> bool {
        let by_digest = || {
            let image = CachedImage {
                tag: None,
                ..image.clone()
            };
            // A star would find everything twice.
            let is_open = self.text.contains('*');
            !is_open && self.matches(&image.name())
        };
        let is_it = self.matches(&image.name()) || by_digest();
        self.is_found.set(self.is_found.get() || is_it);
        is_it
    }
}

/// `HOST/NAME` of `HOST/NAME:TAG` and of `HOST/NAME@DIGEST`.
fn without_reference(name: &str) -> &str {
    let ends = name.split_once('@').or_else(|| name.rsplit_once(':'));
    ends.map_or(name, |(of, _)| of)
}

/// Says by what an image was asked for; it has no tag where only its digest was.
fn find(wanted: &[Wanted], mut image: CarriedImage) -> FoundImage {
    let means = |name: &str| {
        let asked = wanted.iter().enumerate();
        let asked = asked.filter(|(_, wanted)| wanted.matches(name));
        asked.map(|(place, _)| place).collect::<Vec<_>>()
    };
    let mut asked = means(&image.image.name());
    if asked.is_empty() && !wanted.is_empty() {
        image.image.tag = None;
        asked = means(&image.image.name());
    }
    FoundImage { image, asked }
}

/// What was asked for by its digest and is no image by itself: repository and digest of what may be a part of one.
fn by_digest(wanted: &[Wanted]) -> Vec<(String, Digest)> {
    let left = wanted.iter().filter(|wanted| !wanted.is_found.get());
    let names = left.filter_map(Wanted::digest);
    let names =
        names.filter_map(|(name, digest)| Some((name.to_owned(), Digest::parse(digest).ok()?)));
    names.collect()
}

/// The parts of an image that were asked for, each as an image of its own.
fn parts_of(image: &CarriedImage, asked: &[(String, Digest)]) -> Vec<CarriedImage> {
    let name = image.image.name_without_tag();
    let places = image.parts.iter().enumerate().filter(|(_, part)| {
        let mut asked = asked.iter();
        asked.any(|(of, digest)| *of == name && *digest == part.digest)
    });
    let parts = places.map(|(place, part)| {
        let mut parts = image.parts.clone();
        // Its own manifest comes first.
        parts.swap(0, place);
        CarriedImage {
            image: CachedImage {
                tag: None,
                digest: part.digest.to_string(),
                media_type: part.media_type.clone(),
                fetched_at: part.arrived_at,
                confirmed_at: part.arrived_at,
                ..image.image.clone()
            },
            parts,
        }
    });
    parts.collect()
}

/// Each name once: what was confirmed last, where groups have fetched it with credentials of their own.
fn newest(images: Vec<CarriedImage>) -> Vec<CarriedImage> {
    let mut by_name: HashMap<String, CarriedImage> = HashMap::new();
    for image in images {
        let name = image.image.name();
        let known = by_name.get(&name).map(|known| known.image.confirmed_at);
        if known.is_none_or(|at| at < image.image.confirmed_at) {
            by_name.insert(name, image);
        }
    }
    let mut images: Vec<_> = by_name.into_iter().collect();
    images.sort_by(|(one, _), (other, _)| one.cmp(other));
    images.into_iter().map(|(_, image)| image).collect()
}

/// Lets images stay while they are carried: again for a while, or no longer.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct HoldImages {
    /// HOST/NAME:TAG or HOST/NAME@DIGEST
    pub images: Vec<String>,
    /// Whether they may go from now on
    pub release: bool,
}

impl Operation for HoldImages {
    const NAME: &'static str = "bundles.hold";
    type View = ();

    fn perform(self, admin: &Admin<'_>) -> Result<()> {
        let time = match self.release {
            true => Duration::ZERO,
            false => HELD_FOR,
        };
        admin.store.held.hold(self.images, time);
        Ok(())
    }
}

/// Writes a list of every manifest and blob that this box has, below the data directory, from where whoever asked for it
/// takes it away. What is left there is removed by the next start.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListHave {
    /// Tells it apart from what others have asked for at the same time.
    pub process: u32,
}

impl Operation for ListHave {
    const NAME: &'static str = "bundles.have";
    /// Where it is, from the data directory.
    type View = String;
    const TAKES_LONG: bool = true;

    fn perform(self, admin: &Admin<'_>) -> Result<String> {
        let store = admin.store;
        let name = format!("staging/have-{}.txt", self.process);
        let path = store.directory().join(&name);
        let written = write_have(admin, &path);
        if written.is_err() {
            // The next start would remove it.
            let _ = std::fs::remove_file(&path);
        }
        written.map(|()| name)
    }
}

fn write_have(admin: &Admin<'_>, path: &Path) -> Result<()> {
    let failed = |error| Error::io("cannot write", path, error);
    let mut file = BufWriter::new(File::create(path).map_err(failed)?);
    writeln!(file, "{HAVE_HEADER} {}", box_name(admin.config)).map_err(failed)?;
    let blobs = &admin.store.blobs;
    admin.store.content.each_digest(|digest| {
        // A row is worth nothing where the file is damaged or gone.
        match !blobs.is_known_damaged(&digest) && blobs.contains(&digest)? {
            true => writeln!(file, "{digest}").map_err(failed),
            false => Ok(()),
        }
    })?;
    file.flush().map_err(failed)
}

/// The box by which name others know it, or that of the machine.
pub fn box_name(config: &Config) -> String {
    external_host(config).unwrap_or_else(|| {
        let system = rustix::system::uname();
        system.nodename().to_string_lossy().into_owned()
    })
}

fn external_host(config: &Config) -> Option<String> {
    let url = &config.server.external_url;
    let (_, host) = url.split_once("://")?;
    Some(host.to_owned()).filter(|host| !host.is_empty())
}
