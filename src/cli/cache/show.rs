//! `breakwater cache show`.

use clap::Args;

use crate::admin::{ImageDetails, ShowCachedImage, Stays};
use crate::cli::output::{Table, counted, print, print_json, shown_size, shown_time};
use crate::cli::workplace::Workplace;
use crate::error::Result;
use crate::human::short_digest;

/// Show one image: what it consists of, what of it others need too, who pulled it, and when it would go
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater cache show alpine
  breakwater cache show quay.io/org/x:1.0 --json
  breakwater cache show hosted:acme/app:1.0")]
pub(super) struct Show {
    /// As for docker: alpine, alpine:3.20, quay.io/org/x@sha256:…; or hosted:PATH:TAG for a pushed one
    image: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) fn run(self, place: &Workplace) -> Result<()> {
        let image = place.perform(ShowCachedImage {
            image: self.image,
            brief: false,
            recall: false,
            without_sharing: false,
        })?;
        if self.json {
            return print_json(&image);
        }
        for (field, value) in fields(&image) {
            print(&format!("{field:<14} {value}"))?;
        }
        parts(&image)?;
        referrers(&image)?;
        pulls(&image)
    }
}

fn fields(image: &ImageDetails) -> Vec<(&'static str, String)> {
    let host = image.upstream.as_deref().map(|host| format!("{host}/"));
    let name = format!("{}{}", host.unwrap_or_default(), image.repository);
    let name = match &image.tag {
        Some(tag) => format!("{name}:{tag}"),
        None => format!("{name}@{}", image.digest),
    };
    let shared = image.size.saturating_sub(image.exclusive_bytes);
    let (size, shared) = (shown_size(image.size), shown_size(shared));
    let mut fields = vec![
        ("image", name),
        ("digest", image.digest.clone()),
        ("type", image.media_type.clone()),
        ("size", format!("{size}, of which others need {shared} too")),
    ];
    if image.missing > 0 {
        let remedy = match image.pushed_by {
            Some(_) => "push it again, or put the files back from a backup",
            None => "the next pull fetches them, if its upstream answers",
        };
        let missing = image.missing;
        fields.push((
            "kept",
            format!("in part: {missing} of its parts are missing; {remedy}"),
        ));
    }
    match &image.pushed_by {
        Some(pushed_by) => {
            fields.push(("pushed", format!("{} by {pushed_by}", image.fetched_at)));
        }
        None => {
            fields.push(("fetched", image.fetched_at.to_string()));
            fields.push(("confirmed", shown_time(image.confirmed_at, "never")));
        }
    }
    fields.push(("last pulled", shown_time(image.last_pulled_at, "never")));
    if image.pushed_by.is_none() {
        fields.push(("gone upstream", shown_time(image.gone_at, "no")));
        fields.push(("goes", goes(image)));
        if let Some(at) = image.unused_at {
            fields.push(("", format!("or at {at}, if nobody pulls it")));
        }
    }
    fields
}

/// Why it is still here.
fn goes(image: &ImageDetails) -> String {
    match (image.stays, &image.before) {
        (Some(Stays::Pinned), _) if image.pins.is_empty() => {
            "never: what it belongs to is pinned".to_owned()
        }
        (Some(Stays::Pinned), _) => format!("never: pinned by {}", image.pins.join(", ")),
        (Some(Stays::Busy), _) => {
            "not now: it was pulled or fetched in the last minutes".to_owned()
        }
        (Some(Stays::Away), _) => {
            "not now: its upstream does not answer or may not be asked".to_owned()
        }
        (Some(Stays::Part), _) => "with what it is a part of".to_owned(),
        (Some(Stays::Gone), _) => "last: the upstream does not have it any more".to_owned(),
        (None, Some(before)) => match before.images {
            0 => "next, when there has to be room".to_owned(),
            images => format!(
                "when there has to be room, after {}, {}",
                counted(images, "image"),
                shown_size(before.bytes)
            ),
        },
        (None, None) => "when there has to be room".to_owned(),
    }
}

fn parts(image: &ImageDetails) -> Result<()> {
    if image.parts.is_empty() {
        return Ok(());
    }
    print("")?;
    let mut table = Table::new(&["PART", "WHAT", "SIZE", "HERE", "ALSO NEEDED BY"]);
    let top = image.parts.iter().filter(|part| part.of.is_none());
    for part in top {
        let of = |child: &&crate::admin::PartView| child.of.as_deref() == Some(&part.digest);
        let children = image.parts.iter().filter(of);
        for (indent, part) in std::iter::once(("", part)).chain(children.map(|child| ("  ", child)))
        {
            table.row([
                format!("{indent}{}", short_digest(&part.digest)),
                match &part.platform {
                    Some(platform) => platform.clone(),
                    None => kind(&part.media_type).to_owned(),
                },
                shown_size(part.size),
                crate::cli::output::yes(part.is_cached),
                match part.shared_with {
                    0 => String::new(),
                    1 => "1 other manifest".to_owned(),
                    others => format!("{others} other manifests"),
                },
            ]);
        }
    }
    table.print()?;
    match image.more_parts {
        true => print("and more"),
        false => Ok(()),
    }
}

fn kind(media_type: &str) -> &str {
    match media_type {
        _ if media_type.contains("config") || media_type.contains("container.image") => "config",
        _ if media_type.contains("layer") || media_type.contains("rootfs") => "layer",
        _ if media_type.contains("manifest") => "manifest",
        other => other,
    }
}

fn referrers(image: &ImageDetails) -> Result<()> {
    if image.referrers.is_empty() {
        return Ok(());
    }
    print("")?;
    let mut table = Table::new(&["ATTACHED", "WHAT", "BY ITS TAG"]);
    for referrer in &image.referrers {
        table.row([
            short_digest(&referrer.digest).to_owned(),
            referrer.artifact_type.clone().unwrap_or_default(),
            referrer.tag.clone().unwrap_or_default(),
        ]);
    }
    table.print()
}

fn pulls(image: &ImageDetails) -> Result<()> {
    if image.pulls.is_empty() {
        return Ok(());
    }
    print("")?;
    let mut table = Table::new(&["PULLED FOR", "FIRST", "LAST", "TIMES"]);
    for pulls in &image.pulls {
        table.row([
            pulls
                .group_path
                .clone()
                .unwrap_or_else(|| "(a group that is gone)".to_owned()),
            pulls.first_at.to_string(),
            pulls.last_at.to_string(),
            pulls.count.to_string(),
        ]);
    }
    table.print()
}
