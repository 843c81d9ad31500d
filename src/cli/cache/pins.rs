//! `breakwater cache pin`, `unpin` and `pins`.

use clap::Args;

use crate::admin::{AddPin, ListPins, PinView, RemovePin};
use crate::cli::output::{Table, counted, print, print_json, shown_size};
use crate::cli::progress::Bar;
use crate::cli::workplace::Workplace;
use crate::error::Result;

/// Keep cached images whatever has to go, those too that come later
///
/// A name without a tag means all its tags, and * any run of characters. An image by its digest is kept wherever it came
/// from.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater cache pin alpine node:22
  breakwater cache pin 'quay.io/org/*' 'alpine:3.*'")]
pub(super) struct Add {
    /// As for docker: alpine, alpine:3.20, 'quay.io/org/*', sha256:…
    #[arg(required = true)]
    pattern: Vec<String>,
    /// Print JSON: all of them, in a list
    #[arg(long)]
    json: bool,
}

/// Let pinned images go when it is their turn
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  breakwater cache unpin alpine 'quay.io/org/*'")]
pub(super) struct Remove {
    /// As it was pinned, or as `cache pins` lists it
    #[arg(required = true)]
    pattern: Vec<String>,
    /// Print JSON: all of them, in a list
    #[arg(long)]
    json: bool,
}

/// List all pins, with what each keeps
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  breakwater cache pins --json")]
pub(super) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Add {
    pub(super) fn run(self, place: &Workplace) -> Result<()> {
        let mut all = Vec::new();
        for pattern in self.pattern {
            let added = place.perform(AddPin {
                pattern,
                brief: false,
            })?;
            if self.json {
                all.push(added.pin);
                continue;
            }
            let PinView {
                pattern,
                created_at,
                created_by,
                ..
            } = &added.pin;
            let keeps = shown_images(&added.pin);
            print(&match added.was_pinned {
                true => format!(
                    "{pattern} was pinned already, by {created_by} at {created_at}; it keeps {keeps}"
                ),
                false => format!("{pattern} is pinned: it keeps {keeps}"),
            })?;
        }
        match self.json {
            true => print_json(&all),
            false => Ok(()),
        }
    }
}

/// `no image yet`, `1 image, 3.1 MiB`, `3 images, 1.2 GiB`.
fn shown_images(pin: &PinView) -> String {
    match pin.images.unwrap_or_default() {
        0 => "no image yet".to_owned(),
        images => format!(
            "{}, {}",
            counted(images, "image"),
            shown_size(pin.bytes.unwrap_or_default())
        ),
    }
}

impl Remove {
    pub(super) fn run(self, place: &Workplace) -> Result<()> {
        let mut all = Vec::new();
        for pattern in self.pattern {
            let removed = place.perform(RemovePin { pattern })?;
            if self.json {
                all.push(removed);
                continue;
            }
            let pattern = removed.pattern;
            print(&match removed.was_pinned {
                true => format!("{pattern} is pinned no more"),
                false => format!("{pattern} was not pinned; see `breakwater cache pins`"),
            })?;
        }
        match self.json {
            true => print_json(&all),
            false => Ok(()),
        }
    }
}

impl List {
    pub(super) fn run(self, place: &Workplace) -> Result<()> {
        let bar = Bar::new("counting what the pins keep", self.json);
        let pins = place.perform(ListPins::default())?.entries;
        drop(bar);
        if self.json {
            return print_json(&pins);
        }
        let mut table = Table::new(&["PATTERN", "IMAGES", "SIZE", "PINNED", "BY"]);
        for pin in pins {
            table.row([
                pin.pattern,
                pin.images.unwrap_or_default().to_string(),
                shown_size(pin.bytes.unwrap_or_default()),
                pin.created_at.to_string(),
                pin.created_by,
            ]);
        }
        table.print()
    }
}
