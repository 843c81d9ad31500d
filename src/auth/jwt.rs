//! The short-lived JWTs of the token endpoint (RFC 7519; distribution, "Token Authentication Specification").
//!
//! Signed with HS256 under the box's own keys. A JWT names the *row* of the token or the user that it
//! was issued for, never a secret: the row is read again at every request, so that a revocation
//! holds at once. Its `access` is an upper bound of what may be done with it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::keys::{Key, Keys};
use crate::error::{Error, Kind, Result};
use crate::oci::AccessEntry;
use crate::store::{TokenId, UserId};
use crate::time::Timestamp;

/// The audiences that mean this box. Docker takes the service of `/v2/` for every path, so they are synonyms.
pub const AUDIENCES: [&str; 3] = [
    "dependency_proxy",
    "container_registry",
    "registry.docker.io",
];

/// How far two clocks may differ, in seconds.
pub(super) const SKEW: i64 = 5;

/// How long one that is good for `ttl` can be alive, by whichever clock.
pub fn lifetime(ttl: Duration) -> Duration {
    ttl.saturating_add(Duration::from_secs(SKEW.unsigned_abs()))
}

/// Whom a JWT was issued for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bearer {
    /// Nobody: the address is judged at each request.
    Anonymous,
    /// A user, by the password of this version.
    Password {
        user: UserId,
        /// The password's version when it was issued.
        version: i64,
    },
    Token {
        id: TokenId,
    },
}

/// The claims.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    pub jti: String,
    pub iat: i64,
    /// Not before: five seconds earlier, for clocks that are behind.
    pub nbf: i64,
    pub exp: i64,
    pub iss: String,
    /// One of [`AUDIENCES`].
    pub aud: String,
    /// A name for people; nothing is decided by it.
    pub sub: String,
    /// What may be done at most.
    pub access: Vec<AccessEntry>,
    /// Whom it was issued for.
    pub bearer: Bearer,
}

/// What is to be put into a JWT.
pub struct Issue<'a> {
    pub bearer: Bearer,
    /// A name for people.
    pub subject: &'a str,
    /// What may be done at most.
    pub access: Vec<AccessEntry>,
    /// One of [`AUDIENCES`].
    pub audience: &'a str,
    pub now: Timestamp,
}

pub struct Jwts {
    keys: Keys,
    issuer: String,
    ttl: Duration,
    /// What was found to be signed here lately, by the digest of its text, with the key that signed it: to check a signature
    /// and to read the JSON takes a good part of the time of a warm pull. Whether the key still counts, and the times, are
    /// looked at each time.
    signed: Cache<[u8; 32], (Weak<Key>, Arc<Claims>)>,
}

/// So many JWTs are remembered: one for each client that pulls, and about 1 KB each.
const REMEMBERED: usize = 2_000;
/// Longer ones, which are for very many repositories, are checked each time, so that all together stay below 10 MB.
const SHORT: usize = 2_048;

impl Jwts {
    /// With the keys of the data directory, `auth.issuer` and `auth.token_ttl`.
    pub fn new(keys: Keys, issuer: &str, ttl: Duration) -> Self {
        Self {
            keys,
            issuer: issuer.to_owned(),
            ttl,
            signed: Cache::new(REMEMBERED),
        }
    }

