//! Layers made again from others, and those for which that is not possible.

use super::make::Examining;
use super::*;
use crate::recreate::delta::{ReadAt as _, check};
use crate::recreate::{Recipe, recreate};
use crate::store::{BlobDir, Store};

fn content(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        // Not all bytes are as frequent.
        (state as u8) & (state >> 8) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn checksum(content: &[u8]) -> u32 {
    !content.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 * (sum & 1))
        })
    })
}

/// As Go compresses it.
fn gzip(content: &[u8]) -> Vec<u8> {
    let recipe = Recipe {
        model: "go-6".to_owned(),
        version: 1,
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

struct Box {
    _data: tempfile::TempDir,
    blobs: BlobDir,
}

impl Box {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let blobs = Store::open_files(data.path()).unwrap();
        Self { _data: data, blobs }
    }

    fn put(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.blobs.put(&digest, bytes.to_vec()).unwrap();
        digest
    }
}

fn layer(digest: &Digest, candidates: &[&Digest]) -> ChangedLayer {
    ChangedLayer {
        digest: digest.clone(),
        size: 0,
        candidates: candidates.iter().map(|digest| (*digest).clone()).collect(),
    }
}

/// The bytes of the delta's entry, and what the bundle's manifest says of it.
fn made(deltas: &Deltas<'_>, digest: &Digest) -> Option<(Vec<u8>, BundledDelta)> {
    let (bundled, carried) = deltas.carried([digest].into_iter()).unwrap();
    let (bundled, carried) = bundled.into_iter().zip(carried).next()?;
    let mut packed = vec![0; usize::try_from(carried.packed_size).unwrap()];
    carried.packed.fill_at(&mut packed, carried.at).unwrap();
    Some(([carried.head, packed].concat(), bundled))
}

fn made_again(blobs: &BlobDir, entry: &[u8]) -> Vec<u8> {
    let (head, at) = Head::read(entry.len() as u64, |buffer, at| {
        entry.fill_at(buffer, at).unwrap();
        Ok(())
    })
    .unwrap();
    let packed = entry.len() as u64 - at;
    let recipe = &head.recipe;
    check(
        &head.segments,
        recipe.size,
        recipe.plain_size,
        head.old_size(),
        packed,
    )
    .unwrap();
    let old = unpack_references(blobs, &head.references, 0, |_| {}).unwrap();
    let mut bytes = Vec::new();
    let mut take = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    let to = Remade::new(&head.target, &mut take);
    remake(&head, &old, &entry, at, to).unwrap();
    bytes
}

#[test]
fn a_layer_is_made_again_from_several_old_ones() {
    let here = Box::new();
    let (one, other) = (content(1, 300_000), content(2, 300_000));
    let new = [&one[..250_000], b"new", &other[50_000..], &content(3, 2000)].concat();
    let old = [&one, &other, &content(4, 300_000)].map(|content| here.put(&gzip(content)));
    let whole = gzip(&new);
    let digest = here.put(&whole);
    let mut deltas = Deltas::new(&here.blobs, 0).unwrap();
    let candidates = [&old[2], &old[0], &old[1]];
    deltas.make(&layer(&digest, &candidates)).unwrap();
    let (entry, bundled) = made(&deltas, &digest).unwrap();
    assert!(
        entry.len() < whole.len() / 20,
        "{} of {}",
        entry.len(),
        whole.len()
    );
    assert_eq!(bundled.size, entry.len() as u64);
    assert_eq!(bundled.delta, Digest::of(&entry));
    let used: Vec<_> = bundled.references.iter().map(|of| &of.digest).collect();
    assert!(used.len() == 2 && !used.contains(&&old[2]), "{used:?}");
    assert_eq!(made_again(&here.blobs, &entry), whole);
    // At another box that has the old ones.
    let there = Box::new();
    for content in [&one, &other] {
        there.put(&gzip(content));
    }
    assert_eq!(made_again(&there.blobs, &entry), whole);
}

#[test]
fn what_cannot_be_made_again_or_saves_too_little_travels_whole() {
    let here = Box::new();
    let old_content = content(1, 200_000);
    let old = here.put(&gzip(&old_content));
    let unlike = gzip(&content(2, 200_000));
    let half = gzip(&[&old_content[..30_000], &content(3, 200_000)].concat());
    let similar = gzip(&[&old_content, &b"new"[..]].concat());
    let mut flipped = similar.clone();
    flipped[1000] ^= 1;
    let mut other_header = similar.clone();
    other_header[0] = 0;
    let twice = [&similar[..], &similar].concat();
    for (name, bytes) in [
        ("unlike", &unlike[..]),
        ("saves little", &half),
        ("no gzip", &other_header),
        ("damaged", &flipped),
        ("cut off", &similar[..similar.len() - 9]),
        ("two members", &twice),
    ] {
        let digest = here.put(bytes);
        let mut deltas = Deltas::new(&here.blobs, 0).unwrap();
        deltas.make(&layer(&digest, &[&old])).unwrap();
        assert!(made(&deltas, &digest).is_none(), "{name}");
    }
    // Where the disk would not keep enough free.
    let digest = here.put(&similar);
    let mut deltas = Deltas::new(&here.blobs, u64::MAX).unwrap();
    deltas.make(&layer(&digest, &[&old])).unwrap();
    assert!(made(&deltas, &digest).is_none());
    // One that is fine, from old ones of which some are not.
    let gone = Digest::of(b"gone");
    let no_gzip = here.put(&content(5, 70_000));
    let mut deltas = Deltas::new(&here.blobs, 0).unwrap();
    deltas
        .make(&layer(&digest, &[&gone, &no_gzip, &old]))
        .unwrap();
    assert!(made(&deltas, &digest).is_some());
}

#[test]
fn a_wrong_model_is_found_by_the_proof() {
    let here = Box::new();
    let old_content = content(1, 200_000);
    let old = here.put(&gzip(&old_content));
    let digest = here.put(&gzip(&[&old_content, &b"new"[..]].concat()));
    let wrong: [fn(&mut Recipe); 5] = [
        |recipe| recipe.model = "go-1".to_owned(),
        |recipe| recipe.version = 9,
        |recipe| recipe.header[9] = 3,
        |recipe| recipe.checksum ^= 1,
        |recipe| recipe.size += 1,
    ];
    for (number, wrong) in wrong.into_iter().enumerate() {
        let mut deltas = Deltas::new(&here.blobs, 0).unwrap();
        let mut examining: Examining = deltas.examine(&digest).unwrap().unwrap();
        let references = deltas
            .choose(&examining.samples, std::slice::from_ref(&old))
            .unwrap();
        assert_eq!(references.len(), 1);
        wrong(&mut examining.recipe);
        let made = deltas.pack(&digest, examining, references).unwrap();
        assert!(made.is_none(), "{number}");
    }
}

#[test]
fn old_layers_are_verified_when_they_are_read() {
    let here = Box::new();
    let bytes = gzip(&content(1, 100_000));
    let digest = here.put(&bytes);
    let reference = |digest: &Digest, plain_size| DeltaReference {
        digest: digest.clone(),
        plain_size,
    };
    let refused = |reference: DeltaReference| {
        let refused = unpack_references(&here.blobs, &[reference], 0, |_| {});
        refused.unwrap_err().to_string()
    };
    unpack_references(&here.blobs, &[reference(&digest, 100_000)], 0, |_| {}).unwrap();
    for (reference, expected) in [
        (reference(&Digest::of(b"gone"), 1), "is not here any more"),
        (reference(&digest, 99_999), "has not in it what"),
        (reference(&digest, 100_001), "has not in it what"),
        (reference(&digest, u64::MAX), "cannot have as much in it"),
        (reference(&here.put(b"no gzip"), 100), "has not in it what"),
    ] {
        let refused = refused(reference);
        assert!(refused.contains(expected), "{expected}: {refused}");
    }
    let path = here.blobs.shown_path(&digest);
    let mut changed = bytes;
    changed[50_000] ^= 1;
    std::fs::write(path, changed).unwrap();
    let refused = refused(reference(&digest, 100_000));
    assert!(refused.contains("has other bytes here"), "{refused}");
}

#[test]
fn a_head_that_is_none_is_refused() {
    let fine = Head {
        target: Digest::of(b"x"),
        references: Vec::new(),
        recipe: Recipe {
            model: "go-6".to_owned(),
            version: 1,
            header: Vec::new(),
            size: 1,
            plain_size: 1,
            checksum: 0,
        },
        segments: Vec::new(),
    };
    let text = fine.to_bytes().unwrap();
    let read = |bytes: &[u8]| {
        Head::read(bytes.len() as u64, |buffer, at| {
            bytes.fill_at(buffer, at).unwrap();
            Ok(())
        })
    };
    assert_eq!(read(&text).unwrap(), (fine, text.len() as u64));
    let mut long = text.clone();
    long[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    for (bytes, expected) in [
        (&b""[..], "shorter"),
        (&text[..11], "shorter"),
        (&text[..text.len() - 1], "does not begin"),
        (&text[1..], "does not begin"),
        (&long, "does not begin"),
        (b"bw-delta\x02\0\0\0{}", "in no known way"),
        (b"bw-delta\x02\0\0\0[[", "in no known way"),
    ] {
        let refused = read(bytes).unwrap_err().to_string();
        assert!(refused.contains(expected), "{expected}: {refused}");
    }
}
