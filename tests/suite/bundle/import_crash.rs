//! Imports that are killed at any moment: nothing half visible, and the next one goes on.

use std::process::Stdio;
use std::time::{Duration, Instant};

use breakwater::oci::Digest;

use super::make::{Disk, Maker, behind, pulls, refused};
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::Image;

/// How often an import is killed.
const KILLS: u64 = 50;

/// Of an image that is visible every part can be pulled.
fn nothing_is_half_visible(client: &Client, images: &[Image]) -> usize {
    let mut visible = 0;
    for (image, number) in images.iter().zip(1..) {
        let name = format!("org/app{number}");
        let got = client.get(&format!("/v2/{name}/manifests/1"));
        if got.status == 200 {
            pulls(client, &name, "1", image);
            visible += 1;
        }
    }
    visible
}

#[test]
fn an_import_that_is_killed_at_any_moment_shows_nothing_half_and_goes_on() {
    let images: Vec<Image> = (1..=6)
        .map(|seed| Image::oci(seed, &[400_000, 100_000, 3]))
        .collect();
    let mut maker = Maker::default();
    for (image, number) in images.iter().zip(1..) {
        maker = maker.image(&format!("docker.io/org/app{number}:1"), image);
    }
    let disk = Disk::new();
    let path = disk.put("x.tar", &maker.tar());
    // How long it takes as a whole.
    let begun = Instant::now();
    behind().ok(&["import", &path]);
    let whole = begun.elapsed();
    let appliance = behind();
    let client = Client::of(&appliance);
    let mut most = 0;
    for kill in 0..KILLS {
        let mut child = appliance
            .command(&["import", &path])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let part = u32::try_from((kill * 37) % KILLS).unwrap();
        std::thread::sleep(whole * part / u32::try_from(KILLS).unwrap());
        let _ = child.kill();
        child.wait().unwrap();
        most = most.max(nothing_is_half_visible(&client, &images));
        if most == images.len() {
            appliance.ok(&["cache", "purge", "--all"]);
            most = 0;
        }
    }
    appliance.ok(&["import", &path]);
    assert_eq!(nothing_is_half_visible(&client, &images), images.len());
    assert_eq!(appliance.json(&["verify", "--json"])["clean"], true);
}

#[test]
fn a_box_that_is_killed_while_it_adopts_is_whole_after_the_same_import() {
    let images: Vec<Image> = (1..=40)
        .map(|seed| Image::oci(seed, &[3_000, 200]))
        .collect();
    let mut maker = Maker::default();
    for (image, number) in images.iter().zip(1..) {
        maker = maker.image(&format!("docker.io/org/app{number}:1"), image);
    }
    let disk = Disk::new();
    let path = disk.put("x.tar", &maker.tar());
    for round in 0..6_u32 {
        let mut appliance = behind();
        let mut child = appliance
            .command(&["import", &path])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Until it begins to adopt.
        let begun = Instant::now();
        let client = Client::of(&appliance);
        while client.get("/v2/org/app1/manifests/1").status != 200 {
            assert!(begun.elapsed() < Duration::from_secs(60), "it never came");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(u64::from(round) * 5));
        appliance.kill();
        child.wait().unwrap();
        appliance.restart();
        let client = Client::of(&appliance);
        nothing_is_half_visible(&client, &images);
        appliance.ok(&["import", &path]);
        assert_eq!(nothing_is_half_visible(&client, &images), images.len());
        assert_eq!(appliance.json(&["verify", "--json"])["clean"], true);
    }
}

#[test]
fn what_was_staged_before_a_break_is_not_copied_again() {
    let image = Image::oci(1, &[300_000, 200_000]);
    let whole = Maker::default().image("docker.io/org/app:1", &image).tar();
    let disk = Disk::new();
    // Whichever of the layers lies last in the archive is damaged.
    let at = |layer: &[u8]| {
        whole
            .windows(layer.len())
            .position(|part| part == layer)
            .unwrap()
    };
    let last = image.layers.iter().max_by_key(|layer| at(layer)).unwrap();
    let mut damaged = whole.clone();
    damaged[at(last) + 1000] ^= 1;
    let path = disk.put("x.tar", &damaged);
    let appliance = behind();
    let error = refused(&appliance, &[&path]);
    assert!(error.contains(Digest::of(last).as_str()), "{error}");
    staged_is_left_alone(&appliance);
    disk.put("x.tar", &whole);
    let said = appliance.ok(&["import", &path]);
    assert!(said.contains("copied 1 file,"), "{said}");
    assert!(
        said.contains("from an import that had broken off"),
        "{said}"
    );
    pulls(&Client::of(&appliance), "org/app", "1", &image);
}

fn staged_is_left_alone(appliance: &Appliance) {
    let staging = std::fs::read_dir(appliance.data().join("staging")).unwrap();
    let imports = staging.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_str().unwrap().starts_with("import-")
    });
    assert_eq!(imports.count(), 1);
}
