//! One request, one answer: ureq's agents with every timeout set, our roots, our proxies, and a resolver
//! that gives out only addresses that may be connected to. Follows no redirect and answers no challenge.
//!
//! The address that is checked is the one that is connected to, because the check sits in the resolver:
//! a name that changes its address in between (DNS rebinding) gains nothing. Behind a proxy, which
//! resolves by itself, only literal addresses can be judged.

use std::cell::Cell;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::config::Config;
use ureq::http::{HeaderMap, Request, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, RustlsConnector,
    TcpConnector, Transport as UreqTransport,
};

use super::Patience;
use super::destination::{self, ForbiddenAddress};
use super::fault::{self, Fault, FaultKind};
use super::proxy::Proxies;
use super::url::Url;
use crate::error::{Error, Kind, Result};

/// Idle connections kept for one host; layers of an image are fetched in parallel.
const IDLE_PER_HOST: usize = 8;
/// The most addresses of one name that are tried; ureq's own bound.
const MAX_ADDRESSES: usize = 16;

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
            at: Instant::now() + allowed,
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

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
}

/// An answer: its head, and a body that may still be on its way.
pub(super) struct Reply {
    /// Who gave it.
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
    patience: Patience,
    allow_private_addresses: bool,
    proxies: Proxies,
    ca: Vec<Certificate<'static>>,
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
        let ca = settings.ca.as_deref().map_or(Ok(Vec::new()), read_ca)?;
        let patience = settings.patience.clone();
        let allow = settings.allow_private_addresses;
        Ok(Self {
            name: settings.name.to_string(),
            home,
            plain: agent(&patience, allow, &[]),
            secure: OnceLock::new(),
            patience,
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
                    (ureq::Timeout::Resolve | ureq::Timeout::Connect, _) => self.patience.connect,
                    _ => self.patience.silence,
                };
                self.timed_out(url, after)
            }
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                self.timed_out(url, self.patience.silence)
            }
            ureq::Error::Io(error) => unreachable(&fault::reason(&error)),
            ureq::Error::HostNotFound => unreachable("its name has no address"),
            ureq::Error::Rustls(error) => unreachable(&format!("TLS failed: {error}")),
            ureq::Error::Tls(why) => unreachable(&format!("TLS failed: {why}")),
            ureq::Error::ConnectProxyFailed(why) => {
                unreachable(&format!("the proxy refused: {}", fault::shown(&why)))
            }
            ureq::Error::ConnectionFailed => unreachable("the connection failed"),
            ureq::Error::Other(other) => match other.downcast::<ForbiddenAddress>() {
                Ok(forbidden) => Fault::protocol(subject, forbidden),
                Err(_) => unreachable("the connection failed"),
            },
            ureq::Error::LargeResponseHeader(..) => {
                Fault::protocol(subject, "sent a head that is too large")
            }
            // Whatever else ureq says is about an answer that is not HTTP. Its own text may show bytes
            // of the answer, so it is escaped.
            other => Fault::protocol(
                subject,
                format!(
                    "sent what is not HTTP: {}",
                    fault::shown(&other.to_string())
                ),
            ),
        }
    }

    fn agent_for(&self, url: &Url, proxy: Option<&ureq::Proxy>) -> &Agent {
        let tls_to_proxy =
            proxy.is_some_and(|proxy| proxy.protocol() == ureq::ProxyProtocol::Https);
        if !url.is_https() && !tls_to_proxy {
            return &self.plain;
        }
        self.secure.get_or_init(|| {
            let roots = [native_roots(), &self.ca].concat();
            agent(&self.patience, self.allow_private_addresses, &roots)
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

fn agent(
    patience: &Patience,
    allow_private_addresses: bool,
    roots: &[Certificate<'static>],
) -> Agent {
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(crypto_provider())
        .root_certs(RootCerts::new_with_certs(roots))
        .build();
    let config = Config::builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .user_agent(concat!("breakwater/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls)
        .timeout_resolve(Some(patience.connect))
        .timeout_connect(Some(patience.connect))
        .timeout_send_request(Some(patience.silence))
        .timeout_send_body(Some(patience.silence))
        .timeout_recv_response(Some(patience.silence))
        .timeout_per_read(Some(patience.silence))
        .timeout_per_write(Some(patience.silence))
        .max_idle_connections(2 * IDLE_PER_HOST)
        .max_idle_connections_per_host(IDLE_PER_HOST)
        .build();
    let connector =
        ().chain(NoteConnect)
            .chain(ConnectProxyConnector::default())
            .chain(TcpConnector::default())
            .chain(AgentTls(RustlsConnector::default()));
    let resolver = CheckedResolver {
        allow_private_addresses,
    };
    Agent::with_parts(config, connector, resolver)
}

/// One provider for the whole process: aws-lc-rs.
fn crypto_provider() -> Arc<rustls::crypto::CryptoProvider> {
    static PROVIDER: OnceLock<Arc<rustls::crypto::CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())))
}

/// The system's roots, read once. Where there are none, only an upstream's own `ca` is trusted.
fn native_roots() -> &'static [Certificate<'static>] {
    static ROOTS: OnceLock<Vec<Certificate<'static>>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "cannot read one of the system's certificates");
        }
        found
            .certs
            .iter()
            .map(|der| Certificate::from_der(der).to_owned())
            .collect()
    })
}

