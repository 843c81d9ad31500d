//! Bundles that are imported: pulled as before the gap, once as twice, into the cache or into projects.

use breakwater::oci::Digest;
use breakwater::upkeep::bundle::SigningKey;
use serde_json::json;

use super::make::{Disk, Maker, behind, pulls, refused};
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image, Index};
use crate::support::pushing::Hosted;

#[test]
fn what_was_cached_is_pulled_offline_by_tag_and_by_digest_as_before_the_gap() {
    let (alpine, arm) = (Image::oci(1, &[70_000, 5]), Image::oci(2, &[400]));
    let away = Image::oci(9, &[10]);
    let index = Index::of(&[("amd64", &alpine), ("arm64", &arm), ("s390x", &away)]);
    let old = Image::docker(3, &[300]);
    let disk = Disk::new();
    let bundle = Maker::default()
        .index("docker.io/library/alpine:3.20", &index, &[&alpine, &arm])
        .image("docker.io/org/old:1", &old)
        .image(&format!("docker.io/org/old@{}", old.digest()), &old);
    let path = disk.put("week.tar", &bundle.tar());
    let appliance = behind();
    let would = appliance.ok(&["import", &path, "--dry-run"]);
    assert!(
        would.contains("docker.io/library/alpine:3.20 would come"),
        "{would}"
    );
    assert_eq!(appliance.json(&["cache", "list", "--json"]), json!([]));
    let staging = || {
        std::fs::read_dir(appliance.data().join("staging"))
            .unwrap()
            .count()
    };
    assert_eq!(staging(), 0, "a dry run writes nothing");

    let said = appliance.ok(&["import", &path]);
    assert!(
        said.contains("imported 3 images: copied 11 files"),
        "{said}"
    );
    assert_eq!(staging(), 0);
    let client = Client::of(&appliance);
    let check = || {
        for reference in ["3.20", index.digest().as_str()] {
            let got = client.get(&format!("/v2/library/alpine/manifests/{reference}"));
            assert_eq!(
                (got.status, &got.body),
                (200, &index.bytes),
                "{}",
                got.text()
            );
            assert_eq!(
                got.field("Docker-Content-Digest"),
                Some(index.digest().as_str())
            );
        }
        pulls(&client, "library/alpine", alpine.digest().as_str(), &alpine);
        pulls(&client, "library/alpine", arm.digest().as_str(), &arm);
        let got = client.get(&format!("/v2/library/alpine/manifests/{}", away.digest()));
        assert!(got.status >= 400, "{got:?}");
        pulls(&client, "org/old", "1", &old);
        pulls(&client, "org/old", old.digest().as_str(), &old);
        let tags = client.get("/v2/org/old/tags/list");
        assert_eq!(tags.json()["tags"], json!(["1"]));
    };
    check();
    let cached = || {
        let list = appliance.json(&["cache", "list", "--json"]);
        let list = list.as_array().unwrap().iter();
        list.map(|image| {
            (
                image["repository"].clone(),
                image["tag"].clone(),
                image["digest"].clone(),
                image["size"].clone(),
                image["missing"].clone(),
            )
        })
        .collect::<Vec<_>>()
    };
    let before = cached();
    assert_eq!(before.len(), 2, "{before:?}");
    assert!(before.iter().all(|image| image.4 == 0), "{before:?}");
    let again = appliance.ok(&["import", &path]);
    assert!(
        again.contains("imported 3 images: copied 4 files"),
        "{again}"
    );
    assert_eq!(cached(), before);
    check();
    assert_eq!(appliance.json(&["verify", "--json"])["clean"], true);
    let events = appliance.audit(&["--event", "bundle.imported"]);
    let details = &events[0]["details"];
    assert_eq!(events.as_array().unwrap().len(), 2, "{events}");
    assert!(
        details
            .to_string()
            .contains("docker.io/library/alpine:3.20"),
        "{events}"
    );
}

