//! Groups, which nest by path, with their settings.

use super::answer::{Answer, Failure, accepted, object, show_page};
use super::ask::Ask;
use super::table::{Role, Shape, Table};
use crate::admin::{AddGroup, GetGroup, ListGroups, RemoveGroup, SetGroup};
use crate::error::{Error, Kind};
use crate::store::Level;
use serde_json::json;

/// `/groups`.
pub(super) fn endpoints(table: &mut Table) {
    let (seen, owned) = (Role::Group(None), Role::Group(Some(Level::Owner)));
    let summary = "The groups that the caller may see";
    table.page::<_, ListGroups>("GET /groups", Role::Anyone, summary);
    table.one::<GetGroup>("GET /groups/:id", seen, "One group");
    let summary = "The groups that lie in this one";
    table.page::<_, ListGroups>("GET /groups/:id/subgroups", seen, summary);
    let (path, summary) = (
        "GET /groups/:id/descendant_groups",
        "The groups that lie in this one, however deep",
    );
    table.page::<_, ListGroups>(path, seen, summary).handler = descendants;
    let summary = "Make a group; in another one its owners may";
    let makes = table.one::<AddGroup>("POST /groups", Role::Anyone, summary);
    makes.handler = create;
    table.one::<SetGroup>("PUT /groups/:id", owned, "Change a group's settings");
    let summary = "Remove a group with everything below it, unless a rule keeps an image there from the caller";
    let removes = table.nothing::<RemoveGroup>("DELETE /groups/:id", owned, summary);
    removes.gives = (202, Shape::One("Message"));
    removes.handler = remove;
}

fn descendants(ask: &mut Ask<'_, '_>) -> Answer {
    let request = ask.request()?;
    show_page(
        ask,
        ListGroups {
            deep: true,
            ..request
        },
    )
}

fn create(ask: &mut Ask<'_, '_>) -> Answer {
    let request: AddGroup = ask.request()?;
    let part = request.path.clone();
    let parent = ask.fields.integer("parent_id");
    let made = ask.perform(request).map_err(|error| {
        let parent = parent.and_then(|id| ask.find_group(&id.to_string()).ok());
        let path = match parent {
            Some((group, _)) => format!("{}/{part}", group.path),
            None => part,
        };
        conflict(ask, &path, error)
    })?;
    object(201, &json!(made))
}

/// Why a group or project of this path cannot be made, in GitLab's words: there is one, or its visibility clashes with
/// what is above it.
pub(super) fn conflict(ask: &Ask<'_, '_>, path: &str, error: Error) -> Failure {
    if error.kind() != Kind::Conflict || error.subject().is_some() {
        return Failure::Of(error);
    }
    let access = &ask.store().access;
    let is_taken = matches!(access.group_by_path(path), Ok(Some(_)))
        || matches!(access.project_by_path(path), Ok(Some(_)));
    if is_taken {
        Failure::invalid("path", "has already been taken")
    } else {
        Failure::invalid("visibility", error.to_string())
    }
}

fn remove(ask: &mut Ask<'_, '_>) -> Answer {
    let removed = ask.perform(ask.request::<RemoveGroup>()?);
    removed.map_err(|error| match error.kind() {
        // It is the group of the mirror.
        Kind::Conflict => Failure::forbidden_because(error.what()),
        _ => Failure::Of(error),
    })?;
    accepted()
}
