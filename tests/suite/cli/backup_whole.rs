//! `backup --with-images DIR`: all of a box in a directory, added to each time, and a new box made from it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use breakwater::oci::Digest;

use super::stderr;
use crate::crash::Random;
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};
use crate::support::pushing::{Hosted, push_image};

/// A box on which an image was pushed and another one pulled.
fn stage(fake: &FakeUpstream) -> (Hosted, Image) {
    let appliance = Appliance::with_upstream(fake.url());
    let image = Image::oci(1, &[50_000]);
    fake.put_image("library/alpine", "latest", &image);
    pull(&Client::of(&appliance), &image);
    let hosted = Hosted::of(appliance);
    push_image(&hosted.client(&["acme/api"]), "acme/api", "1", &[b"first"]);
    (hosted, image)
}

fn pull(client: &Client, image: &Image) {
    let manifest = client.get("/v2/library/alpine/manifests/latest");
    assert_eq!(manifest.status, 200);
    for bytes in image.blobs() {
        let digest = Digest::of(bytes);
        let blob = client.get(&format!("/v2/library/alpine/blobs/{digest}"));
        assert_eq!((blob.status, Digest::of(&blob.body)), (200, digest));
    }
}

fn files_below(directory: &Path) -> usize {
    let found = Command::new("find")
        .arg(directory)
        .args(["-type", "f"])
        .output();
    String::from_utf8_lossy(&found.unwrap().stdout)
        .lines()
        .count()
}

#[test]
fn a_new_box_has_all_that_was_pushed_and_cached_and_the_second_backup_only_adds() {
    let fake = FakeUpstream::start();
    let (mut hosted, image) = stage(&fake);
    hosted
        .appliance
        .ok(&["upstream", "add", "quay.io", "https://quay.io"]);
    let outside = tempfile::tempdir().unwrap();
    let directory = outside.path().join("whole");
    let directory = directory.to_str().unwrap();
    let back_up = ["backup", "--with-images", directory];
    let said = hosted.appliance.ok(&back_up);
    let blobs = Path::new(directory).join("blobs");
    let first = files_below(&blobs);
    assert_eq!(first, files_below(&hosted.appliance.data().join("blobs")));
    assert!(said.contains(&format!("copied {first} files")), "{said}");
    assert!(said.contains("had 0 of them"), "{said}");

    push_image(&hosted.client(&["acme/api"]), "acme/api", "2", &[b"second"]);
    let said = hosted.appliance.ok(&back_up);
    let second = files_below(&blobs);
    let added = second - first;
    assert!(
        added > 0 && said.contains(&format!("copied {added} files")),
        "{said}"
    );
    assert!(said.contains(&format!("had {first} of them")), "{said}");
    let mode = Command::new("find")
        .arg(directory)
        .args(["-perm", "/077"])
        .output();
    assert_eq!(mode.unwrap().stdout, b"", "nobody else reads it");
    let events = hosted
        .appliance
        .json(&["audit", "--event", "database.backed_up", "--json"]);
    assert_eq!(events.as_array().unwrap().len(), 2, "{events}");
    let status = hosted.appliance.ok(&["status"]);
    assert!(!status.contains("last backup  never"), "{status}");
    hosted.appliance.stop();

    // Another machine, from which no upstream can be reached.
    let mut new = Appliance::builder()
        .upstream(fake.url())
        .toml("offline = true")
        .prepare();
    new.ok(&["init"]);
    let said = new.ok(&["restore", directory]);
    assert!(said.contains(&format!("copied {second} files")), "{said}");
    new.restart();
    pull(&Client::of(&new), &image);
    let restored = Hosted {
        appliance: new,
        secret: hosted.secret.clone(),
    };
    let client = restored.client(&["acme/api"]);
    for tag in ["1", "2"] {
        let manifest = client.get(&format!("/v2/acme/api/manifests/{tag}"));
        assert_eq!(manifest.status, 200, "{tag}");
        for layer in manifest.json()["layers"].as_array().unwrap() {
            let digest = layer["digest"].as_str().unwrap();
            let blob = client.get(&format!("/v2/acme/api/blobs/{digest}"));
            assert_eq!(
                (blob.status, Digest::of(&blob.body).as_str()),
                (200, digest)
            );
        }
    }
    restored.appliance.wait_for_log("rows and files agree");
    let log = restored.appliance.log();
    assert!(
        log.contains("a backup was restored") && !log.contains("the last stop was not clean"),
        "{log}"
    );
    restored.appliance.ok(&["verify"]);
    let upstreams = restored.appliance.ok(&["upstream", "list"]);
    assert!(upstreams.contains("quay.io"), "{upstreams}");
    // What it has cached by now is newer than the backup.
    let mut appliance = restored.appliance;
    appliance.stop();
    let output = appliance.run_cli(&["restore", directory]);
    assert!(output.status.success() && stderr(&output).contains("rows of what is cached stay"));
}

