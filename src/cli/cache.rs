//! `breakwater cache`: what is kept. Reads the databases directly, whether a server runs or not; only `gc` changes
//! something, and has a file of its own.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::garbage::Gc;
use super::output::{Table, print, print_json, shown_size, shown_time, time};
use super::workplace::Workplace;
use super::{Outcome, unavailable};
use crate::error::{Error, Kind, Result};
use crate::oci::{ImageName, Reference};
use crate::store::{CachedImage, Store, Window};

/// The host of an image that is written without one, as docker has it.
const DOCKER_HUB: &str = "docker.io";

/// Show what is cached
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater cache list
  breakwater cache show alpine:3.20")]
pub(super) struct Cache {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List cached images
    #[command(after_help = "\
Examples:
  breakwater cache list
  breakwater cache list 'quay.io/*/x' --json")]
    List {
        /// Part of HOST/NAME:TAG; * stands for anything
        pattern: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one cached image
    #[command(after_help = "\
Examples:
  breakwater cache show alpine
  breakwater cache show quay.io/org/x:1.0 --json")]
    Show {
        /// As for docker: alpine, alpine:3.20, quay.io/org/x@sha256:…
        image: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show how much is cached
    #[command(after_help = "Example:\n  breakwater cache stats --json")]
    Stats {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    Gc(Gc),
}

impl Cache {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::List { pattern, json } => list(&place.open_store()?, pattern.as_deref(), json)?,
            Action::Show { image, json } => {
                let wanted = Wanted::parse(&image)?;
                show(&place.open_store()?, &image, &wanted, json)?;
            }
            Action::Stats { json } => stats(&place.open_store()?, json)?,
            Action::Gc(gc) => return gc.run(place),
        }
        Ok(Outcome::Done)
    }
}

fn list(store: &Store, pattern: Option<&str>, json: bool) -> Result<()> {
    let images = store.cache.images(pattern, Window::ALL)?.entries;
    if json {
        return print_json(&images.iter().map(shape).collect::<Vec<_>>());
    }
    let mut table = Table::new(&["IMAGE", "DIGEST", "SIZE", "CONFIRMED", "LAST PULLED"]);
    for image in images {
        let short: String = image
            .digest
            .chars()
            .take("sha256:0123456789ab".len())
            .collect();
        table.row([
            name(&image),
            short,
            shown_size(image.size),
            shown_time(Some(image.confirmed_at), ""),
            shown_time(image.last_pulled_at, "never"),
        ]);
    }
    table.print()
}

/// `docker.io/library/alpine:3.20`, or with a digest where there is no tag.
fn name(image: &CachedImage) -> String {
    match &image.tag {
        Some(tag) => format!("{}/{}:{tag}", image.upstream, image.repository),
        None => format!("{}/{}@{}", image.upstream, image.repository, image.digest),
    }
}

fn shape(image: &CachedImage) -> Value {
    json!({
        "image": name(image),
        "upstream": image.upstream,
        "repository": image.repository,
        "tag": image.tag,
        "digest": image.digest,
        "media_type": image.media_type,
        "size": image.size,
        "fetched_at": image.fetched_at.to_string(),
        "confirmed_at": image.confirmed_at.to_string(),
        "last_pulled_at": time(image.last_pulled_at),
        "gone_at": time(image.gone_at),
    })
}

/// An image as the cache knows it.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    upstream: String,
    repository: String,
    reference: String,
    by_digest: bool,
}

impl Wanted {
    /// By docker's rules: no host is Docker Hub, no tag is `latest`.
    fn parse(text: &str) -> Result<Self> {
        if text.starts_with("hosted:") {
            return Err(unavailable("showing a pushed image"));
        }
        let image = ImageName::parse(text)?;
        let upstream = image
            .host
            .as_ref()
            .map_or(DOCKER_HUB, |host| host.as_str())
            .to_owned();
        let repository = if upstream == DOCKER_HUB {
            image.repository.with_library()
        } else {
            image.repository
        };
        let by_digest = matches!(image.reference, Some(Reference::Digest(_)));
        let reference = image
            .reference
            .as_ref()
            .map_or("latest", Reference::as_str)
            .to_owned();
        Ok(Self {
            upstream,
            repository: repository.as_str().to_owned(),
            reference,
            by_digest,
        })
    }

