//! What the cache lets go: by a farm whose model says what must still be there.

mod plans;
pub(crate) mod scale;
mod served;
mod year;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use breakwater::oci::{Digest, ImagePattern, MediaType, RegistryHost, RepositoryName, Tag};
use breakwater::store::{
    Actor, Asked, GroupId, ImageFilter, NewManifest, Pins, Pull, RepositoryId, Store, Window,
};
use breakwater::time::Timestamp;
use breakwater::upkeep::eviction::{Evictor, Limits, UpstreamCondition, World};

use crate::garbage::{Workshop, image};

const UPSTREAMS: [&str; 3] = ["docker.io", "quay.io", "ghcr.io"];
const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;
const NO_LIMITS: Limits = Limits {
    max_size: None,
    min_free: 0,
    unused_days: 0,
    parts: Vec::new(),
};

/// An image at an upstream.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    upstream: &'static str,
    repository: String,
    tag: String,
    /// One manifest, or an index of several.
    platforms: Vec<Vec<Vec<u8>>>,
}

impl Image {
    fn of(upstream: &'static str, name: &str, platforms: &[&[&[u8]]]) -> Self {
        let (repository, tag) = name.split_once(':').unwrap();
        let own = |layers: &&[&[u8]]| layers.iter().map(|layer| layer.to_vec()).collect();
        Self {
            upstream,
            repository: repository.to_owned(),
            tag: tag.to_owned(),
            platforms: platforms.iter().map(own).collect(),
        }
    }

    fn name(&self) -> String {
        format!("{}/{}:{}", self.upstream, self.repository, self.tag)
    }

    fn manifest(&self, platform: usize) -> Vec<u8> {
        let parts: Vec<&[u8]> = self.platforms[platform].iter().map(Vec::as_slice).collect();
        image(&parts, None)
    }

    fn index(&self) -> Vec<u8> {
        let manifests: Vec<_> = (0..self.platforms.len())
            .map(|platform| {
                let bytes = self.manifest(platform);
                serde_json::json!({ "mediaType": MediaType::OciManifest.as_str(),
                    "digest": Digest::of(&bytes).as_str(), "size": bytes.len() })
            })
            .collect();
        serde_json::json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(), "manifests": manifests })
            .to_string()
            .into_bytes()
    }

    fn is_index(&self) -> bool {
        self.platforms.len() > 1
    }
}

/// How the farm is at a moment.
#[derive(Debug, Default)]
pub(crate) struct Weather {
    away: HashSet<&'static str>,
    is_offline: bool,
}

impl Weather {
    fn is_away(&self, upstream: &str) -> bool {
        self.is_offline || self.away.contains(upstream)
    }
}

/// A box without its server, with a clock of its own and a model of what was pulled.
pub(crate) struct Farm {
    workshop: Workshop,
    evictor: Evictor,
    limits: Limits,
    weather: Weather,
    /// What each manifest refers to, of those that were ever kept.
    contents: HashMap<Digest, Vec<Digest>>,
    indexes: HashSet<Digest>,
}

/// What a pull came to.
#[derive(Debug, PartialEq, Eq)]
enum Pulled {
    Hit,
    Filled,
    /// Passed through, in part or wholly.
    NotKept,
    /// Not here, and the upstream is away.
    Failed,
}

impl Farm {
    pub(crate) fn new(limits: Limits) -> Self {
        let workshop = Workshop::new();
        Self {
            evictor: Evictor::new(Arc::clone(&workshop.store)),
            workshop,
            limits,
            weather: Weather::default(),
            contents: HashMap::new(),
            indexes: HashSet::new(),
        }
    }

    fn store(&self) -> &Store {
        &self.workshop.store
    }

    fn now(&self) -> Timestamp {
        self.workshop.now
    }

    fn pass(&mut self, seconds: i64) {
        self.workshop.now = Timestamp(self.workshop.now.0 + seconds);
    }

