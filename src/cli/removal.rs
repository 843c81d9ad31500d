//! What goes with a project or a group: said before it is removed, or instead. The box's own administrator is above
//! the rules that keep images from others, so the command says what they protect.

use super::output::print;
use super::workplace::Workplace;
use crate::admin::{NamedPlace, ShowRemoval};
use crate::error::Result;

/// Says which repositories go with the group or project.
pub(super) fn tell_images(workplace: &Workplace, place: NamedPlace) -> Result<()> {
    for repository in workplace.perform(ShowRemoval { place })? {
        let protected = match repository.is_protected {
            true => ", protected by a rule",
            false => "",
        };
        print(&format!(
            "  {}: {} images, {} tags{protected}",
            repository.path, repository.images, repository.tags
        ))?;
    }
    Ok(())
}
