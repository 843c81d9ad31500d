//! Repository names, tags and references (distribution-spec 1.1, "Pulling manifests"), and images as
//! docker writes them (`alpine:3.20`, `quay.io/org/x@sha256:…`).

use std::fmt;

use super::Digest;
use crate::error::{Error, Kind, Result, excerpt};

/// distribution-spec leaves the length open; 255 is what registries and clients agree on.
const MAX_NAME_LENGTH: usize = 255;
const MAX_TAG_LENGTH: usize = 128;
/// The host of an image that is written without one.
pub const DOCKER_HUB: &str = "docker.io";

/// A repository name: path components of `[a-z0-9]+` joined by `.`, `_`, `__` or dashes, joined by `/`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(Box<str>);

impl RepositoryName {
    /// Parses a name by the grammar of distribution-spec.
    ///
    /// # Errors
    /// `NameInvalid` when the grammar or the length of 255 is not kept.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() <= MAX_NAME_LENGTH && text.split('/').all(is_component) {
            return Ok(Self(text.into()));
        }
        Err(Error::new(
            Kind::NameInvalid,
            format!("`{}` is not a repository name", excerpt(text)),
        )
        .remedy(
            "use lower-case letters, digits, and single . _ - between them, parts separated by /",
        ))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components between the slashes; at least one.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// `library/NAME` for a name without a slash, as Docker Hub wants it; the name itself otherwise.
    #[must_use]
    pub fn with_library(&self) -> Self {
        if self.0.contains('/') {
            self.clone()
        } else {
            Self(format!("library/{}", self.0).into())
        }
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(part: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    if !bytes.first().is_some_and(alphanumeric) || !bytes.last().is_some_and(alphanumeric) {
        return false;
    }
    bytes.split(alphanumeric).all(|separator| {
        matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|&b| b == b'-')
    })
}

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Box<str>);

impl Tag {
    /// Parses a tag.
    ///
    /// # Errors
    /// `TagInvalid` when the grammar is not kept.
    pub fn parse(text: &str) -> Result<Self> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let mut bytes = text.bytes();
        let valid = text.len() <= MAX_TAG_LENGTH
            && bytes.next().is_some_and(word)
            && bytes.all(|b| word(b) || b == b'.' || b == b'-');
        if valid {
            return Ok(Self(text.into()));
        }
        Err(Error::new(
            Kind::TagInvalid,
            format!("`{}` is not a tag", excerpt(text)),
        )
        .remedy("use at most 128 letters, digits, _ . and -, the first one no . or -"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What stands behind `/manifests/`: a tag or a digest.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// A name that can move.
    Tag(Tag),
    Digest(Digest),
}

impl Reference {
    /// Parses a digest if there is a colon, otherwise a tag.
    ///
    /// # Errors
    /// `DigestInvalid` or `TagInvalid`.
    pub fn parse(text: &str) -> Result<Self> {
        if text.contains(':') {
            Digest::parse(text).map(Self::Digest)
        } else {
            Tag::parse(text).map(Self::Tag)
        }
    }

    /// The tag or digest as it stands in a path.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tag(tag) => tag.as_str(),
            Self::Digest(digest) => digest.as_str(),
        }
    }
}

/// The host part of an image or an upstream's name: `docker.io`, `localhost:5000`, `registry.example.com`.
///
/// It contains a dot or a colon, or is `localhost`, so that it can be told from a repository's first part.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct RegistryHost(Box<str>);

