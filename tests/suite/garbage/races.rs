//! Two at the same time, many times over: whoever is told that it worked finds what it made, and nothing is left half.

use std::io::Read;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use breakwater::auth::policy::protection::TagRules;
use breakwater::error::Kind;
use breakwater::oci::{Algorithm, Digest, MediaType, Reference, Tag};
use breakwater::registry::{ManifestContent, Piece};
use breakwater::store::{HostedRepository, MinimumLevel, RuleId, TagRule};
use breakwater::time::Timestamp;
use breakwater::upkeep::garbage::{Collection, collect};

use super::{Workshop, image};

const HOUR: Duration = Duration::from_secs(60 * 60);
const ROUNDS: u64 = 60;

impl Workshop {
    /// Lets `one` and `other` begin at the same moment.
    fn at_once<A: Send, B>(
        &self,
        one: impl FnOnce(&Self) -> A + Send,
        other: impl FnOnce(&Self) -> B,
    ) -> (A, B) {
        let start = Barrier::new(2);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                start.wait();
                one(self)
            });
            start.wait();
            let second = other(self);
            (first.join().unwrap(), second)
        })
    }

    fn collect_at(&self, now: Timestamp) {
        collect(&self.store, &Collection::periodic(now)).unwrap();
    }

    /// The bytes of a blob as somebody who pulls gets them.
    fn is_whole(&self, repository: &str, digest: &Digest) -> bool {
        self.has_blob(repository, digest) && self.file_exists(digest)
    }
}

#[test]
fn a_pushed_protected_tag_is_not_taken_away_by_a_delete_that_came_at_the_same_time() {
    let mut workshop = Workshop::new();
    workshop.project.tag_rules = Arc::new(TagRules::new(
        &[TagRule {
            id: RuleId(1),
            project: workshop.project.placed.project.id,
            pattern: "^release-".into(),
            min_push: None,
            min_delete: Some(MinimumLevel::NoAccess),
            immutable: true,
            created_at: Timestamp(0),
        }],
        &Arc::default(),
    ));
    workshop.push_blob("acme/api", b"layer");
    for round in 0..ROUNDS {
        let subject = Digest::of(format!("{round}").as_bytes());
        let bytes = image(&[b"layer"], Some(&subject));
        let digest = Digest::of(&bytes);
        let by_digest = Reference::Digest(digest.clone());
        workshop.put("acme/api", &by_digest, &bytes, MediaType::OciManifest);
        let tag = Reference::parse(&format!("release-{round}")).unwrap();
        let grant = workshop.grant("acme/api");
        let (gone, kept) = workshop.at_once(
            |workshop| {
                workshop
                    .registry
                    .delete_manifest(&grant, &digest, workshop.now)
            },
            |workshop| workshop.put("acme/api", &tag, &bytes, MediaType::OciManifest),
        );
        assert!(matches!(kept, ManifestContent::Kept { .. }), "{kept:?}");
        if let Err(error) = gone {
            assert_eq!(error.kind(), Kind::Denied, "{error}");
        }
        // Whichever came first, the tag is there with its bytes, and stays.
        let (found, content) = workshop.registry.manifest(&grant, &tag).unwrap();
        assert_eq!(
            (found.digest, content.read().unwrap()),
            (digest.clone(), bytes.into())
        );
        let again = workshop
            .registry
            .delete_manifest(&grant, &digest, workshop.now);
        assert_eq!(again.unwrap_err().kind(), Kind::Denied);
    }
}

#[test]
fn a_repository_that_is_deleted_while_a_protected_tag_comes_keeps_all_or_loses_what_was_there_before()
 {
    let mut workshop = Workshop::new();
    workshop.project.tag_rules = Arc::new(TagRules::new(
        &[TagRule {
            id: RuleId(1),
            project: workshop.project.placed.project.id,
            pattern: "^release$".into(),
            min_push: None,
            min_delete: Some(MinimumLevel::NoAccess),
            immutable: false,
            created_at: Timestamp(0),
        }],
        &Arc::default(),
    ));
    for round in 0..ROUNDS {
        let repository = format!("acme/api/r{round}");
        workshop.push_blob(&repository, b"layer");
        for tag in ["a", "z"] {
            let subject = Digest::of(tag.as_bytes());
            let bytes = image(&[b"layer"], Some(&subject));
            let tag = Reference::parse(tag).unwrap();
            workshop.put(&repository, &tag, &bytes, MediaType::OciManifest);
        }
        let grant = workshop.grant(&repository);
        let (gone, (_, kept)) = workshop.at_once(
            |workshop| workshop.registry.delete_repository(&grant, workshop.now),
            |workshop| workshop.put_image(&repository, Some("release"), &[b"layer"]),
        );
        assert!(kept, "its blob has a grace");
        let place = HostedRepository {
            project: workshop.project.placed.project.id,
            path: &repository,
        };
        let tags = workshop.store.registry.tags(place, "", 10).unwrap();
        match gone {
            Ok(()) => assert_eq!(tags, ["release"]),
            Err(error) => {
                assert_eq!(error.kind(), Kind::Denied, "{error}");
                assert_eq!(tags, ["a", "release", "z"]);
            }
        }
    }
}

