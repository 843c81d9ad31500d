//! One request, one answer: the head of it, and ureq's errors as faults. Follows no redirect and answers
//! no challenge; how connections are made is in `agent.rs`.

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use ureq::Agent;
use ureq::http::{HeaderMap, Request};

use super::Timeouts;
use super::agent::{self, CONNECTED};
use super::destination::{self, ForbiddenAddress};
use super::fault::{self, Fault, FaultKind};
use super::proxy::Proxies;
use super::tls::{self, TlsConnector};
use super::url::Url;
use crate::error::{Result, excerpt};
use crate::time::deadline;

/// When a request, or a chain of them, has to be over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    /// For the sentence: "did not answer within 2 s".
    allowed: Duration,
}

impl Deadline {
    pub(super) fn after(allowed: Duration) -> Self {
        Self {
            at: deadline(allowed),
            allowed,
        }
    }

    /// The earlier one of both.
    pub(super) fn or(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.at < self.at => other,
            _ => self,
        }
    }

    pub(super) fn remaining(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    pub(super) fn allowed(self) -> Duration {
        self.allowed
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
}

/// An answer: its head, and a body that may still be on its way.
pub(super) struct Reply {
    pub(super) url: Url,
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) body: ureq::Body,
}

impl Reply {
    /// A header's first value, if it is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// All values of a header that are text.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
    }

    /// `Content-Length`, if it is there and a number.
    pub(super) fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.trim().parse().ok()
    }

    /// Reads away a small rest, so that the connection can be used again: a handshake less. A large or
    /// slow one is not worth it; the connection is closed then.
    pub(super) fn discard(self) {
        if self.content_length().is_some_and(|length| length > 16_384) {
            return;
        }
        let mut reader = self.body.into_reader();
        let mut buffer = [0; 4096];
        for _ in 0..8 {
            if !matches!(reader.read(&mut buffer), Ok(n) if n > 0) {
                return;
            }
        }
    }
}

/// The client of one upstream. Connections are shared by all threads.
pub(super) struct Transport {
    name: String,
    home: Url,
    timeouts: Timeouts,
    allow_private_addresses: bool,
    proxies: Proxies,
    ca: Vec<CertificateDer<'static>>,
    plain: Agent,
    /// Made at the first https request, because the roots have to be read for it.
    secure: OnceLock<Agent>,
    offline: Arc<AtomicBool>,
}

impl Transport {
    pub(super) fn new(
        settings: &super::Settings,
        home: Url,
        proxies: Proxies,
        offline: Arc<AtomicBool>,
    ) -> Result<Self> {
        let ca = settings
            .ca
            .as_ref()
            .map_or(Ok(Vec::new()), agent::read_ca)?;
        let timeouts = settings.timeouts.clone();
        let allow = settings.allow_private_addresses;
        Ok(Self {
            name: settings.name.to_string(),
            home,
            plain: agent::make(&timeouts, allow, TlsConnector::none()),
            secure: OnceLock::new(),
            timeouts,
            allow_private_addresses: allow,
            proxies,
            ca,
            offline,
        })
    }

    /// Sends one request and waits for the head of its answer, whatever its status. With a deadline the
    /// body has to be over by then, too; without one it may take its time, but not fall silent.
    pub(super) fn send(
        &self,
        method: Method,
        url: &Url,
        headers: &[(&'static str, String)],
        deadline: Option<Deadline>,
    ) -> Result<Reply, Fault> {
        let proxy = self.proxies.for_url(url);
        if proxy.is_some()
            && !self.allow_private_addresses
            && !destination::may_ask_proxy_for(url.host())
        {
            return Err(Fault::protocol(
                self.subject(url),
                "is not public, and the proxy is not asked for it",
            ));
        }
        let mut max_idle_age = Duration::from_secs(15);
        loop {
            self.check_offline()?;
            let agent = self.agent_for(url, proxy);
            let request = build(method, url, headers).map_err(|error| {
                Fault::protocol(self.subject(url), format!("cannot be asked: {error}"))
            })?;
            let mut configured = agent
                .configure_request(request)
                .proxy(proxy.cloned())
                .max_idle_age(max_idle_age);
            if let Some(deadline) = deadline {
                let remaining = deadline.remaining();
                if remaining.is_zero() {
                    return Err(self.timed_out(url, deadline.allowed()));
                }
                configured = configured.timeout_global(Some(remaining));
            }
            CONNECTED.set(false);
            match agent.run(configured.build()) {
                Ok(response) => {
                    let (parts, body) = response.into_parts();
                    return Ok(Reply {
                        url: url.clone(),
                        status: parts.status.as_u16(),
                        headers: parts.headers,
                        body,
                    });
                }
                // The peer had closed an idle connection just as it was taken from the pool. That says
                // nothing about the peer: asked again at once, on a new connection.
                Err(error)
                    if !CONNECTED.get() && is_disconnect(&error) && !max_idle_age.is_zero() =>
                {
                    max_idle_age = Duration::ZERO;
                }
                Err(error) => return Err(self.fault(url, error, deadline)),
            }
        }
    }

    /// Nothing is sent while the box is offline on purpose.
    pub(super) fn check_offline(&self) -> Result<(), Fault> {
        if self.offline.load(Ordering::Relaxed) {
            return Err(Fault::new(
                FaultKind::Offline,
                format!("{} is not asked: this box is offline on purpose", self.name),
            ));
        }
        Ok(())
    }

    pub(super) fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Relaxed)
    }