#[test]
fn an_import_without_a_server_is_there_when_one_starts() {
    let image = Image::oci(1, &[1000]);
    let disk = Disk::new();
    let path = disk.put(
        "x.tar",
        &Maker::default()
            .image("docker.io/library/a:1", &image)
            .tar(),
    );
    let mut appliance = Appliance::builder().toml("offline = true").prepare();
    appliance.ok(&["init"]);
    let view = appliance.json(&["import", &path, "--json"]);
    assert_eq!(
        view["images"][0]["target"], "docker.io/library/a:1",
        "{view}"
    );
    assert_eq!(view["files"], 3, "{view}");
    appliance.restart();
    pulls(&Client::of(&appliance), "library/a", "1", &image);
}

#[test]
fn what_a_pull_had_cached_and_what_an_import_brings_are_one() {
    let (base, next) = (Image::oci(1, &[1000]), Image::oci(2, &[900]));
    let fake = FakeUpstream::start();
    fake.put_image("library/a", "1", &base);
    let appliance = Appliance::with_upstream(fake.url());
    let client = Client::of(&appliance);
    pulls(&client, "library/a", "1", &base);
    fake.stop();
    let disk = Disk::new();
    let path = disk.put(
        "x.tar",
        &Maker::default().image("docker.io/library/a:1", &next).tar(),
    );
    appliance.ok(&["import", &path]);
    pulls(&client, "library/a", "1", &next);
    pulls(&client, "library/a", base.digest().as_str(), &base);
}

#[test]
fn a_delta_brings_only_the_difference_and_names_what_is_not_there() {
    let base = Image::oci(1, &[5000, 100]);
    let mut next = Image::oci(2, &[700]);
    // The same base layer below another one.
    next.layers.insert(0, base.layers[0].clone());
    let next = rebuilt(next);
    let disk = Disk::new();
    let full = disk.put(
        "full.tar",
        &Maker::default().image("docker.io/org/app:1", &base).tar(),
    );
    let delta = Maker::default()
        .image("docker.io/org/app:2", &next)
        .without(base.layer_digest(0));
    let delta = disk.put("delta.tar", &delta.tar());
    let appliance = behind();
    let error = refused(&appliance, &[&delta]);
    assert!(error.contains(base.layer_digest(0).as_str()), "{error}");
    assert!(
        error.contains("docker.io/org/app:2 cannot come") && error.contains("nothing was imported"),
        "{error}"
    );
    let output = appliance.run_cli(&["import", &delta, "--dry-run", "--json"]);
    let view: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        view["images"][0]["problem"]
            .as_str()
            .unwrap()
            .contains("relies on"),
        "{view}"
    );
    appliance.ok(&["import", &full]);
    let said = appliance.ok(&["import", &delta]);
    assert!(said.contains("copied 3 files"), "{said}");
    let client = Client::of(&appliance);
    pulls(&client, "org/app", "1", &base);
    pulls(&client, "org/app", "2", &next);
}

/// With a manifest that fits the layers.
fn rebuilt(mut image: Image) -> Image {
    let mut manifest: serde_json::Value = serde_json::from_slice(&image.manifest).unwrap();
    let layers = image.layers.iter().map(|layer| {
        json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": Digest::of(layer), "size": layer.len()})
    });
    manifest["layers"] = layers.collect();
    image.manifest = serde_json::to_vec(&manifest).unwrap();
    image
}

