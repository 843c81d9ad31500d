//! Tokens for external registries, which use docker's token authentication (distribution, "Token Authentication
//! Specification" and "Token Authentication Implementation"): signed with a key of each registry's own, whose
//! certificate it trusts.
//!
//! Such a token names no row of ours and is none of ours: it is good at its registry alone, until it expires.

use std::sync::Arc;

use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::jwt::SKEW;
use super::keys::random_hex;
use super::seal::{Owner, SealingKeys};
use crate::error::{Error, Result};
use crate::oci::AccessEntry;
use crate::store::{ExternalRegistry, SigningAlgorithm};
use crate::time::Timestamp;

/// The claims that distribution reads.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: i64,
    nbf: i64,
    iat: i64,
    jti: String,
    access: Vec<AccessEntry>,
}

/// Signs for one external registry.
pub struct Signer {
    registry: ExternalRegistry,
    key: EncodingKey,
    header: Header,
    jwk: serde_json::Value,
}

/// An external registry, and what signs for it, or why nothing does.
pub struct Signing {
    /// The audience that it is found by.
    pub audience: String,
    /// The signer; its error is told at every use.
    pub signer: Result<Signer, String>,
}

impl Signing {
    /// Opens the keys of all `registries`. One that does not open costs the others nothing.
    pub fn of(
        registries: Vec<ExternalRegistry>,
        keys: impl FnOnce() -> Result<SealingKeys>,
    ) -> Result<Arc<[Self]>> {
        if registries.is_empty() {
            return Ok(Arc::from([]));
        }
        let keys = keys()?;
        let open = |registry: ExternalRegistry| Self {
            audience: registry.audience.clone(),
            signer: Signer::open(registry, &keys).map_err(|error| error.to_string()),
        };
        Ok(registries.into_iter().map(open).collect())
    }
}

impl Signer {
    fn open(registry: ExternalRegistry, keys: &SealingKeys) -> Result<Self> {
        let named = |error: Error| error.context(format!("the registry {}", registry.name));
        let damaged = |_| named(Error::internal("its key cannot be used"));
        let owner = Owner::external_registry(&registry.name);
        let pem = keys.open(&owner, &registry.key_sealed).map_err(named)?;
        let (algorithm, key) = match registry.algorithm {
            SigningAlgorithm::Es256 => (Algorithm::ES256, EncodingKey::from_ec_pem(pem.as_bytes())),
            SigningAlgorithm::Rs256 => {
                (Algorithm::RS256, EncodingKey::from_rsa_pem(pem.as_bytes()))
            }
        };
        let key = key.map_err(damaged)?;
        let mut jwk = Jwk::from_encoding_key(&key, algorithm).map_err(damaged)?;
        // What stands between the lines of the PEM is what belongs here (RFC 7515, section 4.1.6).
        let lines = registry.certificate.lines();
        let chain = vec![
            lines
                .filter(|line| !line.starts_with("-----"))
                .collect::<String>(),
        ];
        jwk.common.key_id = Some(registry.key_id.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        jwk.common.x509_chain = Some(chain.clone());
        let jwk = serde_json::to_value(&jwk)
            .map_err(|error| Error::internal("a key is no JSON").because(error))?;
        let mut header = Header::new(algorithm);
        header.kid = Some(registry.key_id.clone());
        header.x5c = Some(chain);
        Ok(Self {
            registry,
            key,
            header,
            jwk,
        })
    }

    /// Signs a token for `subject`, a name for people, that is good for `access` until `expires`.
    ///
    /// # Errors
    /// `Internal` when signing fails or the system gives no randomness.
    pub fn sign(
        &self,
        subject: &str,
        access: Vec<AccessEntry>,
        now: Timestamp,
        expires: Timestamp,
    ) -> Result<String> {
        let claims = Claims {
            iss: &self.registry.issuer,
            sub: subject,
            aud: &self.registry.audience,
            exp: expires.0,
            nbf: now.0 - SKEW,
            iat: now.0,
            jti: random_hex::<16>()?,
            access,
        };
        jsonwebtoken::encode(&self.header, &claims, &self.key)
            .map_err(|error| Error::internal("cannot sign a token").because(error))
    }

    /// The public key for the published set (RFC 7517).
    pub fn jwk(&self) -> &serde_json::Value {
        &self.jwk
    }
}

/// The id of a public key as docker's libtrust makes it, by which distribution before version 3 finds a trusted
/// key: the first 30 bytes of the SHA-256 of its DER (SubjectPublicKeyInfo), in base32, in twelve groups of four,
/// joined by colons.
pub fn key_id(public_key: &[u8]) -> String {
    let digest = Sha256::digest(public_key);
    let groups: Vec<String> = base32(&digest[..30])
        .as_bytes()
        .chunks(4)
        .map(|group| String::from_utf8_lossy(group).into_owned())
        .collect();
    groups.join(":")
}

/// RFC 4648, without padding: 30 bytes need none.
fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = String::new();
    for group in bytes.chunks(5) {
        let number = group
            .iter()
            .fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
        for at in (0..8).rev() {
            text.push(char::from(ALPHABET[(number >> (5 * at) & 31) as usize]));
        }
    }
    text
}
