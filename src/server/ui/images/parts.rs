//! What an image consists of, as tables: for what is kept and for what was pushed.

use maud::{Markup, html};

use crate::admin::ReferrerView;
use crate::oci::MediaType;
use crate::server::ui::parts;

/// So many parts are shown: an index may have thousands.
const SHOWN: usize = 100;

/// A platform, the config or a layer.
pub(super) struct Part<'a> {
    pub(super) digest: &'a str,
    pub(super) media_type: &'a str,
    pub(super) platform: Option<&'a str>,
    pub(super) of: Option<&'a str>,
    pub(super) size: u64,
    pub(super) is_here: bool,
    /// How many other manifests need it; `None` where that is not told.
    pub(super) shared_with: Option<u64>,
}

/// What a manifest is, for people.
pub(super) fn kind(media_type: &str) -> &'static str {
    match MediaType::parse(media_type) {
        Some(known) if known.is_index() => "several platforms",
        _ => "one image",
    }
}

fn what(media_type: &str) -> &str {
    match media_type {
        _ if media_type.contains("config") || media_type.contains("container.image") => "config",
        _ if media_type.contains("layer") || media_type.contains("rootfs") => "layer",
        _ if media_type.contains("manifest") => "manifest",
        other => other,
    }
}

/// Each platform with its own parts behind it.
pub(super) fn table(all: &[Part<'_>]) -> Markup {
    let tells_sharing = all.iter().any(|part| part.shared_with.is_some());
    let mut headings = vec!["Part", "Digest", "Size", "Kept"];
    if tells_sharing {
        headings.push("Also needed by");
    }
    let top = all.iter().filter(|part| part.of.is_none());
    let ordered = top.flat_map(|part| {
        let children = all.iter();
        let children = children.filter(|child| child.of == Some(part.digest));
        std::iter::once(part).chain(children)
    });
    let left = all.len().saturating_sub(SHOWN);
    html! {
        @match all.is_empty() {
            true => p.empty { "Its manifest is not kept whole, so nothing is known of its parts." },
            false => {
                (parts::table(&headings, ordered.take(SHOWN).map(row)))
                @if left > 0 { p.count { "and " (left) " more" } }
            }
        }
    }
}

fn row(part: &Part<'_>) -> Markup {
    html! {
        td.inner[part.of.is_some()] {
            @match part.platform {
                Some(platform) => strong { (platform) },
                None => (what(part.media_type)),
            }
        }
        td { (parts::digest(part.digest)) }
        td.number { (parts::size(part.size)) }
        td { @if part.is_here { "yes" } @else { span.badge { "no" } } }
        @if let Some(others) = part.shared_with {
            td {
                @match others {
                    0 => "",
                    1 => "1 other manifest",
                    others => { (others) " other manifests" },
                }
            }
        }
    }
}

/// Signatures and whatever else is attached to the image.
pub(super) fn referrers(referrers: &[ReferrerView], if_none: &str) -> Markup {
    html! {
        h2 { "Signatures and attachments" }
        @match referrers.is_empty() {
            true => p.empty { (if_none) },
            false => (parts::table(&["Digest", "What it is", "Found by"], referrers.iter().map(|referrer| html! {
                td { (parts::digest(&referrer.digest)) }
                td { (attached(referrer)) }
                td {
                    @match &referrer.tag {
                        Some(tag) => { "the tag " code { (tag) } },
                        None => "naming the image as its subject",
                    }
                }
            }))),
        }
    }
}

fn attached(referrer: &ReferrerView) -> Markup {
    let artifact_type = referrer.artifact_type.as_deref().unwrap_or_default();
    let tag = referrer.tag.as_deref().unwrap_or_default();
    let word = match (artifact_type, tag) {
        (kind, tag) if kind.contains("sig") || tag.ends_with(".sig") => "signature",
        (kind, tag) if kind.contains("in-toto") || tag.ends_with(".att") => "attestation",
        (kind, tag)
            if kind.contains("spdx") || kind.contains("cyclonedx") || tag.ends_with(".sbom") =>
        {
            "bill of materials"
        }
        _ => "attachment",
    };
    html! { (word) @if !artifact_type.is_empty() { " " code { (artifact_type) } } }
}