#[test]
fn an_import_shows_nobody_what_another_tenant_has() {
    // A group's own upstream, whose images nobody else may have.
    let secret = Image::oci(1, &[4000]);
    let fake = FakeUpstream::start();
    fake.put_image("team/secret", "1", &secret);
    let appliance = Appliance::start();
    appliance.ok(&["group", "add", "acme"]);
    let host = "registry.acme.example";
    appliance.ok(&[
        "upstream",
        "add",
        host,
        fake.url(),
        "--group",
        "acme",
        "--allow-private-addresses",
    ]);
    let token = appliance.token("dev", &["api"]);
    appliance.ok(&["member", "add", "acme", "dev", "--level", "developer"]);
    let client = Client::of(&appliance).basic("dev", &token);
    let scope = format!("repository:acme/dependency_proxy/containers/{host}/team/secret:pull,push");
    let jwt = client.token(&[&scope]);
    let client = Client::of(&appliance).bearer(&jwt);
    pulls(
        &client,
        &format!("acme/dependency_proxy/containers/{host}/team/secret"),
        "1",
        &secret,
    );
    // A bundle that names the layer and does not have it.
    let disk = Disk::new();
    let evil = Maker::default()
        .image("docker.io/evil/x:1", &secret)
        .without(secret.layer_digest(0));
    let evil = disk.put("evil.tar", &evil.tar());
    let error = refused(&appliance, &[&evil]);
    assert!(error.contains("not here for it"), "{error}");
    appliance.ok(&["project", "add", "acme/api"]);
    let error = refused(&appliance, &[&evil, "--to", "acme/api"]);
    assert!(error.contains("not here for it"), "{error}");
    // Under the group itself it is that group's.
    let theirs = Maker::default()
        .image(&format!("{host}/team/other:1"), &secret)
        .without(secret.layer_digest(0));
    let theirs = disk.put("theirs.tar", &theirs.tar());
    appliance.ok(&["import", &theirs, "--to", "acme"]);
    let scope = format!("repository:acme/dependency_proxy/containers/{host}/team/other:pull,push");
    let jwt = Client::of(&appliance).basic("dev", &token).token(&[&scope]);
    let client = Client::of(&appliance).bearer(&jwt);
    fake.stop();
    pulls(
        &client,
        &format!("acme/dependency_proxy/containers/{host}/team/other"),
        "1",
        &secret,
    );
    let error = refused(&appliance, &[&theirs]);
    assert!(
        error.contains("this box has no upstream registry.acme.example"),
        "{error}"
    );
    assert!(
        error.contains("breakwater upstream add registry.acme.example"),
        "{error}"
    );
}

#[test]
fn pushed_images_come_to_their_project_or_to_another_one_under_its_rules() {
    let (one, two) = (Image::oci(1, &[900, 30]), Image::oci(2, &[800]));
    let disk = Disk::new();
    let bundle = Maker::default()
        .hosted("acme/api/web:1", &one)
        .hosted("acme/api:stable", &two);
    let path = disk.put("x.tar", &bundle.tar());
    let bare = behind();
    let error = refused(&bare, &[&path]);
    assert!(
        error.contains("breakwater project add") && error.contains("acme/api/web"),
        "{error}"
    );
    bare.ok(&["group", "add", "site"]);
    let error = refused(&bare, &[&path, "--to", "site"]);
    assert!(error.contains("belongs in a project"), "{error}");

    let hosted = Hosted::start();
    let appliance = &hosted.appliance;
    appliance.ok(&["project", "add", "acme/copy"]);
    appliance.ok(&["import", &path]);
    let said = appliance.ok(&["import", &path, "--to", "acme/copy"]);
    assert!(
        said.contains("as hosted:acme/copy/acme/api/web:1"),
        "{said}"
    );
    let client = hosted.client(&["acme/api/web", "acme/api", "acme/copy/acme/api/web"]);
    pulls(&client, "acme/api/web", "1", &one);
    pulls(&client, "acme/api", "stable", &two);
    pulls(&client, "acme/copy/acme/api/web", "1", &one);
    appliance.ok(&["import", &path]);

    // A cached image, as one of a project.
    let cached = Maker::default()
        .image("docker.io/library/alpine:3", &one)
        .image("quay.io/org/x:2", &two);
    let cached = disk.put("cached.tar", &cached.tar());
    appliance.ok(&["import", &cached, "--to", "acme/copy"]);
    let client = hosted.client(&["acme/copy/alpine", "acme/copy/org/x"]);
    pulls(&client, "acme/copy/alpine", "3", &one);
    pulls(&client, "acme/copy/org/x", "2", &two);
}

