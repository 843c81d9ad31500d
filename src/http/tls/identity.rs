//! What a TLS listener proves its name with: the chain and the key from their files, read again when these
//! change. Connections hold what they began with; new ones get the newest pair that was whole and right.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, ServerConnection};
use zeroize::Zeroizing;

use super::CertificateSummary;
use crate::error::{Error, Kind, Result};

/// What [`TlsIdentity::refresh`] found.
#[derive(Debug)]
pub enum Refresh {
    /// The files are as they were, or were complained about already.
    Unchanged,
    /// New connections get the new pair.
    Loaded(CertificateSummary),
    /// The files have changed and are of no use: the pair from before stays.
    Refused(Error),
}

/// The certificate chain and key of one or more listeners.
pub struct TlsIdentity {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
    seen: Mutex<Seen>,
}

/// The files as they were last looked at.
struct Seen {
    loaded: Stamp,
    /// The state of the files that could not be loaded, and whether that was said.
    refused: Option<(Stamp, bool)>,
}

/// The pair that new connections get.
struct Current(RwLock<(Arc<CertifiedKey>, CertificateSummary)>);

impl TlsIdentity {
    /// Reads the chain, leaf first, and the key, both in PEM.
    ///
    /// # Errors
    /// `Io` for a file that cannot be read; `Config` where it holds nothing of use, or where the key is not
    /// that of the chain's first certificate.
    pub fn load(certificate: &Path, key: &Path) -> Result<Arc<Self>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let stamp = Stamp::of(certificate, key);
        let pair = read_pair(certificate, key, &provider)?;
        let current = Arc::new(Current(RwLock::new(pair)));
        let config = server_config(&provider, current.clone())
            .map_err(|error| Error::new(Kind::Internal, "cannot prepare TLS").because(error))?;
        Ok(Arc::new(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            provider,
            current,
            config: Arc::new(config),
            seen: Mutex::new(Seen {
                loaded: stamp,
                refused: None,
            }),
        }))
    }

    /// The dates and names of the certificate that new connections get.
    pub fn summary(&self) -> CertificateSummary {
        self.current.read().1.clone()
    }

    /// Whether the files have changed into what is of no use, so that an older pair is in use.
    pub fn is_outdated(&self) -> bool {
        let seen = self.seen.lock();
        // The first time it may be that only one of the two was there yet.
        matches!(seen.refused, Some((_, true)))
    }

    /// Looks at the files, and loads them if they have changed. Two files cannot change in one moment: what
    /// is of no use is complained about only when it is found unchanged at the next call.
    pub fn refresh(&self) -> Refresh {
        let stamp = Stamp::of(&self.certificate, &self.key);
        let mut seen = self.seen.lock();
        if stamp == seen.loaded {
            // Also where somebody has put back what was there before.
            seen.refused = None;
            return Refresh::Unchanged;
        }
        let complained = match &seen.refused {
            Some((refused, complained)) if *refused == stamp => Some(*complained),
            _ => None,
        };
        if complained == Some(true) {
            return Refresh::Unchanged;
        }
        match self.reload_as(stamp, &mut seen) {
            Ok(summary) => Refresh::Loaded(summary),
            Err(error) => {
                seen.refused = Some((stamp, complained.is_some()));
                match complained {
                    Some(_) => Refresh::Refused(error),
                    None => Refresh::Unchanged,
                }
            }
        }
    }

    /// Loads the files whether they have changed or not.
    ///
    /// # Errors
    /// As [`TlsIdentity::load`]; the pair from before stays.
    pub fn reload(&self) -> Result<CertificateSummary> {
        let stamp = Stamp::of(&self.certificate, &self.key);
        let mut seen = self.seen.lock();
        self.reload_as(stamp, &mut seen)
            .inspect_err(|_| seen.refused = Some((stamp, true)))
    }

    /// `stamp` is from before the files are read, so that what changes meanwhile is seen the next time.
    fn reload_as(&self, stamp: Stamp, seen: &mut Seen) -> Result<CertificateSummary> {
        let pair = read_pair(&self.certificate, &self.key, &self.provider)?;
        let summary = pair.1.clone();
        *self.current.0.write() = pair;
        *seen = Seen {
            loaded: stamp,
            refused: None,
        };
        Ok(summary)
    }

    /// The server's side of a new connection.
    pub(super) fn session(&self) -> Result<ServerConnection, rustls::Error> {
        ServerConnection::new(self.config.clone())
    }
}

impl Current {
    fn read(&self) -> parking_lot::RwLockReadGuard<'_, (Arc<CertifiedKey>, CertificateSummary)> {
        self.0.read()
    }
}

impl ResolvesServerCert for Current {
    /// There is one certificate; which names it is for is judged by the client.
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.read().0.clone())
    }
}

impl fmt::Debug for Current {
    /// A key has no place in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Current").field(&self.read().1).finish()
    }
}

fn server_config(
    provider: &Arc<CryptoProvider>,
    current: Arc<Current>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(current);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Sessions are resumed by what the client keeps, so that they cost nothing here.
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// How a file looks from outside: another one in its place, or other content, is another stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp([Option<(u64, u64, u64, i64, i64)>; 2]);

impl Stamp {
    fn of(certificate: &Path, key: &Path) -> Self {
        Self([certificate, key].map(|path| {
            let file = std::fs::metadata(path).ok()?;
            Some((
                file.dev(),
                file.ino(),
                file.len(),
                file.mtime(),
                file.mtime_nsec(),
            ))
        }))
    }
}

fn read_pair(
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<(Arc<CertifiedKey>, CertificateSummary)> {
    let chain = read_chain(certificate)?;
    let bytes = Zeroizing::new(read(key)?);
    let private = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        unusable(key, "private key", &error)
            .remedy("name a file with an unencrypted key in PEM as tls.key")
    })?;
    let own = chain.first().map_or(&[][..], AsRef::as_ref);
    let summary =
        CertificateSummary::from_der(own).map_err(|error| error.context(certificate.display()))?;
    let certified = CertifiedKey::from_der(chain, private, provider).map_err(|error| {
        let mismatch = InconsistentKeys::KeyMismatch.into();
        match error {
            error if error == mismatch => {
                let what = format!(
                    "the key in {} is not that of the first certificate in {}",
                    key.display(),
                    certificate.display()
                );
                Error::new(Kind::Config, what)
                    .remedy("put the server's own certificate first, and the key that it was made for beside it")
            }
            error => {
                let what = format!("the key in {} is of no use", key.display());
                Error::new(Kind::Config, what).because(error)
            }
        }
    })?;
    Ok((Arc::new(certified), summary))
}

/// The certificates of a PEM file; at least one.
fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(unusable(path, "certificate", &pem::Error::NoItemsFound)),
        Err(error) => Err(unusable(path, "certificate", &error)),
    }
}

fn unusable(path: &Path, thing: &str, error: &pem::Error) -> Error {
    let why = match error {
        pem::Error::NoItemsFound => format!("{} holds no {thing} in PEM", path.display()),
        error => format!(
            "{} holds no {thing} that can be read: {error}",
            path.display()
        ),
    };
    Error::new(Kind::Config, why)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::io("cannot read", path, error)
            .remedy("see that the file is there and that the user of the service may read it")
    })
}

impl CertificateSummary {
    /// Reads the first certificate of a PEM file, and checks that `key` is its key.
    ///
    /// # Errors
    /// As [`TlsIdentity::load`].
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        Ok(read_pair(certificate, key, &provider)?.1)
    }
}