    /// The keys that it signs and checks with.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// How long one is good for.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Signs one.
    ///
    /// # Errors
    /// `Internal` when signing fails or the system gives no randomness.
    pub fn issue(&self, issue: Issue<'_>) -> Result<String> {
        let claims = Claims {
            jti: super::keys::random_hex::<16>()?,
            iat: issue.now.0,
            nbf: issue.now.0.saturating_sub(SKEW),
            exp: issue.now.plus(self.ttl).0,
            iss: self.issuer.clone(),
            aud: issue.audience.to_owned(),
            sub: issue.subject.to_owned(),
            access: issue.access,
            bearer: issue.bearer,
        };
        let key = self.keys.signing()?;
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(key.id.clone());
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&key.secret))
            .map_err(|error| Error::internal("cannot sign a token").because(error))
    }

    /// Whom a JWT was issued for, if it was signed here, however long ago: for the audit, never for a decision.
    pub fn signed_subject(&self, text: &str, now: Timestamp) -> Option<String> {
        self.signed(text, now).map(|claims| claims.sub.clone())
    }

    /// Checks signature, algorithm, issuer, audience and times.
    ///
    /// # Errors
    /// `Unauthorized` for whatever is wrong; the text does not say which, but for an expired one.
    pub fn check(&self, text: &str, now: Timestamp) -> Result<Arc<Claims>> {
        let refused =
            || Error::new(Kind::Unauthorized, "the token is not valid").remedy("log in again");
        let claims = self.signed(text, now).ok_or_else(refused)?;
        if now.0 >= claims.exp {
            return Err(
                Error::new(Kind::Unauthorized, "the token has expired").remedy("log in again")
            );
        }
        if now.0.saturating_add(SKEW) < claims.nbf {
            return Err(refused());
        }
        Ok(claims)
    }

    /// The claims, if signature, algorithm, issuer and audience are right; its times are not looked at.
    fn signed(&self, text: &str, now: Timestamp) -> Option<Arc<Claims>> {
        let digest = Sha256::digest(text).into();
        if let Some((key, claims)) = self.signed.get(&digest)
            && key
                .upgrade()
                .is_some_and(|key| self.keys.verifies(&key, now))
        {
            return Some(claims);
        }
        let header = jsonwebtoken::decode_header(text).ok()?;
        let key = self.keys.verifying(&header.kid?, now)?;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.algorithms = vec![Algorithm::HS256];
        validation.set_audience(&AUDIENCES);
        validation.set_issuer(&[&self.issuer]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud"]);
        // The times are judged against the clock that the caller gives.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let secret = DecodingKey::from_secret(&key.secret);
        let decoded = jsonwebtoken::decode::<Claims>(text, &secret, &validation).ok()?;
        let claims = Arc::new(decoded.claims);
        if text.len() <= SHORT {
            let remembered = (Arc::downgrade(&key), Arc::clone(&claims));
            self.signed.insert(digest, remembered);
        }
        Some(claims)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn make(directory: &std::path::Path) -> Jwts {
        Jwts::new(
            Keys::open_or_make(directory, Duration::from_secs(905)).unwrap(),
            "breakwater",
            Duration::from_secs(900),
        )
    }

    fn issue(jwts: &Jwts) -> String {
        let access = vec![AccessEntry {
            kind: "repository".into(),
            name: "x".into(),
            actions: vec!["pull".into()],
        }];
        let bearer = Bearer::Token { id: TokenId(7) };
        jwts.issue(Issue {
            bearer,
            subject: "alice",
            access,
            audience: AUDIENCES[0],
            now: NOW,
        })
        .unwrap()
    }

    #[test]
    fn a_token_comes_back_as_it_was_issued_until_it_expires() {
        let directory = tempfile::tempdir().unwrap();
        let jwts = make(directory.path());
        let text = issue(&jwts);
        let claims = jwts.check(&text, NOW).unwrap();
        assert_eq!(claims.bearer, Bearer::Token { id: TokenId(7) });
        assert_eq!(
            (claims.iat, claims.nbf, claims.exp),
            (NOW.0, NOW.0 - 5, NOW.0 + 900)
        );
        assert!(jwts.check(&text, Timestamp(NOW.0 + 899)).is_ok());
        assert!(jwts.check(&text, Timestamp(NOW.0 + 900)).is_err());
        assert!(jwts.check(&text, Timestamp(NOW.0 - 10)).is_ok());
        assert!(jwts.check(&text, Timestamp(NOW.0 - 11)).is_err());
        // What was remembered of it counts for no longer than its key.
        jwts.keys.rotate(NOW).unwrap();
        assert!(jwts.check(&text, NOW).is_ok());
        jwts.keys.remove_retired(NOW, true).unwrap();
        assert!(jwts.check(&text, NOW).is_err());
    }

    #[test]
    fn what_was_not_signed_here_for_here_is_refused() {
        let (ours, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let jwts = make(ours.path());
        let text = issue(&jwts);
        let parts: Vec<&str> = text.split('.').collect();
        let claims = String::from_utf8(BASE64.decode(parts[1]).unwrap()).unwrap();
        let key = jwts.keys.signing().unwrap();
        let kid = key.id.clone();
        let header =
            |alg: &str| BASE64.encode(format!(r#"{{"typ":"JWT","alg":"{alg}","kid":"{kid}"}}"#));
        let edited = BASE64.encode(claims.replace("\"id\":7", "\"id\":1"));
        let key = EncodingKey::from_secret(&key.secret);
        let signed = |from: &str, to: &str| {
            assert!(claims.contains(from), "{claims}");
            let claims: serde_json::Value =
                serde_json::from_str(&claims.replace(from, to)).unwrap();
            let header = Header {
                kid: Some(kid.clone()),
                ..Header::new(Algorithm::HS256)
            };
            jsonwebtoken::encode(&header, &claims, &key).unwrap()
        };
        let hs512 = Header {
            kid: Some(kid.clone()),
            ..Header::new(Algorithm::HS512)
        };
        let by_hs512 =
            jsonwebtoken::encode(&hs512, &*jwts.check(&text, NOW).unwrap(), &key).unwrap();
        for (what, forged) in [
            ("another key", issue(&make(others.path()))),
            (
                "an edited payload",
                format!("{}.{edited}.{}", parts[0], parts[2]),
            ),
            (
                "algorithm none",
                format!("{}.{}.", header("none"), parts[1]),
            ),
            ("another algorithm", by_hs512),
            (
                "RS256 with our key's id",
                format!("{}.{}.{}", header("RS256"), parts[1], parts[2]),
            ),
            (
                "another audience",
                signed(r#""aud":"dependency_proxy""#, r#""aud":"elsewhere""#),
            ),
            (
                "another issuer",
                signed(r#""iss":"breakwater""#, r#""iss":"elsewhere""#),
            ),
            ("no signature", format!("{}.{}", parts[0], parts[1])),
            ("nothing", String::new()),
        ] {
            assert!(jwts.check(&forged, NOW).is_err(), "{what}");
        }
    }
}
