//! What is damaged, changed or of ill will: refused with a sentence, and nothing of it is there.

use breakwater::oci::Digest;
use breakwater::upkeep::bundle::{INDEX, LAYOUT, LAYOUT_TEXT, MANIFEST, blob_entry};
use serde_json::json;

use super::make::{Disk, Maker, Tar, behind, refused};
use crate::support::appliance::Appliance;
use crate::support::fake_upstream::Image;

fn nothing_came(appliance: &Appliance) {
    assert_eq!(appliance.json(&["cache", "list", "--json"]), json!([]));
    let files = appliance.json(&["cache", "stats", "--json"]);
    assert_eq!(files["blobs"], 0, "{files}");
}

#[test]
fn a_bundle_that_was_changed_or_cut_off_is_refused() {
    let image = Image::oci(1, &[9000, 700]);
    let whole = Maker::default().image("docker.io/org/app:1", &image).tar();
    let place = |bytes: &[u8]| {
        whole
            .windows(bytes.len())
            .position(|part| part == bytes)
            .unwrap()
    };
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let layer = image.layer_digest(0);
    let disk = Disk::new();
    let appliance = behind();
    for (bytes, expected) in [
        (
            flipped(place(&image.layers[0]) + 4000),
            format!("the file {layer} in the archive has other bytes"),
        ),
        (
            flipped(place(&image.manifest) + 60),
            format!(
                "the manifest {} in the archive has other bytes",
                image.digest()
            ),
        ),
        (
            flipped(place(blob_entry(&layer).as_bytes())),
            "no header of a tar archive".to_owned(),
        ),
        (
            flipped(place(b"{}")),
            format!("`{INDEX}` in the archive has other bytes"),
        ),
        (
            whole[..place(&image.layers[0]) + 100].to_vec(),
            "the archive is cut off".to_owned(),
        ),
        (
            whole[..whole.len() - 1024].to_vec(),
            "the archive is cut off".to_owned(),
        ),
        (whole[..1000].to_vec(), "the archive is cut off".to_owned()),
        (Vec::new(), "the archive is cut off".to_owned()),
        (b"\x1f\x8b\x08\x00".repeat(400), "is compressed".to_owned()),
        (b"hello".repeat(400), "no tar archive".to_owned()),
    ] {
        let path = disk.put("x.tar", &bytes);
        let error = refused(&appliance, &[&path]);
        assert!(error.contains(&expected), "{expected}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        nothing_came(&appliance);
    }
}

#[test]
fn a_manifest_that_was_tampered_with_lies_about_what_is_there() {
    let image = Image::oci(1, &[9000]);
    let maker = Maker::default().image("docker.io/org/app:1", &image);
    let whole = maker.tar();
    let layer = image.layer_digest(0);
    let disk = Disk::new();
    let appliance = behind();
    let changed = |from: &str, to: &str| {
        let mut bytes = whole.clone();
        let at = bytes
            .windows(from.len())
            .position(|part| part == from.as_bytes())
            .unwrap();
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    let listed = format!("\"digest\": \"{layer}\"");
    let absent = format!("\"digest\": \"{}\"", Digest::of(b"another"));
    for (bytes, expected) in [
        (
            changed("\"size\": 9000", "\"size\": 9001"),
            "has other bytes",
        ),
        (changed(&listed, &absent), "which its manifest names"),
        (changed("\"format\": 1", "\"format\": 9"), "of format 9"),
        (changed("\"format\"", "\"formas\""), "cannot be read"),
        (
            changed("org/app:1", "ORG/app:1"),
            "is not a repository name",
        ),
    ] {
        let path = disk.put("x.tar", &bytes);
        let output = appliance.run_cli(&["import", &path]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && error.contains(expected),
            "{expected}: {error}"
        );
        nothing_came(&appliance);
    }
}

#[test]
fn only_plain_files_under_known_names_and_of_bounded_sizes_are_taken() {
    let image = Image::oci(1, &[900]);
    let whole = Maker::default().image("docker.io/org/app:1", &image).tar();
    let begun = Tar(whole[..whole.len() - 1024].to_vec());
    let blob = blob_entry(&image.layer_digest(0));
    let disk = Disk::new();
    let appliance = behind();
    let outside = disk.put("outside", b"secret");
    let ten = 10 << 40;
    for (tar, expected) in [
        (begun.clone().file("../../outside", b"x"), "leads out of it"),
        (begun.clone().file("/etc/passwd", b"x"), "leads out of it"),
        (
            begun.clone().file("blobs/../../outside", b"x"),
            "leads out of it",
        ),
        (
            begun
                .clone()
                .entry("blobs/sha256/x", b'2', &outside, 0, b""),
            "which leads out of it",
        ),
        (
            begun.clone().entry("x", b'2', "oci-layout", 0, b""),
            "a link, `x` to `oci-layout`",
        ),
        (
            begun.clone().entry("x", b'1', "oci-layout", 0, b""),
            "a link, `x` to `oci-layout`",
        ),
        (begun.clone().entry("x", b'3', "", 0, b""), "a device"),
        (begun.clone().entry("x", b'S', "", 0, b""), "a sparse file"),
        (begun.clone().file(&blob, &image.layers[0]), "twice"),
        (
            begun.clone().file("more", b"x"),
            "which its manifest does not name",
        ),
        (
            begun.clone().entry("more", b'0', "", ten, b"x"),
            "should have 10995116277760 bytes",
        ),
        (
            begun.clone().entry("more", b'L', "", ten, b"x"),
            "should have 10995116277760 bytes",
        ),
        (
            begun
                .clone()
                .entry("more", b'x', "", 70_000, &[b'x'; 70_000]),
            "longer than 64 KiB",
        ),
        (
            Tar::default()
                .file(LAYOUT, LAYOUT_TEXT.as_bytes())
                .file(INDEX, &[b' '; 5 << 20]),
            "the most that it may have",
        ),
        (
            Tar::default()
                .file(LAYOUT, b"{\"imageLayoutVersion\":\"9\"}")
                .file(INDEX, b"{}"),
            "of version 9",
        ),
        (
            Tar::default().file("hello", b"x"),
            "neither a bundle nor an image",
        ),
        (
            Tar::default()
                .file(LAYOUT, LAYOUT_TEXT.as_bytes())
                .file(INDEX, b"{\"manifests\":[]}"),
            "has no image",
        ),
        (Tar::default().file(MANIFEST, b"[]"), "cannot be read"),
    ] {
        let path = disk.put("x.tar", &tar.end());
        let output = appliance.run_cli(&["import", &path]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && error.contains(expected),
            "{expected}: {error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
        nothing_came(&appliance);
    }
    assert_eq!(std::fs::read(&outside).unwrap(), b"secret");
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_written() {
    let image = Image::oci(1, &[900_000]);
    let disk = Disk::new();
    let path = disk.put(
        "x.tar",
        &Maker::default().image("docker.io/org/app:1", &image).tar(),
    );
    for (toml, expected) in [
        ("[cache]\nmin_free = \"100%\"", "cache.min_free"),
        (
            "[cache]\nmin_free = \"0\"\nmax_size = \"100KB\"",
            "cache.max_size",
        ),
    ] {
        let appliance = Appliance::builder().toml(toml).start();
        let error = refused(&appliance, &[&path]);
        assert!(
            error.contains(expected) && error.contains("cache evict"),
            "{error}"
        );
        nothing_came(&appliance);
    }
}
