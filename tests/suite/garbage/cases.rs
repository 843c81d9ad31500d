//! Garbage collection case by case: what shares a file, what hangs on what, uploads, projects that are gone, and the
//! command beside a running server and without one.

use std::fs::File;
use std::time::{Duration, SystemTime};

use breakwater::auth::policy::Wanted;
use breakwater::oci::{Algorithm, Digest, MediaType, Reference, RegistryHost, RepositoryName};
use breakwater::registry::Piece;
use breakwater::store::Actor;
use breakwater::upkeep::garbage::{Collection, collect};
use serde_json::json;
use strum::VariantArray as _;

use super::{Workshop, image};
use crate::support::pushing::{Hosted, must_push_blob, push_image, start};

const HOUR: Duration = Duration::from_secs(60 * 60);

#[test]
fn a_file_that_the_cache_has_too_stays() {
    let mut workshop = Workshop::new();
    let digest = workshop.push_blob("acme/api", b"shared");
    let cache = &workshop.store.cache;
    let host = RegistryHost::parse("docker.io").unwrap();
    let origin = cache.origin(&host, "anonymous").unwrap();
    let name = RepositoryName::parse("library/alpine").unwrap();
    let repository = cache.repository(origin, &name).unwrap();
    cache
        .keep_blob(repository, &digest, 6, workshop.now)
        .unwrap();
    workshop.now = workshop.now.plus(2 * HOUR);
    let collected = workshop.collect(false);
    assert_eq!((collected.links, collected.files), (1, 0));
    assert!(!workshop.has_blob("acme/api", &digest));
    assert!(workshop.file_exists(&digest));
    // And the other way round: what the cache forgets stays while an image of ours needs it.
    let digest = workshop.push_blob("acme/api", b"ours");
    let cache = &workshop.store.cache;
    cache
        .keep_blob(repository, &digest, 4, workshop.now)
        .unwrap();
    workshop.store.remove_blob(&digest).unwrap();
    assert!(cache.blob_anywhere(&digest).unwrap().is_none());
    assert!(workshop.file_exists(&digest) && workshop.has_blob("acme/api", &digest));
    let file = workshop.store.blobs.open(&digest).unwrap().unwrap();
    assert!(!workshop.store.remove_damaged(&digest, Some(&file)).unwrap());
    assert!(
        workshop.file_exists(&digest),
        "what was pushed is not dropped as damage"
    );
}

#[test]
fn the_sum_of_pushed_bytes_goes_with_the_files() {
    let mut workshop = Workshop::new();
    let bytes = |workshop: &Workshop| workshop.store.registry.totals().unwrap().bytes;
    assert_eq!(bytes(&workshop), 0);
    workshop.push_blob("acme/api", b"layer");
    // The same file again, in another repository.
    workshop.push_blob("acme/app", b"layer");
    assert_eq!(bytes(&workshop), 5);
    let (_, taken) = workshop.put_image("acme/api", Some("v1"), &[b"layer"]);
    assert!(taken);
    let manifest = image(&[b"layer"], None).len() as u64;
    assert_eq!(bytes(&workshop), 5 + manifest);
    workshop.restart(true);
    assert_eq!(bytes(&workshop), 5 + manifest);
    let grant = workshop.to_delete("acme/api");
    let registry = &workshop.registry;
    registry.delete_repository(&grant, workshop.now).unwrap();
    workshop.now = workshop.now.plus(2 * HOUR);
    workshop.collect(true);
    assert_eq!(bytes(&workshop), 0);
}

