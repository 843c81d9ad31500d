//! The list of a manifest's referrers (distribution-spec 1.1, "Listing Referrers"), written as it is read: annotations
//! are passed on as they are stored, and are never a tree in memory.

use serde_json::json;
use serde_json::value::RawValue;

use super::{Registry, check, repository};
use crate::auth::policy::{RepositoryGrant, Wanted};
use crate::error::Result;
use crate::oci::{Digest, MediaType};
use crate::spool::{Content, Owner, Spool};
use crate::store::{FoundReferrer, Referrer};

/// How much of a list of referrers is put into one answer, and always one entry.
const PAGE_BYTES: u64 = 2 * 1024 * 1024;
/// About how many bytes an entry without annotations has.
const ENTRY_BYTES: u64 = 512;

/// A part of the list of referrers.
pub struct ReferrersPage {
    /// An index (image-spec image-index.md).
    pub index: Content,
    /// The digest behind which there are more.
    pub next_after: Option<Digest>,
}

/// Whose referrers are asked for, and which of them.
pub struct ReferrersQuery<'a> {
    /// The manifest that they refer to.
    pub subject: &'a Digest,
    /// Only those of this type.
    pub artifact_type: Option<&'a str>,
    /// Only those whose digest is behind this.
    pub after: &'a str,
    /// At most so many.
    pub count: u64,
    /// On whose behalf the answer is held.
    pub owner: Owner,
}

impl Registry {
    /// Manifests with this subject, by digest. None for a subject or a repository that is not here: it may come
    /// later.
    ///
    /// # Errors
    /// `Sql`; `Unavailable` where the box holds too much for the owner already.
    pub fn referrers(
        &self,
        grant: &RepositoryGrant,
        query: &ReferrersQuery<'_>,
    ) -> Result<ReferrersPage> {
        check(grant, Wanted::Pull)?;
        let rows = &self.store.registry;
        let mut found = rows.find_referrers(
            repository(grant),
            query.subject,
            query.artifact_type,
            query.after,
            query.count.saturating_add(1),
        )?;
        let fitting = fitting(&found, query.count);
        let has_more = found.len() > fitting;
        found.truncate(fitting);
        let spools = &self.store.spools;
        // SQLite gives a text as a whole: the longest one is what is in memory.
        let longest = found.iter().map(|one| one.annotations).max();
        let index = spools.work(query.owner.clone(), longest.unwrap_or(0), || {
            self.write_index(&found, &query.owner)
        })?;
        Ok(ReferrersPage {
            index,
            next_after: found.pop().filter(|_| has_more).map(|last| last.digest),
        })
    }

    fn write_index(&self, found: &[FoundReferrer], owner: &Owner) -> Result<Content> {
        let mut index = self.store.spools.spool(owner.clone());
        let media_type = MediaType::OciIndex.as_str();
        index.append(
            format!(r#"{{"schemaVersion":2,"mediaType":"{media_type}","manifests":["#).as_bytes(),
        )?;
        let mut is_first = true;
        self.store.registry.read_referrers(found, |referrer| {
            let separator: &[u8] = if is_first { b"" } else { b"," };
            is_first = false;
            index.append(separator)?;
            write_entry(&mut index, &referrer)
        })?;
        index.append(b"]}")?;
        index.finish()
    }
}

/// How many of them make a page: at most `count`, and at most [`PAGE_BYTES`] of them, but always one.
fn fitting(found: &[FoundReferrer], count: u64) -> usize {
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let mut taken = 0_u64;
    let fits = |referrer: &&FoundReferrer| {
        let is_first = taken == 0;
        taken = taken.saturating_add(ENTRY_BYTES.saturating_add(referrer.annotations));
        is_first || taken <= PAGE_BYTES
    };
    found.iter().take(most).take_while(fits).count()
}

/// An entry of an index: the stored annotations stand in it as they are.
fn write_entry(index: &mut Spool, referrer: &Referrer<'_>) -> Result<()> {
    let mut fields = json!({
        "mediaType": referrer.media_type,
        "digest": referrer.digest.as_str(),
        "size": referrer.size,
    });
    if let (Some(artifact_type), Some(fields)) = (referrer.artifact_type, fields.as_object_mut()) {
        fields.insert("artifactType".to_owned(), json!(artifact_type));
    }
    let fields = fields.to_string();
    // Those of a damaged row are left out: they must not take the list of the others with them.
    let is_json = |text: &&str| serde_json::from_str::<&RawValue>(text).is_ok();
    let Some(annotations) = referrer.annotations.filter(is_json) else {
        return index.append(fields.as_bytes());
    };
    index.append(fields.strip_suffix('}').unwrap_or(&fields).as_bytes())?;
    index.append(br#","annotations":"#)?;
    index.append(annotations.as_bytes())?;
    index.append(b"}")
}
