//! Whether what an upstream sent for a manifest is one: its digest, its type, its shape. What is not is a
//! lie, and goes no further. Keeps nothing.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::Target;
use super::failed::Failed;
use crate::error::{Error, Kind, Result, excerpt};
use crate::oci::{Algorithm, Digest, Manifest, MediaType, Reference};
use crate::spool::{Content, Spools};
use crate::store::digest_of;
use crate::upstream::{Fault, FaultKind, FetchedManifest};

/// How long the upstream may think about a digest that it did not announce.
const CONFIRM_PATIENCE: Duration = Duration::from_secs(30);

/// A fetched manifest after every check.
pub(super) struct Checked {
    pub(super) digest: Digest,
    pub(super) media_type: MediaType,
    pub(super) content: Content,
    /// Set once it was kept, or could not be.
    pub(super) kept: OnceLock<()>,
}

/// Asks the upstream for a manifest, and takes it only if it is what it should be.
pub(super) fn ask(
    target: &Target,
    reference: &Reference,
    spools: &Arc<Spools>,
) -> Result<Checked, Failed> {
    let lied = |why: &str| {
        let upstream = target.upstream.name();
        let what = format!(
            "{upstream} lied about manifest {reference} of {}",
            target.shown()
        );
        Failed::Lied(format!("{what}: {why}"))
    };
    let fetched = target
        .upstream
        .get_manifest(&target.repository, reference, || {
            spools.spool(target.owner())
        })?;
    let is_announced = fetched.digest.is_some();
    let length = fetched.content.length();
    let checked = spools.work(target.owner(), length, || check(fetched, reference));
    let checked = checked.map_err(|error| match error.kind() {
        Kind::UpstreamLied => lied(&error.to_string()),
        _ => no_room(error).into(),
    })?;
    let is_proven = is_announced || matches!(reference, Reference::Digest(_));
    if !is_proven && !has(target, &checked, spools)? {
        return Err(lied(
            "it names no digest, and has nothing under the digest of what it sent",
        ));
    }
    Ok(checked)
}

/// The box's own trouble is not the upstream's.
pub(super) fn no_room(error: Error) -> Fault {
    Fault::new(FaultKind::NoRoom, error.to_string())
}

/// Whether the upstream has these very bytes under their digest. Asked where it did not say the digest of
/// what it sent for a tag: nothing else tells a manifest from one that was cut or changed on the way.
fn has(target: &Target, checked: &Checked, spools: &Arc<Spools>) -> Result<bool, Fault> {
    let (upstream, repository) = (&target.upstream, &target.repository);
    let by_digest = Reference::Digest(checked.digest.clone());
    match upstream.head_manifest(repository, &by_digest, CONFIRM_PATIENCE) {
        Ok(head) => Ok(head.digest.is_none_or(|said| said == checked.digest)),
        Err(fault) => match fault.kind {
            FaultKind::NotFound | FaultKind::Denied => Ok(false),
            FaultKind::MethodNotAllowed => {
                let spool = || spools.spool(target.owner());
                let again = upstream.get_manifest(repository, &by_digest, spool)?;
                let algorithm = checked.digest.algorithm();
                let found = digest_of(&again.content, algorithm).map_err(no_room)?;
                Ok(found == checked.digest)
            }
            _ => Err(fault),
        },
    }
}