#[test]
fn rules_and_quotas_of_a_project_hold_for_imports_and_what_fits_comes() {
    let (one, two) = (Image::oci(1, &[900]), Image::oci(2, &[200_000]));
    let hosted = Hosted::start();
    let appliance = &hosted.appliance;
    let disk = Disk::new();
    let path = |name: &str, maker: &Maker| disk.put(name, &maker.tar());
    let first = path("1.tar", &Maker::default().hosted("acme/api:v1", &one));
    appliance.ok(&["import", &first]);
    appliance.ok(&["rule", "tag", "acme/api", "^v[0-9]+", "--immutable"]);
    appliance.ok(&["import", &first]);
    let moved = path(
        "2.tar",
        &Maker::default()
            .hosted("acme/api:v1", &two)
            .hosted("acme/api:new", &one),
    );
    let output = appliance.run_cli(&["import", &moved]);
    let (said, error) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert_eq!(output.status.code(), Some(1), "{said}{error}");
    assert!(
        error.contains("acme/api:v1 cannot come")
            || error.contains("hosted:acme/api:v1 cannot come"),
        "{error}"
    );
    assert!(
        error.contains("is immutable") && said.contains("imported 1 image"),
        "{said}{error}"
    );
    let client = hosted.client(&["acme/api", "acme/api/big"]);
    pulls(&client, "acme/api", "v1", &one);
    pulls(&client, "acme/api", "new", &one);

    appliance.ok(&["project", "set", "acme/api", "quota=100KB"]);
    let big = path("3.tar", &Maker::default().hosted("acme/api/big:1", &two));
    let error = refused(appliance, &[&big]);
    assert!(error.contains("quota"), "{error}");
    assert_eq!(client.get("/v2/acme/api/big/manifests/1").status, 404);
}

#[test]
fn signatures_travel_and_are_listed_as_referrers_offline() {
    let image = Image::oci(1, &[500]);
    let mut signature = Image::oci(2, &[40]);
    let mut manifest: serde_json::Value = serde_json::from_slice(&signature.manifest).unwrap();
    manifest["subject"] = json!({"mediaType": image.media_type.as_str(), "digest": image.digest(), "size": image.manifest.len()});
    manifest["artifactType"] = json!("application/vnd.dev.sigstore.bundle.v0.3+json");
    manifest["annotations"] = json!({"signed": "yes"});
    signature.manifest = serde_json::to_vec(&manifest).unwrap();
    let older = Image::oci(3, &[30]);
    let tag = format!("{}.sig", image.digest().as_str().replace(':', "-"));
    let bundle = Maker::default()
        .image("docker.io/org/app:1", &image)
        .attached(&signature, None)
        .attached(&older, Some(&tag));
    let disk = Disk::new();
    let path = disk.put("x.tar", &bundle.tar());
    let appliance = behind();
    appliance.ok(&["import", &path]);
    let client = Client::of(&appliance);
    pulls(&client, "org/app", "1", &image);
    pulls(&client, "org/app", &tag, &older);
    pulls(&client, "org/app", signature.digest().as_str(), &signature);
    let listed = client.get(&format!("/v2/org/app/referrers/{}", image.digest()));
    assert_eq!(listed.status, 200, "{}", listed.text());
    let listed = listed.json();
    assert_eq!(listed["manifests"].as_array().unwrap().len(), 1, "{listed}");
    let entry = &listed["manifests"][0];
    assert_eq!(entry["digest"], signature.digest().as_str(), "{listed}");
    assert_eq!(
        entry["artifactType"],
        "application/vnd.dev.sigstore.bundle.v0.3+json"
    );
    assert_eq!(entry["annotations"], json!({"signed": "yes"}));
}

