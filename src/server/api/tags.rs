//! The tags of container repositories, and what they point to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answer::{Answer, Failure, Message, object, page};
use super::ask::{Ask, Place};
use super::repositories::{find, grant, location, of_one};
use super::table::{Shape, Table};
use crate::admin::{ReferrerView, ShowCachedImage};
use crate::auth::policy::{TagAction, Wanted};
use crate::oci::{Reference, Tag};
use crate::server::events::Removed;
use crate::store::{HostedTag, RepositoryRow};
use crate::time::Timestamp;

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RepositoryTag")]
#[serde(deny_unknown_fields)]
pub(in crate::server) struct TagView {
    pub(in crate::server) name: String,
    path: String,
    pub(in crate::server) location: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RepositoryTagDetails", extend("additionalProperties" = false))]
pub(in crate::server) struct TagDetailsView {
    #[serde(flatten)]
    pub(in crate::server) tag: TagView,
    pub(in crate::server) digest: String,
    pub(in crate::server) total_size: u64,
    pub(in crate::server) created_at: Timestamp,
    /// By this tag, by anybody; not in GitLab
    pub(in crate::server) last_pulled_at: Option<Timestamp>,
}

/// What a tag points to. Whether others need its files too is not told, because they may be hidden from the caller.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RepositoryTagImage")]
#[serde(deny_unknown_fields)]
pub(in crate::server) struct TagImageView {
    pub(in crate::server) digest: String,
    pub(in crate::server) media_type: String,
    /// Bytes of all that it consists of and that is here
    pub(in crate::server) size: u64,
    /// Manifests and blobs that it consists of and that are not here
    pub(in crate::server) missing: u64,
    pub(in crate::server) pushed_at: Timestamp,
    /// Null for those who are no members
    pub(in crate::server) pushed_by: Option<String>,
    /// By any of its tags, or by its digest
    pub(in crate::server) last_pulled_at: Option<Timestamp>,
    /// All tags of this digest in the repository; the first 1,000
    pub(in crate::server) tags: Vec<String>,
    /// Platforms of an index, config and layers of an image; the first 1,000
    pub(in crate::server) parts: Vec<TagPartView>,
    /// Whether there are more; then `size` and `missing` are of those alone
    pub(in crate::server) more_parts: bool,
    /// Signatures, attestations and whatever else is attached to it
    pub(in crate::server) referrers: Vec<ReferrerView>,
    /// Whether the caller may delete the tag
    pub(in crate::server) may_delete: bool,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::server) struct TagPartView {
    pub(in crate::server) digest: String,
    pub(in crate::server) media_type: String,
    /// Of a manifest of an index, such as linux/arm64/v8
    pub(in crate::server) platform: Option<String>,
    /// The manifest of the index that it belongs to
    pub(in crate::server) of: Option<String>,
    /// Bytes; of a manifest those of its image
    pub(in crate::server) size: u64,
    pub(in crate::server) is_here: bool,
}

pub(super) fn endpoints(table: &mut Table) {
    let message = Shape::One(table.view::<Message>());
    let tags = Shape::Page(table.view::<TagView>());
    of_one(
        table,
        "GET",
        "/tags",
        "A repository's tags",
        tags,
        list_tags,
    );
    let (path, tag) = (
        "/tags/:tag_name",
        Shape::One(table.view::<TagDetailsView>()),
    );
    of_one(table, "GET", path, "One tag", tag, get_tag);
    let path = "/tags/:tag_name/image";
    let image = Shape::One(table.view::<TagImageView>());
    let summary = "What a tag points to: platforms, layers, signatures, and its other tags";
    of_one(table, "GET", path, summary, image, get_image);
    let path = "/tags/:tag_name";
    let summary = "Delete one tag; what it points to stays until it is collected";
    of_one(table, "DELETE", path, summary, message, delete_tag);
}

impl TagView {
    pub(super) fn new(ask: &Ask<'_, '_>, row: &RepositoryRow, tag: &str) -> Self {
        let path = format!("{}:{tag}", row.path);
        Self {
            name: tag.to_owned(),
            location: location(ask, &path),
            path,
        }
    }
}

fn list_tags(ask: &mut Ask<'_, '_>) -> Answer {
    let row = find(ask)?;
    grant(ask, &row, Wanted::Pull)?;
    let registry = &ask.store().registry;
    page(
        ask,
        |window| registry.tag_names(row.id, window),
        |tag| Ok(TagView::new(ask, &row, &tag)),
    )
}

/// The tag of the path.
fn find_tag(ask: &Ask<'_, '_>, row: &RepositoryRow) -> Result<HostedTag, Failure> {
    let found = match Tag::parse(ask.capture("tag_name")) {
        Ok(name) => ask.store().registry.tag(row.id, &name)?,
        Err(_) => None,
    };
    found.ok_or_else(|| Failure::not_found("Tag"))
}

fn get_tag(ask: &mut Ask<'_, '_>) -> Answer {
    let row = find(ask)?;
    grant(ask, &row, Wanted::Pull)?;
    let tag = find_tag(ask, &row)?;
    let view = TagDetailsView {
        tag: TagView::new(ask, &row, tag.name.as_str()),
        digest: tag.digest.to_string(),
        total_size: tag.total_size,
        created_at: tag.created_at,
        last_pulled_at: tag.last_pulled_at,
    };
    object(200, &json!(view))
}

fn get_image(ask: &mut Ask<'_, '_>) -> Answer {
    let row = find(ask)?;
    let grant = grant(ask, &row, Wanted::Pull)?;
    let tag = find_tag(ask, &row)?.name;
    let may_delete = grant.may_delete() && grant.judge_tag(&tag, TagAction::Delete).is_ok();
    let image = ask.perform(ShowCachedImage {
        image: format!("hosted:{}:{}", row.path, tag.as_str()),
        brief: true,
        recall: false,
        without_sharing: true,
    })?;
    let authority = match ask.place() {
        Place::Project(placed) => ask.on_project(&placed)?,
        _ => None,
    };
    let is_member = authority.is_some_and(|own| own.is_administrator || own.level.is_some());
    let parts = image.parts.into_iter().map(|part| TagPartView {
        digest: part.digest,
        media_type: part.media_type,
        platform: part.platform,
        of: part.of,
        size: part.size,
        is_here: part.is_cached,
    });
    let view = TagImageView {
        digest: image.digest,
        media_type: image.media_type,
        size: image.size,
        missing: image.missing,
        pushed_at: image.fetched_at,
        pushed_by: image.pushed_by.filter(|_| is_member),
        last_pulled_at: image.last_pulled_at,
        tags: image.tags,
        parts: parts.collect(),
        more_parts: image.more_parts,
        referrers: image.referrers,
        may_delete,
    };
    object(200, &json!(view))
}

fn delete_tag(ask: &mut Ask<'_, '_>) -> Answer {
    let row = find(ask)?;
    let grant = grant(ask, &row, Wanted::Delete)?;
    let tag = find_tag(ask, &row)?.name;
    ask.appliance.registry.delete_tag(&grant, &tag)?;
    let removed = Reference::Tag(tag);
    ask.appliance
        .record_removal(ask.call, &ask.identity, &grant, &Removed::Image(&removed));
    object(200, &json!(Message::new("200 OK")))
}
