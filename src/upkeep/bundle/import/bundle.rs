//! A bundle that `breakwater export` has made: its manifest says of every entry what it is, and a signature of that covers
//! everything.

use std::collections::HashMap;
use std::io::BufReader;

use super::delta::ArchivedDelta;
use super::source::{Reading, Source};
use super::tar::{Entries, Entry};
use super::{Archive, Form, ImportedImage, changed, digest_of, document, refuse_links, unread};
use crate::error::{Error, Kind, Result, excerpt};
use crate::oci::{Algorithm, Digest};
use crate::upkeep::bundle::{
    BundleManifest, MANIFEST, MANIFEST_LIMIT, Message, SIGNATURE, VerifyKey, blob_entry,
    delta_entry,
};

/// The longest signature.
const MAX_SIGNATURE: u64 = 4096;

pub(super) fn open<'a>(
    source: &'a dyn Source,
    mut entries: Entries,
    keys: &[VerifyKey],
) -> Result<Archive<'a>> {
    refuse_links(&entries)?;
    let place = entries.remove(MANIFEST).ok_or_else(|| lacks(MANIFEST))?;
    if place.size > MANIFEST_LIMIT {
        let what = format!(
            "{MANIFEST} has {} bytes, and {MANIFEST_LIMIT} are the most that it may have",
            place.size
        );
        return Err(Error::new(Kind::ManifestInvalid, what).remedy("export fewer images at a time"));
    }
    let signature = entries.remove(SIGNATURE);
    let signed_by = verify(source, &place, signature.as_ref(), keys)?;
    let manifest = BundleManifest::read(BufReader::with_capacity(
        1 << 16,
        Reading::of(source, &place),
    ))?;
    let id = digest_of(source, &place, Algorithm::Sha256)?;
    let (files, deltas) = take_files(source, &manifest, entries)?;
    let images = manifest.images.into_iter().map(|image| ImportedImage {
        name: image.name,
        kind: image.kind,
        digest: image.digest,
        media_type: Some(image.media_type),
        referrers: image.referrers,
    });
    Ok(Archive {
        source,
        form: Form::Bundle,
        id,
        images: images.collect(),
        signed_by,
        files,
        deltas,
        made: HashMap::new(),
    })
}

/// Every entry that the manifest names is there at its size, and no other.
fn take_files(
    source: &dyn Source,
    manifest: &BundleManifest,
    mut entries: Entries,
) -> Result<(HashMap<Digest, Entry>, HashMap<Digest, ArchivedDelta>)> {
    for file in &manifest.files {
        let entry = entries
            .remove(&file.name)
            .ok_or_else(|| lacks(&file.name))?;
        let is_it = entry.size == file.size
            && digest_of(source, &entry, file.digest.algorithm())? == file.digest;
        if !is_it {
            return Err(changed(source, &format!("`{}`", excerpt(&file.name))));
        }
    }
    let manifests = manifest.manifests.iter();
    let manifests = manifests.map(|manifest| (&manifest.digest, manifest.size));
    let blobs = manifest.blobs.iter().filter(|blob| blob.in_bundle);
    let blobs = blobs.map(|blob| (&blob.digest, blob.size));
    let mut files = HashMap::new();
    for (digest, size) in manifests.chain(blobs) {
        let name = blob_entry(digest);
        let entry = entries.remove(&name).ok_or_else(|| lacks(&name))?;
        if entry.size != size {
            return Err(changed(source, &format!("`{name}`")));
        }
        files.insert(digest.clone(), entry);
    }
    let mut deltas = HashMap::new();
    for bundled in &manifest.deltas {
        let name = delta_entry(&bundled.digest);
        let entry = entries.remove(&name).ok_or_else(|| lacks(&name))?;
        if entry.size != bundled.size {
            return Err(changed(source, &format!("`{name}`")));
        }
        let bundled = bundled.clone();
        deltas.insert(bundled.digest.clone(), ArchivedDelta { entry, bundled });
    }
    match entries.into_keys().next() {
        Some(name) => {
            let what = format!(
                "the bundle has `{}`, which its manifest does not name",
                excerpt(&name)
            );
            Err(Error::new(Kind::ManifestInvalid, what).remedy("do not trust whoever made it"))
        }
        None => Ok((files, deltas)),
    }
}

/// The id of the key that has signed it; `None` where nobody asks for a signature.
fn verify(
    source: &dyn Source,
    manifest: &Entry,
    signature: Option<&Entry>,
    keys: &[VerifyKey],
) -> Result<Option<String>> {
    let mut signed_by = None;
    for key in keys {
        let Some(signature) = signature else {
            let what = format!(
                "the bundle is not signed, and only what the key {} has signed is imported",
                key.id()
            );
            return Err(Error::new(Kind::Denied, what)
                .remedy("export it again with --sign and the secret key of that one"));
        };
        let text = document(source, signature, SIGNATURE, MAX_SIGNATURE)?;
        let mut message = Message::default();
        std::io::copy(&mut Reading::of(source, manifest), &mut message).map_err(unread)?;
        let verified = key.verify(message, &String::from_utf8_lossy(&text));
        verified.map_err(|error| {
            let remedy =
                "have it exported again by whoever has the secret key, and trust nobody else's";
            error.context("the bundle is refused").remedy(remedy)
        })?;
        signed_by = Some(key.id());
    }
    Ok(signed_by)
}

fn lacks(name: &str) -> Error {
    let what = format!(
        "the bundle lacks `{}`, which its manifest names",
        excerpt(name)
    );
    Error::new(Kind::ManifestInvalid, what).remedy("export it again")
}
