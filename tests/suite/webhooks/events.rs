//! Each event, caused as it is in life, as its receiver gets it.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;

use super::add;
use super::receiver::Receiver;
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};
use crate::support::pushing::{BlobWay, Hosted, OCI_MANIFEST, push_blob};

/// Pushes an image of an empty configuration and no layer; its digest.
pub(super) fn push(client: &Client, repository: &str, tag: &str) -> String {
    let config = format!(r#"{{"tag":"{tag}"}}"#);
    let digest = breakwater::oci::Digest::of(config.as_bytes());
    let pushed = push_blob(
        client,
        repository,
        BlobWay::PostOnly,
        &digest,
        config.as_bytes(),
    );
    assert_eq!(pushed.status, 201, "{pushed:?}");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [],
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest.as_str(), "size": config.len() },
    })
    .to_string();
    let path = format!("/v2/{repository}/manifests/{tag}");
    let pushed =
        client
            .with("Content-Type", OCI_MANIFEST)
            .request("PUT", &path, manifest.as_bytes());
    assert_eq!(pushed.status, 201, "{pushed:?}");
    breakwater::oci::Digest::of(manifest.as_bytes()).to_string()
}

/// A token of `ci` that lasts for 60 days.
fn add_token(appliance: &Appliance, name: &str) {
    let of_ci = ["token", "create", "--name", name, "--user", "ci"];
    let limits = ["--scope", "read_registry", "--expires", "60d"];
    appliance.ok(&[&of_ci[..], &limits].concat());
}

/// As if all tokens, which are so many, had been made nearly 60 days ago.
fn let_tokens_end_soon(appliance: &Appliance, count: usize) {
    let access = rusqlite::Connection::open(appliance.data().join("access.sqlite")).unwrap();
    let ago = "UPDATE tokens SET created_at = created_at - 5184000, expires_at = expires_at - 4752000, own_expires_at = expires_at - 4752000";
    assert_eq!(access.execute(ago, []).unwrap(), count);
}

#[test]
fn pushes_and_deletions_by_every_way_are_told_with_their_group() {
    let hosted = Hosted::start();
    let (of_box, of_group) = (Receiver::start(), Receiver::start());
    add(&hosted.appliance, &of_box, &[]);
    let secret = add(&hosted.appliance, &of_group, &["--group", "acme"]);
    let client = hosted.client(&["acme/api"]);
    let digest = push(&client, "acme/api", "v1");
    let post = of_group.wait_for("image.pushed");
    post.assert_signed(&secret);
    let data = post.json()["data"].clone();
    assert_eq!(data["repository"], "acme/api");
    assert_eq!(data["digest"], digest.as_str());
    assert_eq!(
        (&data["tags"], &data["tag_count"]),
        (&json!(["v1"]), &json!(1))
    );
    assert_eq!(data["group"], "acme");
    assert!(data["by"].as_str().unwrap().starts_with("dev"), "{data}");
    let gone = client.request("DELETE", &format!("/v2/acme/api/manifests/{digest}"), b"");
    assert_eq!(gone.status, 202, "{gone:?}");
    let data = of_group.wait_for("image.deleted").json()["data"].clone();
    assert_eq!(
        (&data["repository"], &data["reference"]),
        (&json!("acme/api"), &json!(digest))
    );
    push(&client, "acme/api", "v2");
    // What was to be deleted and is still there is not told.
    let sql = |text: &str| {
        let path = hosted.appliance.data().join("registry.sqlite");
        let registry = rusqlite::Connection::open(path).unwrap();
        registry.busy_timeout(Duration::from_secs(10)).unwrap();
        registry.execute_batch(text).unwrap();
    };
    sql("CREATE TRIGGER keeps BEFORE DELETE ON tags BEGIN SELECT RAISE(FAIL, 'in the way'); END");
    let delete = ["repository", "delete", "acme/api:v2", "--yes"];
    assert!(!hosted.appliance.run_cli(&delete).status.success());
    sql("DROP TRIGGER keeps");
    hosted.appliance.ok(&delete);
    // Of one that cannot be ended it is told what went.
    push(&client, "acme/api", "v3");
    sql(
        "CREATE TRIGGER keeps BEFORE DELETE ON manifests BEGIN SELECT RAISE(FAIL, 'in the way'); END",
    );
    let delete = ["repository", "delete", "acme/api:v3", "--yes"];
    assert!(!hosted.appliance.run_cli(&delete).status.success());
    sql("DROP TRIGGER keeps");
    // The box's webhook hears of the same, in the same order.
    let kinds = |receiver: &Receiver| -> Vec<String> {
        let all = receiver.wait(6);
        all.iter().map(|post| post.kind()).collect()
    };
    let expected = [
        "image.pushed",
        "image.deleted",
        "image.pushed",
        "image.deleted",
        "image.pushed",
        "image.deleted",
    ];
    assert_eq!(kinds(&of_box), expected);
    assert_eq!(kinds(&of_group), expected);
    assert_eq!(of_box.posts()[3].json()["data"]["reference"], "v2");
}

