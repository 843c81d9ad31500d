//! Layers that cross the gap as what has changed in them.

mod refused;
mod scale;

use breakwater::recreate::{Recipe, recreate};
use breakwater::upkeep::bundle::{FORMAT, FORMAT_WITH_DELTAS, delta_entry};
use serde_json::json;

use super::make::{Disk, behind, pulls, refused};
use super::{entries, manifest, names_in, pull};
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};
use crate::support::pushing::{Hosted, bytes, push_image};

fn checksum(content: &[u8]) -> u32 {
    let table: [u32; 256] = std::array::from_fn(|byte| {
        (0..8).fold(byte as u32, |sum, _| (sum >> 1) ^ (0xedb8_8320 * (sum & 1)))
    });
    !content.iter().fold(!0, |sum: u32, byte| {
        (sum >> 8) ^ table[((sum ^ u32::from(*byte)) & 0xff) as usize]
    })
}

/// As a program compresses it of which there is a model.
fn gzip(model: &str, version: u32, content: &[u8]) -> Vec<u8> {
    let recipe = Recipe {
        model: model.to_owned(),
        version,
        header: vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255],
        size: u64::MAX,
        plain_size: content.len() as u64,
        checksum: checksum(content),
    };
    let mut gzip = Vec::new();
    // How long it becomes is not known before.
    recreate(&recipe, content, &mut gzip).unwrap_err();
    gzip
}

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// An image of these layers.
fn image(seed: u64, layers: &[Vec<u8>]) -> Image {
    image_of(seed, LAYER, layers)
}

fn image_of(seed: u64, media_type: &str, layers: &[Vec<u8>]) -> Image {
    let mut image = Image::oci(seed, &[]);
    image.layers = layers.to_vec();
    let mut manifest: serde_json::Value = serde_json::from_slice(&image.manifest).unwrap();
    manifest["layers"] = layers
        .iter()
        .map(|layer| {
            json!({"mediaType": media_type,
                "digest": breakwater::oci::Digest::of(layer), "size": layer.len()})
        })
        .collect();
    image.manifest = serde_json::to_vec(&manifest).unwrap();
    image
}

/// Content that can be compressed.
fn plain(seed: u64, length: usize) -> Vec<u8> {
    let bytes = bytes(seed, length);
    bytes.into_iter().map(|byte| byte % 23).collect()
}

/// What is in a layer, and in one of the next week.
fn contents() -> (Vec<u8>, Vec<u8>) {
    let old = plain(1, 500_000);
    let new = [
        &old[..120_000],
        b"what is new",
        &plain(2, 2000),
        &old[130_000..],
    ]
    .concat();
    (old, new)
}

/// Two boxes, of which both have the first week's image and one that of the second week too.
struct Weeks {
    _fake: FakeUpstream,
    here: Appliance,
    there: Appliance,
    disk: Disk,
    next: Image,
}

impl Weeks {
    fn new() -> Self {
        Self::of(LAYER)
    }

    /// Of layers of this type.
    fn of(media_type: &str) -> Self {
        let (old, new) = contents();
        let base = gzip("go-6", 1, &plain(3, 80_000));
        let first = image_of(1, media_type, &[base.clone(), gzip("go-6", 1, &old)]);
        let next = image_of(2, media_type, &[base, gzip("pgzip-5-1m", 2, &new)]);
        let fake = FakeUpstream::start();
        let here = Appliance::builder()
            .upstream(fake.url())
            .toml("[cache]\ntag_ttl = \"0s\"\n")
            .start();
        let (there, disk) = (behind(), Disk::new());
        let path = |name: &str| disk.path().join(name).to_str().unwrap().to_owned();
        fake.put_image("library/app", "latest", &first);
        pull(&Client::of(&here), "library/app", "latest", &[&first]);
        here.ok(&["export", "app", "-o", &path("first.tar")]);
        there.ok(&["import", &path("first.tar")]);
        there.ok(&["have", "-o", &path("have")]);
        // The tag moves on.
        fake.put_image("library/app", "latest", &next);
        pull(&Client::of(&here), "library/app", "latest", &[&next]);
        Self {
            _fake: fake,
            here,
            there,
            disk,
            next,
        }
    }

    fn path(&self, name: &str) -> String {
        self.disk.path().join(name).to_str().unwrap().to_owned()
    }

    /// Exports what has changed; what was said.
    fn export(&self, name: &str, more: &[&str]) -> String {
        let (have, to) = (self.path("have"), self.path(name));
        let arguments = ["export", "app", "--have", &have, "-o", &to];
        self.here.ok(&[&arguments[..], more].concat())
    }

    /// Behind the gap the bundle is imported, and the image of the second week pulled.
    fn comes(&self, bundle: &str) {
        self.there.ok(&["import", bundle]);
        let client = Client::of(&self.there);
        pulls(&client, "library/app", "latest", &self.next);
    }

    fn size(&self, name: &str) -> u64 {
        std::fs::metadata(self.path(name)).unwrap().len()
    }
}