    /// What a sentence about `url`'s host begins with: the upstream's name, and the other host's where
    /// the upstream sent us on.
    pub(super) fn subject(&self, url: &Url) -> String {
        if url.host() == self.home.host() {
            self.name.clone()
        } else {
            format!("{}: {}", self.name, url.authority())
        }
    }

    /// The fault for an error while a body was read from `url`.
    pub(super) fn body_fault(
        &self,
        url: &Url,
        error: std::io::Error,
        deadline: Option<Deadline>,
    ) -> Fault {
        self.fault(url, ureq::Error::from(error), deadline)
    }

    fn timed_out(&self, url: &Url, after: Duration) -> Fault {
        Fault::new(
            FaultKind::TimedOut,
            format!(
                "{} did not answer within {}",
                self.subject(url),
                fault::in_words(after)
            ),
        )
    }

    fn fault(&self, url: &Url, error: ureq::Error, deadline: Option<Deadline>) -> Fault {
        let is_unconnected = url.same_origin(&self.home) && is_unconnected(&error);
        let fault = self.described(url, error, deadline);
        if is_unconnected {
            return fault.without_connection();
        }
        fault
    }

    fn described(&self, url: &Url, error: ureq::Error, deadline: Option<Deadline>) -> Fault {
        let subject = self.subject(url);
        let unreachable = |why: &str| {
            Fault::new(
                FaultKind::Unreachable,
                format!("{subject} does not answer: {why}"),
            )
        };
        match error {
            ureq::Error::Timeout(which) => {
                let after = match (which, deadline) {
                    (ureq::Timeout::Global, Some(deadline)) => deadline.allowed(),
                    (ureq::Timeout::Resolve | ureq::Timeout::Connect, _) => self.timeouts.connect,
                    _ => self.timeouts.silence,
                };
                self.timed_out(url, after)
            }
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                self.timed_out(url, self.timeouts.silence)
            }
            error if of_tls(&error).is_some() => {
                let (why, remedy) = of_tls(&error)
                    .map(|error| tls::in_words(error, url))
                    .unwrap_or_default();
                let fault = unreachable(&why);
                match remedy {
                    Some(remedy) => fault.with_remedy(remedy),
                    None => fault,
                }
            }
            ureq::Error::Io(error) => unreachable(&fault::reason(&error)),
            ureq::Error::HostNotFound => unreachable("its name has no address"),
            ureq::Error::Tls(why) => unreachable(&format!("TLS failed: {why}")),
            ureq::Error::ConnectProxyFailed(why) => {
                unreachable(&format!("the proxy refused: {}", excerpt(&why)))
            }
            ureq::Error::ConnectionFailed => unreachable("the connection failed"),
            ureq::Error::Other(other) => match other.downcast::<ForbiddenAddress>() {
                Ok(forbidden) => Fault::protocol(subject, forbidden),
                Err(_) => unreachable("the connection failed"),
            },
            ureq::Error::LargeResponseHeader(..) => {
                Fault::protocol(subject, "sent a head that is too large")
            }
            // Its own text may show bytes of the answer, so it is escaped.
            ureq::Error::Protocol(error) => Fault::protocol(
                subject,
                format!("sent what is not HTTP: {}", excerpt(&error.to_string())),
            ),
            ureq::Error::Http(_) => Fault::protocol(subject, "sent what is not HTTP"),
            // Nothing else comes from the calls made here; a text could show a URL's query.
            _ => Fault::protocol(subject, "cannot be asked"),
        }
    }

    fn agent_for(&self, url: &Url, proxy: Option<&ureq::Proxy>) -> &Agent {
        let tls_to_proxy =
            proxy.is_some_and(|proxy| proxy.protocol() == ureq::ProxyProtocol::Https);
        if !url.is_https() && !tls_to_proxy {
            return &self.plain;
        }
        self.secure.get_or_init(|| {
            let tls = TlsConnector::new(agent::native_roots(), &self.ca);
            agent::make(&self.timeouts, self.allow_private_addresses, tls)
        })
    }
}

fn build(
    method: Method,
    url: &Url,
    headers: &[(&'static str, String)],
) -> Result<Request<()>, ureq::http::Error> {
    let mut builder = Request::builder()
        .method(match method {
            Method::Get => "GET",
            Method::Head => "HEAD",
        })
        .uri(url.request())
        // Blobs and manifests are wanted byte for byte.
        .header("Accept-Encoding", "identity");
    for (name, value) in headers {
        builder = builder.header(*name, value);
    }
    builder.body(())
}

/// What of TLS went wrong. During a handshake it comes inside an error of input and output.
fn of_tls(error: &ureq::Error) -> Option<&rustls::Error> {
    match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref(),
        _ => None,
    }
}

/// Whether no connection came about, by the error alone: where one did, these do not occur.
fn is_unconnected(error: &ureq::Error) -> bool {
    use std::io::ErrorKind;
    match error {
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::ConnectProxyFailed(_)
        | ureq::Error::Tls(_)
        | ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => true,
        error if of_tls(error).is_some() => true,
        ureq::Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionRefused
                | ErrorKind::HostUnreachable
                | ErrorKind::NetworkUnreachable
        ),
        _ => false,
    }
}

/// Whether the peer ended the connection, rather than staying silent or speaking nonsense.
fn is_disconnect(error: &ureq::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error, ureq::Error::Io(error) if matches!(
        error.kind(),
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
    ))
}
