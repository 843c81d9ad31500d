//! What is in a repository of this box (distribution-spec 1.1, "API"): authorized here, answered by the part's own
//! file or, where it is short, here.

use super::super::Appliance;
use super::super::authorize::Verdict;
use super::super::call::Call;
use super::super::error;
use super::super::events::Removed;
use super::super::router::{Part, RepositoryRoute};
use super::content::{Content, part_of};
use super::{manifests, uploads};
use crate::auth::Identity;
use crate::auth::policy::{Refusal, RepositoryGrant, Wanted};
use crate::error::{Error, Kind, Result, excerpt};
use crate::http::{Body, Method, Response};
use crate::oci::{Digest, MAX_MANIFEST_SIZE, MediaType, Reference, RepositoryName, Tag};
use crate::registry::{ManifestContent, PushedManifest};
use crate::spool::{self, Owner, Spool, Unfilled};

/// The most tags that one push of a manifest sets; the spec asks for at least 10.
const MAX_TAGS: usize = 100;

/// A request about a hosted repository, authorized.
pub(super) struct Hosted<'a> {
    pub(super) appliance: &'a Appliance,
    pub(super) identity: Identity,
    pub(super) grant: RepositoryGrant,
}

/// What a method does with a part of a repository; `None` where it does nothing.
pub(super) fn wanted(method: &Method, part: &Part) -> Option<Wanted> {
    match (method, part) {
        (Method::Get | Method::Head, Part::Upload(_)) => Some(Wanted::Push),
        (Method::Get | Method::Head, Part::Uploads) => None,
        (Method::Get | Method::Head, _) => Some(Wanted::Pull),
        (Method::Put, Part::Manifest(_)) | (Method::Post, Part::Uploads) => Some(Wanted::Push),
        (Method::Patch | Method::Put | Method::Delete, Part::Upload(_)) => Some(Wanted::Push),
        (Method::Delete, Part::Manifest(_) | Part::Blob(_)) => Some(Wanted::Delete),
        _ => None,
    }
}

pub(super) fn repository(
    appliance: &Appliance,
    call: &mut Call<'_>,
    route: &RepositoryRoute,
    name: &RepositoryName,
) -> Result<Response> {
    let Some(wanted) = wanted(&call.request.method, &route.part) else {
        return Ok(not_allowed(&route.part));
    };
    let identity = call.identify(appliance)?;
    let grant = match appliance.authorize_repository(&identity, name, wanted)? {
        Verdict::Granted(grant) => grant,
        Verdict::Refused(refusal) => {
            return Err(refused(appliance, &identity, name, wanted, refusal)?);
        }
    };
    call.note.is_granted = true;
    let hosted = Hosted {
        appliance,
        identity,
        grant,
    };
    match (&call.request.method, &route.part) {
        (Method::Put, Part::Manifest(reference)) => hosted.put_manifest(call, reference),
        (Method::Delete, Part::Manifest(reference)) => hosted.delete_manifest(call, reference),
        (Method::Delete, Part::Blob(digest)) => {
            let registry = &appliance.registry;
            registry.delete_blob(&hosted.grant, digest)?;
            hosted.record_removal(call, &Removed::Blob(digest));
            Ok(Response::new(202))
        }
        (_, Part::Manifest(reference)) => hosted.manifest(call, reference),
        (_, Part::Blob(digest)) => hosted.blob(call, digest),
        (_, Part::Tags) => appliance
            .store
            .in_list_queue(|| super::pages::tags(&hosted, call)),
        (_, Part::Referrers(digest)) => appliance
            .store
            .in_list_queue(|| super::pages::referrers(&hosted, call, digest)),
        (_, Part::Uploads) => uploads::start(&hosted, call),
        (_, Part::Upload(id)) => uploads::upload(&hosted, call, id),
    }
}

/// The refusal; whoever pushes where no project is, and sees the group, learns how one is made.
fn refused(
    appliance: &Appliance,
    identity: &Identity,
    name: &RepositoryName,
    wanted: Wanted,
    refusal: Refusal,
) -> Result<Error> {
    let is_hidden = matches!(refusal, Refusal::Unknown(_));
    let error = refusal.error(name.as_str());
    if !is_hidden || wanted != Wanted::Push {
        return Ok(error);
    }
    Ok(match appliance.project_to_make(identity, name)? {
        Some(project) => error.remedy(format!(
            "images are pushed to projects: `breakwater project add {project}` on this box, or a maintainer of the group, makes one"
        )),
        None => error,
    })
}

