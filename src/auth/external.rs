//! Tokens for external registries, which use docker's token authentication (distribution, "Token Authentication
//! Specification" and "Token Authentication Implementation"): signed with a key of each registry's own, whose
//! certificate it trusts.
//!
//! Such a token names no row of this box, which does not accept it either: it is valid at its registry alone, until it
//! expires.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
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
    /// Opens the keys of all `registries`. The others can be used although one cannot be opened.
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
        let damaged = || named(Error::internal("its key cannot be used"));
        let owner = Owner::external_registry(&registry.name);
        let pem = keys.open(&owner, &registry.key_sealed).map_err(named)?;
        let pkcs8 = unarmoured(&pem);
        let pkcs8 = BASE64.decode(&pkcs8).map_err(|_| damaged())?;
        let (algorithm, key) = match registry.algorithm {
            SigningAlgorithm::Es256 => (Algorithm::ES256, EncodingKey::from_ec_der(&pkcs8)),
            SigningAlgorithm::Rs256 => {
                let pkcs1 = private_key_of(&pkcs8).ok_or_else(damaged)?;
                (Algorithm::RS256, EncodingKey::from_rsa_der(pkcs1))
            }
        };
        let mut jwk = Jwk::from_encoding_key(&key, algorithm).map_err(|_| damaged())?;
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
            nbf: now.0.saturating_sub(SKEW),
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

/// The base64 of a PEM, without the lines around it.
fn unarmoured(pem: &str) -> String {
    pem.lines()
        .filter(|line| !line.starts_with("-----"))
        .collect()
}

/// What a PKCS 8 structure holds (RFC 5208: a sequence of version, algorithm and the key as octets): for RSA
/// that is PKCS 1, which is what is signed with.
fn private_key_of(pkcs8: &[u8]) -> Option<&[u8]> {
    let (sequence, _) = der_content(pkcs8)?;
    let (_version, rest) = der_content(sequence)?;
    let (_algorithm, rest) = der_content(rest)?;
    let (key, _) = der_content(rest)?;
    Some(key)
}

/// The content of the DER element at the start (X.690, section 8.1), and what comes behind it.
fn der_content(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.get(1..)?.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        // Four bytes are more than any key needs.
        if bytes.len() > 4 {
            return None;
        }
        let length = bytes
            .iter()
            .fold(0, |length, &byte| length << 8 | usize::from(byte));
        (length, rest)
    };
    rest.split_at_checked(length)
}

/// The id of a public key as docker's libtrust makes it, by which distribution before version 3 finds a trusted
/// key: the first 30 bytes of the SHA-256 of its DER (SubjectPublicKeyInfo), in base32, in twelve groups of four,
/// joined by colons.
pub fn key_id(public_key: &[u8]) -> String {
    let digest = Sha256::digest(public_key);
    let (kept, _) = digest.split_at_checked(30).unwrap_or_default();
    let groups: Vec<String> = base32(kept)
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
        for at in (0..8_u32).rev() {
            let letter = number.unbounded_shr(at.saturating_mul(5)) & 31;
            text.extend(
                ALPHABET
                    .get(letter as usize)
                    .map(|&letter| char::from(letter)),
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn der_is_read_with_short_and_long_lengths_and_never_beyond_its_end() {
        let key = [7_u8; 200];
        let octets = [&[0x04, 0x81, 200][..], &key].concat();
        let body = [&[0x02, 0x01, 0x00, 0x30, 0x00][..], &octets].concat();
        let length = u8::try_from(body.len()).unwrap();
        let whole = [&[0x30, 0x81, length][..], &body].concat();
        assert_eq!(private_key_of(&whole), Some(&key[..]));
        for end in 0..whole.len() {
            assert_eq!(private_key_of(&whole[..end]), None, "{end}");
        }
        assert_eq!(der_content(&[0x30, 0x85, 0, 0, 0, 0, 1, 0]), None);
        assert_eq!(der_content(&[0x30, 0xff]), None);
    }
}
