//! Certificates for tests: an authority, what it issues, and clients that trust it and nobody else.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

/// A client's side of a TLS connection.
pub(crate) type TlsConnection = StreamOwned<ClientConnection, TcpStream>;

/// Somebody who issues certificates for `localhost` and `127.0.0.1`.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "authority of the tests");
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// A certificate that ends `life` from now.
    pub(crate) fn issue(&self, life: Duration) -> Issued {
        let now = SystemTime::now();
        self.issue_between(now - Duration::from_secs(3600), now + life)
    }

    /// A certificate for that time.
    pub(crate) fn issue_between(&self, begin: SystemTime, end: SystemTime) -> Issued {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = begin.into();
        params.not_after = end.into();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// Its key.
    pub(crate) fn key_pem(&self) -> String {
        self.0.key().serialize_pem()
    }

    /// What clients need to trust it.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A client that trusts it, and speaks these versions.
    pub(crate) fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        client_trusting(&[&self.pem()], versions)
    }
}

/// A client that trusts these authorities, in PEM, and nobody else.
pub(crate) fn client_trusting(
    authorities: &[&str],
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for pem in authorities {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        roots.add(certificate).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

impl Issued {
    /// Writes both files, and gives their paths.
    pub(crate) fn write(&self, directory: &Path) -> (PathBuf, PathBuf) {
        let (certificate, key) = (directory.join("server.crt"), directory.join("server.key"));
        std::fs::write(&certificate, &self.certificate).unwrap();
        std::fs::write(&key, &self.key).unwrap();
        (certificate, key)
    }
}

/// Connects, and does the handshake.
pub(crate) fn tls_connect(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> io::Result<TlsConnection> {
    tls_over(TcpStream::connect(address)?, config)
}

/// Does the handshake over a connection.
pub(crate) fn tls_over(socket: TcpStream, config: &Arc<ClientConfig>) -> io::Result<TlsConnection> {
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
    let mut connection = StreamOwned::new(session, socket);
    while connection.conn.is_handshaking() {
        connection.conn.complete_io(&mut connection.sock)?;
    }
    Ok(connection)
}

/// Whether the server says its end in good order: everything until then.
pub(crate) fn read_to_close_notify(connection: &mut TlsConnection) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Says the client's end, and leaves its reading side open.
pub(crate) fn send_close_notify(connection: &mut TlsConnection) {
    connection.conn.send_close_notify();
    connection.flush().unwrap();
}
