//! Random histories of pushes, mounts, deletions, collections and restarts, compared with a model: no blob that an
//! image needs is ever lost, and none that nothing needs outlives its grace.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use breakwater::oci::{Digest, Reference};
use breakwater::upkeep::verify::verify;
use proptest::prelude::*;

use super::Workshop;

const REPOSITORIES: [&str; 3] = ["acme/api", "acme/api/web", "acme/api/worker"];
const BLOBS: [&[u8]; 5] = [b"{}", b"one", b"two", b"three", b"four"];
const GRACE: i64 = 60 * 60;
/// A link that was marked as needed is not marked again for so long: see `store::registry::blobs`.
const MARKED_FOR: i64 = 10 * 60;

#[derive(Debug, Clone)]
enum Step {
    Push(usize, usize),
    Mount(usize, usize, usize),
    Look(usize, usize),
    /// Repository, tag or none, which blobs (by bits).
    Put(usize, Option<u8>, u8),
    /// The n-th of the repository's images.
    Delete(usize, usize),
    DeleteTag(usize, u8),
    DeleteBlob(usize, usize),
    DeleteRepository(usize),
    Wait(i64),
    Collect(bool),
    Restart(bool),
    /// A file without rows, as a crash between the two leaves it.
    CrashedPush(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let repository = 0..REPOSITORIES.len();
    let blob = 0..BLOBS.len();
    let step = prop_oneof![
        6 => (repository.clone(), blob.clone()).prop_map(|(r, b)| Step::Push(r, b)),
        3 => (repository.clone(), repository.clone(), blob.clone()).prop_map(|(r, s, b)| Step::Mount(r, s, b)),
        2 => (repository.clone(), blob.clone()).prop_map(|(r, b)| Step::Look(r, b)),
        6 => (repository.clone(), proptest::option::of(0_u8..2), 1_u8..32).prop_map(|(r, t, p)| Step::Put(r, t, p)),
        3 => (repository.clone(), 0_usize..4).prop_map(|(r, n)| Step::Delete(r, n)),
        1 => (repository.clone(), 0_u8..2).prop_map(|(r, t)| Step::DeleteTag(r, t)),
        2 => (repository.clone(), blob.clone()).prop_map(|(r, b)| Step::DeleteBlob(r, b)),
        2 => repository.prop_map(Step::DeleteRepository),
        4 => (60_i64..5_000).prop_map(Step::Wait),
        4 => any::<bool>().prop_map(Step::Collect),
        1 => any::<bool>().prop_map(Step::Restart),
        1 => blob.prop_map(Step::CrashedPush),
    ];
    proptest::collection::vec(step, 1..60)
}

#[derive(Default)]
struct Image {
    blobs: BTreeSet<usize>,
    pushed_at: i64,
}

/// What should be there.
#[derive(Default)]
struct Repository {
    /// When each linked blob was last needed: at the earliest, and at the latest.
    links: BTreeMap<usize, (i64, i64)>,
    images: BTreeMap<Digest, Image>,
    tags: BTreeMap<u8, Digest>,
}

impl Repository {
    fn needs(&self, blob: usize) -> bool {
        self.images
            .values()
            .any(|image| image.blobs.contains(&blob))
    }

    fn remove(&mut self, digest: &Digest, now: i64) {
        let image = self.images.remove(digest).unwrap();
        self.tags.retain(|_, of| of != digest);
        for blob in image.blobs {
            self.links.insert(blob, (now, now));
        }
    }
}

struct Run {
    workshop: Workshop,
    repositories: [Repository; REPOSITORIES.len()],
    digests: [Digest; BLOBS.len()],
}

impl Run {
    fn new() -> Self {
        Self {
            workshop: Workshop::new(),
            repositories: Default::default(),
            digests: BLOBS.map(Digest::of),
        }
    }

