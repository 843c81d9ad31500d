//! What is in a group or project, as `group show` and `project show` print it beside the settings.

use serde::Serialize;

use super::output::{Table, print, shown_size, yes};
use super::workplace::Workplace;
use crate::admin::{NamedPlace, PlaceContents, ShowContents};
use crate::error::Result;

/// A group or project as the REST API shows it, with what is in it.
#[derive(Serialize)]
pub(super) struct WithContents<V> {
    #[serde(flatten)]
    pub(super) view: V,
    pub(super) contents: PlaceContents,
}

pub(super) fn contents(workplace: &Workplace, place: NamedPlace) -> Result<PlaceContents> {
    workplace.perform(ShowContents {
        place,
        removing: false,
    })
}

/// `1.2 GiB of 50.0 GiB`
pub(super) fn shown_use(used: u64, most: Option<u64>) -> String {
    match most {
        Some(most) => format!("{} of {}", shown_size(used), shown_size(most)),
        None => format!("{}, no limit of its own", shown_size(used)),
    }
}

/// The rows about what was pushed.
pub(super) fn pushed(contents: &PlaceContents, quota: Option<u64>) -> [(&'static str, String); 3] {
    let repositories = contents.repositories.len();
    [
        ("pushed", shown_use(contents.bytes, quota)),
        (
            "images",
            format!("{} in {repositories} repositories", contents.images),
        ),
        ("tokens", contents.tokens.to_string()),
    ]
}

/// The repositories with their sizes.
pub(super) fn repositories(contents: &PlaceContents) -> Result<()> {
    if contents.repositories.is_empty() {
        return Ok(());
    }
    print("")?;
    let mut table = Table::new(&["REPOSITORY", "IMAGES", "TAGS", "SIZE", "PROTECTED"]);
    for repository in &contents.repositories {
        table.row([
            repository.path.clone(),
            repository.images.to_string(),
            repository.tags.to_string(),
            shown_size(repository.bytes),
            yes(repository.is_protected),
        ]);
    }
    table.print()
}