/// Compares a fetched manifest with what was asked for and with what the upstream says of it.
fn check(fetched: FetchedManifest, reference: &Reference) -> Result<Checked> {
    let lied = |why: &str| Error::new(Kind::UpstreamLied, why);
    let bytes = fetched.content.read()?;
    let digest = match reference {
        Reference::Digest(digest) => digest.clone(),
        Reference::Tag(_) => {
            let algorithm = fetched
                .digest
                .as_ref()
                .map_or(Algorithm::Sha256, Digest::algorithm);
            Digest::of_with(algorithm, &bytes)
        }
    };
    if Digest::of_with(digest.algorithm(), &bytes) != digest {
        return Err(lied("its bytes do not match the digest"));
    }
    if fetched
        .digest
        .as_ref()
        .is_some_and(|said| said.algorithm() == digest.algorithm() && *said != digest)
    {
        return Err(lied("it announced another digest than its bytes have"));
    }
    let announced = MediaType::parse(&fetched.content_type);
    if announced.is_none() && !is_vague(&fetched.content_type) {
        return Err(lied(&format!(
            "its type is `{}`, which no client takes as a manifest",
            excerpt(&fetched.content_type)
        )));
    }
    let manifest =
        Manifest::parse(&bytes, announced).map_err(|error| lied("what it sent").because(error))?;
    Ok(Checked {
        digest,
        media_type: manifest.media_type,
        content: fetched.content,
        kept: OnceLock::new(),
    })
}

/// Types that say nothing: the manifest's own `mediaType` decides then.
fn is_vague(content_type: &str) -> bool {
    let name = content_type.split(';').next().unwrap_or_default().trim();
    matches!(
        name,
        "" | "application/json" | "application/octet-stream" | "text/plain"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_true_is_taken() {
        let config = Digest::of(b"c");
        let body = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"x/y","digest":"{config}","size":1}}}}"#
        );
        let digest = Digest::of(body.as_bytes());
        let oci = MediaType::OciManifest.as_str();
        let tag = Reference::parse("latest").unwrap();
        let by_digest = Reference::Digest(digest.clone());
        let other = Reference::Digest(config.clone());
        struct Case<'a> {
            what: &'a str,
            body: &'a str,
            content_type: &'a str,
            said: Option<&'a Digest>,
            reference: &'a Reference,
            expected: bool,
        }
        let table: &[Case<'_>] = &[
            Case {
                what: "a true one",
                body: &body,
                content_type: oci,
                said: Some(&digest),
                reference: &tag,
                expected: true,
            },
            Case {
                what: "by digest",
                body: &body,
                content_type: oci,
                said: Some(&digest),
                reference: &by_digest,
                expected: true,
            },
            Case {
                what: "no digest header",
                body: &body,
                content_type: oci,
                said: None,
                reference: &by_digest,
                expected: true,
            },
            Case {
                what: "a vague type",
                body: &body,
                content_type: "application/json",
                said: None,
                reference: &tag,
                expected: true,
            },
            Case {
                what: "other bytes than asked for",
                body: &body,
                content_type: oci,
                said: None,
                reference: &other,
                expected: false,
            },
            Case {
                what: "a wrong digest header",
                body: &body,
                content_type: oci,
                said: Some(&config),
                reference: &tag,
                expected: false,
            },
            Case {
                what: "a web page",
                body: "<html>",
                content_type: "text/html",
                said: None,
                reference: &tag,
                expected: false,
            },
            Case {
                what: "not JSON",
                body: "<html>",
                content_type: oci,
                said: None,
                reference: &tag,
                expected: false,
            },
            Case {
                what: "an empty body",
                body: "",
                content_type: oci,
                said: None,
                reference: &tag,
                expected: false,
            },
            Case {
                what: "another type than announced",
                body: &body,
                content_type: MediaType::OciIndex.as_str(),
                said: None,
                reference: &tag,
                expected: false,
            },
            Case {
                what: "schema 1",
                body: &body,
                content_type: "application/vnd.docker.distribution.manifest.v1+prettyjws",
                said: None,
                reference: &tag,
                expected: false,
            },
        ];
        for Case {
            what,
            body,
            content_type,
            said,
            reference,
            expected,
        } in table
        {
            let fetched = FetchedManifest {
                content: body.into(),
                content_type: (*content_type).to_owned(),
                digest: said.cloned(),
            };
            assert_eq!(check(fetched, reference).is_ok(), *expected, "{what}");
        }
    }
}
