//! Projects, which lie in groups and own pushed images.

use serde_json::json;

use super::answer::{Answer, Failure, accepted, object};
use super::ask::Ask;
use super::groups::conflict;
use super::table::{Role, Shape, Table};
use crate::admin::{
    AddProject, GetProject, ListProjects, ListProjectsOfGroup, RemoveProject, SetProject,
};
use crate::store::Level;

/// `/projects`, and a group's.
pub(super) fn endpoints(table: &mut Table) {
    let role = |level| Role::Project(Some(level));
    let summary = "The projects that the caller may see";
    table.page::<_, ListProjects>("GET /projects", Role::Anyone, summary);
    let (path, summary) = (
        "GET /groups/:id/projects",
        "The projects in a group that the caller may see",
    );
    table.page::<_, ListProjectsOfGroup>(path, Role::Group(None), summary);
    table.one::<GetProject>("GET /projects/:id", Role::Project(None), "One project");
    let summary = "Make a project; the group's maintainers may";
    let makes = table.one::<AddProject>("POST /projects", Role::Anyone, summary);
    makes.handler = create;
    let summary = "Change a project's settings";
    table.one::<SetProject>("PUT /projects/:id", role(Level::Maintainer), summary);
    let summary = "Remove a project with its tokens and images, unless a rule keeps one of these from the caller";
    let removes =
        table.nothing::<RemoveProject>("DELETE /projects/:id", role(Level::Owner), summary);
    removes.gives = (202, Shape::One("Message"));
    removes.handler = remove;
}

fn create(ask: &mut Ask<'_, '_>) -> Answer {
    let fields = &ask.fields;
    let part = fields.text("path").or(fields.text("name"));
    let part = part.ok_or_else(|| {
        Failure::parameters("name, path are missing, at least one parameter must be provided")
    })?;
    // Looked for here, so that what is hidden and what is wrong are told apart in GitLab's order.
    let namespace = fields.text("namespace_id").unwrap_or_default();
    let (group, _) = ask
        .find_group(namespace)
        .map_err(|failure| failure.about("Namespace"))?;
    let path = format!("{}/{part}", group.path);
    let request = AddProject {
        namespace_id: crate::admin::Named::Id(group.id),
        ..ask.request()?
    };
    let made = ask.perform(request);
    let made = made.map_err(|error| conflict(ask, &path, error))?;
    object(201, &json!(made))
}

fn remove(ask: &mut Ask<'_, '_>) -> Answer {
    ask.perform(ask.request::<RemoveProject>()?)?;
    accepted()
}
