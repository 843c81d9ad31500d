//! Feature flags, for the box and for groups.

use serde_json::json;

use super::answer::{Answer, Failure, nothing, object};
use super::ask::Ask;
use super::table::{Role, Table};
use crate::admin::{ListFeatures, ResetFeature, SetFeature, ShowConsequences};
use crate::auth::features::Flag;
use crate::error::Kind;

/// `/features`.
pub(super) fn endpoints(table: &mut Table) {
    let role = Role::Administrator;
    table.all::<_, ListFeatures>("GET /features", role, "All flags");
    let summary = "Turn a flag on or off";
    table
        .one::<SetFeature>("POST /features/:name", role, summary)
        .handler = set;
    let summary = "Give a flag its default again, and take away what groups have of their own";
    table
        .nothing::<ResetFeature>("DELETE /features/:name", role, summary)
        .handler = reset;
    let summary = "Which tokens that were used within 30 days the dependency proxy would refuse with a flag on, or off";
    table
        .one::<ShowConsequences>("GET /features/:name/consequences", role, summary)
        .handler = consequences;
}

/// Whether there is such a flag, and whether there are the groups that the field names.
fn check(ask: &Ask<'_, '_>, groups: &[String]) -> Result<(), Failure> {
    if Flag::parse(ask.capture("name")).is_none() {
        return Err(Failure::not_found("Feature"));
    }
    for path in groups.iter().filter(|path| !path.is_empty()) {
        if ask.appliance.authenticator.group(path)?.is_none() {
            return Err(Failure::message(400, format!("{path} is not found!")));
        }
    }
    Ok(())
}

fn set(ask: &mut Ask<'_, '_>) -> Answer {
    let request: SetFeature = ask.request()?;
    check(ask, &request.group)?;
    object(201, &json!(ask.perform(request)?))
}

fn reset(ask: &mut Ask<'_, '_>) -> Answer {
    let request: ResetFeature = ask.request()?;
    check(ask, &request.group)?;
    match ask.perform(request) {
        // GitLab accepts this too.
        Err(error) if error.kind() != Kind::NotFound => Err(error.into()),
        _ => nothing(),
    }
}

fn consequences(ask: &mut Ask<'_, '_>) -> Answer {
    let request: ShowConsequences = ask.request()?;
    check(ask, request.group.as_slice())?;
    object(200, &json!(ask.perform(request)?))
}
