//! Protection rules: who may push to or delete from which repositories and tags; of groups, beyond GitLab, who may fill
//! and purge which cached ones.

use schemars::JsonSchema;
use serde_json::json;

use super::answer::{Answer, Failure, object};
use super::ask::{Ask, Place};
use super::table::{Role, Table};
use crate::admin::rules::{ListRulesOfKind, SetRepositoryRule, SetTagRule, ShownRule};
use crate::admin::{AddRule, AddTagRule, ExplainAccess, Operation, RemoveRule};
use crate::error::{Error, Kind};
use crate::store::Level;

pub(super) fn endpoints(table: &mut Table) {
    let maintainer = Role::Project(Some(Level::Maintainer));
    let path = "/projects/:id/registry/protection/repository/rules";
    of_repositories(table, path, maintainer, "its repositories");
    let path = "/groups/:id/registry/protection/repository/rules";
    let what = "what it has in the cache: pushing means filling, deleting means purging";
    of_repositories(table, path, Role::Group(Some(Level::Owner)), what);
    let path = "/projects/:id/registry/protection/tag/rules";
    let add = set::<AddTagRule>;
    of_kind::<_, AddTagRule, SetTagRule>(table, path, maintainer, "its tags", add);
    let summary = "Whether a user or a token may pull from, push to or delete from a repository or a tag, and why; for administrators, and for maintainers of its project";
    table.one::<ExplainAccess>("GET /protection_check", Role::Anyone, summary);
}

fn of_repositories(table: &mut Table, path: &str, managed: Role, what: &str) {
    of_kind::<_, AddRule, SetRepositoryRule>(table, path, managed, what, add);
}

/// The rules of one kind: listed, added, changed, removed.
fn of_kind<V, Add, Set>(
    table: &mut Table,
    path: &str,
    managed: Role,
    what: &str,
    add: fn(&mut Ask<'_, '_>) -> Answer,
) where
    V: ShownRule,
    Add: Operation<View = V>,
    Set: Operation<View = V>,
{
    let summary = format!("The rules about {what}");
    table.page::<_, ListRulesOfKind<V>>(&format!("GET {path}"), managed, &summary);
    let summary = format!("Add a rule about {what}");
    table
        .one::<Add>(&format!("POST {path}"), managed, &summary)
        .handler = add;
    let summary = format!("Change a rule about {what}");
    let path = format!("{path}/:rule_id");
    table
        .one::<Set>(&format!("PATCH {path}"), managed, &summary)
        .handler = set::<Set>;
    let summary = format!("Remove a rule about {what}");
    table.nothing::<RemoveRule<V>>(&format!("DELETE {path}"), managed, &summary);
}

/// The pattern has two names, of which one must be given.
fn add(ask: &mut Ask<'_, '_>) -> Answer {
    if !ask.fields.has("repository_path_pattern") && !ask.fields.has("container_path") {
        return Err(Failure::parameters("repository_path_pattern is missing"));
    }
    set::<AddRule>(ask)
}

fn set<O: Operation<View: JsonSchema>>(ask: &mut Ask<'_, '_>) -> Answer {
    let set = ask.perform(ask.request::<O>()?);
    object(
        ask.status(),
        &json!(set.map_err(|error| refused(ask, error))?),
    )
}

/// GitLab's 422 for what the rules of rules refuse.
fn refused(ask: &Ask<'_, '_>, error: Error) -> Failure {
    const TAGS: &str = "matching_package_version";
    match (error.kind(), error.subject()) {
        (Kind::Usage, Some(TAGS)) if matches!(ask.place(), Place::Group(_)) => {
            Failure::invalid(TAGS, error.what())
        }
        (Kind::Usage, Some(field)) => Failure::message(422, format!("{field}: {error}")),
        (Kind::Usage, None) => Failure::parameters(
            "the rule would protect nothing: say who may push, or who may delete",
        ),
        (Kind::Conflict, _) => Failure::message(422, "the pattern has already been taken"),
        (Kind::BadRequest, _) => Failure::message(422, error.to_string()),
        _ => Failure::Of(error),
    }
}
