//! `breakwater cache purge`.

use clap::{ArgGroup, Args};

use crate::admin::{PurgeImages, PurgeView};
use crate::cli::output::{counted, print, print_json, shown_size};
use crate::cli::progress::Bar;
use crate::cli::workplace::Workplace;
use crate::error::Result;

/// Remove images from the cache now; what was pushed to this box stays
///
/// An image is written as for docker: alpine is alpine:latest. What other images need too stays on the disk. An image that
/// is pinned goes only where it is named without *, or with --pinned; it comes back with the next pull.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true)), after_help = "\
Examples:
  breakwater cache purge alpine:3.20
  breakwater cache purge 'alpine:*' --dry-run
  breakwater cache purge --group acme")]
pub(super) struct PurgeCommand {
    #[command(flatten)]
    request: PurgeImages,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl PurgeCommand {
    pub(super) fn run(self, place: &Workplace) -> Result<()> {
        let image = self.request.image.clone();
        let bar = Bar::new("purging", self.json);
        let view = place.perform(self.request)?;
        drop(bar);
        match self.json {
            true => print_json(&view),
            false => tell(&view, image.as_deref()),
        }
    }
}

fn tell(view: &PurgeView, image: Option<&str>) -> Result<()> {
    for name in &view.names {
        print(name)?;
    }
    let (verb, stay) = match view.dry_run {
        true => ("would go", "would stay"),
        false => ("went", "stay"),
    };
    print(&format!(
        "{} {verb}, {}; {} {stay}, which other images need too",
        counted(view.images, "image"),
        shown_size(view.bytes),
        shown_size(view.shared_bytes),
    ))?;
    if view.tags > 0 {
        let tags = view.tags;
        print(&format!(
            "{tags} tags {verb} whose images {stay}, because they have other tags"
        ))?;
    }
    if view.pinned > 0 {
        let images = counted(view.pinned, "image");
        print(&format!(
            "{images} {stay}, because pinned; --pinned purges those too"
        ))?;
    }
    if view.busy > 0 {
        let images = counted(view.busy, "image");
        print(&format!("{images} stay, because pulled meanwhile"))?;
    }
    if let Some(image) = image.filter(|_| view.other_tags > 0) {
        let name =
            image.rsplit_once(':').map_or(
                image,
                |(name, tag)| {
                    if tag.contains('/') { image } else { name }
                },
            );
        let tags = view.other_tags;
        print(&format!(
            "{tags} other tags of {name} stay; `breakwater cache purge '{name}:*'` purges all"
        ))?;
    }
    Ok(())
}