#[test]
fn untagged_images_go_only_if_nothing_leads_to_them() {
    let mut workshop = Workshop::new();
    let repository = "acme/api";
    for blob in [&b"{}"[..], b"a", b"b", b"c", b"d", b"e"] {
        workshop.push_blob(repository, blob);
    }
    let put = |bytes: &[u8], media_type: MediaType, tag: Option<&str>| {
        let digest = Digest::of(bytes);
        let reference = match tag {
            Some(tag) => Reference::parse(tag).unwrap(),
            None => Reference::Digest(digest.clone()),
        };
        workshop.put(repository, &reference, bytes, media_type);
        digest
    };
    let index = |children: &[&Digest]| {
        let children: Vec<_> = children
            .iter()
            .map(|child| json!({ "mediaType": MediaType::OciManifest.as_str(), "digest": child.as_str(), "size": 1 }))
            .collect();
        json!({ "schemaVersion": 2, "manifests": children })
            .to_string()
            .into_bytes()
    };
    let oci = MediaType::OciManifest;
    let child = put(&image(&[b"{}", b"a"], None), oci, None);
    let tagged_index = put(&index(&[&child]), MediaType::OciIndex, Some("index"));
    let alone = put(&image(&[b"{}", b"b"], None), oci, None);
    let signature = put(&image(&[b"{}", b"c"], Some(&child)), oci, None);
    let of_alone = put(&image(&[b"{}", b"d"], Some(&alone)), oci, None);
    let lost_child = put(&image(&[b"{}", b"e"], None), oci, None);
    let lost_index = put(&index(&[&lost_child]), MediaType::OciIndex, None);
    let of_nothing = put(
        &image(&[b"{}", b"a"], Some(&Digest::of(b"never pushed"))),
        oci,
        None,
    );

    assert!(
        workshop.collect(true).manifests.is_empty(),
        "all of them are young"
    );
    workshop.now = workshop.now.plus(2 * HOUR);
    assert!(
        workshop.collect(false).manifests.is_empty(),
        "nobody asked for it"
    );
    let look = Collection {
        untagged: true,
        dry_run: true,
        ..Collection::periodic(workshop.now)
    };
    let would = collect(&workshop.store, &look).unwrap().manifests;
    let went = workshop.collect(true).manifests;
    assert_eq!(would, went);
    let mut expected: Vec<_> = [&alone, &of_alone, &lost_child, &lost_index, &of_nothing]
        .map(|digest| format!("{repository}@{digest}"))
        .into();
    expected.sort();
    assert_eq!(went, expected);
    let grant = workshop.grant(repository);
    for kept in [child, tagged_index, signature] {
        let reference = Reference::Digest(kept);
        assert!(workshop.registry.manifest(&grant, &reference).is_ok());
    }
    // Their layers have a grace of their own, and then go.
    assert!(workshop.has_blob(repository, &Digest::of(b"b")));
    workshop.now = workshop.now.plus(2 * HOUR);
    workshop.collect(false);
    for (blob, here) in [
        (b"a", true),
        (b"b", false),
        (b"c", true),
        (b"d", false),
        (b"e", false),
    ] {
        assert_eq!(workshop.has_blob(repository, &Digest::of(blob)), here);
        assert_eq!(workshop.file_exists(&Digest::of(blob)), here);
    }
}

#[test]
fn uploads_expire_a_day_after_their_last_byte() {
    let mut workshop = Workshop::new();
    let grant = workshop.grant("acme/api");
    let begin = || {
        workshop
            .registry
            .start_upload(&grant, Algorithm::Sha256, workshop.now)
            .unwrap()
            .id
    };
    let (forgotten, going_on) = (begin(), begin());
    let append = |id: &str| {
        let piece = Piece {
            body: &mut &b"some"[..],
            length: Some(4),
            range: None,
        };
        workshop.registry.append_upload(&grant, id, piece)
    };
    append(&forgotten).unwrap();
    append(&going_on).unwrap();
    let path = |id: &str| {
        workshop
            .store
            .directory()
            .join(format!("staging/upload-{id}"))
    };
    let touch = |id: &str, at: i64| {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(at).unwrap());
        File::open(path(id)).unwrap().set_modified(time).unwrap();
    };
    let now = workshop.now.plus(25 * HOUR);
    touch(&going_on, now.0 - 60);
    let collection = Collection::periodic(now);
    let dry = Collection {
        dry_run: true,
        ..collection
    };
    assert_eq!(collect(&workshop.store, &dry).unwrap().uploads, 1);
    assert!(path(&forgotten).exists());
    assert_eq!(collect(&workshop.store, &collection).unwrap().uploads, 1);
    assert!(!path(&forgotten).exists() && path(&going_on).exists());
    assert!(append(&forgotten).is_err());
    assert_eq!(append(&going_on).unwrap().length, 8);
    // A start takes no upload away.
    workshop.restart(false);
    let grant = workshop.grant("acme/api");
    let status = workshop.registry.upload_status(&grant, &going_on).unwrap();
    assert_eq!(status.length, 8);
}