#[test]
fn a_rebuilt_image_crosses_the_gap_as_what_has_changed_in_it() {
    let weeks = Weeks::new();
    let said = weeks.export("next.tar", &[]);
    assert!(
        said.contains("of 1 layer only what has changed is in it"),
        "{said}"
    );
    weeks.export("whole.tar", &["--deltas", "off"]);
    let (part, whole) = (weeks.size("next.tar"), weeks.size("whole.tar"));
    assert!(part < whole / 10, "{part} of {whole}");
    let entries = entries(std::path::Path::new(&weeks.path("next.tar")));
    let manifest = manifest(&entries);
    assert_eq!(manifest.format, FORMAT_WITH_DELTAS);
    assert_eq!(manifest.size, part);
    let delta = &manifest.deltas[0];
    assert_eq!(delta.digest, weeks.next.layer_digest(1));
    assert_eq!(delta.model, "pgzip-5-1m");
    assert_eq!(manifest.relies_on, [weeks.next.layer_digest(0)]);
    let last = entries.last().unwrap();
    assert_eq!(last.name, delta_entry(&delta.digest));
    assert_eq!(breakwater::oci::Digest::of(&last.bytes), delta.delta);
    let shown = breakwater_shows(&weeks, "next.tar");
    assert!(
        shown.contains("of 1 layer only what has changed is in it"),
        "{shown}"
    );
    // The same content gives the same bytes.
    weeks.export("again.tar", &[]);
    let read = |name: &str| std::fs::read(weeks.path(name)).unwrap();
    assert!(read("next.tar") == read("again.tar"));

    let there = &weeks.there;
    let next = weeks.path("next.tar");
    let would = there.json(&["import", &next, "--dry-run", "--json"]);
    assert_eq!(would["files"], 3, "{would}");
    there.ok(&["import", &next]);
    let client = Client::of(there);
    pulls(&client, "library/app", "latest", &weeks.next);
    let again = there.json(&["import", &next, "--json"]);
    assert_eq!(again["images"][0]["problem"], json!(null), "{again}");
    pulls(&client, "library/app", "latest", &weeks.next);
    assert_eq!(there.json(&["verify", "--json"])["clean"], true);
    for data in [weeks.here.data(), there.data()] {
        assert_eq!(names_in(&data.join("staging")), Vec::<String>::new());
    }
}

fn breakwater_shows(weeks: &Weeks, name: &str) -> String {
    weeks.there.ok(&["bundle", "show", &weeks.path(name)])
}

#[test]
fn a_layer_that_may_not_be_distributed_crosses_the_gap_as_well_where_it_is_here() {
    let weeks = Weeks::of("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
    let said = weeks.export("next.tar", &[]);
    assert!(
        said.contains("of 1 layer only what has changed is in it"),
        "{said}"
    );
    weeks.comes(&weeks.path("next.tar"));
}

#[test]
fn without_deltas_layers_travel_whole_as_older_versions_read_them() {
    let weeks = Weeks::new();
    let said = weeks.export("whole.tar", &["--deltas", "off"]);
    assert!(!said.contains("changed"), "{said}");
    let entries = entries(std::path::Path::new(&weeks.path("whole.tar")));
    let manifest = manifest(&entries);
    assert_eq!((manifest.format, manifest.deltas.len()), (FORMAT, 0));
    let text = String::from_utf8(entries[1].bytes.clone()).unwrap();
    assert!(!text.contains("deltas"), "{text}");
    weeks.comes(&weeks.path("whole.tar"));
    let to = weeks.path("none.tar");
    let alone = weeks
        .here
        .run_cli(&["export", "app", "--deltas", "on", "-o", &to]);
    assert_eq!(alone.status.code(), Some(2), "it needs --have");
}

#[test]
fn json_says_what_deltas_save() {
    let weeks = Weeks::new();
    let (have, to) = (weeks.path("have"), weeks.path("next.tar"));
    let arguments = ["export", "app", "--have", &have, "-o", &to, "--json"];
    let told = weeks.here.json(&arguments)["deltas"].clone();
    assert_eq!(told["layers"], 1, "{told}");
    assert_eq!(told["instead_of"], weeks.next.layers[1].len(), "{told}");
    assert!(told["bytes"].as_u64().unwrap() < 10_000, "{told}");
}

/// Two boxes with a project, of which both have the pushed image with the old layer and one that with the new layer too; and
/// a disk with the list of what the other side has.
fn pushed(old: &[u8], new: &[u8]) -> (Hosted, Hosted, Disk) {
    let (here, there, disk) = (Hosted::start(), Hosted::of(behind()), Disk::new());
    let path = |name: &str| disk.path().join(name).to_str().unwrap().to_owned();
    let pusher = here.client(&["acme/api"]);
    push_image(&pusher, "acme/api", "1", &[old]);
    here.appliance
        .ok(&["export", "hosted:acme/api:1", "-o", &path("1.tar")]);
    there.appliance.ok(&["import", &path("1.tar")]);
    there.appliance.ok(&["have", "-o", &path("have")]);
    push_image(&pusher, "acme/api", "2", &[new]);
    (here, there, disk)
}

#[test]
fn a_pushed_image_travels_as_what_has_changed_since_the_tag_before() {
    let (old, new) = contents();
    let (old, new) = (gzip("go-1", 1, &old), gzip("go-1", 1, &new));
    let (here, there, disk) = pushed(&old, &new);
    let path = |name: &str| disk.path().join(name).to_str().unwrap().to_owned();
    let export = [
        "export",
        "hosted:acme/api:2",
        "--have",
        &path("have"),
        "-o",
        &path("2.tar"),
    ];
    here.appliance.ok(&export);
    let size = std::fs::metadata(path("2.tar")).unwrap().len();
    assert!(size < new.len() as u64 / 5, "{size} of {}", new.len());
    there.appliance.ok(&["import", &path("2.tar")]);
    let client = there.client(&["acme/api"]);
    let digest = breakwater::oci::Digest::of(&new);
    let got = client.get(&format!("/v2/acme/api/blobs/{digest}"));
    assert_eq!((got.status, got.body), (200, new));
    // A project that does not have the old layer is not given it by a bundle that names it.
    there.appliance.ok(&["project", "add", "acme/other"]);
    let error = refused(&there.appliance, &[&path("2.tar"), "--to", "acme/other"]);
    assert!(error.contains("which is not here for it"), "{error}");
}
