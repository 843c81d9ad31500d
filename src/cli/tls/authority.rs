//! The box's own certificate authority: made once, kept, and asked for certificates.
//!
//! Knows rcgen, as `admin::registries` does. Files are read here and written by the caller.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};

use super::names::Names;
use crate::error::{Error, Kind, Result};
use crate::http::CertificateSummary;
use crate::time::Timestamp;

/// Clients have to be told about a new authority, so it lives long.
const LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// Clients whose clock is a little behind take a new certificate too.
const LEEWAY: Duration = Duration::from_secs(60 * 60);

/// The authority, with its key.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    not_after: Timestamp,
}

impl Authority {
    /// A new one, its certificate and its key in PEM.
    pub(super) fn make() -> Result<(Self, String, String)> {
        let make = || {
            let key = KeyPair::generate()?;
            let mut params = authority_params(&key);
            let now = SystemTime::now();
            params.not_before = now.checked_sub(LEEWAY).unwrap_or(now).into();
            params.not_after = now.checked_add(LIFE).unwrap_or(now).into();
            let certificate = params.self_signed(&key)?;
            Ok((params, certificate, key))
        };
        let (params, certificate, key) = make().map_err(cannot)?;
        let pem = key.serialize_pem();
        let authority = Self {
            issuer: Issuer::new(params, key),
            not_after: CertificateSummary::from_der(certificate.der())?.not_after,
            certificate: certificate.der().clone(),
        };
        Ok((authority, certificate.pem(), pem))
    }

    /// The one that `make` gave once.
    ///
    /// # Errors
    /// `Io`; `Config` where the files are no certificate and its key; `Conflict` where it has expired.
    pub(super) fn open(certificate: &Path, key: &Path) -> Result<Self> {
        let summary = CertificateSummary::from_files(certificate, key)?;
        if summary.not_after <= Timestamp::now() {
            let what = format!(
                "the certificate authority {} has expired at {}",
                certificate.display(),
                summary.not_after
            );
            return Err(Error::new(Kind::Conflict, what).remedy(
                "move it and ca.key away, run this again, and let the clients trust the new one",
            ));
        }
        let text =
            std::fs::read_to_string(key).map_err(|error| Error::io("cannot read", key, error))?;
        let pair = KeyPair::from_pem(&text).map_err(cannot)?;
        let pem = std::fs::read(certificate)
            .map_err(|error| Error::io("cannot read", certificate, error))?;
        let certificate = CertificateDer::from_pem_slice(&pem)
            .map_err(|error| Error::new(Kind::Config, format!("it is no PEM: {error}")))?;
        Ok(Self {
            issuer: Issuer::new(authority_params(&pair), pair),
            certificate,
            not_after: summary.not_after,
        })
    }

    /// A certificate and a new key for it, both in PEM. It ends after `life`, or with the authority.
    pub(super) fn issue(&self, names: &Names, life: Duration) -> Result<(String, String)> {
        let now = SystemTime::now();
        let end = Duration::from_secs(u64::try_from(self.not_after.0).unwrap_or_default());
        let end = SystemTime::UNIX_EPOCH.checked_add(end).unwrap_or(now);
        let issue = || {
            let addresses = names.addresses.iter().map(ToString::to_string);
            let all: Vec<String> = names.names.iter().cloned().chain(addresses).collect();
            let mut params = CertificateParams::new(all)?;
            let name = names.first().unwrap_or_default();
            params.distinguished_name = rcgen::DistinguishedName::new();
            // A common name has room for 64 characters, and nobody reads it any more.
            if name.len() <= 64 {
                params.distinguished_name.push(DnType::CommonName, name);
            }
            params.not_before = now.checked_sub(LEEWAY).unwrap_or(now).into();
            params.not_after = now.checked_add(life).map_or(end, |own| own.min(end)).into();
            params.is_ca = IsCa::ExplicitNoCa;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            params.use_authority_key_identifier_extension = true;
            let key = KeyPair::generate()?;
            let certificate = params.signed_by(&key, &self.issuer)?;
            Ok((certificate, key))
        };
        let (certificate, key) = issue().map_err(cannot)?;
        if !self.verifies(certificate.der(), names) {
            let what = "the certificate authority in ca.crt was not made by this command";
            return Err(Error::new(Kind::Conflict, what)
                .remedy("let it issue the certificate, or move ca.crt and ca.key away"));
        }
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// Whether a client that trusts this authority takes the certificate in the file today.
    pub(super) fn has_issued(&self, file: &Path) -> bool {
        let Ok(certificate) = CertificateDer::from_pem_file(file) else {
            return false;
        };
        let names = CertificateSummary::from_der(&certificate);
        names.is_ok_and(|names| self.verifies(&certificate, &Names::of(&names)))
    }

    /// As a client sees it.
    fn verifies(&self, certificate: &CertificateDer<'_>, names: &Names) -> bool {
        let mut roots = RootCertStore::empty();
        let added = roots.add(self.certificate.clone());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        // A wildcard is for names that it matches, and is none itself.
        let first = names.first().map(|name| name.replace('*', "any"));
        let name = first.and_then(|name| ServerName::try_from(name).ok());
        let (Ok(()), Ok(verifier), Some(name)) = (added, verifier.build(), name) else {
            return false;
        };
        let now = UnixTime::now();
        verifier
            .verify_server_cert(certificate, &[], &name, &[], now)
            .is_ok()
    }
}

/// What follows from the key alone, so that a kept authority can be taken up again: above all its name, which
/// stands in each certificate that it issues, and tells it from the authorities of other boxes.
fn authority_params(key: &KeyPair) -> CertificateParams {
    let digest = Sha256::digest(key.subject_public_key_info());
    let mark: String = digest
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let name = format!("Breakwater certificate authority {mark}");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn cannot(error: rcgen::Error) -> Error {
    Error::new(Kind::Internal, "cannot make a certificate").because(error)
}