impl Hosted<'_> {
    fn manifest(&self, call: &mut Call<'_>, reference: &Reference) -> Result<Response> {
        let registry = &self.appliance.registry;
        let (kept, body) = if call.is_head() {
            (registry.head_manifest(&self.grant, reference)?, None)
        } else {
            let (kept, body) = registry.manifest(&self.grant, reference)?;
            self.appliance.note_pull(
                call,
                &self.identity,
                self.grant.repository().as_str(),
                reference,
            );
            (kept, Some(body))
        };
        manifests::check_accepted(call, reference, kept.media_type)?;
        let content = Content {
            digest: &kept.digest,
            media_type: kept.media_type.as_str(),
            size: Some(kept.size),
            can_be_read_again: true,
            cache: None,
            age: None,
        };
        content.answer(call, |offset, length| match &body {
            Some(body) => part_of(body, offset, length),
            None => Body::Empty,
        })
    }

    fn blob(&self, call: &mut Call<'_>, digest: &Digest) -> Result<Response> {
        let registry = &self.appliance.registry;
        let blob = match call.is_head() {
            true => registry.head_blob(&self.grant, digest, call.now)?,
            false => registry.blob(&self.grant, digest, call.now)?,
        };
        let content = Content {
            digest,
            media_type: "application/octet-stream",
            size: Some(blob.size()),
            can_be_read_again: true,
            cache: None,
            age: None,
        };
        content.answer(call, move |offset, length| Body::File {
            file: blob.to_send(),
            offset,
            length: length.unwrap_or(blob.size()),
        })
    }

    fn put_manifest(&self, call: &mut Call<'_>, reference: &Reference) -> Result<Response> {
        let tags = call
            .query_all("tag")
            .iter()
            .map(|tag| Tag::parse(tag))
            .collect::<Result<Vec<_>>>()?;
        if tags.len() > MAX_TAGS {
            let what = format!("one push sets at most {MAX_TAGS} tags");
            return Err(Error::new(Kind::BadRequest, what));
        }
        let announced = announced_type(call)?;
        let spools = &self.appliance.store.spools;
        let content = receive_manifest(call, spools.spool(Owner::from(call.address.ip)))?;
        let pushed = PushedManifest {
            reference,
            tags: tags.clone(),
            announced,
            content: &content,
            owner: Owner::from(call.address.ip),
            pushed_by: self.identity.principal.label(),
            now: call.now,
        };
        match self.appliance.registry.put_manifest(&self.grant, pushed)? {
            ManifestContent::Kept { digest, subject } => {
                let mut all_tags = tags.clone();
                if let Reference::Tag(tag) = reference {
                    all_tags.insert(0, tag.clone());
                }
                self.appliance
                    .note_push(call, &self.identity, &self.grant, &digest, &all_tags);
                let mut response = Response::new(201)
                    .header("Location", self.location("manifests", digest.as_str()))
                    .header("Docker-Content-Digest", digest.as_str());
                if let Some(subject) = subject {
                    response = response.header("OCI-Subject", subject.as_str());
                }
                for tag in &tags {
                    response = response.header("OCI-Tag", tag.as_str());
                }
                Ok(response)
            }
            ManifestContent::Missing(missing) => Ok(missing_blobs(&missing)),
        }
    }

    fn delete_manifest(&self, call: &Call<'_>, reference: &Reference) -> Result<Response> {
        let registry = &self.appliance.registry;
        match reference {
            Reference::Tag(tag) => registry.delete_tag(&self.grant, tag)?,
            Reference::Digest(digest) => {
                registry.delete_manifest(&self.grant, digest, call.now)?;
            }
        }
        self.record_removal(call, &Removed::Image(reference));
        Ok(Response::new(202))
    }

    fn record_removal(&self, call: &Call<'_>, removed: &Removed<'_>) {
        self.appliance
            .record_removal(call, &self.identity, &self.grant, removed);
    }

    /// Where something of this repository is: relative to the host, which a proxy before the box may change.
    pub(super) fn location(&self, kind: &str, what: &str) -> String {
        format!("/v2/{}/{kind}/{what}", self.grant.repository())
    }
}

/// The manifest's announced type; `None` where the client announced none.
fn announced_type(call: &Call<'_>) -> Result<Option<MediaType>> {
    let Some(text) = call.request.headers.get("Content-Type") else {
        return Ok(None);
    };
    MediaType::parse(text).map(Some).ok_or_else(|| {
        Error::new(
            Kind::ManifestInvalid,
            format!(
                "`{}` is no type of manifests that this registry keeps",
                excerpt(text)
            ),
        )
        .remedy("push an OCI image or index, or Docker's schema 2")
    })
}

/// All of it, refused before it is read where its length is known to be too much.
fn receive_manifest(call: &mut Call<'_>, mut spool: Spool) -> Result<spool::Content> {
    let too_large = || Error::new(Kind::ManifestTooLarge, "the manifest is larger than 4 MiB");
    let body = &mut call.request.body;
    if body
        .length()
        .is_some_and(|length| length > MAX_MANIFEST_SIZE)
    {
        return Err(too_large());
    }
    match spool.fill(body, MAX_MANIFEST_SIZE) {
        Ok(()) => spool.finish(),
        Err(Unfilled::TooLong) => Err(too_large()),
        Err(Unfilled::Refused(error)) => Err(error),
        Err(Unfilled::Source(error)) => {
            Err(Error::new(Kind::BadRequest, "the manifest did not arrive").because(error))
        }
    }
}

/// One error for each blob, with its digest in `detail`.
fn missing_blobs(missing: &[Digest]) -> Response {
    let errors: Vec<_> = missing
        .iter()
        .map(|digest| {
            serde_json::json!({
                "code": "MANIFEST_BLOB_UNKNOWN",
                "message": format!("the manifest refers to {digest}, which is not in this repository (push or mount it first)"),
                "detail": { "digest": digest.as_str() },
            })
        })
        .collect();
    error::json_body(Response::new(400), &serde_json::json!({ "errors": errors }))
}

fn not_allowed(part: &Part) -> Response {
    let allow = match part {
        Part::Manifest(_) => "GET, HEAD, PUT, DELETE",
        Part::Blob(_) => "GET, HEAD, DELETE",
        Part::Tags | Part::Referrers(_) => "GET, HEAD",
        Part::Uploads => "POST",
        Part::Upload(_) => "GET, PATCH, PUT, DELETE",
    };
    let message = "this method does nothing here";
    error::body(405, "UNSUPPORTED", message).header("Allow", allow)
}