#[test]
fn a_backup_that_is_killed_goes_on_and_a_damaged_file_is_left_out() {
    let fake = FakeUpstream::start();
    let (hosted, _) = stage(&fake);
    let client = hosted.client(&["acme/api"]);
    for number in 0..40_u8 {
        push_image(
            &client,
            "acme/api",
            &format!("n{number}"),
            &[&vec![number; 200_000]],
        );
    }
    let outside = tempfile::tempdir().unwrap();
    let directory = outside.path().join("whole");
    let back_up = ["backup", "--with-images", directory.to_str().unwrap()];
    let mut random = Random(7);
    for _ in 0..5 {
        let mut child = hosted.appliance.command(&back_up).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(20 + random.below(150)));
        let _ = child.kill();
        child.wait().unwrap();
    }
    hosted.appliance.ok(&back_up);
    let blobs = hosted.appliance.data().join("blobs");
    let same = Command::new("diff")
        .arg("-r")
        .arg(&blobs)
        .arg(directory.join("blobs"))
        .status();
    assert!(same.unwrap().success(), "the files are the same");

    let (damaged, _) = push_image(&client, "acme/api", "damaged", &[b"to be damaged"]);
    let path = blobs
        .join("sha256")
        .join(&damaged.hex()[..2])
        .join(damaged.hex());
    std::fs::write(&path, b"{}").unwrap();
    let output = hosted.appliance.run_cli(&back_up);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains(damaged.as_str()),
        "{}",
        stderr(&output)
    );
    let copy = directory
        .join("blobs/sha256")
        .join(&damaged.hex()[..2])
        .join(damaged.hex());
    assert!(!copy.exists());
}

#[test]
fn no_data_directory_is_written_to_and_one_backup_writes_at_a_time() {
    let fake = FakeUpstream::start();
    let (hosted, _) = stage(&fake);
    let data = hosted.appliance.data();
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&data, &link).unwrap();
    let other = Appliance::builder().prepare();
    other.ok(&["init"]);
    let around = data.parent().unwrap().to_owned();
    for (refused, why) in [
        (data.clone(), "is a data directory"),
        (link, "is a data directory"),
        (other.data(), "is a data directory"),
        (
            data.join("blobs"),
            "lies in the data directory, or around it",
        ),
        (data.join("new"), "lies in the data directory, or around it"),
        (around, "lies in the data directory, or around it"),
    ] {
        let directory = refused.to_str().unwrap();
        let output = hosted
            .appliance
            .run_cli(&["backup", "--with-images", directory]);
        assert_eq!(output.status.code(), Some(2), "{directory}");
        assert!(
            stderr(&output).contains(why),
            "{directory}: {}",
            stderr(&output)
        );
    }
    assert!(!data.join("new").exists() && !data.join("backup.lock").exists());
    hosted.appliance.ok(&["verify"]);

    let directory = folder.path().join("whole");
    let back_up = ["backup", "--with-images", directory.to_str().unwrap()];
    hosted.appliance.ok(&back_up);
    let lock = std::fs::File::open(directory.join("backup.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let output = hosted.appliance.run_cli(&back_up);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("another backup writes to"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn what_is_wrong_with_a_backup_comes_out_before_anything_is_replaced() {
    let fake = FakeUpstream::start();
    let (hosted, _) = stage(&fake);
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("whole");
    hosted
        .appliance
        .ok(&["backup", "--with-images", directory.to_str().unwrap()]);
    let mut new = Appliance::builder().prepare();
    new.ok(&["init"]);
    let users = |appliance: &Appliance| appliance.ok(&["user", "list"]);
    let before = users(&new);
    for file in ["cache.sqlite", "backup.sqlite"] {
        let path = directory.join(file);
        let good = std::fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[5_000..9_000].fill(7);
        std::fs::write(&path, bad).unwrap();
        let output = new.run_cli(&["restore", directory.to_str().unwrap()]);
        assert!(!output.status.success(), "{file}");
        assert_eq!(users(&new), before, "{file}: {}", stderr(&output));
        assert_eq!(files_below(&new.data().join("blobs")), 0, "{file}");
        std::fs::write(&path, good).unwrap();
    }
    // A file of content that is damaged is left out and named, and the rest comes back.
    let (damaged, _) = Image::oci(1, &[50_000])
        .layers
        .iter()
        .map(|layer| (Digest::of(layer), layer.len()))
        .next()
        .unwrap();
    let path = directory
        .join("blobs/sha256")
        .join(&damaged.hex()[..2])
        .join(damaged.hex());
    std::fs::write(&path, b"other bytes").unwrap();
    let output = new.run_cli(&["restore", directory.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains(damaged.as_str()),
        "{}",
        stderr(&output)
    );
    assert!(users(&new).contains("dev"));
    new.restart();
}

#[test]
fn root_is_told_where_the_owner_has_no_way_to_the_backup() {
    if !rustix::process::geteuid().is_root() {
        println!("only root can become somebody else: nothing tested");
        return;
    }
    let data = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(data.path(), Some(65534), Some(65534)).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = crate::support::appliance::breakwater();
        command.args(arguments).arg("--data").arg(data.path());
        command.output().unwrap()
    };
    assert!(run(&["init"]).status.success());
    let close = |path: &Path| {
        std::os::unix::fs::chown(path, Some(0), Some(0)).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
    };
    let closed = tempfile::tempdir().unwrap();
    close(closed.path());
    let directory = closed.path().join("whole");
    let output = run(&["backup", "--with-images", directory.to_str().unwrap()]);
    assert!(!output.status.success());
    assert!(
        stderr(&output).contains("user 65534"),
        "{}",
        stderr(&output)
    );

    let open = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(open.path(), Some(65534), Some(65534)).unwrap();
    let directory = open.path().join("whole");
    let output = run(&["backup", "--with-images", directory.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    close(open.path());
    assert!(run(&["user", "add", "late", "--service"]).status.success());
    let output = run(&["restore", directory.to_str().unwrap()]);
    assert!(!output.status.success(), "nothing is restored by half");
    assert!(
        stderr(&output).contains("user 65534"),
        "{}",
        stderr(&output)
    );
    let users = run(&["user", "list"]).stdout;
    assert!(String::from_utf8_lossy(&users).contains("late"));
}
