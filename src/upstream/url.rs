//! URLs of requests: scheme, host, port and target, parsed strictly, and joined with what a `Location`
//! says (RFC 3986, section 5). Pure. Where a request may go is decided in `destination.rs`.

use std::fmt;

use crate::oci::RepositoryName;

/// An absolute `http` or `https` URL without user info and fragment. `Display` leaves the query out,
/// which may be a signature; only [`Url::request`] gives it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Url {
    https: bool,
    /// Lower case; IPv6 addresses in brackets.
    host: Box<str>,
    port: u16,
    /// Begins with `/`.
    path: Box<str>,
    query: Option<Box<str>>,
}

impl Url {
    /// Parses an absolute URL; the error is a phrase: "has no host".
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let text = cleaned(text)?;
        let (scheme, rest) = text.split_once("://").ok_or("is not an http(s) URL")?;
        let https = scheme_is_https(scheme)?;
        Self::after_scheme(https, rest)
    }

    fn after_scheme(https: bool, rest: &str) -> Result<Self, &'static str> {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err("contains a username or password");
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                (host, port.parse().map_err(|_| "has a wrong port")?)
            }
            _ => (authority, if https { 443 } else { 80 }),
        };
        if port == 0 {
            return Err("has a wrong port");
        }
        let (path, query) = split_query(target);
        Ok(Self {
            https,
            host: checked_host(host)?.into(),
            port,
            path: without_dots(path).into(),
            query,
        })
    }

    /// What a `Location` means in an answer from here.
    pub(super) fn join(&self, location: &str) -> Result<Self, &'static str> {
        let location = cleaned(location)?;
        if let Some(rest) = location.strip_prefix("//") {
            return Self::after_scheme(self.https, rest);
        }
        if location.matches([':', '/', '?']).next() == Some(":") {
            return Self::parse(&location);
        }
        let (path, query) = split_query(&location);
        let path = if path.starts_with('/') {
            path.to_owned()
        } else if path.is_empty() {
            self.path.to_string()
        } else {
            let directory = self.path.rsplit_once('/').map_or("", |(before, _)| before);
            format!("{directory}/{path}")
        };
        let query = match (query, location.is_empty()) {
            (None, true) => self.query.clone(),
            (query, _) => query,
        };
        Ok(Self {
            path: without_dots(&path).into(),
            query,
            ..self.clone()
        })
    }

    /// The same server, at `path` (which begins with `/`, percent-encoded) below this URL's own path.
    pub(super) fn below(&self, path: &str, query: Option<String>) -> Self {
        Self {
            path: format!("{}{path}", self.path.trim_end_matches('/')).into(),
            query: query.map(Into::into),
            ..self.clone()
        }
    }

    /// What stands before `/v2`, and behind it, with a slash at its end; the error is a phrase. A path before it is that
    /// of a registry behind a reverse proxy.
    pub(super) fn before_v2(&self) -> Result<(Self, String), &'static str> {
        let path = self.path.trim_end_matches('/');
        let path = format!("{path}/");
        let Some((before, prefix)) = path.split_once("/v2/") else {
            return Ok((self.clone(), String::new()));
        };
        if prefix.is_empty() {
            return Err("ends with /v2, which is put behind it with each request");
        }
        RepositoryName::parse(prefix.trim_end_matches('/'))
            .map_err(|_| "has behind /v2 what cannot begin the name of a repository")?;
        let home = Self {
            path: without_dots(before).into(),
            ..self.clone()
        };
        Ok((home, prefix.to_owned()))
    }

    /// The same URL with `pairs` added to its query.
    pub(super) fn with_query(&self, pairs: &[(&str, &str)]) -> Self {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in pairs {
            query.append_pair(name, value);
        }
        let added = query.finish();
        let query = match self.query.as_deref() {
            None | Some("") => added,
            Some(own) => format!("{own}&{added}"),
        };
        Self {
            query: Some(query.into()),
            ..self.clone()
        }
    }

    pub(super) fn is_https(&self) -> bool {
        self.https
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Whether scheme, host and port are the same: what may see the same `Authorization`.
    pub(super) fn same_origin(&self, other: &Self) -> bool {
        (self.https, &self.host, self.port) == (other.https, &other.host, other.port)
    }

    /// The whole URL, for the request alone: its query may be a secret.
    pub(super) fn request(&self) -> String {
        match &self.query {
            Some(query) => format!("{self}?{query}"),
            None => self.to_string(),
        }
    }

    /// Host, and port if it is not the scheme's own.
    pub(super) fn authority(&self) -> String {
        match (self.https, self.port) {
            (true, 443) | (false, 80) => self.host.to_string(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Without fragment and surrounding spaces; what a URL may not hold as it is gets percent-encoded, as
/// browsers do, except for control characters and spaces, which are how headers are smuggled.
fn cleaned(text: &str) -> Result<String, &'static str> {
    let text = text.trim_matches(' ');
    let text = text.split_once('#').map_or(text, |(text, _)| text);
    if text.len() > 16 * 1024 {
        return Err("is too long");
    }
    let mut clean = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            0..=b' ' | 0x7f => return Err("contains a control character or space"),
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80.. => {
                clean.push_str(&format!("%{byte:02X}"));
            }
            _ => clean.push(char::from(byte)),
        }
    }
    Ok(clean)
}

fn scheme_is_https(scheme: &str) -> Result<bool, &'static str> {
    if scheme.eq_ignore_ascii_case("https") {
        Ok(true)
    } else if scheme.eq_ignore_ascii_case("http") {
        Ok(false)
    } else {
        Err("is not an http(s) URL")
    }
}

