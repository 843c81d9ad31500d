//! A disk that is full, takes no writes or is held by somebody else: what is kept is served, what fails says
//! why, metrics and health show it, and nothing is damaged.

use std::process::Output;
use std::time::Duration;

use super::{REPOSITORY, assert_clean, blob, manifest, metric};
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};
use crate::support::pushing::Hosted;
use crate::support::small_disk::SmallDisk;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn on_a_full_disk_every_kind_of_write_fails_with_the_reason_and_reading_goes_on() {
    let fake = FakeUpstream::start();
    let mut appliance = Appliance::builder()
        .upstream(fake.url())
        .toml("[cache]\ntag_ttl = \"0s\"")
        .prepare();
    let Some(disk) = SmallDisk::mount(appliance.data(), "32m") else {
        return;
    };
    appliance.restart();
    let hosted = Hosted::of(appliance);
    let client = Client::of(&hosted.appliance);
    let pusher = hosted.client(&["acme/api"]);
    let (kept, later) = (Image::oci(1, &[50_000]), Image::oci(2, &[50_000]));
    fake.put_image(REPOSITORY, "1", &kept);
    fake.put_image(REPOSITORY, "2", &later);
    assert_eq!(client.get(&manifest("1")).status, 200);
    assert_eq!(client.get(&blob(&kept.layer_digest(0))).cache(), "miss");
    let upload = pusher.request("POST", "/v2/acme/api/blobs/uploads/", b"");
    assert_eq!(upload.status, 202);
    let upload = upload.field("Location").unwrap().to_owned();
    let upload = upload[upload.find("/v2/").unwrap()..].to_owned();

    disk.fill();
    // Kept: by digest, and by a tag whose confirmation cannot be noted.
    assert_eq!(client.get(&blob(&kept.layer_digest(0))).cache(), "hit");
    let tag = client.get(&manifest("1"));
    assert_eq!((tag.status, tag.body), (200, kept.manifest.clone()));
    // Not kept: passed through, whole.
    let passed = client.get(&manifest("2"));
    assert_eq!((passed.status, passed.body), (200, later.manifest.clone()));
    let passed = client.get(&blob(&later.layer_digest(0)));
    assert_eq!(
        (passed.status, passed.cache()),
        (200, "bypass"),
        "{}",
        passed.head
    );
    assert!(passed.complete);
    // A push says that it is the box, and not what its files are called.
    let push = pusher.request("PATCH", &upload, &vec![7; 2 << 20]);
    assert_eq!(push.verdict(), (507, "UNAVAILABLE".into()), "{push:?}");
    assert!(!push.text().contains("/tmp"), "{}", push.text());
    // Commands change nothing or all, and say why.
    let mut failed = 0;
    for n in 0..400 {
        let output = hosted
            .appliance
            .run_cli(&["group", "add", &format!("group-{n}")]);
        if !output.status.success() {
            let said = said(&output);
            assert!(
                said.contains("full") && said.contains("free space"),
                "{said}"
            );
            failed += 1;
            break;
        }
    }
    assert_eq!(failed, 1, "the database grew on a full disk");
    // Logins that are known go on.
    assert_eq!(client.basic("dev", &hosted.secret).get("/v2/").status, 200);

    let health = client.get("/-/health").json();
    assert_eq!(client.get("/-/readiness").status, 200, "{health}");
    assert_eq!(health["status"], "degraded", "{health}");
    assert_eq!(health["checks"]["disk"]["status"], "degraded", "{health}");
    // A command that ends empties the database's log, which gives some of it back.
    assert!(metric(&client, "breakwater_disk_free_bytes") < f64::from(1 << 20));
    let doctor = hosted.appliance.run_cli(&["doctor", "--json"]);
    assert_eq!(doctor.status.code(), Some(1));
    let report = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(report.contains("disk_full"), "{report}{}", said(&doctor));

    disk.empty();
    assert!(
        hosted
            .appliance
            .run_cli(&["group", "add", "roomy"])
            .status
            .success()
    );
    let again = pusher.request("POST", "/v2/acme/api/blobs/uploads/", b"");
    assert_eq!(again.status, 202, "{again:?}");
    assert_eq!(client.get(&manifest("2")).status, 200);
    assert_clean(&hosted.appliance);
}

