//! The registry protocol (distribution-spec 1.1): `/v2/` and what is in repositories.

mod accept;
mod blobs;
mod content;
mod hosted;
mod lists;
mod manifests;
mod pages;
mod uploads;

use std::sync::Arc;

use super::call::{Call, Credentials};
use super::router::{Part, Place, RepositoryRoute, Route};
use super::{Appliance, error};
use crate::auth::policy::{self, Refusal, Wanted};
use crate::auth::{Grant, Identity, Principal};
use crate::context;
use crate::error::{Error, Kind, Result};
use crate::http::{Method, Response};
use crate::oci::{Reference, RegistryHost, RepositoryName};

pub(super) use content::whole;
pub(super) use pages::catalog;

/// `GET /v2/`: 200 with good credentials, otherwise always a challenge, from trusted networks too, so
/// that every login is judged.
pub(super) fn base(appliance: &Appliance, call: &mut Call<'_>) -> Result<Response> {
    if !call.reads() {
        return Ok(not_allowed());
    }
    let identity = match call.credentials() {
        Credentials::Bearer(jwt) => {
            appliance
                .authenticator
                .by_bearer(&jwt, call.address, call.now)?
        }
        Credentials::Basic(user, password) => {
            appliance
                .authenticator
                .by_basic(&user, &password, call.address, &call.id, call.now)?
        }
        Credentials::None | Credentials::Unknown => return Err(login_needed()),
    };
    call.note_principal(&identity.principal);
    if matches!(identity.principal, Principal::Anonymous) {
        appliance.authorize_mirror(&identity)?.or_error("/v2/")?;
    }
    // A token that was issued for repositories was judged by their groups' flags.
    let is_login = identity
        .bound
        .as_ref()
        .is_none_or(|claims| claims.access.is_empty());
    if is_login && !matches!(identity.principal, Principal::Anonymous) {
        let access = policy::login(&identity.principal, appliance.box_flags()?);
        access.map_err(|missing| Refusal::Denied(missing).error("/v2/"))?;
    }
    Ok(error::json_body(
        with_version(Response::new(200)),
        &serde_json::json!({}),
    ))
}

fn login_needed() -> Error {
    Error::new(Kind::Unauthorized, "authentication is required")
        .remedy("log in with `docker login`")
}

/// Whatever is in a repository: authorized here, answered by the part's own file.
pub(super) fn repository(
    appliance: &Appliance,
    call: &mut Call<'_>,
    route: &RepositoryRoute,
) -> Result<Response> {
    content::check_ranges(call)?;
    if let Some(name) = appliance.hosted_repository(&route.place)? {
        // Its rows and files are read, and many rules may be judged.
        context::waits();
        return hosted::repository(appliance, call, route, name).map(with_version);
    }
    if call.request.method == Method::Delete
        && let Some(image) = to_purge(appliance, route)
    {
        return Ok(not_deleted(&image));
    }
    if !call.reads() || matches!(route.part, Part::Uploads | Part::Upload(_)) {
        return Ok(not_allowed());
    }
    let identity = call.identify(appliance)?;
    let (grant, host, image) = authorize(appliance, &identity, route)?;
    call.note.is_granted = true;
    let with_host = route.name_with_host();
    let is_bound = identity.is_bound_to(&route.name, "pull")
        || with_host.is_some_and(|name| identity.is_bound_to(&name, "pull"));
    if !is_bound {
        return Err(Error::new(
            Kind::Unauthorized,
            format!("the token is not for pulling {}", route.name),
        )
        .remedy("ask the token endpoint for one that is"));
    }
    let target = appliance.proxy.target(&grant, host, image)?;
    let grant = appliance.keep_to_rules(grant, &target)?;
    call.note.upstream = Some(Arc::clone(&target.upstream));
    let response = match &route.part {
        Part::Manifest(reference) => {
            let response = manifests::manifest(appliance, call, &grant, &target, reference)?;
            let image = format!("{}/{}", target.upstream.name(), target.repository);
            appliance.note_pull(call, &identity, &image, reference);
            response
        }
        Part::Blob(digest) => blobs::blob(appliance, call, &grant, &target, digest)?,
        Part::Tags => lists::tags(appliance, call, &grant, &target, route)?,
        Part::Referrers(digest) => {
            lists::referrers(appliance, call, &grant, &target, route, digest)?
        }
        Part::Uploads | Part::Upload(_) => return Ok(not_allowed()),
    };
    Ok(with_version(response).header("OCI-Namespace", target.upstream.name().as_str()))
}

