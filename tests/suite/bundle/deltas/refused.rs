//! Deltas that were changed, that lie, or whose old layers are missing: refused with a sentence, and nothing of it is there.

use breakwater::oci::Digest;
use breakwater::recreate::delta::{ReadAt, pack};
use breakwater::upkeep::bundle::{BundleManifest, MANIFEST, delta_entry};
use serde_json::{Value, json};

use super::*;
use crate::bundle::Entry;
use crate::bundle::make::Tar;

/// What is changed of a bundle.
struct Forged {
    entries: Vec<Entry>,
    manifest: BundleManifest,
    /// Of the delta, and what stands behind it.
    head: Value,
    packed: Vec<u8>,
}

impl Forged {
    fn of(weeks: &Weeks, name: &str) -> Self {
        let entries = entries(std::path::Path::new(&weeks.path(name)));
        let manifest = manifest(&entries);
        let delta = &entries.last().unwrap().bytes;
        let length = u32::from_le_bytes(delta[8..12].try_into().unwrap()) as usize;
        let (head, packed) = delta[12..].split_at(length);
        Self {
            head: serde_json::from_slice(head).unwrap(),
            packed: packed.to_vec(),
            manifest,
            entries,
        }
    }

    /// As whoever has no key to sign with would write it.
    fn tar(mut self) -> Vec<u8> {
        let head = serde_json::to_vec(&self.head).unwrap();
        let length = u32::try_from(head.len()).unwrap().to_le_bytes();
        let delta = [&b"bw-delta"[..], &length, &head, &self.packed].concat();
        self.manifest.deltas[0].delta = Digest::of(&delta);
        self.manifest.deltas[0].size = delta.len() as u64;
        let name = delta_entry(&self.manifest.deltas[0].digest);
        let mut text = Vec::new();
        self.manifest.write(&mut text).unwrap();
        let tar = self.entries.iter().fold(Tar::default(), |tar, entry| {
            let bytes = match &entry.name {
                of if of == MANIFEST => &text,
                of if *of == name => &delta,
                _ => &entry.bytes,
            };
            tar.file(&entry.name, bytes)
        });
        tar.end()
    }
}

/// The tag is where it was, and nothing was added.
fn nothing_came(weeks: &Weeks) {
    let client = Client::of(&weeks.there);
    let manifest = client.get(&format!(
        "/v2/library/app/manifests/{}",
        weeks.next.digest()
    ));
    assert_ne!(manifest.status, 200);
    let layer = weeks.next.layer_digest(1);
    let got = client.get(&format!("/v2/library/app/blobs/{layer}"));
    assert_ne!(got.status, 200);
    let hex = layer.hex();
    let path = weeks
        .there
        .data()
        .join("blobs/sha256")
        .join(&hex[..2])
        .join(hex);
    assert!(!path.exists());
}