#[test]
fn what_belonged_to_a_removed_project_goes_by_command_only_and_to_nobody_else() {
    let mut workshop = Workshop::new();
    let (blob, repository) = (&b"theirs"[..], "acme/api/web");
    workshop.push_blob(repository, blob);
    let (manifest, _) = workshop.put_image(repository, Some("t"), &[blob]);
    let actor = Actor::on_the_box(None);
    let access = &workshop.store.access;
    let old = workshop.project.placed.project.clone();
    access.remove_project(&actor, old.id).unwrap();
    let new = access
        .create_project(&actor, "acme/api", old.visibility)
        .unwrap();
    workshop.now = workshop.now.plus(2 * HOUR);
    let unasked = workshop.collect(true);
    assert!(unasked.manifests.is_empty());
    assert_eq!(unasked.of_removed_projects, 1);
    // The new project of that path does not see it.
    let mut placed = (*workshop.project.placed).clone();
    placed.project = workshop.store.access.project(new).unwrap().unwrap();
    workshop.project.placed = std::sync::Arc::new(placed);
    let grant = workshop.grant(repository);
    assert!(grant.may_pull() && Wanted::VARIANTS.len() == 3);
    let reference = Reference::Digest(manifest.clone());
    assert!(workshop.registry.manifest(&grant, &reference).is_err());
    assert!(!workshop.has_blob(repository, &Digest::of(blob)));
    let by_command = Collection {
        removed_projects: true,
        ..Collection::periodic(workshop.now)
    };
    let dry = Collection {
        dry_run: true,
        untagged: true,
        ..by_command
    };
    for collection in [dry, by_command] {
        let collected = collect(&workshop.store, &collection).unwrap();
        assert_eq!(collected.manifests, [format!("{repository}@{manifest}")]);
        assert_eq!(collected.of_removed_projects, 0);
    }
    workshop.now = workshop.now.plus(2 * HOUR);
    workshop.collect(false);
    assert_eq!(workshop.files(), Vec::<String>::new());
}

#[test]
fn the_command_works_beside_a_server_and_without_one() {
    let mut hosted = Hosted::start();
    let repository = "acme/api/web";
    let client = hosted.client(&[repository]);
    push_image(&client, repository, "t", &[b"needed"]);
    must_push_blob(&client, repository, b"not needed");
    start(&client, repository);
    let young = hosted.appliance.json(&["cache", "gc", "--json"]);
    assert_eq!(
        young,
        json!({ "dry_run": false, "uploads": 0, "manifests": [], "of_removed_projects": 0, "unreferenced": [], "strays_left": false, "links": 0, "files": 0, "bytes": 0 })
    );
    // Of the same second nothing goes.
    std::thread::sleep(Duration::from_millis(1_100));
    for with_server in [true, false] {
        if !with_server {
            hosted.appliance.stop();
        }
        let look = ["cache", "gc", "--dry-run", "--grace", "0s", "--json"];
        let would = hosted.appliance.json(&look);
        assert_eq!(
            (&would["dry_run"], &would["links"]),
            (&json!(true), &json!(1))
        );
    }
    let text = hosted.appliance.ok(&["cache", "gc", "--grace", "0s"]);
    assert!(
        text.starts_with("removed 0 manifests, 1 links to blobs, 0 uploads; 1 files, 10"),
        "{text}"
    );
    hosted.appliance.restart();
    let again = hosted
        .appliance
        .json(&["cache", "gc", "--grace", "0s", "--json"]);
    assert_eq!((&again["links"], &again["files"]), (&json!(0), &json!(0)));
    let blob = |bytes: &[u8]| format!("/v2/{repository}/blobs/{}", Digest::of(bytes));
    assert_eq!(client.get(&blob(b"needed")).body, b"needed");
    assert_eq!(client.head(&blob(b"not needed")).status, 404);
    let bad = hosted
        .appliance
        .run_cli(&["cache", "gc", "--grace", "soon"]);
    assert_eq!(bad.status.code(), Some(2));
}
