//! One request on its way through the server: who asks, from where, and what the log will say of it.

use std::sync::Arc;

use crate::auth::address::ClientAddress;
use crate::auth::{Identity, Principal};
use crate::error::{Error, Kind, Result};
use crate::http::{Method, Request, Scheme};
use crate::proxy::CacheWord;
use crate::store::Actor;
use crate::time::Timestamp;
use crate::upstream::Upstream;

use super::Appliance;
use super::observe::RouteClass;

/// A request, with what was found out about it.
pub(super) struct Call<'a> {
    pub(super) request: &'a mut Request,
    /// `X-Request-Id`.
    pub(super) id: String,
    /// Where it comes from.
    pub(super) address: ClientAddress,
    pub(super) now: Timestamp,
    /// What the log will say.
    pub(super) note: Note,
}

/// What handlers add to the log's line.
#[derive(Default)]
pub(super) struct Note {
    /// What was asked for.
    pub(super) route: RouteClass,
    pub(super) principal: Option<String>,
    /// The same, as the audit names it.
    pub(super) actor: Option<Actor>,
    /// Why it was refused, or failed.
    pub(super) why: Option<String>,
    /// Whether a policy let it in: then a 404 hides nothing.
    pub(super) is_granted: bool,
    /// Where the answer came from.
    pub(super) cache: Option<CacheWord>,
    /// The upstream that it is about.
    pub(super) upstream: Option<Arc<Upstream>>,
}

/// What stands in `Authorization`.
pub(super) enum Credentials {
    /// Nothing, or an empty user name with an empty password, as clients send that have a login of nobody.
    None,
    /// A user name and a password or token.
    Basic(String, String),
    /// A JWT.
    Bearer(String),
    /// Something else, or a damaged one of these.
    Unknown,
}

impl Call<'_> {
    /// Reads the address, believing forwarding headers only of configured proxies.
    pub(super) fn new<'a>(appliance: &Appliance, request: &'a mut Request, id: String) -> Call<'a> {
        Call {
            address: appliance.addresses.client(request),
            request,
            id,
            now: Timestamp::now(),
            note: Note::default(),
        }
    }

    /// Whether it is a GET or a HEAD.
    pub(super) fn reads(&self) -> bool {
        matches!(self.request.method, Method::Get | Method::Head)
    }

    /// Whether it is a HEAD.
    pub(super) fn is_head(&self) -> bool {
        self.request.method == Method::Head
    }

    /// The first value of a query parameter.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        self.query_all(name).into_iter().next()
    }

    /// Every value of a query parameter.
    pub(super) fn query_all(&self, name: &str) -> Vec<String> {
        let query = self.request.query.as_deref().unwrap_or_default();
        let pairs = form_urlencoded::parse(query.as_bytes());
        pairs
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .collect()
    }

    /// What stands in `Authorization`.
    pub(super) fn credentials(&self) -> Credentials {
        use base64::Engine as _;
        let Some(value) = self.request.headers.get("Authorization") else {
            return if self.request.headers.contains("Authorization") {
                Credentials::Unknown
            } else {
                Credentials::None
            };
        };
        let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
        if scheme.eq_ignore_ascii_case("Bearer") {
            return match rest.trim() {
                "" => Credentials::Unknown,
                token => Credentials::Bearer(token.to_owned()),
            };
        }
        let decoded = base64::engine::general_purpose::STANDARD.decode(rest.trim());
        let text = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let is_basic = scheme.eq_ignore_ascii_case("Basic");
        match text.as_deref().and_then(|text| text.split_once(':')) {
            Some(("", "")) if is_basic => Credentials::None,
            Some((user, password)) if is_basic => {
                Credentials::Basic(user.to_owned(), password.to_owned())
            }
            _ => Credentials::Unknown,
        }
    }

    /// Who asks: a JWT's bearer, or nobody. Basic credentials are for `/v2/` and the token endpoint.
    pub(super) fn identify(&mut self, appliance: &Appliance) -> Result<Identity> {
        let identity = match self.credentials() {
            Credentials::None => Identity::anonymous(self.address),
            Credentials::Bearer(jwt) => {
                appliance
                    .authenticator
                    .by_bearer(&jwt, self.address, self.now)?
            }
            Credentials::Basic(..) | Credentials::Unknown => {
                return Err(Error::new(
                    Kind::Unauthorized,
                    "this path takes a token of the token endpoint",
                )
                .remedy("log in with `docker login`"));
            }
        };
        self.note_principal(&identity.principal);
        Ok(identity)
    }

    /// Puts the principal into the log's line.
    pub(super) fn note_principal(&mut self, principal: &Principal) {
        self.note.principal = Some(principal.label());
        self.note.actor = Some(principal.actor());
    }

    /// The address under which the client reaches this box: configured, or the scheme and Host that it used;
    /// forwarded values count from configured proxies only.
    pub(super) fn external_url(&self, appliance: &Appliance) -> String {
        let external = &appliance.config.server.external_url;
        if !external.is_empty() {
            return external.trim_end_matches('/').to_owned();
        }
        let peer = self.request.peer.ip().to_canonical();
        let headers = &self.request.headers;
        let by_proxy = appliance.addresses.is_trusted_proxy(peer);
        let forwarded = |name| headers.get(name).filter(|_| by_proxy);
        let scheme = match (forwarded("X-Forwarded-Proto"), self.request.scheme) {
            (Some("https"), _) | (None, Scheme::Https) => "https",
            _ => "http",
        };
        let is_host = |host: &&str| {
            !host.is_empty()
                && host.bytes().all(|b| {
                    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']')
                })
        };
        let host = forwarded("X-Forwarded-Host")
            .filter(is_host)
            .unwrap_or(&self.request.host);
        format!(
            "{scheme}://{}",
            if host.is_empty() { "localhost" } else { host }
        )
    }

    /// The same without the scheme, as docker writes it.
    pub(super) fn external_host(&self, appliance: &Appliance) -> String {
        let url = self.external_url(appliance);
        let host = url.split_once("://").map(|(_, host)| host.to_owned());
        host.unwrap_or(url)
    }
}
