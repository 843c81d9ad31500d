//! From a path to what it means. Names and digests become types here, before anything else sees them.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::error::{Error, Kind, Result};
use crate::oci::{Digest, Reference, RegistryHost, RepositoryName};

/// What a path means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/v2/`: does this box speak the protocol, and are these credentials good.
    Base,
    /// `/jwt/auth`.
    Token,
    /// `/api/v4/…`, which has a routing table of its own.
    Api,
    /// `/jwt/keys`.
    Keys,
    /// Something in a repository.
    Repository(RepositoryRoute),
    /// `/v2/_catalog`.
    Catalog,
    /// How the box is, for probes.
    Probe(Probe),
    /// `/metrics`.
    Metrics,
    /// The operator's page, which has a table of its own.
    Page,
}

impl Route {
    /// Whether it is a manifest or a blob.
    pub(super) fn is_content(&self) -> bool {
        match self {
            Self::Repository(route) => matches!(route.part, Part::Manifest(_) | Part::Blob(_)),
            _ => false,
        }
    }
}

/// What a probe asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// `/-/liveness`
    Liveness,
    /// `/-/readiness`
    Readiness,
    /// `/-/health`
    Health,
    /// `/-/client-check`
    ClientCheck,
}

/// Something in a repository.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RepositoryRoute {
    /// The whole name between `/v2/` and what is asked for: what a scope names. Every part of it was
    /// parsed; it is no `RepositoryName` only because a host with a port may be in it.
    pub(super) name: String,
    /// Where the repository is.
    pub(super) place: Place,
    /// What is asked for.
    pub(super) part: Part,
}

impl RepositoryRoute {
    /// Its name with the host that `ns` gave, if it did: that of a scope where the same path without `ns` is a
    /// hosted repository.
    pub(super) fn name_with_host(&self) -> Option<String> {
        match &self.place {
            Place::Mirror {
                host: Some(host),
                image,
                by_ns: true,
            } => Some(format!("{host}/{image}")),
            _ => None,
        }
    }
}

/// Where a repository is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `GROUP/dependency_proxy/containers/[HOST/]IMAGE`.
    Group {
        group: String,
        /// The upstream, if the path or `ns` names one.
        host: Option<RegistryHost>,
        image: RepositoryName,
    },
    /// Any other path: the mirror, or a hosted repository where the first part is a group of this box.
    Mirror {
        /// The upstream, if the path or `ns` names one.
        host: Option<RegistryHost>,
        image: RepositoryName,
        /// Whether `ns` named it: then it is never a hosted one.
        by_ns: bool,
    },
}

/// What is asked for in a repository.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// `manifests/REFERENCE`
    Manifest(Reference),
    /// `blobs/DIGEST`
    Blob(Digest),
    /// `tags/list`
    Tags,
    /// `referrers/DIGEST`
    Referrers(Digest),
    /// `blobs/uploads/`
    Uploads,
    /// `blobs/uploads/ID`
    Upload(String),
}

/// Reads a path and the value of `ns`.
///
/// # Errors
/// `NotFound` for a path that means nothing; `NameInvalid`, `TagInvalid`, `DigestInvalid` or `BadRequest`
/// for one whose parts are wrong.
pub(super) fn route(path: &str, ns: Option<&str>) -> Result<Route> {
    match path {
        "/v2/" | "/v2" => return Ok(Route::Base),
        "/v2/_catalog" => return Ok(Route::Catalog),
        "/jwt/auth" => return Ok(Route::Token),
        "/jwt/keys" => return Ok(Route::Keys),
        "/-/liveness" => return Ok(Route::Probe(Probe::Liveness)),
        "/-/readiness" => return Ok(Route::Probe(Probe::Readiness)),
        "/-/health" => return Ok(Route::Probe(Probe::Health)),
        "/-/client-check" => return Ok(Route::Probe(Probe::ClientCheck)),
        "/metrics" => return Ok(Route::Metrics),
        _ if path.starts_with("/api/v4/") => return Ok(Route::Api),
        _ => {}
    }
    let Some(rest) = path.strip_prefix("/v2/") else {
        let nothing = || Error::new(Kind::NotFound, "there is nothing at this path");
        return super::ui::has(path)
            .then_some(Route::Page)
            .ok_or_else(nothing);
    };
    let segments = rest.split('/').map(decode).collect::<Result<Vec<_>>>()?;
    let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
    let (name, part) = split(&segments)?;
    let place = place(name, ns)?;
    Ok(Route::Repository(RepositoryRoute {
        name: name.join("/"),
        place,
        part,
    }))
}

