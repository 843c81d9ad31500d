//! Deletions of what has many rows: out of sight at once, gone in steps between which others write, and gone for good
//! whatever comes in between.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use breakwater::auth::policy::{self, RepositoryFacts, RepositoryGrant, Wanted};
use breakwater::oci::{Algorithm, Digest, MediaType, Reference, RepositoryName, Tag};
use breakwater::store::{HostedRepository, HostedUpload};
use rusqlite::{Connection, OpenFlags};

use super::Workshop;

const REPOSITORY: &str = "acme/api/heavy";
const REFERENCES: usize = 20_000;
const TAGS: usize = 1_200;

impl Workshop {
    pub(super) fn to_delete(&self, repository: &str) -> RepositoryGrant {
        let name = RepositoryName::parse(repository).unwrap();
        let facts = RepositoryFacts {
            project: &self.project,
            repository: &name,
            level: None,
        };
        policy::repository(&self.identity, Some(facts), Wanted::Delete).unwrap()
    }

    fn place(&self) -> HostedRepository<'static> {
        HostedRepository {
            project: self.project.placed.project.id,
            path: REPOSITORY,
        }
    }

    /// An index of many manifests that are not here and of one that is, under many tags; the digests of both.
    fn push_heavy(&self) -> (Digest, Digest) {
        self.push_blob(REPOSITORY, b"{}");
        let (child, taken) = self.put_image(REPOSITORY, None, &[b"{}"]);
        assert!(taken);
        let mut digests: Vec<String> = (1..REFERENCES)
            .map(|number| format!("sha256:{number:064x}"))
            .collect();
        digests.push(child.to_string());
        let manifests: Vec<String> = digests
            .iter()
            .map(|digest| format!(r#"{{"digest":"{digest}","size":1}}"#))
            .collect();
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
            manifests.join(",")
        );
        let digest = Digest::of(index.as_bytes());
        let tags = (0..TAGS).map(|tag| Tag::parse(&format!("t{tag}")).unwrap());
        let reference = Reference::Digest(digest.clone());
        let index = index.as_bytes();
        self.put_tagged(
            REPOSITORY,
            &reference,
            tags.collect(),
            index,
            MediaType::OciIndex,
        );
        (digest, child)
    }

    fn is_there(&self, reference: &str) -> bool {
        let reference = Reference::parse(reference).unwrap();
        let found = self.store.registry.manifest(self.place(), &reference);
        found.unwrap().is_some()
    }

    pub(super) fn count(&self, table: &str) -> i64 {
        let path = self.store.directory().join("registry.sqlite");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let connection = Connection::open_with_flags(path, flags).unwrap();
        let text = format!("SELECT count(*) FROM {table}");
        connection.query_row(&text, [], |row| row.get(0)).unwrap()
    }

    /// How long the longest of others' writes took while `work` ran, and how many there were.
    pub(super) fn others_writes(&self, work: impl FnOnce()) -> (Duration, usize) {
        let goes_on = AtomicBool::new(true);
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| {
                let (mut longest, mut writes) = (Duration::ZERO, 0);
                while goes_on.load(Ordering::Acquire) {
                    let upload = HostedUpload {
                        id: format!("{writes:032x}"),
                        algorithm: Algorithm::Sha256,
                        started_at: self.now,
                    };
                    let begun = Instant::now();
                    let elsewhere = HostedRepository {
                        path: "acme/api/other",
                        ..self.place()
                    };
                    let registry = &self.store.registry;
                    registry.start_upload(elsewhere, &upload, 9).unwrap();
                    registry.end_upload(&upload.id).unwrap();
                    longest = longest.max(begun.elapsed());
                    writes += 1;
                }
                (longest, writes)
            });
            work();
            goes_on.store(false, Ordering::Release);
            writing.join().unwrap()
        })
    }
}

#[test]
fn a_heavy_repository_is_gone_at_once_and_its_rows_in_steps() {
    let mut workshop = Workshop::new();
    let (index, child) = workshop.push_heavy();
    workshop.now.0 += 60;
    let begun = Instant::now();
    let grant = workshop.to_delete(REPOSITORY);
    let registry = &workshop.registry;
    registry.delete_repository(&grant, workshop.now).unwrap();
    println!("out of sight after {:?}", begun.elapsed());
    for reference in ["t0", "t1199", index.as_str(), child.as_str()] {
        assert!(!workshop.is_there(reference), "{reference}");
    }
    assert!(
        registry
            .list_tags(&workshop.grant(REPOSITORY), "", 9)
            .is_err()
    );
    assert!(registry.delete_repository(&grant, workshop.now).is_err());
    assert!(workshop.count("manifest_references") > 0, "in steps");
    // What was there can be pushed again at once, and be relied on.
    let (_, taken) = workshop.put_image(REPOSITORY, Some("t0"), &[b"{}"]);
    assert!(taken, "its blobs have their grace");
    let (longest, writes) = workshop.others_writes(|| workshop.store.finish_removals().unwrap());
    println!("others wrote {writes} times meanwhile, waiting for at most {longest:?}");
    assert!(writes > 20, "{writes}");
    // The image that was pushed since, and nothing else.
    assert_eq!(workshop.count("manifest_references"), 1);
    assert_eq!(workshop.count("tags"), 1);
    assert!(workshop.is_there("t0"));
    workshop.now.0 += 2 * 60 * 60;
    let collected = workshop.collect(false);
    assert_eq!(collected.links, 1, "that of the removed one: {collected:?}");
    assert!(workshop.has_blob(REPOSITORY, &Digest::of(b"{}")));
    assert_eq!(workshop.count("repositories"), 1);
}

#[test]
fn a_heavy_manifest_goes_with_its_tags_and_what_it_refers_to_keeps_its_grace() {
    let mut workshop = Workshop::new();
    let (index, child) = workshop.push_heavy();
    workshop.now.0 += 2 * 60 * 60;
    let grant = workshop.to_delete(REPOSITORY);
    let (_, writes) = workshop.others_writes(|| {
        let registry = &workshop.registry;
        registry
            .delete_manifest(&grant, &index, workshop.now)
            .unwrap();
        workshop.store.finish_removals().unwrap();
    });
    assert!(writes > 20, "{writes}");
    assert!(!workshop.is_there("t0") && !workshop.is_there(index.as_str()));
    assert!(workshop.is_there(child.as_str()), "nobody deleted it");
    assert_eq!(workshop.count("tags"), 0);
    assert_eq!(
        workshop.count("repositories"),
        2,
        "and that of the other's uploads"
    );
    assert!(!workshop.file_exists(&index), "the file goes with its row");
    assert!(workshop.collect(false).links == 0);
}

#[test]
fn what_a_crash_leaves_of_a_deletion_is_removed_after_the_next_start() {
    let mut workshop = Workshop::new();
    let (index, _) = workshop.push_heavy();
    let grant = workshop.to_delete(REPOSITORY);
    let deleted = workshop.registry.delete_repository(&grant, workshop.now);
    deleted.unwrap();
    workshop.restart(false);
    assert!(!workshop.is_there("t0"));
    workshop.store.finish_removals().unwrap();
    for table in ["manifests", "manifest_references", "tags"] {
        assert_eq!(workshop.count(table), 0, "{table}");
    }
    assert!(!workshop.file_exists(&index));
}
