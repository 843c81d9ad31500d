//! TLS to upstreams: which certificates are taken, and what is wrong with the others, in words.
//!
//! A certificate that stands itself in the upstream's own PEM is taken, as by curl, whether it is its own authority or
//! somebody else issued it. rustls by itself takes none that says that it is an authority.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, InvalidMessage,
    OtherError, RootCertStore, SignatureScheme, StreamOwned,
};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
    TransportAdapter,
};

use super::url::Url;
use crate::error::excerpt;
use crate::http::{CertificateSummary, is_self_issued};
use crate::time::Timestamp;

/// So many of a certificate's names are told.
const NAMED: usize = 5;

/// Makes the TLS side of a connection, with one configuration for all requests of an agent, so that roots are read and
/// sessions resumed once for all.
#[derive(Debug)]
pub(super) struct TlsConnector(Option<Arc<ClientConfig>>);

impl TlsConnector {
    /// For an agent that connects to no TLS.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Trusts the system's roots and the upstream's `own` certificates.
    pub(super) fn new(roots: &[CertificateDer<'static>], own: &[CertificateDer<'static>]) -> Self {
        let provider = super::agent::crypto_provider();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().chain(own).cloned());
        let chains =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider));
        let verifier = Verifier {
            // Without a single root nothing is trusted but the upstream's own.
            chains: chains.build().ok(),
            schemes: provider.signature_verification_algorithms,
            own: own.to_vec(),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map(|builder| {
                let builder = builder.dangerous();
                builder
                    .with_custom_certificate_verifier(Arc::new(verifier))
                    .with_no_client_auth()
            });
        Self(config.ok().map(Arc::new))
    }
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let none = ureq::Error::Tls("this box has no versions of TLS");
        let config = self.0.as_ref().ok_or(none)?;
        let host = details.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| ureq::Error::Tls("its host is no name that a certificate can have"))?;
        let mut conn = ClientConnection::new(Arc::clone(config), name)?;
        let mut sock = TransportAdapter::new(transport.boxed(), Arc::clone(&details.current_time));
        sock.set_timeout(details.timeout);
        conn.complete_io(&mut sock)?;
        let (input, output) = (
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(Either::B(TlsTransport {
            buffers: LazyBuffers::new(input, output),
            stream: StreamOwned::new(conn, sock),
        })))
    }
}

/// A connection with TLS.
pub(super) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        std::io::Write::write_all(&mut self.stream, output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let amount = std::io::Read::read(&mut self.stream, self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsTransport")
            .field(&self.stream.sock.inner())
            .finish()
    }
}

/// Takes what a known authority issued, and the upstream's own certificates themselves.
#[derive(Debug)]
struct Verifier {
    chains: Option<Arc<WebPkiServerVerifier>>,
    schemes: WebPkiSupportedAlgorithms,
    own: Vec<CertificateDer<'static>>,
}

/// The certificate was issued by itself, and nobody said that it may be trusted.
#[derive(Debug)]
struct OwnAuthority;

impl fmt::Display for OwnAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the certificate is its own authority")
    }
}

impl std::error::Error for OwnAuthority {}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let by_chain = match &self.chains {
            Some(chains) => chains.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        // Of a chain that ends nowhere, or in itself.
        let Err(rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer
            | CertificateError::BadSignature
            | CertificateError::Other(_),
        )) = &by_chain
        else {
            return by_chain;
        };
        if !self.own.iter().any(|own| own == end_entity) {
            return match is_self_issued(end_entity) {
                true => Err(CertificateError::Other(OtherError(Arc::new(OwnAuthority))).into()),
                false => by_chain,
            };
        }
        let summary = CertificateSummary::from_der(end_entity);
        holds_now(&summary.map_err(|_| CertificateError::BadEncoding)?, now)?;
        rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.supported_schemes()
    }
}

fn holds_now(summary: &CertificateSummary, time: UnixTime) -> Result<(), CertificateError> {
    let unix = |at: Timestamp| {
        let seconds = u64::try_from(at.0).unwrap_or_default();
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
    };
    let (not_before, not_after) = (unix(summary.not_before), unix(summary.not_after));
    if time < not_before {
        return Err(CertificateError::NotValidYetContext { time, not_before });
    }
    if time > not_after {
        return Err(CertificateError::ExpiredContext { time, not_after });
    }
    Ok(())
}

