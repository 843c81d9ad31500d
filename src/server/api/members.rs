//! Members of groups and projects, the inherited ones apart.

use serde_json::json;

use super::answer::{Answer, Failure, object, show_page};
use super::ask::Ask;
use super::table::{Role, Table};
use crate::admin::{AddMember, EditMember, GetMember, ListMembers, RemoveMember};
use crate::store::Level;

/// The endpoints of one kind of place.
macro_rules! endpoints {
    ($table:ident, $places:literal, $seen:expr, $managed:expr) => {
        let path = concat!("GET /", $places, "/:id/members");
        $table.page::<_, ListMembers>(path, $seen, "Its own members");
        let path = concat!("GET /", $places, "/:id/members/all");
        let summary = "Its members, with those of the groups above it that the caller may see, each with the highest level";
        let all = $table.page::<_, ListMembers>(path, $seen, summary);
        all.handler = list_all;
        let path = concat!("GET /", $places, "/:id/members/all/:user_id");
        let of_all = $table.one::<GetMember>(path, $seen, "One member, inherited or not");
        of_all.handler = get_of_all;
        let path = concat!("GET /", $places, "/:id/members/:user_id");
        $table.one::<GetMember>(path, $seen, "One of its own members");
        let path = concat!("POST /", $places, "/:id/members");
        let adds = $table.one::<AddMember>(path, $managed, "Make a user a member");
        adds.handler = add;
        let path = concat!("PUT /", $places, "/:id/members/:user_id");
        $table.one::<EditMember>(path, $managed, "Change a member's level");
        let path = concat!("DELETE /", $places, "/:id/members/:user_id");
        $table.nothing::<RemoveMember>(path, $seen, "End a membership; one's own too");
    };
}

/// `/groups/:id/members` and `/projects/:id/members`.
pub(super) fn endpoints(table: &mut Table) {
    let owner = Role::Group(Some(Level::Owner));
    endpoints!(table, "groups", Role::Group(None), owner);
    let maintainer = Role::Project(Some(Level::Maintainer));
    endpoints!(table, "projects", Role::Project(None), maintainer);
}

fn list_all(ask: &mut Ask<'_, '_>) -> Answer {
    let request = ListMembers {
        inherited: true,
        ..ask.request()?
    };
    show_page(ask, request)
}

fn get_of_all(ask: &mut Ask<'_, '_>) -> Answer {
    let member = ask.perform(GetMember {
        inherited: true,
        ..ask.request()?
    })?;
    object(200, &json!(member))
}

fn add(ask: &mut Ask<'_, '_>) -> Answer {
    if !ask.fields.has("user_id") && !ask.fields.has("username") {
        return Err(Failure::parameters(
            "user_id, username are missing, at least one parameter must be provided",
        ));
    }
    object(201, &json!(ask.perform(ask.request::<AddMember>()?)?))
}
