//! Tokens for external registries: the same users, tokens, projects and rules decide what is granted, and the
//! registry's own key signs it. And the public keys, `/jwt/keys`.

use serde_json::json;

use super::super::authorize::Verdict;
use super::super::call::Call;
use super::super::{Appliance, error};
use super::request::TokenRequest;
use super::scopes;
use crate::auth::external::{Signer, Signing};
use crate::auth::policy::{self, Refusal};
use crate::auth::{Identity, Principal};
use crate::error::{Error, Kind, Result};
use crate::http::Response;
use crate::oci::AccessEntry;

/// Answers a request for a token whose `service` is none of ours.
pub(super) fn token(
    appliance: &Appliance,
    call: &mut Call<'_>,
    request: &TokenRequest,
    service: &str,
) -> Result<Response> {
    let registries = appliance.authenticator.external_registries()?;
    let registry = registries.iter().find(|one| one.audience == service);
    let signer = signer(registry.ok_or_else(unknown_service)?)?;
    // The network gives nobody anything here: it is trusted for the mirror.
    let Some((user, password)) = &request.credentials else {
        call.note_principal(&Principal::Anonymous);
        return Err(Refusal::Unauthenticated.error(service));
    };
    let identity =
        appliance
            .authenticator
            .by_basic(user, password, call.address, &call.id, call.now)?;
    call.note_principal(&identity.principal);
    let access = match judge(appliance, &identity, request)? {
        Verdict::Granted(access) => access,
        Verdict::Refused(refusal) => return Ok(super::forbidden(call, &refusal.error(service))),
    };
    let expires = call.now.plus(appliance.authenticator.jwts().ttl());
    let jwt = signer.sign(&identity.principal.label(), access, call.now, expires)?;
    Ok(super::granted(appliance, call, &jwt))
}

/// What of the requested scopes is granted there: repositories by the policy of hosted ones. A login needs an
/// ability for such.
fn judge(
    appliance: &Appliance,
    identity: &Identity,
    request: &TokenRequest,
) -> Result<Verdict<Vec<AccessEntry>>> {
    if let Err(missing) = policy::hosted_login(&identity.principal) {
        return Ok(Verdict::Refused(Refusal::Denied(missing)));
    }
    let judged = scopes::judge_external(appliance, identity, &request.scopes)?;
    Ok(match judged.protected {
        Some(refusal) => Verdict::Refused(refusal),
        None => Verdict::Granted(judged.access),
    })
}

fn signer(registry: &Signing) -> Result<&Signer> {
    registry
        .signer
        .as_ref()
        .map_err(|why| Error::new(Kind::Config, "no token can be signed").context(why))
}

fn unknown_service() -> Error {
    Error::new(Kind::NotFound, "this box knows no service of that name")
        .remedy("use service=dependency_proxy")
}

/// `GET /jwt/keys`: the public keys that external registries verify with (RFC 7517).
pub(in crate::server) fn keys(appliance: &Appliance, call: &Call<'_>) -> Result<Response> {
    if !call.reads() {
        let answer = error::body(405, "UNSUPPORTED", "the keys can only be read");
        return Ok(answer.header("Allow", "GET, HEAD"));
    }
    let registries = appliance.authenticator.external_registries()?;
    let signers = registries.iter().filter_map(|one| one.signer.as_ref().ok());
    let keys: Vec<_> = signers.map(Signer::jwk).collect();
    let answer = error::json_body(Response::new(200), &json!({ "keys": keys }));
    Ok(answer.header("Cache-Control", "public, max-age=300"))
}