/// A body that lets something happen before its first byte and before its end.
struct Meanwhile<'a, F: FnMut()> {
    bytes: &'a [u8],
    happens: F,
}

impl<F: FnMut()> Read for Meanwhile<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        (self.happens)();
        self.bytes.read(buffer)
    }
}

#[test]
fn an_upload_does_not_expire_under_the_request_that_writes_to_it() {
    let workshop = Workshop::new();
    let grant = workshop.grant("acme/api");
    let tomorrow = workshop.now.plus(25 * HOUR);
    let begin = || {
        let upload = workshop
            .registry
            .start_upload(&grant, Algorithm::Sha256, workshop.now);
        upload.unwrap().id
    };
    let append = |id: &str, body: &mut dyn Read| {
        let piece = Piece {
            body,
            length: None,
            range: None,
        };
        workshop.registry.append_upload(&grant, id, piece)
    };
    // In the middle of it: by the clock it is a day old, but somebody has it open.
    let id = begin();
    let mut times = 0;
    let mut body = Meanwhile {
        bytes: b"some",
        happens: || {
            times += 1;
            workshop.collect_at(tomorrow);
        },
    };
    assert_eq!(append(&id, &mut body).unwrap().length, 4);
    assert!(times >= 2, "it was collected {times} times meanwhile");
    assert_eq!(
        workshop.registry.upload_status(&grant, &id).unwrap().length,
        4
    );
    workshop.collect_at(tomorrow);
    let expired = append(&id, &mut &b"more"[..]);
    assert_eq!(expired.unwrap_err().kind(), Kind::BlobUploadUnknown);
    // At the same moment: one of the two wins, and nothing is left of an upload that has ended.
    for _ in 0..ROUNDS {
        let id = begin();
        let (appended, ()) = workshop.at_once(
            |workshop| {
                let piece = Piece {
                    body: &mut &b"some"[..],
                    length: Some(4),
                    range: None,
                };
                workshop.registry.append_upload(&grant, &id, piece)
            },
            |workshop| workshop.collect_at(tomorrow),
        );
        if let Err(error) = appended {
            // Told to come again, it would learn that the upload has expired.
            let kinds = [Kind::BlobUploadUnknown, Kind::Conflict];
            assert!(kinds.contains(&error.kind()), "{error}");
        }
        let row = workshop.store.registry.uploads().unwrap();
        let row = row.iter().any(|upload| upload.id == id);
        let file = workshop.store.blobs.upload(&id).unwrap();
        assert_eq!(row, file.is_some(), "a row has a file, and a file a row");
        workshop.collect_at(tomorrow);
        assert!(workshop.store.blobs.upload(&id).unwrap().is_none());
    }
}

#[test]
fn a_blob_that_was_mounted_or_named_by_a_manifest_is_there_whatever_is_collected_at_the_same_time()
{
    let mut workshop = Workshop::new();
    let now = workshop.now;
    for round in 0..ROUNDS {
        // Pushed so long ago that the collection takes it.
        workshop.now = Timestamp(now.0 - 2 * 3600);
        let content = format!("blob {round}").into_bytes();
        let digest = workshop.push_blob("acme/api", &content);
        workshop.now = now;
        let (from, to) = (workshop.grant("acme/api"), workshop.grant("acme/api/web"));
        let (is_mounted, ()) = workshop.at_once(
            |workshop| workshop.registry.mount_blob(&to, &from, &digest, now),
            |workshop| workshop.collect_at(now),
        );
        let is_mounted = is_mounted.unwrap();
        assert_eq!(workshop.is_whole("acme/api/web", &digest), is_mounted);
        assert_eq!(workshop.file_exists(&digest), is_mounted);

        workshop.now = Timestamp(now.0 - 2 * 3600);
        let content = format!("layer {round}").into_bytes();
        let digest = workshop.push_blob("acme/api", &content);
        workshop.now = now;
        let tag = format!("t{round}");
        let ((_, is_kept), ()) = workshop.at_once(
            |workshop| workshop.put_image("acme/api", Some(&tag), &[&content]),
            |workshop| {
                // A push writes its file first: a little later the collection meets it at every step.
                std::thread::sleep(Duration::from_micros(200 * (round % 16)));
                workshop.collect_at(now);
            },
        );
        assert_eq!(workshop.is_whole("acme/api", &digest), is_kept);
        if is_kept {
            let tag = Reference::Tag(Tag::parse(&tag).unwrap());
            let grant = workshop.grant("acme/api");
            workshop.registry.manifest(&grant, &tag).unwrap();
        }
    }
}
