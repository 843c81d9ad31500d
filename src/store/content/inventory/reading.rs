//! Reading the inventory, table by table, in one transaction.

use std::collections::HashMap;
use std::ops::ControlFlow;

use rusqlite::{Connection, Row};

use super::{
    CachedRepository, Inventory, InventoryBlob, InventoryManifest, InventoryPulls, InventoryTag,
    LooseBlob, Part,
};
use crate::error::Result;
use crate::oci::{RegistryHost, RepositoryName, Tag};
use crate::store::cache::MAY_BE_PUSHED;
use crate::store::content::Content;
use crate::store::content::reach::REFERRED_BLOB;
use crate::store::statement::{decoded, find, size, visit};
use crate::store::{Frequency, RepositoryId};

impl Content {
    /// What is cached, as far as notes of pulls are written.
    pub fn inventory(&self) -> Result<Inventory> {
        self.reading.scan_consistent(|connection| {
            let mut reading = ReadInventory {
                connection,
                inventory: Inventory::default(),
                repositories: HashMap::new(),
            };
            reading.repositories()?;
            reading.blobs()?;
            reading.manifests()?;
            reading.references()?;
            reading.attached()?;
            reading.tags()?;
            reading.pulls()?;
            reading.links()?;
            let text = "SELECT 1 FROM cache.state WHERE key = ?1";
            let noted = find(
                connection,
                "look for lost rows",
                text,
                [MAY_BE_PUSHED],
                |_| Ok(()),
            )?;
            reading.inventory.unlinked_may_be_pushed = noted.is_some();
            Ok(reading.inventory)
        })
    }
}

struct ReadInventory<'a> {
    connection: &'a Connection,
    inventory: Inventory,
    /// The places of repositories by their rows.
    repositories: HashMap<i64, usize>,
}

