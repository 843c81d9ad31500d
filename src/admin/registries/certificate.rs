//! The key pair of an external registry, with the self-signed certificate that the registry trusts.

use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData,
    RsaKeySize,
};

use crate::auth::external::key_id;
use crate::error::{Error, Kind, Result};
use crate::store::SigningAlgorithm;

/// The registry has to be told about a new certificate, so it lives long.
const LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// A registry whose clock is behind takes it too.
const LEEWAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A new key pair.
pub(super) struct KeyMaterial {
    /// The private key, PKCS 8 in PEM.
    pub(super) private_key: String,
    /// The certificate, PEM.
    pub(super) certificate: String,
    /// `kid`.
    pub(super) key_id: String,
}

/// Makes a key pair for the registry called `name`.
///
/// # Errors
/// `Internal` when it cannot be made.
pub(super) fn make(name: &str, algorithm: SigningAlgorithm) -> Result<KeyMaterial> {
    let make = || {
        let key = match algorithm {
            SigningAlgorithm::Es256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?,
            SigningAlgorithm::Rs256 => {
                KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048)?
            }
        };
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let subject = format!("Breakwater tokens for {name}");
        // A common name has room for 64 characters.
        let subject: String = subject.chars().take(64).collect();
        params.distinguished_name.push(DnType::CommonName, subject);
        let now = SystemTime::now();
        params.not_before = now.checked_sub(LEEWAY).unwrap_or(now).into();
        params.not_after = now.checked_add(LIFE).unwrap_or(now).into();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key)?;
        Ok(KeyMaterial {
            key_id: key_id(&key.subject_public_key_info()),
            private_key: key.serialize_pem(),
            certificate: certificate.pem(),
        })
    };
    make().map_err(|error: rcgen::Error| {
        Error::new(Kind::Internal, "cannot make a key and its certificate").because(error)
    })
}
