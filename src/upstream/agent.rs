//! ureq's agents, assembled: timeouts, TLS with our roots, CONNECT proxies. Sends nothing itself.

use std::cell::Cell;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use ureq::Agent;
use ureq::config::Config;
use ureq::tls::{PemItem, parse_pem};
use ureq::unversioned::transport::{
    ConnectProxyConnector, ConnectionDetails, Connector, TcpConnector,
};

use super::resolver::CheckedResolver;
use super::tls::TlsConnector;
use super::{Ca, Timeouts};
use crate::error::{Error, Kind, Result};

/// Idle connections kept for one host; layers of an image are fetched in parallel.
const IDLE_PER_HOST: usize = 8;

/// An agent with every timeout set that does not depend on the request.
pub(super) fn make(timeouts: &Timeouts, allow_private_addresses: bool, tls: TlsConnector) -> Agent {
    let config = Config::builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .user_agent(concat!("breakwater/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(timeouts.connect))
        .timeout_connect(Some(timeouts.connect))
        .timeout_send_request(Some(timeouts.silence))
        .timeout_send_body(Some(timeouts.silence))
        .timeout_recv_response(Some(timeouts.silence))
        .timeout_per_read(Some(timeouts.silence))
        .timeout_per_write(Some(timeouts.silence))
        .max_idle_connections(2 * IDLE_PER_HOST)
        .max_idle_connections_per_host(IDLE_PER_HOST)
        .build();
    let connector =
        ().chain(NoteConnect)
            .chain(ConnectProxyConnector::default())
            .chain(TcpConnector::default())
            .chain(tls);
    let resolver = CheckedResolver {
        allow_private_addresses,
    };
    Agent::with_parts(config, connector, resolver)
}

/// One provider for the whole process: aws-lc-rs.
pub(super) fn crypto_provider() -> Arc<rustls::crypto::CryptoProvider> {
    static PROVIDER: OnceLock<Arc<rustls::crypto::CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())))
}

/// The system's roots, read once. Where there are none, only an upstream's own `ca` is trusted.
pub(super) fn native_roots() -> &'static [CertificateDer<'static>] {
    static ROOTS: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "cannot read one of the system's certificates");
        }
        found.certs
    })
}

/// The certificates of an upstream's own PEM, each of which must be usable.
pub(super) fn read_ca(ca: &Ca) -> Result<Vec<CertificateDer<'static>>> {
    let unusable = |why: &str| {
        let what = match ca {
            Ca::File(path) => format!("the CA file {} {why}", path.display()),
            Ca::Pem(_) => format!("its CA {why}"),
        };
        Error::new(Kind::Config, what).remedy("give a PEM file with at least one certificate")
    };
    let pem = match ca {
        Ca::File(path) => {
            std::fs::read(path).map_err(|error| unusable("cannot be read").because(error))?
        }
        Ca::Pem(text) => text.clone().into_bytes(),
    };
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => {
                certificates.push(CertificateDer::from(certificate.der().to_vec()));
            }
            Ok(_) => {}
            Err(_) => return Err(unusable("is not PEM")),
        }
    }
    let mut store = rustls::RootCertStore::empty();
    for certificate in &certificates {
        store
            .add(certificate.clone())
            .map_err(|error| unusable("holds a certificate that cannot be used").because(error))?;
    }
    if certificates.is_empty() {
        return Err(unusable("holds no certificate"));
    }
    Ok(certificates)
}

thread_local! {
    /// Whether this thread's current request had to connect, or found an idle connection. ureq calls
    /// connectors in the thread of the request, and only for new connections.
    pub(super) static CONNECTED: Cell<bool> = const { Cell::new(false) };
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
