//! One try of a request: redirects followed, challenges answered, statuses read as faults.
//!
//! A 401 is answered once, with a token or the password, and the next one is `Denied`, so that no exchange goes on
//! without end. `Authorization` is never sent to any origin but the one that it was meant for.

use std::io::Read;
use std::time::Duration;

use super::Upstream;
use super::breakers::Question;
use super::challenge;
use super::destination;
use super::fault::{Fault, FaultKind};
use super::login::Authorization;
use super::rate_limit;
use super::transport::{Deadline, Method, Reply};
use super::url::Url;
use crate::context;
use crate::error::excerpt;
use crate::hops::{self, Hops};
use crate::spool::{Content, Spool, Unfilled};
use crate::time::Timestamp;

/// The most redirects of one request.
const MOST_REDIRECTS: usize = 5;
/// How long to wait after a 429 that does not say.
const RATE_LIMIT_PAUSE: Duration = Duration::from_secs(60);

/// A request to the upstream, before redirects and credentials.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) question: &'a Question,
    pub(super) query: Option<String>,
    pub(super) headers: Vec<(&'static str, String)>,
    /// For the whole exchange, with redirects and tokens; `None` where the body may take long.
    pub(super) deadline: Option<Deadline>,
}

impl Upstream {
    /// Asks, follows redirects, and answers a challenge once. Any status but 401 is returned.
    pub(super) fn exchange(&self, ask: &Ask<'_>) -> Result<Reply, Fault> {
        context::waits();
        let Question { repository, path } = ask.question;
        let repository = format!("{}{repository}", self.prefix);
        let scope = format!("repository:{repository}:pull");
        let path = format!("/v2/{repository}/{path}");
        let url = self.home.below(&path, ask.query.clone());
        let mut authorization = self.known_authorization(&scope);
        let mut answered = false;
        loop {
            let header = authorization.as_ref().and_then(|own| self.header(own));
            let reply = self.follow(ask.method, &url, &ask.headers, header, ask.deadline)?;
            if reply.status != 401 {
                if matches!(authorization, Some(Authorization::Basic)) && reply.status < 400 {
                    self.health.credentials_taken();
                }
                return Ok(reply);
            }
            if answered || !reply.url.same_origin(&self.home) {
                self.forget(authorization.as_ref());
                return Err(match authorization {
                    Some(Authorization::Basic) => self.bad_credentials(&reply.url),
                    _ => self.denied(&reply.url, "refuses access (401)"),
                });
            }
            answered = true;
            let challenge = challenge::choose(reply.all("www-authenticate"));
            reply.discard();
            authorization =
                Some(self.answer(challenge, authorization, scope.clone(), ask.deadline)?);
        }
    }

