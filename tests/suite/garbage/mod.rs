//! Garbage collection of pushed content: by a model that random histories are compared with, and case by case.

mod cases;
mod lost;
pub(crate) use lost::lose_registry;
mod model;
mod races;
mod removals;
mod restored;
mod retention;

use std::net::IpAddr;
use std::sync::Arc;

use breakwater::auth::address::ClientAddress;
use breakwater::auth::policy::protection::TagRules;
use breakwater::auth::policy::{self, HostedProject, RepositoryFacts, RepositoryGrant, Wanted};
use breakwater::auth::{Identity, PlacedProject, Principal};
use breakwater::oci::{Digest, MediaType, Reference, RepositoryName, Tag};
use breakwater::registry::{ManifestContent, Piece, PushedManifest, Registry};
use breakwater::spool::Owner;
use breakwater::store::{Actor, Store, Visibility};
use breakwater::time::Timestamp;
use breakwater::upkeep::garbage::{Collected, Collection, collect};
use serde_json::json;
use tempfile::TempDir;

/// A box without its server: store, registry, an administrator's grants, and a clock of its own.
pub(crate) struct Workshop {
    directory: TempDir,
    pub(crate) store: Arc<Store>,
    registry: Registry,
    identity: Identity,
    project: HostedProject,
    pub(crate) now: Timestamp,
}

impl Workshop {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::create(&directory.path().join("data")).unwrap());
        let actor = Actor::on_the_box(None);
        let admin = store
            .access
            .create_user(&actor, "root", true, false, None)
            .unwrap();
        let group = store
            .access
            .create_group(&actor, "acme", Visibility::Private)
            .unwrap();
        let project = store
            .access
            .create_project(&actor, "acme/api", Visibility::Private)
            .unwrap();
        let project = store.access.project(project).unwrap().unwrap();
        let user = store.access.user(admin).unwrap().unwrap();
        store.start_up().unwrap();
        Self {
            directory,
            registry: Registry::new(Arc::clone(&store)),
            store,
            identity: Identity {
                principal: Principal::Password(Arc::new(user)),
                address: ClientAddress {
                    ip: "127.0.0.1".parse().unwrap(),
                    not_trusted: None,
                },
                bound: None,
            },
            project: HostedProject {
                placed: Arc::new(PlacedProject {
                    project,
                    groups: [group].into(),
                }),
                is_public: false,
                quotas: [].into(),
                rules: [].into(),
                tag_rules: Arc::new(TagRules::new(&[], &Arc::default())),
            },
            // Of the system's clock, because files have its times.
            now: Timestamp::now(),
        }
    }

    fn grant(&self, repository: &str) -> RepositoryGrant {
        let name = RepositoryName::parse(repository).unwrap();
        let facts = RepositoryFacts {
            project: &self.project,
            repository: &name,
            level: None,
        };
        policy::repository(&self.identity, Some(facts), Wanted::Push).unwrap()
    }

    /// Ends and starts again, after a clean stop or as after a crash.
    pub(crate) fn restart(&mut self, clean: bool) {
        if clean {
            self.store.shut_down().unwrap();
        }
        let data = self.store.directory().to_owned();
        let empty = self.directory.path().join("none");
        // The old one must be closed before the new one opens.
        self.store = Arc::new(Store::create(&empty).unwrap());
        self.registry = Registry::new(Arc::clone(&self.store));
        self.open(&data);
    }

    pub(crate) fn open(&mut self, data: &std::path::Path) {
        let store = Arc::new(Store::open(data).unwrap());
        if store.start_up().unwrap() {
            store.reconcile().unwrap();
        }
        self.registry = Registry::new(Arc::clone(&store));
        self.store = store;
    }

    pub(crate) fn push_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let piece = Piece {
            body: &mut &*bytes,
            length: Some(bytes.len() as u64),
            range: None,
        };
        let grant = self.grant(repository);
        self.registry
            .push_blob(&grant, piece, &digest, self.now)
            .unwrap();
        digest
    }

    fn has_blob(&self, repository: &str, digest: &Digest) -> bool {
        // As one who only pulls: looking leaves no mark.
        let place = breakwater::store::HostedRepository {
            project: self.project.placed.project.id,
            path: repository,
        };
        self.store.registry.blob(place, digest).unwrap().is_some()
    }

    fn put(
        &self,
        repository: &str,
        reference: &Reference,
        bytes: &[u8],
        media_type: MediaType,
    ) -> ManifestContent {
        self.put_tagged(repository, reference, Vec::new(), bytes, media_type)
    }

    /// As [`Self::put`], with further tags.
    fn put_tagged(
        &self,
        repository: &str,
        reference: &Reference,
        tags: Vec<Tag>,
        bytes: &[u8],
        media_type: MediaType,
    ) -> ManifestContent {
        let pushed = PushedManifest {
            reference,
            tags,
            announced: Some(media_type),
            content: &bytes.into(),
            owner: Owner::from(IpAddr::from([127, 0, 0, 1])),
            pushed_by: "test".into(),
            now: self.now,
        };
        let grant = self.grant(repository);
        self.registry.put_manifest(&grant, pushed).unwrap()
    }

    /// Pushes a manifest that refers to these blobs, under a tag or its digest; whether it was taken.
    pub(crate) fn put_image(
        &self,
        repository: &str,
        tag: Option<&str>,
        parts: &[&[u8]],
    ) -> (Digest, bool) {
        let bytes = image(parts, None);
        let digest = Digest::of(&bytes);
        let reference = match tag {
            Some(tag) => Reference::parse(tag).unwrap(),
            None => Reference::Digest(digest.clone()),
        };
        let put = self.put(repository, &reference, &bytes, MediaType::OciManifest);
        (digest, matches!(put, ManifestContent::Kept { .. }))
    }

    pub(crate) fn collect(&self, untagged: bool) -> Collected {
        let collection = Collection {
            untagged,
            ..Collection::periodic(self.now)
        };
        collect(&self.store, &collection).unwrap()
    }

    pub(crate) fn file_exists(&self, digest: &Digest) -> bool {
        self.store.blobs.contains(digest).unwrap()
    }

    /// All files in the blob directory.
    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        for prefix in std::fs::read_dir(self.store.directory().join("blobs/sha256")).unwrap() {
            for file in std::fs::read_dir(prefix.unwrap().path()).unwrap() {
                files.push(file.unwrap().file_name().into_string().unwrap());
            }
        }
        files.sort();
        files
    }
}

/// An image manifest: the first part is its config, the others are layers.
pub(crate) fn image(parts: &[&[u8]], subject: Option<&Digest>) -> Vec<u8> {
    let described: Vec<_> = parts
        .iter()
        .map(|part| {
            json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar",
                    "digest": Digest::of(part).as_str(), "size": part.len() })
        })
        .collect();
    let mut manifest =
        json!({ "schemaVersion": 2, "config": described[0], "layers": described[1..] });
    if let Some(subject) = subject {
        manifest["subject"] = json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json",
                                      "digest": subject.as_str(), "size": 1 });
    }
    manifest.to_string().into_bytes()
}