/// What stands in the way of TLS.
#[derive(Debug)]
pub(super) enum Obstacle<'a> {
    /// What answers there speaks none.
    NoTls,
    /// The certificate is from an authority that is not known here.
    UnknownAuthority,
    /// The certificate is its own authority, and not known here.
    OwnAuthority,
    Ended(Option<UnixTime>),
    HoldsFrom(Option<UnixTime>),
    /// The certificate is for these names, as far as they are told.
    OtherName(&'a [String]),
    OtherCertificate(&'a CertificateError),
    /// The handshake failed before there was anything to be said of a certificate.
    Other,
}

impl<'a> Obstacle<'a> {
    pub(super) fn of(error: &'a rustls::Error) -> Self {
        use CertificateError as C;
        let certificate = match error {
            rustls::Error::InvalidCertificate(certificate) => certificate,
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
                return Self::NoTls;
            }
            _ => return Self::Other,
        };
        match certificate {
            // An authority of the same name with another key is another one.
            C::UnknownIssuer | C::BadSignature => Self::UnknownAuthority,
            C::Other(OtherError(why)) if why.is::<OwnAuthority>() => Self::OwnAuthority,
            C::Expired => Self::Ended(None),
            C::ExpiredContext { not_after, .. } => Self::Ended(Some(*not_after)),
            C::NotValidYet => Self::HoldsFrom(None),
            C::NotValidYetContext { not_before, .. } => Self::HoldsFrom(Some(*not_before)),
            C::NotValidForName => Self::OtherName(&[]),
            C::NotValidForNameContext { presented, .. } => Self::OtherName(presented),
            other => Self::OtherCertificate(other),
        }
    }
}

/// Why no TLS connection to `url` came about, and what whoever configures the upstream can do, where that is known. It
/// names no upstream: that of a group may be called as one of the box, which is not to be changed.
pub(super) fn in_words(error: &rustls::Error, url: &Url) -> (String, Option<String>) {
    let trust = "if it is the right one, give the authority's certificate as `ca`, over REST or in the configuration (on the command line `--ca FILE`, or `breakwater upstream set NAME ca=FILE`, with `--group` for a group's)";
    let renew = "its operator has to renew it; see also whether this box's clock is right";
    let (why, remedy) = match Obstacle::of(error) {
        Obstacle::NoTls => {
            let remedy = format!("write http://{} if that is meant", url.authority());
            let why = format!("there is no TLS at {}", url.authority());
            return (why, Some(remedy));
        }
        Obstacle::UnknownAuthority => (
            "its certificate is from an authority that this box does not know".to_owned(),
            Some(trust),
        ),
        Obstacle::OwnAuthority => (
            "its certificate is its own authority, which this box does not know".to_owned(),
            Some(trust),
        ),
        Obstacle::Ended(at) => (
            match at {
                Some(at) => format!("its certificate ended at {}", shown(at)),
                None => "its certificate has ended".to_owned(),
            },
            Some(renew),
        ),
        Obstacle::HoldsFrom(at) => (
            match at {
                Some(at) => format!("its certificate holds only from {} on", shown(at)),
                None => "its certificate does not hold yet".to_owned(),
            },
            Some(renew),
        ),
        Obstacle::OtherName(presented) => (
            format!(
                "its certificate is for {}, not for {}",
                names(presented),
                url.host()
            ),
            Some(
                "write one of these names into its url, or let its operator get a certificate for this one",
            ),
        ),
        Obstacle::OtherCertificate(other) => (
            format!(
                "its certificate is not taken: {}",
                excerpt(&other.to_string())
            ),
            None,
        ),
        Obstacle::Other => (
            match error {
                rustls::Error::AlertReceived(alert) => {
                    format!("it refused the TLS handshake ({alert:?})")
                }
                rustls::Error::PeerIncompatible(what) => {
                    format!("it speaks no version of TLS that this box does ({what:?})")
                }
                other => format!("TLS failed: {}", excerpt(&other.to_string())),
            },
            None,
        ),
    };
    (why, remedy.map(str::to_owned))
}

fn shown(at: UnixTime) -> Timestamp {
    Timestamp(i64::try_from(at.as_secs()).unwrap_or(i64::MAX))
}

/// rustls gives names as `DnsName("a.example")` and `IpAddress(127.0.0.1)`.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inner = name
            .split_once('(')
            .map_or(name.as_str(), |(_, inner)| inner);
        excerpt(inner.trim_end_matches(')').trim_matches('"'))
    };
    let named: Vec<_> = presented.iter().take(NAMED).map(bare).collect();
    match presented.len().saturating_sub(NAMED) {
        0 if named.is_empty() => {
            "no host (a common name alone is not looked at any more)".to_owned()
        }
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
