//! `GET` and `HEAD /v2/NAME/manifests/REFERENCE` (distribution-spec 1.1, "Pulling manifests").

use std::sync::Arc;

use super::super::Appliance;
use super::super::call::Call;
use super::accept::accepts;
use super::content::Content;
use crate::auth::Grant;
use crate::error::{Error, Kind, Result};
use crate::http::{Body, Response};
use crate::oci::{MediaType, Reference};
use crate::proxy::Target;

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
            cache: Some(summary.cache),
            age: summary.age,
        };
        return Ok(content.answer(call, |_, _| Body::Empty));
    }
    let answer = appliance.proxy.manifest(grant, target, reference)?;
    check_accepted(call, reference, answer.media_type)?;
    let content = Content {
        digest: &answer.digest,
        media_type: answer.media_type.as_str(),
        size: Some(answer.bytes.len() as u64),
        cache: Some(answer.cache),
        age: answer.age,
    };
    let bytes = Arc::clone(&answer.bytes);
    Ok(content.answer(call, move |offset, length| part_of(bytes, offset, length)))
}

/// The bytes of a manifest from `offset` on, `length` of them or all.
pub(super) fn part_of(bytes: Arc<[u8]>, offset: u64, length: Option<u64>) -> Body {
    let offset = usize::try_from(offset)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    let end = length.map_or(bytes.len(), |length| {
        offset.saturating_add(usize::try_from(length).unwrap_or(usize::MAX))
    });
    Body::Bytes(if offset == 0 && end >= bytes.len() {
        bytes
    } else {
        bytes[offset..end.min(bytes.len())].into()
    })
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