fn read_ca(path: &Path) -> Result<Vec<Certificate<'static>>> {
    let unusable = |why: &str| {
        Error::new(
            Kind::Config,
            format!("the CA file {} {why}", path.display()),
        )
        .remedy("give a PEM file with at least one certificate")
    };
    let pem = std::fs::read(path).map_err(|error| unusable("cannot be read").because(error))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(unusable("is not PEM")),
        }
    }
    let mut store = rustls::RootCertStore::empty();
    for certificate in &certificates {
        store
            .add(certificate.der().to_vec().into())
            .map_err(|error| unusable("holds a certificate that cannot be used").because(error))?;
    }
    if certificates.is_empty() {
        return Err(unusable("holds no certificate"));
    }
    Ok(certificates)
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

thread_local! {
    /// Whether this thread's current request had to connect, or found an idle connection. ureq calls
    /// connectors in the thread of the request, and only for new connections.
    static CONNECTED: Cell<bool> = const { Cell::new(false) };
}

/// First in the chain: notes that a connection is made, and makes none.
#[derive(Debug)]
struct NoteConnect;

impl Connector<()> for NoteConnect {
    type Out = ();

    fn connect(
        &self,
        _: &ConnectionDetails,
        chained: Option<()>,
    ) -> Result<Option<()>, ureq::Error> {
        CONNECTED.set(true);
        Ok(chained)
    }
}

/// ureq's TLS with the agent's configuration also for requests with timeouts of their own. Those would
/// otherwise parse all roots again for each connection, and resume no session.
#[derive(Debug)]
struct AgentTls(RustlsConnector);

impl<In: UreqTransport> Connector<In> for AgentTls {
    type Out = <RustlsConnector as Connector<In>>::Out;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let details = ConnectionDetails {
            uri: details.uri,
            addrs: details.resolver.empty(),
            config: details.config,
            request_level: false,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: Arc::clone(&details.current_time),
            run_connector: Arc::clone(&details.run_connector),
            register_shutdown: Arc::clone(&details.register_shutdown),
        };
        self.0.connect(&details, chained)
    }
}

/// Resolves within the timeout, and refuses a name of which any address is not public.
#[derive(Debug)]
struct CheckedResolver {
    allow_private_addresses: bool,
}

impl Resolver for CheckedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default().to_owned();
        let default_port = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let port = uri.port_u16().unwrap_or(default_port);
        let addresses = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => look_up(host, port, timeout)?,
        };
        // With a proxy only the proxy itself is resolved here, and where that is, is the operator's
        // choice.
        if !self.allow_private_addresses && config.proxy().is_none() {
            let forbidden = |address: &&SocketAddr| !destination::is_public(address.ip());
            if let Some(address) = addresses.iter().find(forbidden) {
                return Err(ureq::Error::Other(Box::new(ForbiddenAddress(address.ip()))));
            }
        }
        let mut resolved = self.empty();
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            resolved.push(address);
        }
        if resolved.is_empty() {
            return Err(ureq::Error::HostNotFound);
        }
        Ok(resolved)
    }
}

/// The system's resolver knows no timeout, so it gets a thread, which is left behind if it hangs.
fn look_up(host: String, port: u16, timeout: NextTimeout) -> Result<Vec<SocketAddr>, ureq::Error> {
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("resolve".to_owned())
        .spawn(move || {
            let found = (host.as_str(), port).to_socket_addrs();
            // Nobody listens any more after a timeout.
            let _ = sender.send(found.map(Iterator::collect));
        })?;
    match receiver.recv_timeout(*timeout.after) {
        Ok(found) => Ok(found?),
        Err(mpsc::RecvTimeoutError::Timeout) => Err(ureq::Error::Timeout(timeout.reason)),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(ureq::Error::HostNotFound),
    }
}