    fn restart(&mut self, clean: bool) {
        // It holds the old store.
        let empty = Arc::new(Store::create(&tempfile::tempdir().unwrap().keep()).unwrap());
        self.evictor = Evictor::new(empty);
        self.workshop.restart(clean);
        self.evictor = Evictor::new(Arc::clone(&self.workshop.store));
    }

    /// Ends as by a crash and starts again, with the rows of what was pushed or without them.
    fn lose_registry(&mut self, is_lost: bool) {
        let empty = Arc::new(Store::create(&tempfile::tempdir().unwrap().keep()).unwrap());
        self.evictor = Evictor::new(Arc::clone(&empty));
        let data = self.workshop.close();
        if is_lost {
            crate::garbage::lose_registry(&data);
        }
        self.workshop.open(&data);
        self.evictor = Evictor::new(Arc::clone(&self.workshop.store));
    }

    fn repository(&self, image: &Image) -> RepositoryId {
        let host = RegistryHost::parse(image.upstream).unwrap();
        let origin = self.store().cache.origin(&host, "anonymous").unwrap();
        let name = RepositoryName::parse(&image.repository).unwrap();
        self.store().cache.repository(origin, &name).unwrap()
    }

    /// One round of what the server does every few seconds.
    fn round(&self) {
        self.round_for(&Asked::new());
    }

    fn round_for(&self, asked: &Asked) {
        let (now, weather) = (self.now(), &self.weather);
        let upstreams = UPSTREAMS.into_iter().map(|name| {
            let is_away = weather.is_away(name);
            let condition = UpstreamCondition {
                is_away,
                heard_at: (!is_away).then_some(now),
            };
            (name.to_owned(), condition)
        });
        let world = World::new(self.store(), now, weather.is_offline, upstreams).unwrap();
        self.evictor.round(&self.limits, &world, asked).unwrap();
    }

    fn pin(&self, image: &str) {
        let pattern = ImagePattern::of_all_tags(image).unwrap();
        let actor = Actor::on_the_box(None);
        self.store().access.add_pin(&actor, &pattern).unwrap();
    }

    fn unpin(&self, image: &str) {
        let pattern = ImagePattern::of_all_tags(image).unwrap();
        let actor = Actor::on_the_box(None);
        assert!(self.store().access.remove_pin(&actor, &pattern).unwrap());
    }

    fn pins(&self) -> Pins {
        self.store().access.pins().unwrap()
    }

    /// Pulls the image by its tag, as docker does, for one of its platforms.
    fn pull(&mut self, image: &Image, platform: usize, group: GroupId) -> Pulled {
        let repository = self.repository(image);
        let tag = Tag::parse(&image.tag).unwrap();
        let (top, media_type) = match image.is_index() {
            true => (image.index(), MediaType::OciIndex),
            false => (image.manifest(0), MediaType::OciManifest),
        };
        let mut pulled = Pulled::Hit;
        let (kept, expected) = (
            self.store().cache.tag(repository, &tag).unwrap(),
            Digest::of(&top),
        );
        if kept.is_none_or(|kept| kept.digest != expected) {
            if self.weather.is_away(image.upstream) {
                return Pulled::Failed;
            }
            self.keep_manifest(repository, &top, media_type, Some(tag.clone()));
            pulled = Pulled::Filled;
        }
        self.note(repository, &expected, Some(tag), group);
        let child = image.manifest(platform);
        let digest = Digest::of(&child);
        if image.is_index() {
            let cache = &self.store().cache;
            if cache.manifest(repository, &digest).unwrap().is_none() {
                if self.weather.is_away(image.upstream) {
                    return Pulled::Failed;
                }
                self.keep_manifest(repository, &child, MediaType::OciManifest, None);
                pulled = Pulled::Filled;
            }
            self.note(repository, &digest, None, group);
        }
        for layer in &image.platforms[platform] {
            let digest = Digest::of(layer);
            if self
                .store()
                .cache
                .blob(repository, &digest)
                .unwrap()
                .is_some()
            {
                assert!(
                    self.workshop.file_exists(&digest),
                    "{digest} of {}",
                    image.name()
                );
                continue;
            }
            if self.weather.is_away(image.upstream) {
                return Pulled::Failed;
            }
            match self.fill(repository, image.upstream, layer, group) {
                true if pulled == Pulled::Hit => pulled = Pulled::Filled,
                true => {}
                false => pulled = Pulled::NotKept,
            }
        }
        pulled
    }