#[test]
fn with_a_key_only_what_it_has_signed_comes() {
    let image = Image::oci(1, &[500]);
    let (key, other) = (
        SigningKey::generate().unwrap(),
        SigningKey::generate().unwrap(),
    );
    let maker = Maker::default().image("docker.io/org/app:1", &image);
    let disk = Disk::new();
    let signed = disk.put("signed.tar", &maker.signed_tar(Some(&key)));
    let unsigned = disk.put("unsigned.tar", &maker.tar());
    let by_other = disk.put("other.tar", &maker.signed_tar(Some(&other)));
    let layout = disk.put(
        "layout.tar",
        &maker.layout(&json!({"io.containerd.image.name": "docker.io/org/app:1"})),
    );
    let mut bytes = maker.signed_tar(Some(&key));
    let name = b"docker.io/org/app:1";
    let at = bytes
        .windows(name.len())
        .position(|part| part == name)
        .unwrap();
    bytes[at..at + name.len()].copy_from_slice(b"docker.io/org/apq:1");
    let tampered = disk.put("tampered.tar", &bytes);
    let public = disk.put("key.pub", key.public().text().as_bytes());
    let line = key.public().text().lines().nth(1).unwrap().to_owned();
    for verify_key in [public.clone(), line] {
        let toml = format!("offline = true\n[import]\nverify_key = \"{verify_key}\"");
        let appliance = Appliance::builder().toml(&toml).start();
        for (path, expected) in [
            (&unsigned, "is not signed"),
            (&layout, "is not signed"),
            (&by_other, "it is signed by the key"),
            (&tampered, "something was changed"),
        ] {
            let error = refused(&appliance, &[path]);
            assert!(error.contains(expected), "{error}");
        }
        let said = appliance.ok(&["import", &signed]);
        assert!(
            said.contains(&format!("signed by the key {}", key.public().id())),
            "{said}"
        );
        pulls(&Client::of(&appliance), "org/app", "1", &image);
        let events = appliance.audit(&["--event", "bundle.imported"]).to_string();
        assert!(events.contains(&key.public().id()), "{events}");
    }
    let appliance = behind();
    let error = refused(&appliance, &[&by_other, "--verify-key", &public]);
    assert!(error.contains(&other.public().id()), "{error}");
    appliance.ok(&["import", &signed, "--verify-key", &public]);
    // Without a key nobody asks for a signature.
    appliance.ok(&["import", &by_other]);
}

#[test]
fn parts_come_together_in_any_order_and_the_damaged_one_is_named() {
    let image = Image::oci(1, &[50_000, 40_000]);
    let bytes = Maker::default().image("docker.io/org/app:1", &image).tar();
    let disk = Disk::new();
    let mut sums = String::new();
    let mut paths = Vec::new();
    for (part, number) in bytes.chunks(30_000).zip(1..) {
        let name = format!("x.tar.{number:03}");
        sums.push_str(&format!("{}  {name}\n", Digest::of(part).hex()));
        paths.push(disk.put(&name, part));
    }
    let noted = disk.put("x.tar.sha256", sums.as_bytes());
    let base = noted.trim_end_matches(".sha256").to_owned();
    let reversed: Vec<&str> = paths.iter().rev().map(String::as_str).collect();
    for named in [reversed, vec![&noted], vec![&base], vec![&paths[1]]] {
        let appliance = behind();
        appliance.ok(&[&["import"], &named[..]].concat());
        pulls(&Client::of(&appliance), "org/app", "1", &image);
    }
    let appliance = behind();
    let mut part = std::fs::read(&paths[2]).unwrap();
    part[100] ^= 1;
    std::fs::write(&paths[2], &part).unwrap();
    let error = refused(&appliance, &[&base]);
    assert!(
        error.contains("x.tar.003 is not the file whose checksum was noted"),
        "{error}"
    );
    part.truncate(20_000);
    std::fs::write(&paths[2], &part).unwrap();
    let error = refused(&appliance, &[&base]);
    assert!(
        error.contains("x.tar.003 is not the file whose checksum was noted"),
        "{error}"
    );
    std::fs::remove_file(&paths[2]).unwrap();
    let error = refused(&appliance, &[&base]);
    assert!(error.contains("x.tar.003 is missing"), "{error}");
    assert_eq!(appliance.json(&["cache", "list", "--json"]), json!([]));
    assert!(disk.path().exists());
}