    fn is(&self, image: &CachedImage) -> bool {
        let reference = if self.by_digest {
            image.digest == self.reference
        } else {
            image.tag.as_deref() == Some(self.reference.as_str())
        };
        image.upstream == self.upstream && image.repository == self.repository && reference
    }
}

fn show(store: &Store, text: &str, wanted: &Wanted, json: bool) -> Result<()> {
    let pattern = format!("{}/{}", wanted.upstream, wanted.repository);
    let images = store.cache.images(Some(&pattern), Window::ALL)?.entries;
    let Some(image) = images.iter().find(|image| wanted.is(image)) else {
        return Err(
            Error::new(Kind::NotFound, format!("`{text}` is not cached"))
                .remedy(format!("see `breakwater cache list {pattern}`")),
        );
    };
    if json {
        return print_json(&shape(image));
    }
    for (field, value) in [
        ("image", name(image)),
        ("digest", image.digest.clone()),
        ("type", image.media_type.clone()),
        ("size", shown_size(image.size)),
        ("fetched", image.fetched_at.to_string()),
        ("confirmed", image.confirmed_at.to_string()),
        ("last pulled", shown_time(image.last_pulled_at, "never")),
        ("gone upstream", shown_time(image.gone_at, "no")),
    ] {
        print(&format!("{field:<14} {value}"))?;
    }
    Ok(())
}

fn stats(store: &Store, json: bool) -> Result<()> {
    let totals = store.cache.totals()?;
    let (free, disk) = store.blobs.space()?;
    if json {
        return print_json(&json!({
            "repositories": totals.repositories,
            "tags": totals.tags,
            "manifests": totals.manifests,
            "blobs": totals.blobs,
            "bytes": totals.bytes,
            "disk_free_bytes": free,
            "disk_bytes": disk,
        }));
    }
    for (field, value) in [
        ("repositories", totals.repositories.to_string()),
        ("tags", totals.tags.to_string()),
        ("manifests", totals.manifests.to_string()),
        ("blobs", totals.blobs.to_string()),
        ("size", shown_size(totals.bytes)),
        (
            "disk",
            format!("{} free of {}", shown_size(free), shown_size(disk)),
        ),
    ] {
        print(&format!("{field:<14} {value}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_found_as_docker_writes_them() {
        let digest = crate::oci::Digest::of(b"x");
        let cases = [
            (
                "alpine".to_owned(),
                "docker.io",
                "library/alpine",
                "latest".to_owned(),
            ),
            (
                "alpine:3.20".to_owned(),
                "docker.io",
                "library/alpine",
                "3.20".to_owned(),
            ),
            (
                "docker.io/alpine".to_owned(),
                "docker.io",
                "library/alpine",
                "latest".to_owned(),
            ),
            (
                "org/x".to_owned(),
                "docker.io",
                "org/x",
                "latest".to_owned(),
            ),
            ("quay.io/x".to_owned(), "quay.io", "x", "latest".to_owned()),
            (
                format!("quay.io/x:1@{digest}"),
                "quay.io",
                "x",
                digest.to_string(),
            ),
        ];
        for (text, upstream, repository, reference) in cases {
            let wanted = Wanted::parse(&text).unwrap();
            assert_eq!(
                (
                    wanted.upstream.as_str(),
                    wanted.repository.as_str(),
                    &wanted.reference
                ),
                (upstream, repository, &reference),
                "{text}"
            );
        }
        assert_eq!(
            Wanted::parse("hosted:acme/x:1").unwrap_err().kind(),
            Kind::Usage
        );
        assert!(Wanted::parse("A:b:c").is_err());
    }
}