/// The grant for a route, with the upstream and the image that it is about.
fn authorize<'a>(
    appliance: &Appliance,
    identity: &Identity,
    route: &'a RepositoryRoute,
) -> Result<(Grant, Option<&'a RegistryHost>, &'a RepositoryName)> {
    let (verdict, host, image) = match &route.place {
        Place::Group { group, host, image } => {
            (appliance.authorize_group(identity, group)?, host, image)
        }
        Place::Mirror { host, image, .. } => (appliance.authorize_mirror(identity)?, host, image),
    };
    Ok((verdict.or_error(&route.name)?, host.as_ref(), image))
}

/// Adds `WWW-Authenticate` to a 401: where to get a token, and what for (RFC 6750; distribution,
/// "Token Authentication Specification").
pub(super) fn challenge(appliance: &Appliance, call: &Call<'_>, response: Response) -> Response {
    let mut value = format!(
        r#"Bearer realm="{}/jwt/auth",service="dependency_proxy""#,
        call.external_url(appliance)
    );
    let scope = match super::router::route(&call.request.path, call.query("ns").as_deref()) {
        Ok(Route::Repository(route)) => Some(scope(appliance, call, &route)),
        Ok(Route::Catalog) => Some("registry:catalog:*".to_owned()),
        _ => None,
    };
    if let Some(scope) = scope {
        value.push_str(&format!(r#",scope="{scope}""#));
        if matches!(call.credentials(), Credentials::Bearer(_)) {
            value.push_str(r#",error="insufficient_scope""#);
        }
    }
    with_version(response).header("WWW-Authenticate", value)
}

/// The scope of a request about a repository. A mount also needs to pull from the repository that it names as its
/// source: without it in the token the mount would be answered as if the blob were not there, and the client would
/// upload it. The source is named whether it exists or not.
fn scope(appliance: &Appliance, call: &Call<'_>, route: &RepositoryRoute) -> String {
    let actions = actions(&call.request.method, &route.part);
    // Without the host the scope would name a hosted repository.
    let first = route.name.split('/').next().unwrap_or_default();
    let collides = appliance
        .authenticator
        .group(first)
        .is_ok_and(|group| group.is_some());
    let with_host = route.name_with_host().filter(|_| collides);
    let name = with_host.as_deref().unwrap_or(&route.name);
    let scope = format!("repository:{name}:{actions}");
    match mount_source(call, route) {
        Some(source) if source.as_str() != name => {
            format!("{scope} repository:{source}:pull")
        }
        _ => scope,
    }
}

/// The repository that a mount takes its blob from, if the request is a mount that names one.
fn mount_source(call: &Call<'_>, route: &RepositoryRoute) -> Option<RepositoryName> {
    let is_mount = call.request.method == Method::Post
        && route.part == Part::Uploads
        && call.query("mount").is_some();
    let source = call.query("from").filter(|_| is_mount)?;
    RepositoryName::parse(&source).ok()
}

/// What a token must be for, so that the request can be made with it: whoever pushes looks first.
fn actions(method: &Method, part: &Part) -> &'static str {
    match hosted::wanted(method, part) {
        Some(Wanted::Push) => "pull,push",
        Some(Wanted::Delete) => "delete",
        Some(Wanted::Pull) | None => "pull",
    }
}

fn not_allowed() -> Response {
    error::body(
        405,
        "UNSUPPORTED",
        "this repository is a cache of an upstream: it can be pulled from, not pushed to",
    )
    .header("Allow", "GET, HEAD")
}

/// How commands name what was to be deleted of the cache: an image, or for a blob all images of its repository.
fn to_purge(appliance: &Appliance, route: &RepositoryRoute) -> Option<String> {
    let (Place::Group { host, image, .. } | Place::Mirror { host, image, .. }) = &route.place;
    let host = host.as_ref().unwrap_or(&appliance.config.mirror.default);
    let name = match host.as_str() {
        "docker.io" => image.to_string(),
        host => format!("{host}/{image}"),
    };
    match &route.part {
        Part::Manifest(Reference::Tag(tag)) => Some(format!("{name}:{tag}")),
        Part::Manifest(Reference::Digest(digest)) => Some(format!("{name}@{digest}")),
        Part::Blob(_) => Some(format!("{name}:*")),
        Part::Tags | Part::Referrers(_) | Part::Uploads | Part::Upload(_) => None,
    }
}

/// It says the same to everybody, whether the image is kept or not.
fn not_deleted(image: &str) -> Response {
    let message = format!(
        "this repository is a cache of an upstream: nothing is deleted here (an administrator purges it with `breakwater cache purge '{image}'` on this box, or DELETE /api/v4/cache/images?image=…)"
    );
    error::body(405, "UNSUPPORTED", &message).header("Allow", "GET, HEAD")
}

fn with_version(response: Response) -> Response {
    response.header("Docker-Distribution-Api-Version", "registry/2.0")
}