fn checked_host(host: &str) -> Result<String, &'static str> {
    if let Some(address) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        let address: std::net::Ipv6Addr = address.parse().map_err(|_| "has a wrong host")?;
        return Ok(format!("[{address}]"));
    }
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if host.is_empty() {
        return Err("has no host");
    }
    if host.len() > 253 || host.starts_with('.') || !host.bytes().all(fits) {
        return Err("has a wrong host");
    }
    Ok(host.to_ascii_lowercase())
}

fn split_query(target: &str) -> (&str, Option<Box<str>>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query.into())),
        None => (target, None),
    }
}

/// Removes `.` and `..` segments (RFC 3986, section 5.2.4); an empty path becomes `/`.
fn without_dots(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    let ends_in_directory = path.ends_with("/.") || path.ends_with("/..");
    let slash = if ends_in_directory && !segments.is_empty() {
        "/"
    } else {
        ""
    };
    format!("/{}{slash}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_urls_parse_strictly() {
        let cases: &[(&str, Option<&str>)] = &[
            (
                "https://registry-1.docker.io",
                Some("https://registry-1.docker.io/"),
            ),
            ("HTTPS://Quay.IO:443/a?b#c", Some("https://quay.io/a?b")),
            ("http://127.0.0.1:5000/", Some("http://127.0.0.1:5000/")),
            ("http://[::1]:5000/x", Some("http://[::1]:5000/x")),
            ("https://h/a/../b/./c", Some("https://h/b/c")),
            ("https://h/../../etc", Some("https://h/etc")),
            ("https://h?a=1", Some("https://h/?a=1")),
            (
                "https://h/a|b?c={d}&é",
                Some("https://h/a%7Cb?c=%7Bd%7D&%C3%A9"),
            ),
            ("ftp://h/", None),
            ("h/", None),
            ("https://", None),
            ("https:///x", None),
            ("https://u:p@h/", None),
            ("https://h:0/", None),
            ("https://h:70000/", None),
            ("https://h:/", None),
            ("https://h:80:90/", None),
            ("https://[::1/", None),
            ("https://::1/", None),
            ("https://h/a b", None),
            ("https://h/a\r\nX: y", None),
            ("https://h%2f@evil/", None),
            ("https://h\\@evil/", None),
        ];
        for (text, expected) in cases {
            let parsed = Url::parse(text).ok().map(|url| url.request());
            assert_eq!(parsed.as_deref(), *expected, "{text:?}");
        }
    }

    #[test]
    fn locations_are_joined() {
        let base = Url::parse("https://h:8443/v2/a/blobs/x?sig=1").unwrap();
        let cases: &[(&str, Option<&str>)] = &[
            ("https://cdn/x?y", Some("https://cdn/x?y")),
            ("//cdn/x", Some("https://cdn/x")),
            ("/x?y", Some("https://h:8443/x?y")),
            ("y", Some("https://h:8443/v2/a/blobs/y")),
            ("../y", Some("https://h:8443/v2/a/y")),
            ("?z", Some("https://h:8443/v2/a/blobs/x?z")),
            ("/a:b/c", Some("https://h:8443/a:b/c")),
            ("", Some("https://h:8443/v2/a/blobs/x?sig=1")),
            ("http://h:8443/", Some("http://h:8443/")),
            ("javascript:alert(1)", None),
            ("file:///etc/passwd", None),
            ("https://u@h/", None),
            ("/a\nb", None),
        ];
        for (location, expected) in cases {
            let joined = base.join(location).ok().map(|url| url.request());
            assert_eq!(joined.as_deref(), *expected, "{location:?}");
        }
    }

    #[test]
    fn the_query_is_only_in_the_request() {
        let url = Url::parse("https://cdn/x?X-Amz-Signature=secret").unwrap();
        assert_eq!(format!("{url} {url:?}"), "https://cdn/x https://cdn/x");
        let more = url.with_query(&[("scope", "repository:a:pull"), ("b", "é&")]);
        assert_eq!(
            more.request(),
            "https://cdn/x?X-Amz-Signature=secret&scope=repository%3Aa%3Apull&b=%C3%A9%26"
        );
    }

    #[test]
    fn paths_are_added_below_a_prefix() {
        for (base, expected) in [
            ("https://h", "https://h/v2/a"),
            ("https://h/", "https://h/v2/a"),
            ("https://h/artifactory/", "https://h/artifactory/v2/a"),
        ] {
            let url = Url::parse(base).unwrap().below("/v2/a", None);
            assert_eq!(url.request(), expected);
        }
    }
}
