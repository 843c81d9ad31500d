//! Bundles: images in one tar, to be carried to a box that has no way to their upstreams.
//!
//! A bundle is an OCI image layout, which skopeo, podman and containerd read, with docker's classic `manifest.json`, which
//! `docker load` reads. Its entries come in this order:
//!
//! 1. `oci-layout`
//! 2. `breakwater-bundle.json`: a [`BundleManifest`], which names the digest of every other entry
//! 3. `breakwater-bundle.json.minisig`, if it was signed: a signature by minisign of the entry before
//! 4. `index.json`: a descriptor for each name
//! 5. `manifest.json`, docker's: the images that are whole in this bundle
//! 6. `blobs/ALGORITHM/HEX`: indexes, then other manifests, configs, and layers, as the [`BundleManifest`] lists them
//! 7. `deltas/ALGORITHM/HEX`: of layers whose old version the other side has, what has changed in them (`delta`)
//!
//! Whoever has read the second entry, and the signature behind it, knows of everything that follows whether it is what was
//! exported. The same content gives the same bytes: entries are sorted by digest and have no times and no owners.

mod delta;
mod format;
pub mod import;
mod layout;
mod made;
mod plan;
mod sign;
mod walk;
mod writer;

pub use delta::{ChangedLayer, Deltas};
pub use format::{
    BundleManifest, BundledBlob, BundledDelta, BundledFile, BundledImage, BundledManifest,
    BundledReferrer, DeltaReference, FORMAT, FORMAT_WITH_DELTAS, ImageKind,
};
pub use made::Bundle;
pub use plan::{LeftOut, Plan, WantedImage, plan};
pub use sign::{Message, SigningKey, VerifyKey};
pub use writer::{Chunk, Sink, write};

use crate::oci::Digest;

/// Says that the archive is an OCI image layout.
pub const LAYOUT: &str = "oci-layout";
/// Its text: byte for byte the same in every bundle.
pub const LAYOUT_TEXT: &str = "{\"imageLayoutVersion\":\"1.0.0\"}";
/// A [`BundleManifest`].
pub const MANIFEST: &str = "breakwater-bundle.json";
/// The signature of [`MANIFEST`].
pub const SIGNATURE: &str = "breakwater-bundle.json.minisig";
/// The layout's list of names.
pub const INDEX: &str = "index.json";
/// Docker's list of images.
pub const DOCKER_MANIFEST: &str = "manifest.json";

/// The longest [`MANIFEST`]: some hundred thousand files. Whoever reads one of a stranger holds no more in memory.
pub const MANIFEST_LIMIT: u64 = 32 * 1024 * 1024;

/// The name of a manifest's or blob's entry.
pub fn blob_entry(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

/// The name of the entry with what has changed in a layer.
pub fn delta_entry(digest: &Digest) -> String {
    format!("deltas/{}/{}", digest.algorithm().as_str(), digest.hex())
}