/// Splits the segments behind `/v2/` into the name and what is asked for.
fn split<'a, 'b>(segments: &'b [&'a str]) -> Result<(&'b [&'a str], Part)> {
    let (name, part) = match segments {
        [name @ .., "manifests", reference] => (name, Part::Manifest(Reference::parse(reference)?)),
        [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => {
            (name, Part::Uploads)
        }
        [name @ .., "blobs", "uploads", id] => (name, Part::Upload((*id).to_owned())),
        [name @ .., "blobs", digest] => (name, Part::Blob(Digest::parse(digest)?)),
        [name @ .., "tags", "list"] => (name, Part::Tags),
        [name @ .., "referrers", digest] => (name, Part::Referrers(Digest::parse(digest)?)),
        _ => return Err(Error::new(Kind::NotFound, "there is nothing at this path")),
    };
    Ok((name, part))
}

/// Where the repository of this name is. Also read for the names in scopes, where there is no `ns`.
///
/// # Errors
/// `NameInvalid`.
pub(super) fn place(name: &[&str], ns: Option<&str>) -> Result<Place> {
    let by_ns = ns.is_some();
    let ns = ns.map(RegistryHost::parse).transpose()?;
    let proxied = name
        .windows(2)
        .position(|pair| pair == ["dependency_proxy", "containers"])
        .filter(|&at| at > 0)
        .and_then(|at| name.split_at_checked(at));
    if let Some((group, image)) = proxied {
        let group = RepositoryName::parse(&group.join("/"))?;
        let (host, image) = host_and_image(image.get(2..).unwrap_or_default())?;
        return Ok(Place::Group {
            group: group.as_str().to_owned(),
            host: host.or(ns),
            image,
        });
    }
    if by_ns {
        return Ok(Place::Mirror {
            host: ns,
            image: RepositoryName::parse(&name.join("/"))?,
            by_ns,
        });
    }
    let (host, image) = host_and_image(name)?;
    Ok(Place::Mirror { host, image, by_ns })
}

/// Takes the host off a name whose first part can only be one.
fn host_and_image(name: &[&str]) -> Result<(Option<RegistryHost>, RepositoryName)> {
    match name {
        [first, rest @ ..]
            if !rest.is_empty() && (first.contains(['.', ':']) || *first == "localhost") =>
        {
            Ok((
                Some(RegistryHost::parse(first)?),
                RepositoryName::parse(&rest.join("/"))?,
            ))
        }
        name => Ok((None, RepositoryName::parse(&name.join("/"))?)),
    }
}

/// Decodes one segment. What decodes to a slash or to no UTF-8 is no part of any name.
fn decode(segment: &str) -> Result<Cow<'_, str>> {
    let decoded = percent_decode_str(segment).decode_utf8();
    match decoded {
        Ok(decoded) if !decoded.contains('/') => Ok(decoded),
        _ => Err(Error::new(
            Kind::NameInvalid,
            "a part of the path is not text, or hides a slash",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(path: &str, ns: Option<&str>) -> String {
        match route(path, ns) {
            Ok(Route::Repository(RepositoryRoute { name, place, part })) => {
                let part = match part {
                    Part::Manifest(reference) => format!("manifest {reference}"),
                    Part::Blob(_) => "blob".into(),
                    Part::Tags => "tags".into(),
                    Part::Referrers(_) => "referrers".into(),
                    Part::Uploads => "uploads".into(),
                    Part::Upload(id) => format!("upload {id}"),
                };
                let host =
                    |host: Option<RegistryHost>| host.map_or("-".into(), |host| host.to_string());
                match place {
                    Place::Group {
                        group,
                        host: h,
                        image,
                    } => format!("{name}: group {group} {} {image} {part}", host(h)),
                    Place::Mirror {
                        host: h,
                        image,
                        by_ns,
                    } => {
                        format!(
                            "{name}: mirror {} {image} {part}{}",
                            host(h),
                            if by_ns { " by ns" } else { "" }
                        )
                    }
                }
            }
            Ok(route) => format!("{route:?}"),
            Err(error) => format!("{:?}", error.kind()),
        }
    }

    #[test]
    fn paths_mean_what_the_table_says() {
        let digest = Digest::of(b"x");
        let table: &[(String, Option<&str>, &str)] = &[
            ("/v2/".into(), None, "Base"),
            ("/v2".into(), None, "Base"),
            ("/jwt/auth".into(), None, "Token"),
            (
                "/v2/alpine/manifests/latest".into(),
                None,
                "alpine: mirror - alpine manifest latest",
            ),
            (
                "/v2/library/alpine/tags/list".into(),
                None,
                "library/alpine: mirror - library/alpine tags",
            ),
            (
                "/v2/quay.io/org/x/manifests/1".into(),
                None,
                "quay.io/org/x: mirror quay.io org/x manifest 1",
            ),
            (
                "/v2/org/x/manifests/1".into(),
                Some("quay.io"),
                "org/x: mirror quay.io org/x manifest 1 by ns",
            ),
            (
                "/v2/acme/dependency_proxy/containers/alpine/manifests/1".into(),
                None,
                "acme/dependency_proxy/containers/alpine: group acme - alpine manifest 1",
            ),
            (
                "/v2/a/b/dependency_proxy/containers/quay.io/x/manifests/1".into(),
                None,
                "a/b/dependency_proxy/containers/quay.io/x: group a/b quay.io x manifest 1",
            ),
            (
                "/v2/a/dependency_proxy/containers/x/manifests/1".into(),
                Some("quay.io"),
                "a/dependency_proxy/containers/x: group a quay.io x manifest 1",
            ),
            (format!("/v2/x/blobs/{digest}"), None, "x: mirror - x blob"),
            (
                format!("/v2/x/blobs/{}", digest.as_str().replace(':', "%3A")),
                None,
                "x: mirror - x blob",
            ),
            (
                format!("/v2/x/referrers/{digest}"),
                None,
                "x: mirror - x referrers",
            ),
            ("/v2/x/blobs/uploads/".into(), None, "x: mirror - x uploads"),
            ("/v2/x/blobs/uploads".into(), None, "x: mirror - x uploads"),
            (
                "/v2/x/blobs/uploads/ab12".into(),
                None,
                "x: mirror - x upload ab12",
            ),
            ("/v2/_catalog".into(), None, "Catalog"),
            (
                "/v2/manifests/manifests/manifests".into(),
                None,
                "manifests: mirror - manifests manifest manifests",
            ),
            ("/v2/x/blobs/sha256:00".into(), None, "DigestInvalid"),
            ("/v2/../x/manifests/1".into(), None, "NameInvalid"),
            ("/v2/x%2f..%2fy/manifests/1".into(), None, "NameInvalid"),
            ("/v2/%2e%2e/manifests/1".into(), None, "NameInvalid"),
            ("/v2/%ff/manifests/1".into(), None, "NameInvalid"),
            ("/v2//manifests/1".into(), None, "NameInvalid"),
            ("/v2/manifests/1".into(), None, "NameInvalid"),
            ("/v2/x/manifests/".into(), None, "TagInvalid"),
            ("/v2/x/manifests/..".into(), None, "TagInvalid"),
            (
                format!("/v2/x/manifests/{}", "a".repeat(10_000)),
                None,
                "TagInvalid",
            ),
            ("/v2/x/manifests/1".into(), Some("no host"), "NameInvalid"),
            ("/v2/x".into(), None, "NotFound"),
            ("/".into(), None, "Page"),
            ("/groups/7".into(), None, "Page"),
            ("/groupsx".into(), None, "NotFound"),
            ("/v1/x".into(), None, "NotFound"),
        ];
        for (path, ns, expected) in table {
            assert_eq!(shown(path, *ns), *expected, "{path}");
        }
    }
}
