//! `GET` and `HEAD /v2/NAME/manifests/REFERENCE` (distribution-spec 1.1, "Pulling manifests").

use super::super::Appliance;
use super::super::call::Call;
use super::accept::accepts;
use super::content::{Content, has_it, part_of};
use crate::auth::Grant;
use crate::error::{Error, Kind, Result};
use crate::http::{Body, Response};
use crate::oci::{MediaType, Reference};
use crate::proxy::Target;
use crate::spool::Owner;

pub(super) fn manifest(
    appliance: &Appliance,
    call: &mut Call<'_>,
    grant: &Grant,
    target: &Target,
    reference: &Reference,
) -> Result<Response> {
    if call.is_head() {
        let summary = appliance.proxy.head_manifest(grant, target, reference)?;
        check_accepted(call, reference, summary.media_type)?;
        let content = Content {
            digest: &summary.digest,
            media_type: summary.media_type.as_str(),
            size: Some(summary.size),
            can_be_read_again: true,
            cache: Some(summary.cache),
            age: summary.age,
        };
        return content.answer(call, |_, _| Body::Empty);
    }
    let has_it = |digest: &_| has_it(call, digest);
    let answer = (appliance.proxy).manifest(grant, target, reference, has_it)?;
    check_accepted(call, reference, answer.media_type)?;
    let content = Content {
        digest: &answer.digest,
        media_type: answer.media_type.as_str(),
        size: Some(answer.content.length()),
        can_be_read_again: true,
        cache: Some(answer.cache),
        age: answer.age,
    };
    let body = answer.content;
    body.hand_over(&Owner::from(call.address.ip))?;
    let response = content.answer(call, |offset, length| part_of(&body, offset, length))?;
    Ok(response.holding(body))
}

/// A client that does not take the manifest's type is told so.
pub(super) fn check_accepted(
    call: &Call<'_>,
    reference: &Reference,
    media_type: MediaType,
) -> Result<()> {
    let accept: Vec<_> = call.request.headers.get_all("Accept").collect();
    if accepts(&accept, media_type) {
        return Ok(());
    }
    let what = format!(
        "{reference} is a {}, which the client does not accept",
        media_type.as_str()
    );
    Err(Error::new(Kind::ManifestUnknown, what).remedy("use a client that knows this type"))
}