    /// Sends, and follows redirects by the rules.
    pub(super) fn follow(
        &self,
        method: Method,
        url: &Url,
        headers: &[(&'static str, String)],
        mut authorization: Option<String>,
        deadline: Option<Deadline>,
    ) -> Result<Reply, Fault> {
        let mut visited = vec![url.clone()];
        let mut at = url.clone();
        loop {
            let mut sent = headers.to_vec();
            if let Some(authorization) = &authorization {
                sent.push(("Authorization", authorization.clone()));
            }
            if at.same_origin(&self.home) {
                sent.push((hops::HEADER, Hops::current().with_this_box()));
            }
            let reply = self.transport.send(method, &at, &sent, deadline)?;
            if !matches!(reply.status, 301 | 302 | 303 | 307 | 308) {
                return Ok(reply);
            }
            let wrong = |why: String| Fault::protocol(self.transport.subject(&at), why);
            let location = reply
                .header("location")
                .ok_or_else(|| wrong(format!("redirects to nowhere ({})", reply.status)))?;
            let next = at
                .join(location)
                .map_err(|why| wrong(format!("redirects to a place that {why}")))?;
            destination::redirect(&at, &next).map_err(wrong)?;
            if visited.contains(&next) {
                return Err(wrong("redirects in a circle".to_owned()));
            }
            if visited.len() > MOST_REDIRECTS {
                return Err(wrong(format!("redirects more than {MOST_REDIRECTS} times")));
            }
            reply.discard();
            if !next.same_origin(url) {
                // It stays off for the rest of the exchange, also when a later redirect leads back to the first origin.
                authorization = None;
            }
            visited.push(next.clone());
            at = next;
        }
    }

    /// The whole body in memory, at most `limit` bytes of it: for what is short.
    pub(super) fn read_body(
        &self,
        reply: Reply,
        limit: u64,
        deadline: Option<Deadline>,
    ) -> Result<Vec<u8>, Fault> {
        self.receive(reply, limit, deadline, |source| {
            let mut bytes = Vec::new();
            match source.take(limit.saturating_add(1)).read_to_end(&mut bytes) {
                Ok(count) if count as u64 > limit => Err(Unfilled::TooLong),
                Ok(count) => Ok((bytes, count as u64)),
                Err(error) => Err(Unfilled::Source(error)),
            }
        })
    }

    /// The whole body, at most `limit` bytes of it, in `spool`.
    pub(super) fn spool_body(
        &self,
        reply: Reply,
        mut spool: Spool,
        limit: u64,
        deadline: Option<Deadline>,
    ) -> Result<Content, Fault> {
        self.receive(reply, limit, deadline, |source| {
            spool.fill(source, limit)?;
            let content = spool.finish().map_err(Unfilled::Refused)?;
            let length = content.length();
            Ok((content, length))
        })
    }

    /// What `take` makes of the body, of which it also tells the length. One that announces more than `limit` bytes
    /// is not read.
    fn receive<T>(
        &self,
        reply: Reply,
        limit: u64,
        deadline: Option<Deadline>,
        take: impl FnOnce(&mut dyn Read) -> Result<(T, u64), Unfilled>,
    ) -> Result<T, Fault> {
        let subject = self.transport.subject(&reply.url);
        let too_large = || Fault::protocol(&subject, format!("sent more than {limit} bytes"));
        self.check_encoding(&reply)?;
        if reply.content_length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let Reply { url, body, .. } = reply;
        let (received, length) = take(&mut body.into_reader()).map_err(|why| match why {
            Unfilled::Source(error) => self.transport.body_fault(&url, error, deadline),
            Unfilled::TooLong => too_large(),
            Unfilled::Refused(error) => Fault::new(
                FaultKind::NoRoom,
                format!("the answer of {subject} was not taken: {error}"),
            ),
        })?;
        self.counts().note_received(length);
        Ok(received)
    }

    /// What was compressed on the way is not what the digest is of, and was not asked for.
    pub(super) fn check_encoding(&self, reply: &Reply) -> Result<(), Fault> {
        match reply.header("content-encoding").map(str::trim) {
            None | Some("") => Ok(()),
            Some(coding) if coding.eq_ignore_ascii_case("identity") => Ok(()),
            Some(coding) => Err(Fault::protocol(
                self.transport.subject(&reply.url),
                format!("sent its answer with the encoding `{}`", excerpt(coding)),
            )),
        }
    }

    /// A web page where an API should be: a login page of a network, or a wrong URL.
    pub(super) fn check_not_a_page(&self, reply: &Reply) -> Result<(), Fault> {
        let content_type = reply.header("content-type").unwrap_or_default();
        if content_type
            .trim_start()
            .to_ascii_lowercase()
            .starts_with("text/html")
        {
            return Err(Fault::protocol(
                self.transport.subject(&reply.url),
                "answered with a web page: is a proxy or a login page in between?",
            ));
        }
        Ok(())
    }

    /// The fault for a status that is not what was asked for.
    pub(super) fn refusal(&self, reply: Reply, method: Method) -> Fault {
        let subject = self.transport.subject(&reply.url);
        let status = reply.status;
        let (kind, why) = match status {
            404 | 410 => (FaultKind::NotFound, "has no such content".to_owned()),
            401 | 403 => (FaultKind::Denied, format!("refuses access ({status})")),
            405 if method == Method::Head => (
                FaultKind::MethodNotAllowed,
                "does not answer HEAD".to_owned(),
            ),
            408 | 504 => (
                FaultKind::ServerError { status },
                format!("did not answer in time ({status})"),
            ),
            429 => {
                let retry_after = reply
                    .header("retry-after")
                    .and_then(|text| rate_limit::retry_after(text, Timestamp::now()))
                    .unwrap_or(RATE_LIMIT_PAUSE);
                (
                    FaultKind::RateLimited { retry_after },
                    "limits how often it may be asked (429)".to_owned(),
                )
            }
            508 => (
                FaultKind::Circle,
                "leads back to this box, or goes round in a circle itself (508)".to_owned(),
            ),
            500..=599 => (
                FaultKind::ServerError { status },
                format!("failed ({status})"),
            ),
            416 => (
                FaultKind::Protocol,
                "has no bytes at the asked offset (416)".to_owned(),
            ),
            _ => (
                FaultKind::Protocol,
                format!("gave an answer that was not expected ({status})"),
            ),
        };
        reply.discard();
        let fault = Fault::new(kind, format!("{subject} {why}"));
        match kind {
            FaultKind::Circle => fault.with_remedy(hops::REMEDY),
            _ => fault,
        }
    }

    /// How long a small answer may take as a whole. Silence has a limit of its own; this one is for bytes that come
    /// one by one.
    pub(super) fn small_answer(&self) -> Deadline {
        Deadline::after(
            self.timeouts
                .connect
                .saturating_add(self.timeouts.silence.saturating_mul(3)),
        )
    }
}