impl ReadInventory<'_> {
    fn each(
        &mut self,
        what: &'static str,
        text: &str,
        mut see: impl FnMut(&mut Self, &Row<'_>) -> rusqlite::Result<()>,
    ) -> Result<()> {
        let connection = self.connection;
        visit(connection, what, text, [], |row| {
            see(self, row).map(|()| ControlFlow::Continue(()))
        })
    }

    fn repositories(&mut self) -> Result<()> {
        let text = "SELECT repositories.id, origins.upstream, repositories.name
             FROM cache.repositories JOIN cache.origins ON origins.id = repositories.origin_id
             WHERE removed_from IS NULL ORDER BY repositories.id";
        self.each("list repositories", text, |this, row| {
            let id = RepositoryId(row.get(0)?);
            let place = this.inventory.repositories.len();
            this.repositories.insert(id.0, place);
            this.inventory.repositories.push(CachedRepository {
                id,
                upstream: decoded(row, 1, RegistryHost::parse)?,
                name: decoded(row, 2, RepositoryName::parse)?,
            });
            Ok(())
        })
    }

    fn blobs(&mut self) -> Result<()> {
        let text = "SELECT id, size, added_at FROM cache.blobs ORDER BY id";
        self.each("list cached blobs", text, |this, row| {
            this.inventory.blobs.push(InventoryBlob {
                id: row.get(0)?,
                size: size(row, 1)?,
                added_at: row.get(2)?,
                is_hosted: false,
                links: 0,
            });
            Ok(())
        })?;
        let text = "SELECT cached.id FROM registry.blobs AS hosted
             CROSS JOIN cache.blobs AS cached ON cached.digest = hosted.digest";
        self.each(
            "list blobs that are pushed and cached",
            text,
            |this, row| {
                let id = row.get(0)?;
                if let Some(blob) = this.blob_place(id).and_then(|place| this.blob_mut(place)) {
                    blob.is_hosted = true;
                }
                Ok(())
            },
        )
    }

    fn manifests(&mut self) -> Result<()> {
        let text = "SELECT manifests.id, repository_id, blobs.id, digest, fetched_at
             FROM cache.manifests CROSS JOIN cache.blobs ON blobs.id = blob_id
             ORDER BY manifests.id";
        self.each("list cached manifests", text, |this, row| {
            let repository = this.repositories.get(&row.get(1)?);
            let (Some(&repository), Some(own)) = (repository, this.blob_place(row.get(2)?)) else {
                // It is being removed.
                return Ok(());
            };
            this.inventory.manifests.push(InventoryManifest {
                id: row.get(0)?,
                digest: row.get(3)?,
                repository,
                blobs: Box::new([own]),
                parts: Vec::new(),
                tags: Vec::new(),
                fetched_at: row.get(4)?,
                pulls: Vec::new(),
            });
            Ok(())
        })
    }

    /// What manifests refer to: all of it is a need for bytes, and what is a manifest of the same repository is a part.
    fn references(&mut self) -> Result<()> {
        let mut by_blob: HashMap<(usize, u32), usize> = HashMap::new();
        for (place, manifest) in self.inventory.manifests.iter().enumerate() {
            let own = manifest.blobs.first().copied().unwrap_or_default();
            by_blob.insert((manifest.repository, own), place);
        }
        let text = format!(
            "SELECT manifest_id, blobs.id FROM cache.manifest_references
             CROSS JOIN cache.blobs ON {REFERRED_BLOB} ORDER BY manifest_id"
        );
        let mut of: (Option<usize>, Vec<u32>) = (None, Vec::new());
        self.each("list references", &text, |this, row| {
            let (manifest, blob) = (
                this.manifest_place(row.get(0)?),
                this.blob_place(row.get(1)?),
            );
            if manifest != of.0 {
                this.add_blobs(of.0, &mut of.1);
                of.0 = manifest;
            }
            of.1.extend(blob);
            Ok(())
        })?;
        self.add_blobs(of.0, &mut of.1);
        for manifest in &mut self.inventory.manifests {
            let repository = manifest.repository;
            let parts = manifest.blobs.iter().skip(1);
            let parts = parts.filter_map(|blob| by_blob.get(&(repository, *blob)));
            manifest.parts = parts
                .map(|&manifest| Part {
                    manifest,
                    is_attached: false,
                })
                .collect();
        }
        Ok(())
    }

    fn add_blobs(&mut self, manifest: Option<usize>, blobs: &mut Vec<u32>) {
        let manifest = manifest.and_then(|place| self.inventory.manifests.get_mut(place));
        if let Some(manifest) = manifest {
            let own = manifest.blobs.first().copied();
            let others = blobs.iter().copied().filter(|blob| Some(*blob) != own);
            manifest.blobs = own.into_iter().chain(others).collect();
        }
        blobs.clear();
    }

    fn attached(&mut self) -> Result<()> {
        let text = "SELECT attached.id, subject.id FROM cache.manifests AS attached
             CROSS JOIN cache.blobs ON blobs.digest = attached.subject
             CROSS JOIN cache.manifests AS subject ON subject.blob_id = blobs.id
                 AND subject.repository_id = attached.repository_id
             WHERE attached.subject IS NOT NULL";
        self.each("list what is attached", text, |this, row| {
            let attached = this.manifest_place(row.get(0)?);
            let subject = this.manifest_place(row.get(1)?);
            this.attach(attached, subject);
            Ok(())
        })
    }

    fn attach(&mut self, attached: Option<usize>, subject: Option<usize>) {
        if let (Some(manifest), Some(subject)) = (attached, subject)
            && let Some(subject) = self.inventory.manifests.get_mut(subject)
        {
            subject.parts.push(Part {
                manifest,
                is_attached: true,
            });
        }
    }

    /// Tags; and what cosign attaches by the name of its tag, `sha256-HEX.sig` for the manifest `sha256:HEX`.
    fn tags(&mut self) -> Result<()> {
        let text = "SELECT manifest_id, name, gone_at, subject.id
             FROM cache.tags
             LEFT JOIN cache.blobs ON tags.name GLOB 'sha256-*'
                 AND blobs.digest = 'sha256:' || substr(tags.name, 8, 64)
             LEFT JOIN cache.manifests AS subject ON subject.blob_id = blobs.id
                 AND subject.repository_id = tags.repository_id";
        self.each("list cached tags", text, |this, row| {
            let place = this.manifest_place(row.get(0)?);
            let subject: Option<i64> = row.get(3)?;
            if let Some(subject) = subject {
                let subject = this.manifest_place(subject);
                this.attach(place, subject);
            }
            let tag = InventoryTag {
                name: decoded(row, 1, Tag::parse)?.as_str().to_owned(),
                gone_at: row.get(2)?,
            };
            let manifest = place.and_then(|place| this.inventory.manifests.get_mut(place));
            if let Some(manifest) = manifest {
                manifest.tags.push(tag);
            }
            Ok(())
        })
    }

    fn pulls(&mut self) -> Result<()> {
        let text = "SELECT manifest_id, group_id, weight, last_at FROM cache.pulls
             ORDER BY manifest_id, group_id";
        self.each("list pulls", text, |this, row| {
            let group = row.get(1)?;
            let pulls = Frequency {
                weight: row.get(2)?,
                at: row.get(3)?,
            };
            let place = this.manifest_place(row.get(0)?);
            let manifest = place.and_then(|place| this.inventory.manifests.get_mut(place));
            let Some(manifest) = manifest else {
                return Ok(());
            };
            match manifest.pulls.last_mut() {
                Some(last) if last.group == group => last.pulls = last.pulls.and(pulls),
                _ => manifest.pulls.push(InventoryPulls { group, pulls }),
            }
            Ok(())
        })
    }

    fn links(&mut self) -> Result<()> {
        let mut explained: Vec<(usize, u32)> = Vec::new();
        for manifest in &self.inventory.manifests {
            let blobs = manifest.blobs.iter();
            explained.extend(blobs.map(|blob| (manifest.repository, *blob)));
        }
        explained.sort_unstable();
        explained.dedup();
        let text = "SELECT repository_id, blob_id, linked_at FROM cache.blob_links";
        self.each("list links", text, |this, row| {
            let Some(blob) = this.blob_place(row.get(1)?) else {
                return Ok(());
            };
            let repository = this.repositories.get(&row.get(0)?).copied();
            if let Some(blob) = this.blob_mut(blob) {
                blob.links = blob.links.saturating_add(1);
            }
            let is_explained = |repository| explained.binary_search(&(repository, blob)).is_ok();
            if let Some(repository) = repository
                && !is_explained(repository)
            {
                this.inventory.loose.push(LooseBlob {
                    repository: Some(repository),
                    blob,
                    since: row.get(2)?,
                });
            }
            Ok(())
        })?;
        let mut needed: Vec<bool> = self
            .inventory
            .blobs
            .iter()
            .map(|blob| blob.links > 0)
            .collect();
        for (_, blob) in explained {
            if let Some(needed) = needed.get_mut(blob as usize) {
                *needed = true;
            }
        }
        let blobs = self.inventory.blobs.iter().zip(needed).enumerate();
        let unneeded = blobs.filter(|(_, (_, is_needed))| !is_needed);
        let unneeded = unneeded.filter_map(|(place, (blob, _))| {
            Some(LooseBlob {
                repository: None,
                blob: u32::try_from(place).ok()?,
                since: blob.added_at,
            })
        });
        self.inventory.loose.extend(unneeded);
        Ok(())
    }

    fn blob_place(&self, id: i64) -> Option<u32> {
        let blobs = &self.inventory.blobs;
        let place = blobs.binary_search_by_key(&id, |blob| blob.id.0).ok()?;
        u32::try_from(place).ok()
    }

    fn blob_mut(&mut self, place: u32) -> Option<&mut InventoryBlob> {
        self.inventory.blobs.get_mut(place as usize)
    }

    fn manifest_place(&self, id: i64) -> Option<usize> {
        let manifests = &self.inventory.manifests;
        manifests
            .binary_search_by_key(&id, |manifest| manifest.id.0)
            .ok()
    }
}
