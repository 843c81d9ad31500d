//! Deletion of many tags of a repository, which a cleanup policy does too: noted here, and done in the background.

use super::answer::{Answer, Failure, accepted};
use super::ask::Ask;
use super::repositories;
use super::table::{Role, Scope, Shape, Table};
use crate::admin::DeleteTags;
use crate::auth::policy::Wanted;
use crate::error::Kind;

pub(super) fn endpoints(table: &mut Table) {
    let (path, summary) = (
        "DELETE /projects/:id/registry/repositories/:repository_id/tags",
        "Delete many tags of a repository in the background, but for latest and what a rule protects",
    );
    let deletes = table.nothing::<DeleteTags>(path, Role::Project(None), summary);
    deletes.scope = Scope::WriteOrJob;
    deletes.gives = (202, Shape::One("Message"));
    deletes.handler = delete;
}

fn delete(ask: &mut Ask<'_, '_>) -> Answer {
    let row = repositories::find(ask)?;
    repositories::grant(ask, &row, Wanted::Delete)?;
    if !ask.fields.has("name_regex_delete") && !ask.fields.has("name_regex") {
        return Err(Failure::parameters(
            "name_regex, name_regex_delete are missing, at least one parameter must be provided",
        ));
    }
    let noted = ask.perform(ask.request::<DeleteTags>()?);
    noted.map_err(|error| match error.kind() {
        Kind::Conflict => Failure::message(400, error.to_string()),
        _ => Failure::Of(error),
    })?;
    accepted()
}
