//! How the box proves who it is: the answer to a challenge, by a token or by the password, and what is brought along
//! unasked the next time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use base64::Engine as _;

use super::challenge::Challenge;
use super::destination::{self, Realm};
use super::fault::{Fault, FaultKind};
use super::token::{Issued, TokenKey};
use super::transport::{Deadline, Method};
use super::url::Url;
use super::{Credentials, Upstream};

/// The most bytes of a realm's answer, which holds a token that fits into a header, perhaps twice.
const MAX_TOKEN_ANSWER: u64 = 128 * 1024;

/// What proves who we are.
pub(super) enum Authorization {
    Basic,
    Bearer(Arc<str>),
}

impl Upstream {
    /// What to send before being challenged, so that most requests need no second round.
    pub(super) fn known_authorization(&self, scope: &str) -> Option<Authorization> {
        if let Some(token) = self.tokens.cached(scope, Instant::now()) {
            return Some(Authorization::Bearer(token));
        }
        self.wants_basic
            .load(Ordering::Relaxed)
            .then_some(Authorization::Basic)
    }

    pub(super) fn header(&self, authorization: &Authorization) -> Option<String> {
        match authorization {
            Authorization::Basic => self.credentials.as_ref().map(basic),
            Authorization::Bearer(token) => Some(format!("Bearer {token}")),
        }
    }

    pub(super) fn forget(&self, authorization: Option<&Authorization>) {
        match authorization {
            Some(Authorization::Bearer(token)) => self.tokens.forget(token),
            Some(Authorization::Basic) => self.wants_basic.store(false, Ordering::Relaxed),
            None => {}
        }
    }

    /// The answer to a challenge; `rejected` is what was sent when it came.
    pub(super) fn answer(
        &self,
        challenge: Option<Challenge>,
        rejected: Option<Authorization>,
        scope: String,
        deadline: Option<Deadline>,
    ) -> Result<Authorization, Fault> {
        match challenge {
            None => Err(self.denied(
                &self.home,
                "asks for credentials in a way that is not supported",
            )),
            Some(Challenge::Basic) => {
                if self.credentials.is_none() {
                    return Err(self.denied(&self.home, "asks for a username and password"));
                }
                if matches!(rejected, Some(Authorization::Basic)) {
                    self.forget(rejected.as_ref());
                    return Err(self.bad_credentials(&self.home));
                }
                self.wants_basic.store(true, Ordering::Relaxed);
                Ok(Authorization::Basic)
            }
            Some(Challenge::Bearer { realm, service }) => {
                let rejected = match &rejected {
                    Some(Authorization::Bearer(token)) => Some(&**token),
                    _ => None,
                };
                let key = TokenKey {
                    realm,
                    service,
                    scope,
                };
                self.tokens
                    .get(&key, rejected, deadline, || {
                        self.fetch_token(&key, deadline)
                    })
                    .map(Authorization::Bearer)
            }
        }
    }

    /// `GET realm?service=…&scope=…`, with the password where the rules let it go there.
    fn fetch_token(&self, key: &TokenKey, deadline: Option<Deadline>) -> Result<Issued, Fault> {
        let name = self.name.as_str();
        let realm = Url::parse(&key.realm)
            .map_err(|why| Fault::protocol(name, format!("names a token realm that {why}")))?;
        let trusted = destination::realm(
            &self.home,
            &realm,
            self.auth_realm.as_ref(),
            self.credentials.is_some(),
        )
        .map_err(|why| Fault::protocol(name, why))?;
        let mut pairs = Vec::new();
        if let Some(service) = &key.service {
            pairs.push(("service", service.as_str()));
        }
        pairs.push(("scope", key.scope.as_str()));
        let url = realm.with_query(&pairs);
        let authorization = match trusted {
            Realm::Trusted => self.credentials.as_ref().map(basic),
            Realm::Anonymous => None,
        };
        let sent_password = authorization.is_some();
        let accept = [("Accept", "application/json".to_owned())];
        let deadline = Some(self.small_answer().or(deadline));
        let reply = self.follow(Method::Get, &url, &accept, authorization, deadline)?;
        match reply.status {
            200 => {
                let subject = self.transport.subject(&reply.url);
                let body = self.read_body(reply, MAX_TOKEN_ANSWER, deadline)?;
                let issued = Issued::parse(&body).map_err(|why| Fault::protocol(subject, why))?;
                if sent_password {
                    self.health.credentials_taken();
                }
                Ok(issued)
            }
            401 if sent_password => Err(self.bad_credentials(&url)),
            403 if sent_password && self.refuses_login(&realm, key, deadline) => {
                Err(self.bad_credentials(&url))
            }
            403 if sent_password => Err(self.denied(&url, "issues no token for this (403)")),
            401 | 403 => Err(self.denied(&url, "issues no token without a username and password")),
            404 | 405 => Err(Fault::protocol(
                self.transport.subject(&url),
                format!("issues no tokens ({})", reply.status),
            )),
            _ => Err(self.refusal(reply, Method::Get)),
        }
    }

    /// Whether a realm that answers 403 does so to a login too, which names no scope. Some registries say 403 to a wrong
    /// password, others to a right one that may not see the repository.
    fn refuses_login(&self, realm: &Url, key: &TokenKey, deadline: Option<Deadline>) -> bool {
        let service = key.service.as_deref().map(|service| ("service", service));
        let url = realm.with_query(service.as_slice());
        let authorization = self.credentials.as_ref().map(basic);
        let accept = [("Accept", "application/json".to_owned())];
        let reply = self.follow(Method::Get, &url, &accept, authorization, deadline);
        reply.is_ok_and(|reply| matches!(reply.status, 401 | 403))
    }

    pub(super) fn bad_credentials(&self, url: &Url) -> Fault {
        Fault::bad_credentials(self.transport.subject(url))
    }

    pub(super) fn denied(&self, url: &Url, why: &str) -> Fault {
        let subject = self.transport.subject(url);
        Fault::new(FaultKind::Denied, format!("{subject} {why}"))
    }
}

fn basic(credentials: &Credentials) -> String {
    let pair = format!("{}:{}", credentials.username, credentials.password);
    format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(pair)
    )
}