    fn note(&self, repository: RepositoryId, digest: &Digest, tag: Option<Tag>, group: GroupId) {
        let pull = Pull {
            group,
            repository,
            manifest: digest.clone(),
            tag,
        };
        self.store().cache.note_pull(pull, self.now());
    }

    fn keep_manifest(
        &mut self,
        repository: RepositoryId,
        bytes: &[u8],
        media_type: MediaType,
        tag: Option<Tag>,
    ) {
        let manifest = breakwater::oci::Manifest::parse(bytes, Some(media_type)).unwrap();
        let digest = Digest::of(bytes);
        let references: Vec<Digest> = manifest
            .manifests
            .iter()
            .chain(&manifest.blobs)
            .map(|descriptor| descriptor.digest.clone())
            .collect();
        self.contents.insert(digest.clone(), references.clone());
        if media_type == MediaType::OciIndex {
            self.indexes.insert(digest.clone());
        }
        let kept = NewManifest {
            digest: digest.clone(),
            media_type,
            size: bytes.len() as u64,
            references,
            subject: manifest.subject.map(|subject| subject.digest),
            tag,
            now: self.now(),
        };
        let store = self.store();
        store
            .while_kept(&digest, || {
                store.blobs.put(&digest, bytes)?;
                store.cache.keep_manifest(repository, &kept)
            })
            .unwrap();
    }

    /// Keeps a layer, if there is room or can be made: as a fetch does.
    fn fill(&self, repository: RepositoryId, upstream: &str, bytes: &[u8], group: GroupId) -> bool {
        let store = self.store();
        let host = RegistryHost::parse(upstream).unwrap();
        let length = bytes.len() as u64;
        let mut room = store.begin_fill(0, Some(length), &host, group, None);
        if let Some(limit) = store.grow_fill(&mut room, length).unwrap() {
            self.round_for(&[(limit, length)].into());
        }
        if store.grow_fill(&mut room, length).unwrap().is_some() {
            return false;
        }
        let digest = Digest::of(bytes);
        store
            .while_kept(&digest, || {
                store.blobs.put(&digest, bytes)?;
                store
                    .cache
                    .keep_blob(repository, &digest, length, self.now())
            })
            .unwrap();
        true
    }

    /// The tags that the box claims to hold, with their manifests.
    fn claims(&self) -> BTreeMap<String, Digest> {
        let images = self
            .store()
            .cache
            .images(&ImageFilter::default(), Window::ALL)
            .unwrap()
            .entries;
        images
            .into_iter()
            .filter_map(|image| {
                image.tag.as_ref()?;
                Some((image.name(), Digest::parse(&image.digest).unwrap()))
            })
            .collect()
    }

    /// Whether all that was ever kept of this manifest can be served with the upstream off: `filled` says whether all of
    /// its layers were kept. An index may lack parts that were never pulled or went by themselves.
    fn is_whole(&self, repository: RepositoryId, digest: &Digest) -> bool {
        let store = self.store();
        if store.cache.manifest(repository, digest).unwrap().is_none()
            || !self.workshop.file_exists(digest)
        {
            return false;
        }
        self.contents[digest].iter().all(|part| {
            if self.indexes.contains(digest) {
                let is_here = store.cache.manifest(repository, part).unwrap().is_some();
                return !is_here || self.is_whole(repository, part);
            }
            let is_linked = store.cache.blob(repository, part).unwrap().is_some();
            is_linked && self.workshop.file_exists(part)
        })
    }
}