#[test]
fn a_delta_that_was_changed_or_cut_off_is_refused() {
    let weeks = Weeks::new();
    weeks.export("next.tar", &[]);
    let whole = std::fs::read(weeks.path("next.tar")).unwrap();
    let name = delta_entry(&weeks.next.layer_digest(1));
    let at = whole
        .windows(name.len())
        .position(|part| part == name.as_bytes())
        .unwrap();
    for place in [at + 512 + 3, at + 512 + 100, at + 512 + 1500] {
        let mut bytes = whole.clone();
        bytes[place] ^= 4;
        let error = refused(&weeks.there, &[&weeks.disk.put("x.tar", &bytes)]);
        assert!(error.contains("the delta of sha256:"), "{error}");
        assert!(
            error.contains("has other bytes than its digest says"),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
        nothing_came(&weeks);
    }
    let cut = weeks.disk.put("x.tar", &whole[..at + 512 + 100]);
    let error = refused(&weeks.there, &[&cut]);
    assert!(error.contains("the archive is cut off"), "{error}");
    nothing_came(&weeks);
    // What is whole comes all the same.
    weeks.comes(&weeks.path("next.tar"));
}

#[test]
fn a_delta_that_lies_is_refused_and_never_makes_more_than_it_says() {
    let weeks = Weeks::new();
    weeks.export("next.tar", &[]);
    let other = Digest::of(&gzip("go-6", 1, &plain(3, 80_000)));
    type Change = fn(&mut Forged, &Digest);
    let changes: [(&str, Change); 15] = [
        ("which is not known here", |forged, _| {
            forged.manifest.deltas[0].model = "go-99".to_owned();
        }),
        ("which is not known here", |forged, _| {
            forged.manifest.deltas[0].version = 7;
        }),
        // Another one that is known: what comes out is another layer.
        ("cannot be used", |forged, _| {
            forged.manifest.deltas[0].model = "go-1".to_owned();
            forged.manifest.deltas[0].version = 1;
            forged.head["recipe"]["model"] = json!("go-1");
            forged.head["recipe"]["version"] = json!(1);
        }),
        (
            "of something else than the bundle's list says",
            |forged, _| {
                forged.head["recipe"]["model"] = json!("go-1");
            },
        ),
        (
            "of something else than the bundle's list says",
            |forged, other| {
                forged.head["target"] = json!(other);
            },
        ),
        // Another old layer, which is here.
        ("has not in it what the delta says", |forged, other| {
            forged.manifest.deltas[0].references[0].digest = other.clone();
            forged.head["references"][0]["digest"] = json!(other);
        }),
        ("names a part of the old content", |forged, other| {
            let references = &mut forged.manifest.deltas[0].references;
            references[0].digest = other.clone();
            references[0].plain_size = 80_000;
            forged.head["references"] = serde_json::to_value(references).unwrap();
        }),
        ("larger than can be in such a layer", |forged, _| {
            forged.head["recipe"]["plain_size"] = json!(1_u64 << 50);
        }),
        ("of a layer of another size", |forged, _| {
            forged.head["recipe"]["size"] = json!(1_u64 << 50);
        }),
        ("not as long as it has to be", |forged, _| {
            forged.head["segments"][0]["plain_size"] = json!(1_u64 << 40);
        }),
        ("a prefix that is too long", |forged, _| {
            let part = forged.head["segments"][0]["prefix"][0].clone();
            forged.head["segments"][0]["prefix"] = json!(vec![part; 1000]);
        }),
        ("longer or shorter than it says", |forged, _| {
            forged.packed.truncate(forged.packed.len() / 2);
        }),
        ("cannot be used", |forged, _| {
            let half = forged.packed.len() / 2;
            forged.packed[half] ^= 0x55;
        }),
        ("in no known way", |forged, _| {
            forged.head["more"] = json!(1)
        }),
        ("in no known way", |forged, _| forged.head = json!([])),
    ];
    for (number, (expected, change)) in changes.into_iter().enumerate() {
        let mut forged = Forged::of(&weeks, "next.tar");
        change(&mut forged, &other);
        let path = weeks.disk.put("x.tar", &forged.tar());
        let error = refused(&weeks.there, &[&path]);
        assert!(error.contains(expected), "{number}: {expected}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        nothing_came(&weeks);
    }
    // As it was, it comes.
    let path = weeks
        .disk
        .put("x.tar", &Forged::of(&weeks, "next.tar").tar());
    weeks.comes(&path);
}

#[test]
fn a_bomb_is_refused_before_it_fills_the_disk() {
    let weeks = Weeks::new();
    weeks.export("next.tar", &[]);
    let mut forged = Forged::of(&weeks, "next.tar");
    // A hundred times what the layer takes, in few bytes; it is as it says of itself, but not what the layer has in it.
    let zeros = vec![0; weeks.next.layers[1].len() * 100];
    let (segment, packed) = pack(&[], &NoContent, &zeros).unwrap();
    assert!(packed.len() < 10_000, "{}", packed.len());
    forged.head["recipe"]["plain_size"] = json!(zeros.len());
    forged.head["recipe"]["checksum"] = json!(checksum(&zeros));
    forged.head["segments"] = json!([segment]);
    forged.packed = packed;
    let path = weeks.disk.put("x.tar", &forged.tar());
    let error = refused(&weeks.there, &[&path]);
    assert!(error.contains("cannot be used"), "{error}");
    nothing_came(&weeks);
    // An old layer that is much larger than what is made of it is not even unpacked.
    let mut forged = Forged::of(&weeks, "next.tar");
    let huge =
        json!([{"digest": forged.head["references"][0]["digest"], "plain_size": 400_000_000}]);
    forged.head["references"] = huge.clone();
    forged.manifest.deltas[0].references = serde_json::from_value(huge).unwrap();
    let path = weeks.disk.put("y.tar", &forged.tar());
    let error = refused(&weeks.there, &[&path]);
    assert!(
        error.contains("more of old layers than it makes"),
        "{error}"
    );
    nothing_came(&weeks);
}

struct NoContent;

impl ReadAt for NoContent {
    fn fill_at(&self, _: &mut [u8], _: u64) -> std::io::Result<()> {
        Err(std::io::ErrorKind::UnexpectedEof.into())
    }
}

#[test]
fn an_old_layer_that_is_missing_or_damaged_is_named_with_what_to_do() {
    let weeks = Weeks::new();
    weeks.export("next.tar", &[]);
    // It has nothing of the first week but what the bundle relies on.
    let fresh = behind();
    let base = image(9, &weeks.next.layers[..1]);
    let bundle = crate::bundle::make::Maker::default().image("docker.io/library/app:base", &base);
    fresh.ok(&["import", &weeks.disk.put("base.tar", &bundle.tar())]);
    let before = names_in(&fresh.data().join("staging"));
    let next = weeks.path("next.tar");
    for more in [&[][..], &["--dry-run"]] {
        let said = fresh.run_cli(&[&["import", &next][..], more].concat());
        let error = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(1), "{error}");
        let expected = "`breakwater export docker.io/library/app:latest --have HAVE --deltas off -o BUNDLE.tar`";
        assert!(
            error.contains("travels as what has changed since sha256:"),
            "{error}"
        );
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(names_in(&fresh.data().join("staging")), before);
    // The command that was named does it.
    weeks.export("whole.tar", &["--deltas", "off"]);
    fresh.ok(&["import", &weeks.path("whole.tar")]);
    pulls(&Client::of(&fresh), "library/app", "latest", &weeks.next);

    let (old, _) = contents();
    let old = Digest::of(&gzip("go-6", 1, &old));
    let path = weeks.there.data().join("blobs/sha256");
    let path = path.join(&old.hex()[..2]).join(old.hex());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100_000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = refused(&weeks.there, &[&next]);
    assert!(
        error.contains(&format!("the old layer {old} has other bytes here")),
        "{error}"
    );
    nothing_came(&weeks);
}
