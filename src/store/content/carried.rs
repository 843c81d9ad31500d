//! Images that are to be carried to another box, each with the manifests that belong to it.

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::images::{Source, image, keys_named};
use super::reach::{Attached, below};
use crate::error::Result;
use crate::oci::Digest;
use crate::store::CachedImage;
use crate::store::database::Database;
use crate::store::statement::list;
use crate::time::Timestamp;

/// One name of an image. Neither its size nor what is missing of it is known.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CarriedImage {
    pub image: CachedImage,
    /// The manifests of its repository that it consists of or that are attached to it, its own first.
    pub parts: Vec<CarriedPart>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CarriedPart {
    pub digest: Digest,
    pub media_type: String,
    /// What it is attached to.
    pub subject: Option<Digest>,
    /// The same by the name of its tag, if it has one that begins as such do.
    pub tag: Option<String>,
    /// When it came, from the upstream or by a push.
    pub arrived_at: Timestamp,
}

impl Database {
    /// The images that `is_meant` takes, in the order of their names. Only those are read whose names `is_near` takes.
    pub(in crate::store) fn carried_images(
        &self,
        source: &Source,
        is_near: impl FnMut(&str) -> bool,
        mut is_meant: impl FnMut(&CachedImage) -> bool,
    ) -> Result<Vec<CarriedImage>> {
        let parts_text = parts_text(source);
        self.scan_consistent(|connection| {
            let near = keys_named(connection, source, is_near)?;
            let mut carried = Vec::new();
            for key in near {
                let image = image(connection, source, &key)?;
                if is_meant(&image) {
                    carried.push(CarriedImage {
                        parts: parts(connection, &parts_text, key.manifest)?,
                        image,
                    });
                }
            }
            Ok(carried)
        })
    }
}

fn parts_text(source: &Source) -> String {
    let parts = below(
        "parts",
        "SELECT id, repository_id FROM manifests WHERE id = ?1",
        Attached::AlsoByTag,
    );
    format!(
        "WITH RECURSIVE {parts}
         SELECT blobs.digest, manifests.media_type, manifests.subject, tags.name, {}
         FROM parts
         CROSS JOIN manifests ON manifests.id = parts.id
         CROSS JOIN blobs ON blobs.id = manifests.blob_id
         LEFT JOIN tags ON tags.manifest_id = manifests.id AND manifests.id <> ?1
             AND (tags.name GLOB 'sha256-*' OR tags.name GLOB 'sha512-*')
         ORDER BY manifests.id <> ?1, blobs.digest, tags.name",
        source.arrived_at
    )
}

fn parts(connection: &Connection, text: &str, manifest: i64) -> Result<Vec<CarriedPart>> {
    list(
        connection,
        "list what belongs to an image",
        text,
        [manifest],
        |row| {
            Ok(CarriedPart {
                digest: row.get(0)?,
                media_type: row.get(1)?,
                subject: row.get(2)?,
                tag: row.get(3)?,
                arrived_at: row.get(4)?,
            })
        },
    )
}
