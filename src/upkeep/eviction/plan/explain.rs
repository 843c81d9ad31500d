//! How images stand, for whoever asks why one is still here.

use super::{Planning, Question, Stays};
use crate::store::Inventory;
use crate::time::Timestamp;

/// What is known of each image, for whoever explains: see [`explain`].
pub struct Explained {
    /// When it, or a part of it, was last pulled or fetched.
    pub used_at: Timestamp,
    /// What only it needs.
    pub exclusive: u64,
    /// All that it needs.
    pub size: u64,
    pub stays: Option<Stays>,
}

/// How an image stands.
pub fn explain(
    inventory: &Inventory,
    question: &Question<'_>,
    manifest: usize,
) -> Option<Explained> {
    let planning = Planning::new(inventory, question);
    let node = planning.nodes.get(manifest)?;
    let bundle = planning.bundle(manifest);
    Some(Explained {
        used_at: node.used.at,
        exclusive: planning.frees(&bundle),
        size: planning.size(manifest),
        stays: planning.stays(manifest),
    })
}

/// How all images stand, by their places.
pub fn explain_all(inventory: &Inventory, question: &Question<'_>) -> Vec<Explained> {
    let planning = Planning::new(inventory, question);
    let manifests = planning.nodes.iter().enumerate();
    let explained = manifests.map(|(manifest, node)| Explained {
        used_at: node.used.at,
        exclusive: planning.frees(&planning.bundle(manifest)),
        size: planning.size(manifest),
        stays: planning.stays(manifest),
    });
    explained.collect()
}
