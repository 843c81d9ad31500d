//! `GET /v2/NAME/tags/list` and `GET /v2/NAME/referrers/DIGEST` (distribution-spec 1.1, "Content Discovery").

use super::super::Appliance;
use super::super::call::Call;
use super::super::router::RepositoryRoute;
use super::content::whole;
use crate::auth::Grant;
use crate::error::{Error, Kind, Result};
use crate::http::Response;
use crate::oci::{Digest, MAX_ARTIFACT_TYPE};
use crate::proxy::{ListPage, ListingAnswer, Target};
use crate::spool::Owner;

/// The longest query that goes on to an upstream, and into the key under which its answer is kept.
const MAX_QUERY: usize = 4096;

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
    let (last, query) = (call.query("last"), upstream_query(call)?);
    let owner = Owner::from(call.address.ip);
    let page = ListPage {
        owner,
        n,
        last,
        query,
    };
    let answer = appliance.proxy.tags(grant, target, &page)?;
    respond(call, answer, &format!("/v2/{}/tags/list", route.name))
}

pub(super) fn referrers(
    appliance: &Appliance,
    call: &mut Call<'_>,
    grant: &Grant,
    target: &Target,
    route: &RepositoryRoute,
    digest: &Digest,
) -> Result<Response> {
    if call
        .query("artifactType")
        .is_some_and(|wanted| wanted.len() > MAX_ARTIFACT_TYPE)
    {
        return Err(Error::new(Kind::BadRequest, "`artifactType` is too long"));
    }
    let page = ListPage {
        owner: Owner::from(call.address.ip),
        n: None,
        last: None,
        query: upstream_query(call)?,
    };
    let answer = appliance.proxy.referrers(grant, target, digest, &page)?;
    let path = format!("/v2/{}/referrers/{digest}", route.name);
    respond(call, answer, &path)
}

/// The query as the upstream is to see it: all but `ns`, which is for us. Whatever else the upstream put
/// into the link to its next page (a cursor, say) comes back to it, or the client would get the first page
/// again and again.
fn upstream_query(call: &Call<'_>) -> Result<String> {
    let query = call.request.query.as_deref().unwrap_or_default();
    let pairs = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key != "ns");
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    if query.len() > MAX_QUERY {
        return Err(Error::new(Kind::BadRequest, "the query is too long"));
    }
    Ok(query)
}

/// The list as it came; the next page is at our own path.
fn respond(call: &mut Call<'_>, answer: ListingAnswer, path: &str) -> Result<Response> {
    call.note.cache = Some(answer.cache);
    let mut response = Response::new(200)
        .header("Content-Type", answer.content_type)
        .header("X-Content-Type-Options", "nosniff")
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
    answer.body.hand_over(&Owner::from(call.address.ip))?;
    Ok(whole(response, answer.body))
}
