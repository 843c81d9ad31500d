//! `GET /v2/NAME/tags/list` and `GET /v2/NAME/referrers/DIGEST` (distribution-spec 1.1, "Content Discovery").

use super::super::Appliance;
use super::super::call::Call;
use super::super::router::RepositoryRoute;
use crate::auth::Grant;
use crate::error::{Error, Kind, Result};
use crate::http::{Body, Response};
use crate::oci::Digest;
use crate::proxy::{ListPage, ListingAnswer, Target};

pub(super) fn tags(
    appliance: &Appliance,
    call: &mut Call<'_>,
    grant: &Grant,
    target: &Target,
    route: &RepositoryRoute,
) -> Result<Response> {
    let n = call.query("n").map(|n| n.parse::<u32>()).transpose();
    let n =
        n.map_err(|_| Error::new(Kind::BadRequest, "`n` is not a number").remedy("write ?n=100"))?;
    let last = call.query("last").filter(|last| last.len() <= 128);
    let answer = appliance.proxy.tags(grant, target, &ListPage { n, last })?;
    Ok(respond(
        call,
        answer,
        &format!("/v2/{}/tags/list", route.name),
    ))
}

pub(super) fn referrers(
    appliance: &Appliance,
    call: &mut Call<'_>,
    grant: &Grant,
    target: &Target,
    route: &RepositoryRoute,
    digest: &Digest,
) -> Result<Response> {
    let artifact_type = call.query("artifactType");
    let answer = appliance
        .proxy
        .referrers(grant, target, digest, artifact_type.as_deref())?;
    Ok(respond(
        call,
        answer,
        &format!("/v2/{}/referrers/{digest}", route.name),
    ))
}

/// The list as it came; the next page is at our own path.
fn respond(call: &mut Call<'_>, answer: ListingAnswer, path: &str) -> Response {
    call.note.cache = Some(answer.cache);
    let mut response = Response::new(200)
        .header("Content-Type", answer.content_type)
        .header("X-Cache", answer.cache.as_str());
    if let Some(age) = answer.age {
        response = response.header("Age", age.as_secs().to_string());
    }
    if let Some(mut next) = answer.next {
        if let Some(ns) = call.query("ns") {
            next.push_str(&format!("&ns={ns}"));
        }
        response = response.header("Link", format!("<{path}?{next}>; rel=\"next\""));
    }
    if let Some(filters) = answer.filters_applied {
        response = response.header("OCI-Filters-Applied", filters);
    }
    response.body(Body::Bytes(answer.body.into()))
}
