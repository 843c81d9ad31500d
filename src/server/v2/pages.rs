//! Lists of what was pushed here, page by page (distribution-spec 1.1, "Content Discovery"), and the catalog.

use serde_json::json;

use super::super::Appliance;
use super::super::call::Call;
use super::super::error;
use super::content::whole;
use super::hosted::Hosted;
use crate::auth::{Principal, policy};
use crate::error::{Error, Kind, Result};
use crate::http::Response;
use crate::oci::{Digest, MediaType};
use crate::registry::ReferrersQuery;
use crate::spool::Owner;

/// Entries in a page unless the client says otherwise.
const PAGE: u64 = 100;
/// The most that it can ask for.
const MAX_PAGE: u64 = 1_000;

pub(super) fn tags(hosted: &Hosted<'_>, call: &Call<'_>) -> Result<Response> {
    let count = count(call)?;
    let last = call.query("last").unwrap_or_default();
    let page = hosted
        .appliance
        .registry
        .list_tags(&hosted.grant, &last, count)?;
    let name = hosted.grant.repository();
    let next = page.entries.last().filter(|_| page.more);
    let response = match next {
        Some(last) => link(
            Response::new(200),
            &format!("/v2/{name}/tags/list"),
            &[("n", &count.to_string()), ("last", last)],
        ),
        None => Response::new(200),
    };
    Ok(error::json_body(
        response,
        &json!({ "name": name.as_str(), "tags": page.entries }),
    ))
}

pub(super) fn referrers(
    hosted: &Hosted<'_>,
    call: &Call<'_>,
    subject: &Digest,
) -> Result<Response> {
    let count = count(call)?;
    let last = call.query("last").unwrap_or_default();
    // A media type holds no space, but often a plus, which a query that nobody encoded turns into one.
    let artifact_type = call
        .query("artifactType")
        .filter(|text| !text.is_empty())
        .map(|text| text.replace(' ', "+"));
    let query = ReferrersQuery {
        subject,
        artifact_type: artifact_type.as_deref(),
        after: &last,
        count,
        owner: Owner::from(call.address.ip),
    };
    let page = hosted.appliance.registry.referrers(&hosted.grant, &query)?;
    let mut response = Response::new(200);
    if let Some(last) = &page.next_after {
        let count = count.to_string();
        let mut query = vec![("n", count.as_str()), ("last", last.as_str())];
        if let Some(artifact_type) = &artifact_type {
            query.push(("artifactType", artifact_type));
        }
        let path = hosted.location("referrers", subject.as_str());
        response = link(response, &path, &query);
    }
    if artifact_type.is_some() {
        response = response.header("OCI-Filters-Applied", "artifactType");
    }
    let response = response.header("Content-Type", MediaType::OciIndex.as_str());
    Ok(whole(response, page.index))
}

/// `GET /v2/_catalog`: the repositories of projects that the caller may see. A JWT is for it only if it says so.
pub(in crate::server) fn catalog(appliance: &Appliance, call: &mut Call<'_>) -> Result<Response> {
    if !call.reads() {
        let message = "the catalog can only be read";
        return Ok(error::body(405, "UNSUPPORTED", message).header("Allow", "GET, HEAD"));
    }
    let identity = call.identify(appliance)?;
    let is_bound = identity.bound.as_ref().is_none_or(|claims| {
        claims.access.iter().any(|entry| {
            entry.kind == "registry"
                && entry.name == "catalog"
                && entry.actions.iter().any(|a| a == "*")
        })
    });
    if matches!(identity.principal, Principal::Anonymous) || !is_bound {
        return Err(
            Error::new(Kind::Unauthorized, "the token is not for the catalog")
                .remedy("ask the token endpoint for one with the scope registry:catalog:*"),
        );
    }
    let count = count(call)?;
    let last = call.query("last").unwrap_or_default();
    let viewer = policy::listed_projects(&identity);
    let store = &appliance.store;
    let page = store.in_list_queue(|| appliance.registry.catalog(&viewer, &last, count))?;
    let response = match page.entries.last().filter(|_| page.more) {
        Some(last) => link(
            Response::new(200),
            "/v2/_catalog",
            &[("n", &count.to_string()), ("last", last)],
        ),
        None => Response::new(200),
    };
    Ok(error::json_body(
        response,
        &json!({ "repositories": page.entries }),
    ))
}

fn count(call: &Call<'_>) -> Result<u64> {
    match call.query("n") {
        None => Ok(PAGE),
        Some(n) => n.parse::<u64>().map(|n| n.min(MAX_PAGE)).map_err(|_| {
            Error::new(Kind::BadRequest, "`n` is not a number").remedy("write ?n=100")
        }),
    }
}

/// `Link` to the next page (RFC 8288).
fn link(response: Response, path: &str, query: &[(&str, &str)]) -> Response {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(query)
        .finish();
    response.header("Link", format!("<{path}?{query}>; rel=\"next\""))
}