#[test]
fn fills_refusals_and_an_upstream_that_goes_and_comes_are_told() {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[1_000]);
    let digest = fake.put_image("library/alpine", "3.20", &image);
    let appliance = Appliance::builder()
        .upstream(fake.url())
        .toml("[cache]\ntag_ttl = \"0s\"\nnegative_ttl = \"0s\"\n")
        .start();
    let receiver = Receiver::start();
    let secret = add(&appliance, &receiver, &[]);
    let client = Client::of(&appliance);
    assert_eq!(client.get("/v2/library/alpine/manifests/3.20").status, 200);
    let post = receiver.wait_for("image.filled");
    post.assert_signed(&secret);
    let data = post.json()["data"].clone();
    assert_eq!(data["image"], "docker.io/library/alpine:3.20");
    assert_eq!(data["digest"], digest.to_string());
    assert_eq!(data["bytes"], image.manifest.len());

    appliance.ok(&["group", "add", "acme"]);
    let bare = client.basic("nobody", "bwp_0123456789abcdefghijklmnopqrstuv");
    let path = "/v2/acme/dependency_proxy/containers/alpine/manifests/3.20";
    assert_eq!(bare.get(path).status, 401);
    let refused = receiver.wait_for("pull.refused");
    let data = refused.json()["data"].clone();
    assert_eq!(
        (&data["status"], &data["path"]),
        (&json!(401), &json!(path))
    );
    assert_eq!(
        (&data["address"], &data["group"]),
        (&json!("127.0.0.1"), &json!("acme"))
    );
    assert!(
        !refused.body.contains("0123456789abcdef"),
        "{}",
        refused.body
    );

    fake.stop();
    for number in 0..6 {
        client.get(&format!("/v2/library/other{number}/manifests/latest"));
    }
    let down = receiver.wait_for("upstream.down").json()["data"].clone();
    assert_eq!(down["upstream"], "docker.io");
    assert!(
        down["why"].as_str().unwrap().contains("docker.io"),
        "{down}"
    );
    fake.restart();
    let up = || {
        receiver
            .posts()
            .iter()
            .any(|post| post.kind() == "upstream.up")
    };
    while !up() {
        client.get("/v2/library/alpine/manifests/3.20");
        std::thread::sleep(Duration::from_millis(200));
    }
    // What fills are read by goes on unhindered while the receiver hangs.
    receiver.always(Some(super::receiver::Answer::Hang(Duration::from_secs(20))));
    let begun = std::time::Instant::now();
    for number in 0..40 {
        fake.put_image(&format!("library/more{number}"), "1", &image);
        let pulled = client.get(&format!("/v2/library/more{number}/manifests/1"));
        assert_eq!(pulled.status, 200);
    }
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_token_that_ends_soon_damage_a_short_disk_and_yesterdays_evictions_are_told_once() {
    // So much is never free: the disk is short from the first look.
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[10_000]);
    fake.put_image("library/alpine", "3.20", &image);
    let mut appliance = Appliance::builder()
        .upstream(fake.url())
        .toml("[cache]\nscrub = \"2s\"\n")
        .start();
    let client = Client::of(&appliance);
    assert_eq!(client.get("/v2/library/alpine/manifests/3.20").status, 200);
    let blob = image.blobs().next().unwrap().clone();
    let digest = breakwater::oci::Digest::of(&blob);
    assert_eq!(
        client
            .get(&format!("/v2/library/alpine/blobs/{digest}"))
            .body,
        blob
    );
    let receiver = Receiver::start();
    add(&appliance, &receiver, &[]);
    appliance.ok(&["user", "add", "ci", "--service"]);
    add_token(&appliance, "old");
    appliance.stop();
    let_tokens_end_soon(&appliance, 1);
    let audit = rusqlite::Connection::open(appliance.data().join("audit.sqlite")).unwrap();
    let now = breakwater::time::Timestamp::now().0;
    let yesterday = now - now % 86_400 - 3_600;
    // The box may have looked already.
    audit.execute("DELETE FROM told_once", []).unwrap();
    for (why, images) in [("max_size", 3), ("max_size", 4), ("unused", 1)] {
        let details = json!({ "why": why, "images": images, "bytes": images * 100 }).to_string();
        let text = "INSERT INTO events (time, last_time, kind, class, actor, details)
                    VALUES (?1, ?1, 'cache.evicted', 'change', 'server', ?2)";
        audit
            .execute(text, rusqlite::params![yesterday, details])
            .unwrap();
    }
    drop(audit);
    let hex = digest.hex();
    let file = appliance
        .data()
        .join("blobs/sha256")
        .join(&hex[..2])
        .join(hex);
    assert!(file.exists(), "{}", file.display());
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let config = std::fs::read_to_string(appliance.config()).unwrap();
    std::fs::write(
        appliance.config(),
        config.replace("[cache]", "[cache]\nmin_free = \"99%\""),
    )
    .unwrap();
    appliance.restart();

    let token = receiver.wait_for("token.expiring").json()["data"].clone();
    assert_eq!(
        (&token["name"], &token["kind"]),
        (&json!("old"), &json!("personal"))
    );
    let evicted = receiver.wait_for("cache.evicted").json()["data"].clone();
    assert_eq!(
        (&evicted["images"], &evicted["bytes"]),
        (&json!(8), &json!(800))
    );
    assert_eq!(
        evicted["reasons"]["max_size"],
        json!({ "images": 7, "bytes": 700 })
    );
    let day = breakwater::time::Timestamp(yesterday).to_string();
    assert_eq!(evicted["day"], day[..10]);
    let disk = receiver.wait_for("disk.short").json()["data"].clone();
    assert!(disk["free_bytes"].as_u64().unwrap() < disk["needed_bytes"].as_u64().unwrap());
    let damaged = receiver.wait_for("scrub.damaged").json()["data"].clone();
    assert_eq!(damaged["blob"], digest.to_string());
    assert_eq!(damaged["images"], "docker.io/library/alpine");
    assert_eq!(damaged["pushed"], false);

    appliance.restart();
    std::thread::sleep(Duration::from_secs(3));
    for kind in ["token.expiring", "cache.evicted", "disk.short"] {
        let posts = receiver.posts();
        let told = posts.iter().filter(|post| post.kind() == kind);
        // A stop right behind a delivery may repeat it, under the same id.
        let ids: HashSet<_> = told.map(|post| post.header("webhook-id")).collect();
        assert_eq!(ids.len(), 1, "{kind}");
    }
}

