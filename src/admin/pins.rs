//! Pins: cached images that stay whatever has to go.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cache::count_images;
use super::operations::recalled;
use super::{Admin, Operation};
use crate::error::{Error, Kind, Result};
use crate::oci::ImagePattern;
use crate::store::{Inventory, Page, Pin, Pins, Window};
use crate::time::Timestamp;

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct AddPin {
    /// As for docker, all tags where none is written; * for any run of characters
    pub pattern: String,
    /// Do not look what it keeps, which takes a look at all that is cached
    #[serde(default)]
    pub brief: bool,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RemovePin {
    /// As it was pinned, in short or in full
    pub pattern: String,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListPins {
    /// Do not look what each keeps, which takes a look at all that is cached
    #[serde(default)]
    pub brief: bool,
    /// As it was worked out a while ago, see `counted_at`; 503 while that is done for the first time
    #[serde(default)]
    pub recall: bool,
    #[serde(default)]
    #[schemars(skip)]
    pub window: Window,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct AddedPin {
    pub pin: PinView,
    pub was_pinned: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct RemovedPin {
    /// In full
    pub pattern: String,
    pub was_pinned: bool,
}

/// A pin, with what it keeps of what is cached now.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Pin")]
#[serde(deny_unknown_fields)]
pub struct PinView {
    /// In full
    pub pattern: String,
    pub created_at: Timestamp,
    pub created_by: String,
    /// Images that are cached now; null where that was not asked for
    pub images: Option<u64>,
    /// Bytes of these, each file once
    pub bytes: Option<u64>,
    /// When that was counted
    pub counted_at: Option<Timestamp>,
}

impl Operation for AddPin {
    const NAME: &'static str = "pins.add";
    type View = AddedPin;

    fn perform(self, admin: &Admin<'_>) -> Result<AddedPin> {
        let pattern = parse(&self.pattern)?;
        let (pin, is_new) = admin.store.access.add_pin(&admin.actor, &pattern)?;
        forget_previews(admin);
        if self.brief {
            return Ok(AddedPin {
                pin: PinView::brief(&pin),
                was_pinned: !is_new,
            });
        }
        let inventory = admin.store.content.inventory()?;
        let covered = inventory.manifests.iter().enumerate();
        let covered = covered.filter(|(_, manifest)| {
            let names = inventory.all_names(manifest);
            names.iter().any(|name| pattern.matches(name))
        });
        let covered: Vec<_> = covered.map(|(place, _)| place).collect();
        Ok(AddedPin {
            pin: PinView::new(&inventory, &pin, &covered),
            was_pinned: !is_new,
        })
    }
}

impl Operation for RemovePin {
    const NAME: &'static str = "pins.remove";
    type View = RemovedPin;

    fn perform(self, admin: &Admin<'_>) -> Result<RemovedPin> {
        let pattern = parse(&self.pattern)?;
        let was_pinned = admin.store.access.remove_pin(&admin.actor, &pattern)?;
        forget_previews(admin);
        Ok(RemovedPin {
            pattern: pattern.to_string(),
            was_pinned,
        })
    }
}

impl Operation for ListPins {
    const NAME: &'static str = "pins.list";
    type View = Page<PinView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Page<PinView>> {
        let pins = admin.store.access.pins()?;
        if self.brief || pins.rows.is_empty() {
            let pins = pins.rows.iter().map(PinView::brief).collect();
            return Ok(Page::of(pins, self.window));
        }
        if let Some(server) = admin.server.filter(|_| self.recall) {
            let all = Self {
                recall: true,
                ..Self::default()
            };
            return Ok(Page::of(recalled(server, &all)?.entries, self.window));
        }
        let inventory = admin.store.content.inventory()?;
        let covered = covered_by_each(&inventory, &pins);
        let views = pins.rows.iter().zip(&covered);
        let views = views.map(|(pin, covered)| PinView::new(&inventory, pin, covered));
        Ok(Page::of(views.collect(), self.window))
    }
}

impl PinView {
    fn new(inventory: &Inventory, pin: &Pin, covered: &[usize]) -> Self {
        let files = inventory.with_parts(covered.iter().copied());
        Self {
            images: Some(count_images(inventory, covered)),
            bytes: Some(inventory.bytes_of(&files)),
            counted_at: Some(Timestamp::now()),
            ..Self::brief(pin)
        }
    }

    fn brief(pin: &Pin) -> Self {
        Self {
            pattern: pin.pattern.to_string(),
            created_at: pin.created_at,
            created_by: pin.created_by.clone(),
            images: None,
            bytes: None,
            counted_at: None,
        }
    }
}

/// The manifests that each pin names, in the order of the pins.
fn covered_by_each(inventory: &Inventory, pins: &Pins) -> Vec<Vec<usize>> {
    let mut covered = vec![Vec::new(); pins.rows.len()];
    for (place, manifest) in inventory.manifests.iter().enumerate() {
        let mut names = inventory.all_names(manifest);
        // Few images are pinned, and only for them is it asked by which pins.
        names.retain(|name| pins.hold(name));
        if names.is_empty() {
            continue;
        }
        for (pin, covered) in pins.rows.iter().zip(&mut covered) {
            if names.iter().any(|name| pin.pattern.matches(name)) {
                covered.push(place);
            }
        }
    }
    covered
}

fn forget_previews(admin: &Admin<'_>) {
    if let Some(server) = admin.server {
        server.forget_previews();
    }
}

fn parse(text: &str) -> Result<ImagePattern> {
    if text.starts_with("hosted:") {
        let what = "what was pushed to this box needs no pin";
        let error = Error::new(Kind::Usage, what).about("pattern");
        return Err(error.remedy("it is never evicted: pin images that come from an upstream"));
    }
    ImagePattern::of_all_tags(text).map_err(|error| error.about("pattern"))
}
