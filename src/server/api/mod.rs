//! The REST API below `/api/v4`, in GitLab's shapes: paths, fields, statuses, pages. A file a resource.
//!
//! `table` says which endpoints there are and who may use them; `ask` checks that; the handler then performs an operation
//! of `admin` and answers with its view. A token's secret is the only credential that a request may bring: JWTs of the
//! token endpoint and passwords are refused. The page brings who is signed in there, by whatever credential. What the
//! caller may not see is answered with the same bytes as what does not exist.

mod about;
mod answer;
mod ask;
mod audit_events;
mod bans;
mod bulk_deletion;
mod cache;
mod clients;
mod dependency_proxy;
mod features;
mod groups;
mod identify;
mod members;
mod networks;
mod openapi;
mod parameters;
mod projects;
mod protection;
mod repositories;
mod sessions;
mod status;
mod table;
mod tags;
mod tokens;
mod upstreams;
mod users;
mod webhooks;

#[cfg(test)]
pub(super) use table::reading_requests;

use super::Appliance;
use super::call::Call;
use crate::auth::Identity;
use crate::http::Response;
use answer::Failure;
use ask::Ask;
use table::Shape;

pub(super) use repositories::RepositoryView;
pub(super) use tags::{TagDetailsView, TagImageView, TagPartView, TagView};

pub(super) const ROOT: &str = "/api/v4";

/// Answers a request below [`ROOT`], from whoever its credentials name.
pub(super) fn answer(appliance: &Appliance, call: &mut Call<'_>) -> Response {
    answer_to(appliance, call, None)
}

/// The same for somebody who is known already: the page asks for everything that it shows and does in this way, so
/// that it allows what REST allows.
pub(super) fn answer_to(
    appliance: &Appliance,
    call: &mut Call<'_>,
    identity: Option<Identity>,
) -> Response {
    let request_id = call.id.clone();
    let answered = (|| {
        let path = call.request.path.strip_prefix(ROOT).unwrap_or_default();
        let (endpoint, captures) = table::find(&call.request.method, path)?;
        let mut ask = Ask::check(appliance, call, identity, (endpoint, captures))?;
        match endpoint.gives.1 {
            Shape::Page(_) => appliance
                .store
                .in_list_queue(|| (endpoint.handler)(&mut ask)),
            _ => (endpoint.handler)(&mut ask),
        }
    })();
    answered.unwrap_or_else(|failure: Failure| {
        call.note.why.get_or_insert_with(|| failure.why());
        failure.response(&request_id)
    })
}
