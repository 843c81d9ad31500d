//! `/v2/NAME/blobs/uploads/` (distribution-spec 1.1, "Pushing blobs", "Mounting a blob from another repository").

use super::super::call::Call;
use super::super::error;
use super::hosted::Hosted;
use crate::auth::policy::Wanted;
use crate::error::{Error, Kind, Result};
use crate::http::{Method, Response};
use crate::oci::{Algorithm, Digest, RepositoryName};
use crate::registry::{Piece, UploadStatus};

/// `POST`: mounts a blob, takes one whole, or begins an upload.
pub(super) fn start(hosted: &Hosted<'_>, call: &mut Call<'_>) -> Result<Response> {
    if let Some(digest) = call.query("mount")
        && let Some(response) = mount(hosted, call, &digest)?
    {
        return Ok(response);
    }
    let registry = &hosted.appliance.registry;
    if let Some(digest) = call.query("digest") {
        let digest = Digest::parse(&digest)?;
        let now = call.now;
        registry.push_blob(&hosted.grant, piece(call, None), &digest, now)?;
        return Ok(created(hosted, &digest));
    }
    let algorithm = match call.query("digest-algorithm") {
        Some(word) => Algorithm::parse(&word).ok_or_else(|| {
            Error::new(Kind::DigestInvalid, "this digest-algorithm is not known")
                .remedy("use sha256 or sha512")
        })?,
        None => Algorithm::Sha256,
    };
    let upload = registry.start_upload(&hosted.grant, algorithm, call.now)?;
    Ok(progress(hosted, Response::new(202), &upload))
}

/// `GET`, `PATCH`, `PUT`, `DELETE` of an upload that has begun.
pub(super) fn upload(hosted: &Hosted<'_>, call: &mut Call<'_>, id: &str) -> Result<Response> {
    let registry = &hosted.appliance.registry;
    let grant = &hosted.grant;
    let result = match call.request.method {
        Method::Patch => content_range(call)
            .and_then(|range| registry.append_upload(grant, id, piece(call, range)))
            .map(|upload| progress(hosted, Response::new(202), &upload)),
        Method::Put => complete(hosted, call, id),
        Method::Delete => registry
            .cancel_upload(grant, id)
            .map(|()| Response::new(204)),
        _ => registry
            .upload_status(grant, id)
            .map(|upload| progress(hosted, Response::new(204), &upload)),
    };
    match result {
        // The client learns where it can go on.
        Err(refused) if matches!(refused.kind(), Kind::RangeInvalid | Kind::Conflict) => {
            let response = error::response(&refused, &call.id);
            let upload = registry.upload_status(grant, id)?;
            Ok(progress(hosted, response, &upload))
        }
        other => other,
    }
}

fn complete(hosted: &Hosted<'_>, call: &mut Call<'_>, id: &str) -> Result<Response> {
    let digest = call.query("digest").ok_or_else(|| {
        Error::new(Kind::DigestInvalid, "the digest of the upload is missing")
            .remedy("put it into the query: ?digest=sha256:…")
    })?;
    let digest = Digest::parse(&digest)?;
    let range = content_range(call)?;
    let now = call.now;
    let registry = &hosted.appliance.registry;
    registry.commit_upload(&hosted.grant, id, piece(call, range), &digest, now)?;
    Ok(created(hosted, &digest))
}

/// The answer to a mount that worked; otherwise the client uploads the blob, and is not told why.
fn mount(hosted: &Hosted<'_>, call: &Call<'_>, digest: &str) -> Result<Option<Response>> {
    let Ok(digest) = Digest::parse(digest) else {
        return Ok(None);
    };
    let (appliance, grant) = (hosted.appliance, &hosted.grant);
    let may_pull = |path: &str| match RepositoryName::parse(path) {
        Ok(name) => Ok(appliance
            .authorize_repository(&hosted.identity, &name, Wanted::Pull)?
            .granted()),
        Err(_) => Ok(None),
    };
    let registry = &appliance.registry;
    let mounted = match call.query("from") {
        Some(from) => match may_pull(&from)? {
            Some(from) => registry.mount_blob(grant, &from, &digest, call.now)?,
            None => false,
        },
        None => registry.mount_blob_from_anywhere(grant, &digest, call.now, may_pull)?,
    };
    Ok(mounted.then(|| created(hosted, &digest)))
}

fn piece<'a>(call: &'a mut Call<'_>, range: Option<(u64, u64)>) -> Piece<'a> {
    let length = call.request.body.length();
    Piece {
        body: &mut call.request.body,
        length,
        range,
    }
}

/// `Content-Range: FIRST-LAST`, as the spec has it; HTTP's own form with unit and total is taken as well.
fn content_range(call: &Call<'_>) -> Result<Option<(u64, u64)>> {
    let headers = &call.request.headers;
    if !headers.contains("Content-Range") {
        return Ok(None);
    }
    let parse = |text: &str| {
        let text = text.trim();
        let text = text.strip_prefix("bytes ").unwrap_or(text);
        let (range, _total) = text.split_once('/').unwrap_or((text, ""));
        let (first, last) = range.split_once('-')?;
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let range = (first.parse().ok()?, last.parse().ok()?);
        (digits(first) && digits(last) && range.0 <= range.1).then_some(range)
    };
    let range = headers.get("Content-Range").and_then(parse);
    range.map(Some).ok_or_else(|| {
        Error::new(
            Kind::RangeInvalid,
            "the Content-Range is not of the form FIRST-LAST",
        )
    })
}

/// How far an upload is. `0-0` stands for nothing too: the spec has no other word for it.
fn progress(hosted: &Hosted<'_>, response: Response, upload: &UploadStatus) -> Response {
    response
        .header("Location", hosted.location("blobs/uploads", &upload.id))
        .header("Range", format!("0-{}", upload.length.saturating_sub(1)))
        .header("Docker-Upload-UUID", upload.id.as_str())
}

fn created(hosted: &Hosted<'_>, digest: &Digest) -> Response {
    Response::new(201)
        .header("Location", hosted.location("blobs", digest.as_str()))
        .header("Docker-Content-Digest", digest.as_str())
}