#[test]
fn what_is_told_once_waits_for_a_webhook_that_hears_of_it() {
    let appliance = Appliance::builder()
        .toml("[cache]\nmin_free = \"99%\"\n")
        .start();
    let receiver = Receiver::start();
    add(&appliance, &receiver, &["--event", "image.pushed"]);
    // The box has looked meanwhile.
    std::thread::sleep(Duration::from_secs(3));
    appliance.ok(&["webhook", "set", "1", "--event", "disk.short"]);
    receiver.wait_for("disk.short");
}

#[test]
fn of_many_tokens_that_end_soon_as_many_are_told_as_are_not_summed_up() {
    let mut appliance = Appliance::start();
    let receiver = Receiver::start();
    add(&appliance, &receiver, &["--event", "token.expiring"]);
    appliance.ok(&["user", "add", "ci", "--service"]);
    for number in 0..22 {
        let name = format!("token{number}");
        add_token(&appliance, &name);
    }
    appliance.stop();
    let_tokens_end_soon(&appliance, 22);
    appliance.restart();
    receiver.wait(20);
    appliance.stop();
    // A stop tells the sums, of which there are none; the others wait for the next look.
    let kinds: HashSet<_> = receiver
        .posts()
        .iter()
        .map(super::receiver::Post::kind)
        .collect();
    assert_eq!(kinds, HashSet::from(["token.expiring".to_owned()]));
    let audit = rusqlite::Connection::open(appliance.data().join("audit.sqlite")).unwrap();
    let count = |text: &str| -> i64 { audit.query_row(text, [], |row| row.get(0)).unwrap() };
    assert_eq!(count("SELECT count(*) FROM told_once"), 20);
    let summed = "SELECT count(*) FROM deliveries WHERE body LIKE '%events.summed%'";
    assert_eq!(count(summed), 0);
    drop(audit);
    appliance.restart();
    receiver.wait(22);
}