#[test]
fn a_database_that_somebody_holds_stops_no_pull_of_what_is_kept() {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[50_000]);
    fake.put_image(REPOSITORY, "1", &image);
    let appliance = Appliance::with_upstream(fake.url());
    let client = Client::of(&appliance);
    assert_eq!(client.get(&manifest("1")).status, 200);
    let kept = blob(&image.layer_digest(0));
    assert_eq!(client.get(&kept).status, 200);

    let holders: Vec<_> = ["access.sqlite", "cache.sqlite"]
        .map(|name| {
            let path = appliance.data().join(name);
            let connection = rusqlite::Connection::open(path).unwrap();
            connection.busy_timeout(Duration::from_secs(10)).unwrap();
            connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            connection
        })
        .into();
    assert_eq!(client.get(&kept).cache(), "hit");
    assert_eq!(client.get(&manifest("1")).cache(), "hit");
    assert_eq!(client.get("/-/readiness").status, 200);
    let output = appliance.run_cli(&["group", "add", "acme"]);
    let why = said(&output);
    assert_eq!(output.status.code(), Some(1), "{why}");
    assert!(
        why.contains("another process") && why.contains("try again"),
        "{why}"
    );
    // A fill waits as long as anybody does, is passed on whole, and only its keeping fails.
    let other = Image::oci(2, &[50_000]);
    fake.put_image(REPOSITORY, "2", &other);
    let filled = client.get(&blob(&other.layer_digest(0)));
    assert!(filled.status == 200 && filled.complete, "{}", filled.head);
    super::wait_until("the failure is counted", || {
        metric(&client, "breakwater_database_errors_total{reason=\"busy\"}") >= 1.0
    });
    drop(holders);
    assert!(
        appliance
            .run_cli(&["group", "add", "acme"])
            .status
            .success()
    );
    assert_clean(&appliance);
}

#[test]
fn a_server_on_a_read_only_disk_says_so_and_damages_nothing() {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[50_000]);
    fake.put_image(REPOSITORY, "1", &image);
    let mut appliance = Appliance::builder().upstream(fake.url()).prepare();
    let Some(disk) = SmallDisk::mount(appliance.data(), "64m") else {
        return;
    };
    appliance.restart();
    let kept = blob(&image.layer_digest(0));
    assert_eq!(Client::of(&appliance).get(&manifest("1")).status, 200);
    assert_eq!(Client::of(&appliance).get(&kept).status, 200);
    assert!(appliance.stop().success());

    disk.set_read_only(true);
    let output = appliance.run_cli(&["serve", "--listen", "127.0.0.1:0"]);
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{why}");
    assert!(why.contains(&disk.path().display().to_string()), "{why}");
    let doctor = appliance.run_cli(&["doctor"]);
    let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(told.contains("is read-only"), "{told}");
    disk.set_read_only(false);
    appliance.restart();
    assert_eq!(Client::of(&appliance).get(&kept).cache(), "hit");
    assert_clean(&appliance);
}

/// Somebody copied things as root: the server runs as another user, who cannot write there.
#[test]
fn directories_of_somebody_else_are_named_and_what_can_be_served_is() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[50_000]);
    fake.put_image(REPOSITORY, "1", &image);
    let mut appliance = Appliance::builder().upstream(fake.url()).prepare();
    let data = appliance.data();
    let passable = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(data.parent().unwrap(), passable(0o755)).unwrap();
    std::fs::create_dir(&data).unwrap();
    std::os::unix::fs::chown(&data, Some(65534), Some(65534)).unwrap();
    appliance.restart();
    let kept = blob(&image.layer_digest(0));
    assert_eq!(Client::of(&appliance).get(&kept).cache(), "miss");
    appliance.stop();

    let staging = data.join("staging");
    std::os::unix::fs::chown(&staging, Some(0), Some(0)).unwrap();
    std::fs::set_permissions(&staging, passable(0o755)).unwrap();
    appliance.restart();
    let client = Client::of(&appliance);
    assert_eq!(client.get(&kept).cache(), "hit");
    let other = Image::oci(2, &[50_000]);
    fake.put_image(REPOSITORY, "2", &other);
    let cold = client.get(&blob(&other.layer_digest(0)));
    assert_eq!(
        (cold.status, cold.cache()),
        (200, "bypass"),
        "{}",
        cold.head
    );
    assert!(cold.complete);
    assert_eq!(client.get(&manifest("2")).body, other.manifest);
    let health = client.get("/-/health").json();
    assert_eq!(health["checks"]["disk"]["status"], "degraded", "{health}");
    assert_eq!(client.get("/-/readiness").status, 200);
    let doctor = appliance.run_cli(&["doctor", "--json"]);
    let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert_eq!(doctor.status.code(), Some(1), "{told}");
    for check in ["permissions_owner", "disk_not_writable"] {
        assert!(told.contains(check), "{told}");
    }
    std::os::unix::fs::chown(&staging, Some(65534), Some(65534)).unwrap();
    std::fs::set_permissions(&staging, passable(0o700)).unwrap();
    assert_eq!(client.get(&blob(&other.layer_digest(0))).cache(), "miss");
    assert_clean(&appliance);
}