impl RegistryHost {
    /// Parses a host with an optional port.
    ///
    /// # Errors
    /// `NameInvalid` when it is not a lower-case host name with a dot or a port, or `localhost`.
    pub fn parse(text: &str) -> Result<Self> {
        let (host, port) = text
            .split_once(':')
            .map_or((text, None), |(host, port)| (host, Some(port)));
        let label = |l: &str| {
            !l.is_empty()
                && !l.starts_with('-')
                && !l.ends_with('-')
                && l.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let valid = text.len() <= MAX_NAME_LENGTH
            && host.split('.').all(label)
            && (host == "localhost" || host.contains('.') || port.is_some())
            && port.is_none_or(|port| !port.starts_with('0') && port.parse::<u16>().is_ok());
        if valid {
            return Ok(Self(text.into()));
        }
        Err(Error::new(
            Kind::NameInvalid,
            format!("`{}` is not a registry's host name", excerpt(text)),
        )
        .remedy("write it in lower case, with a dot or a port, for example quay.io"))
    }

    /// The host, with its port if it has one.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An image as docker writes it: `[HOST/]NAME[:TAG][@DIGEST]`.
///
/// Without a host it is Docker Hub's (`docker.io`), where a name without a slash gets `library/`;
/// without tag and digest it is `latest`; with both, the digest counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageName {
    /// The host, if one was written.
    pub host: Option<RegistryHost>,
    /// The repository, as written: `library/` is not added here.
    pub repository: RepositoryName,
    /// Tag or digest, if one was written.
    pub reference: Option<Reference>,
}

impl ImageName {
    /// Parses an image by docker's rules.
    ///
    /// # Errors
    /// `NameInvalid`, `TagInvalid` or `DigestInvalid` for the part that is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest::parse(digest)?)),
            None => (text, None),
        };
        let (host, rest) = match rest.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
                (Some(RegistryHost::parse(first)?), rest)
            }
            _ => (None, rest),
        };
        let (name, tag) = match rest.split_once(':') {
            Some((name, tag)) => (name, Some(Tag::parse(tag)?)),
            None => (rest, None),
        };
        let reference = digest.map(Reference::Digest).or(tag.map(Reference::Tag));
        Ok(Self {
            host,
            repository: RepositoryName::parse(name)?,
            reference,
        })
    }

    /// With what docker supplies where no host is written, and `library/` for a name of Docker Hub without a slash.
    #[must_use]
    pub fn with_docker_hub(self) -> Self {
        let is_docker_hub = self
            .host
            .as_ref()
            .is_none_or(|host| host.as_str() == DOCKER_HUB);
        if !is_docker_hub {
            return self;
        }
        Self {
            host: Some(RegistryHost(DOCKER_HUB.into())),
            repository: self.repository.with_library(),
            ..self
        }
    }

    /// `HOST/NAME`, or `NAME` where no host was written.
    pub fn full_name(&self) -> String {
        match &self.host {
            Some(host) => format!("{host}/{}", self.repository),
            None => self.repository.to_string(),
        }
    }
}

macro_rules! text_type {
    ($($type:ident),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}
text_type!(RepositoryName, Tag, Reference, RegistryHost);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_names_keep_the_grammar() {
        let long = "a".repeat(256);
        let cases: &[(&str, bool)] = &[
            ("alpine", true),
            ("library/alpine", true),
            ("a/b/c/d", true),
            ("a.b_c__d---e", true),
            ("", false),
            ("/", false),
            ("a//b", false),
            ("a/", false),
            ("../etc", false),
            ("a/../b", false),
            ("a/.b", false),
            ("Alpine", false),
            ("a___b", false),
            ("a..b", false),
            ("a-.b", false),
            ("-a", false),
            ("é", false),
            ("a\0b", false),
            (&long, false),
        ];
        for (text, valid) in cases {
            assert_eq!(RepositoryName::parse(text).is_ok(), *valid, "{text:?}");
        }
    }

    #[test]
    fn tags_keep_the_grammar() {
        let (longest, longer) = ("a".repeat(128), "a".repeat(129));
        let cases: &[(&str, bool)] = &[
            ("latest", true),
            ("_x", true),
            ("V1.0-rc.1", true),
            (&longest, true),
            (&longer, false),
            ("", false),
            (".x", false),
            ("-x", false),
            ("a/b", false),
            ("a b", false),
        ];
        for (text, valid) in cases {
            assert_eq!(Tag::parse(text).is_ok(), *valid, "{text:?}");
        }
    }

    #[test]
    fn hosts_are_told_from_names() {
        for (text, valid) in [
            ("docker.io", true),
            ("localhost", true),
            ("localhost:5000", true),
            ("registry:5000", true),
            ("127.0.0.1:5000", true),
            ("alpine", false),
            ("a..b", false),
            ("docker.io:0", false),
            ("docker.io:70000", false),
            ("docker.io:", false),
            ("DOCKER.io", false),
            ("user@docker.io", false),
        ] {
            assert_eq!(RegistryHost::parse(text).is_ok(), valid, "{text:?}");
        }
    }

    #[test]
    fn images_are_read_as_docker_reads_them() {
        let digest = Digest::of(b"x");
        let cases: &[(&str, Option<&str>, &str, Option<&str>)] = &[
            ("alpine", None, "alpine", None),
            ("alpine:3.20", None, "alpine", Some("3.20")),
            ("org/x:1", None, "org/x", Some("1")),
            ("quay.io/org/x", Some("quay.io"), "org/x", None),
            ("localhost:5000/x:1", Some("localhost:5000"), "x", Some("1")),
            (
                &format!("quay.io/org/x:1@{digest}"),
                Some("quay.io"),
                "org/x",
                Some(digest.as_str()),
            ),
        ];
        for (text, host, repository, reference) in cases {
            let image = ImageName::parse(text).unwrap();
            assert_eq!(
                image.host.as_ref().map(RegistryHost::as_str),
                *host,
                "{text}"
            );
            assert_eq!(image.repository.as_str(), *repository, "{text}");
            assert_eq!(
                image.reference.as_ref().map(Reference::as_str),
                *reference,
                "{text}"
            );
        }
        for text in ["", ":x", "a@b", "A", "quay.io/", "a:b:c"] {
            assert!(ImageName::parse(text).is_err(), "{text:?}");
        }
    }
}