    fn step(&mut self, step: &Step) {
        let now = self.workshop.now;
        match *step {
            Step::Push(r, b) => {
                self.workshop.push_blob(REPOSITORIES[r], BLOBS[b]);
                self.repositories[r].links.insert(b, (now.0, now.0));
            }
            Step::Mount(r, s, b) => {
                let (to, from) = (
                    self.workshop.grant(REPOSITORIES[r]),
                    self.workshop.grant(REPOSITORIES[s]),
                );
                let registry = &self.workshop.registry;
                let mounted = registry
                    .mount_blob(&to, &from, &self.digests[b], now)
                    .unwrap();
                assert_eq!(mounted, self.repositories[s].links.contains_key(&b));
                if mounted {
                    self.repositories[r].links.insert(b, (now.0, now.0));
                }
            }
            Step::Look(r, b) => {
                let grant = self.workshop.grant(REPOSITORIES[r]);
                let found = self.workshop.registry.blob(&grant, &self.digests[b], now);
                let link = self.repositories[r].links.get_mut(&b);
                assert_eq!(found.is_ok(), link.is_some());
                if let Some((earliest, latest)) = link {
                    *earliest = (*earliest).max(now.0 - MARKED_FOR);
                    *latest = now.0;
                }
            }
            Step::Put(r, tag, parts) => self.put(r, tag, parts),
            Step::Delete(r, n) => {
                let digest = self.repositories[r].images.keys().nth(n).cloned();
                if let Some(digest) = digest {
                    let grant = self.workshop.grant(REPOSITORIES[r]);
                    let registry = &self.workshop.registry;
                    registry.delete_manifest(&grant, &digest, now).unwrap();
                    self.repositories[r].remove(&digest, now.0);
                }
            }
            Step::DeleteTag(r, tag) => {
                let grant = self.workshop.grant(REPOSITORIES[r]);
                let Reference::Tag(name) = Reference::parse(&format!("t{tag}")).unwrap() else {
                    unreachable!("it is a tag");
                };
                let deleted = self.workshop.registry.delete_tag(&grant, &name);
                assert_eq!(
                    deleted.is_ok(),
                    self.repositories[r].tags.remove(&tag).is_some()
                );
            }
            Step::DeleteBlob(r, b) => {
                let grant = self.workshop.grant(REPOSITORIES[r]);
                let deleted = self.workshop.registry.delete_blob(&grant, &self.digests[b]);
                let repository = &mut self.repositories[r];
                let may = repository.links.contains_key(&b) && !repository.needs(b);
                assert_eq!(deleted.is_ok(), may);
                if may {
                    repository.links.remove(&b);
                }
            }
            Step::DeleteRepository(r) => {
                let grant = self.workshop.to_delete(REPOSITORIES[r]);
                let deleted = self.workshop.registry.delete_repository(&grant, now);
                let repository = &mut self.repositories[r];
                assert_eq!(deleted.is_ok(), !repository.images.is_empty());
                if deleted.is_ok() {
                    repository.images.clear();
                    repository.tags.clear();
                    for needed in repository.links.values_mut() {
                        *needed = (now.0, now.0);
                    }
                }
            }
            Step::Wait(seconds) => self.workshop.now.0 += seconds,
            Step::Collect(untagged) => self.collect(untagged),
            Step::Restart(clean) => self.workshop.restart(clean),
            Step::CrashedPush(b) => {
                let store = &self.workshop.store;
                let crash = || breakwater::error::Error::internal("a crash");
                let crashed = store.while_pushed::<()>(&self.digests[b], || {
                    store.blobs.put(&self.digests[b], BLOBS[b])?;
                    Err(crash())
                });
                assert!(crashed.is_err());
            }
        }
        self.check();
    }

