//! When pushed images were last pulled, which is written in batches.

use rusqlite::{Connection, params};

use super::{HostedRepository, RegistryDb, repositories};
use crate::error::Result;
use crate::oci::{Digest, Tag};
use crate::store::ProjectId;
use crate::store::content::note_tag_pulled;
use crate::store::database::Synchronous;
use crate::store::deferred::Deferred;
use crate::store::statement::run;
use crate::time::Timestamp;

/// Only while nothing can be written for long are there more.
const MAX_NOTES: usize = 100_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Pulled {
    project: ProjectId,
    path: String,
    manifest: Digest,
    /// The tag that was asked for; `None`: asked for by digest.
    tag: Option<Tag>,
}

pub(super) type Pulls = Deferred<Pulled, Timestamp>;

pub(super) fn new() -> Pulls {
    Deferred::new(MAX_NOTES)
}

impl RegistryDb {
    /// Notes a pull in memory; written with the next batch, if the image is there by then.
    pub fn note_pull(
        &self,
        repository: HostedRepository<'_>,
        manifest: &Digest,
        tag: Option<&Tag>,
        now: Timestamp,
    ) {
        let pulled = Pulled {
            project: repository.project,
            path: repository.path.to_owned(),
            manifest: manifest.clone(),
            tag: tag.cloned(),
        };
        self.pulls.note(pulled, now);
    }

    /// Writes what was noted; the server calls it every few seconds and at the end. A power cut may undo it.
    pub fn write_notes(&self) -> Result<()> {
        self.pulls.write(|pulls| {
            self.database.write_with(Synchronous::Normal, |connection| {
                pulls
                    .iter()
                    .try_for_each(|(pulled, at)| write(connection, pulled, *at))
            })
        })
    }
}

fn write(connection: &Connection, pulled: &Pulled, at: Timestamp) -> Result<()> {
    let repository = HostedRepository {
        project: pulled.project,
        path: &pulled.path,
    };
    let Some(id) = repositories::id(connection, repository)? else {
        return Ok(());
    };
    run(
        connection,
        "write a pushed image's last pull",
        "UPDATE manifests SET last_pulled_at = max(ifnull(last_pulled_at, 0), ?3)
         WHERE repository_id = ?1 AND blob_id = (SELECT id FROM blobs WHERE digest = ?2)",
        params![id, pulled.manifest, at],
    )?;
    match &pulled.tag {
        Some(tag) => note_tag_pulled(connection, id, tag, at),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::{MediaType, Reference};
    use crate::store::registry::{NewHostedManifest, NewTag};

    #[test]
    fn a_pushed_image_and_its_tag_remember_their_last_pull() {
        let directory = tempfile::tempdir().unwrap();
        let registry = RegistryDb::open(&directory.path().join("registry.sqlite")).unwrap();
        let repository = HostedRepository {
            project: ProjectId(1),
            path: "acme/api",
        };
        let (digest, tag) = (Digest::of(b"{}"), Tag::parse("1.0").unwrap());
        let new = NewHostedManifest {
            digest: digest.clone(),
            media_type: MediaType::OciManifest,
            size: 2,
            artifact_type: None,
            subject: None,
            annotations: None,
            references: vec![],
            required: vec![],
            tags: vec![NewTag {
                name: tag.clone(),
                immutable_by: None,
            }],
            pushed_by: "eve".into(),
            now: Timestamp(1),
        };
        registry.put_manifest(repository, &new, &[]).unwrap();
        let reference = Reference::Tag(tag.clone());
        assert!(registry.manifest(repository, &reference).unwrap().is_some());
        let last_pulled = || registry.tag(1, &tag).unwrap().unwrap().last_pulled_at;
        for (at, tag) in [(20, Some(&tag)), (10, Some(&tag)), (30, None)] {
            registry.note_pull(repository, &digest, tag, Timestamp(at));
        }
        assert_eq!(last_pulled(), None, "in memory yet");
        registry.write_notes().unwrap();
        assert_eq!(last_pulled(), Some(Timestamp(20)));
        let of_manifest = registry.database.read(|connection| {
            let text = "SELECT last_pulled_at FROM manifests";
            crate::store::statement::get(connection, "look", text, [], |row| row.get::<_, i64>(0))
        });
        assert_eq!(of_manifest.unwrap(), 30_i64);
    }
}