    fn put(&mut self, r: usize, tag: Option<u8>, parts: u8) {
        let now = self.workshop.now;
        let blobs: BTreeSet<usize> = (0..BLOBS.len()).filter(|b| parts & (1 << b) != 0).collect();
        let contents: Vec<&[u8]> = blobs.iter().map(|b| BLOBS[*b]).collect();
        let name = tag.map(|tag| format!("t{tag}"));
        let (digest, taken) = self
            .workshop
            .put_image(REPOSITORIES[r], name.as_deref(), &contents);
        let repository = &mut self.repositories[r];
        let complete = blobs.iter().all(|b| repository.links.contains_key(b));
        assert_eq!(
            taken, complete,
            "an image is taken exactly if its blobs are here"
        );
        if taken {
            let image = repository.images.entry(digest.clone()).or_default();
            image.blobs = blobs;
            image.pushed_at = now.0;
            if let Some(tag) = tag {
                repository.tags.insert(tag, digest);
            }
        }
    }

    fn collect(&mut self, untagged: bool) {
        let now = self.workshop.now.0;
        self.workshop.collect(untagged);
        for (r, repository) in self.repositories.iter_mut().enumerate() {
            if untagged {
                let gone: Vec<Digest> = repository
                    .images
                    .iter()
                    .filter(|(digest, image)| {
                        image.pushed_at < now - GRACE
                            && !repository.tags.values().any(|of| of == *digest)
                    })
                    .map(|(digest, _)| digest.clone())
                    .collect();
                for digest in gone {
                    repository.remove(&digest, now);
                }
            }
            let links: Vec<_> = repository.links.clone().into_iter().collect();
            for (b, (earliest, latest)) in links {
                if repository.needs(b) {
                    continue;
                }
                let here = self.workshop.has_blob(REPOSITORIES[r], &self.digests[b]);
                if earliest >= now - GRACE {
                    assert!(here, "a blob went within its grace");
                }
                if latest < now - GRACE {
                    assert!(!here, "a blob that nothing needs outlived its grace");
                }
                if !here {
                    repository.links.remove(&b);
                }
            }
        }
        let expected = self.expected_files();
        assert_eq!(
            self.workshop.files(),
            expected,
            "exactly the files that something needs"
        );
    }

    fn expected_files(&self) -> Vec<String> {
        let mut files = BTreeSet::new();
        for repository in &self.repositories {
            files.extend(
                repository
                    .images
                    .keys()
                    .map(|digest| digest.hex().to_owned()),
            );
            files.extend(
                repository
                    .links
                    .keys()
                    .map(|b| self.digests[*b].hex().to_owned()),
            );
        }
        files.into_iter().collect()
    }

    /// Whatever should be there is, row and file.
    fn check(&self) {
        for (r, repository) in self.repositories.iter().enumerate() {
            for b in 0..BLOBS.len() {
                let here = self.workshop.has_blob(REPOSITORIES[r], &self.digests[b]);
                assert_eq!(
                    here,
                    repository.links.contains_key(&b),
                    "blob {b} of repository {r}"
                );
                assert!(!here || self.workshop.file_exists(&self.digests[b]));
            }
            let grant = self.workshop.grant(REPOSITORIES[r]);
            for digest in repository.images.keys() {
                let reference = Reference::Digest(digest.clone());
                assert!(self.workshop.registry.manifest(&grant, &reference).is_ok());
            }
            for (tag, digest) in &repository.tags {
                let reference = Reference::parse(&format!("t{tag}")).unwrap();
                let found = self.workshop.registry.head_manifest(&grant, &reference);
                assert_eq!(found.unwrap().digest, *digest);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_history_loses_what_is_needed_or_keeps_what_is_not(steps in steps()) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
        }
        // In the end only what images need is left.
        run.workshop.now = run.workshop.now.plus(Duration::from_secs(2 * 60 * 60));
        run.collect(false);
        for repository in &run.repositories {
            prop_assert!(repository.links.keys().all(|b| repository.needs(*b)));
        }
        let report = verify(&run.workshop.store, &|_, _| ()).unwrap();
        prop_assert!(report.is_clean(), "{report:?}");
        prop_assert_eq!(report.unreferenced, 0);
    }
}
