//! Secrets and signatures of Standard Webhooks: HMAC with SHA-256 over `ID.TIMESTAMP.BODY`.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::{Error, Kind, Result};
use crate::time::Timestamp;

const PREFIX: &str = "whsec_";
/// Of a secret, in bytes.
const LENGTH: usize = 32;

/// A new secret, as a receiver is given it.
///
/// # Errors
/// `Internal` when the system gives no randomness.
pub fn new_secret() -> Result<String> {
    let mut bytes = [0_u8; LENGTH];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::internal(format!("no randomness from the system: {error}")))?;
    Ok(format!("{PREFIX}{}", STANDARD.encode(bytes)))
}

/// What signs the events of one webhook.
pub struct Key {
    key: hmac::Key,
    /// The one before it, and until when it signs too.
    old: Option<(hmac::Key, Timestamp)>,
}

impl Key {
    /// The key in a secret.
    ///
    /// # Errors
    /// `Config` for what is no secret of a webhook.
    pub fn parse(secret: &str) -> Result<Self> {
        Ok(Self {
            key: hmac_key(secret)?,
            old: None,
        })
    }

    /// With the one that it has replaced: receivers may check either signature until then.
    #[must_use]
    pub fn and_old(self, old: Self, until: Timestamp) -> Self {
        let old = Some((old.key, until));
        Self { old, ..self }
    }

    /// The headers that prove from whom `body` comes.
    pub(super) fn headers(
        &self,
        message: &str,
        at: Timestamp,
        body: &str,
    ) -> [(&'static str, String); 3] {
        let signed = format!("{message}.{}.{body}", at.0);
        let old = self.old.as_ref().filter(|(_, until)| at < *until);
        let keys = std::iter::once(&self.key).chain(old.map(|(key, _)| key));
        let signatures = keys.map(|key| {
            let signature = hmac::sign(key, signed.as_bytes());
            format!("v1,{}", STANDARD.encode(signature))
        });
        [
            ("webhook-id", message.to_owned()),
            ("webhook-timestamp", at.0.to_string()),
            (
                "webhook-signature",
                signatures.collect::<Vec<_>>().join(" "),
            ),
        ]
    }
}

fn hmac_key(secret: &str) -> Result<hmac::Key> {
    let bytes = secret
        .strip_prefix(PREFIX)
        .and_then(|text| STANDARD.decode(text).ok());
    let bytes = bytes
        .ok_or_else(|| Error::new(Kind::Config, "what was sealed is no secret of a webhook"))?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification of Standard Webhooks.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let key = Key::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let headers = key.headers(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            Timestamp(1_614_265_330),
            r#"{"test": 2432232314}"#,
        );
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(headers[2], ("webhook-signature", expected.to_owned()));
        // Both, while receivers learn the new secret.
        let (new, until) = ("whsec_AAAA", Timestamp(1_614_265_331));
        let both = Key::parse(new).unwrap();
        let both = both.and_old(key, until);
        let signed = |key: &Key, at| {
            let [_, _, (_, signatures)] = key.headers(
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                at,
                r#"{"test": 2432232314}"#,
            );
            signatures
        };
        let at = Timestamp(1_614_265_330);
        let own = signed(&Key::parse(new).unwrap(), at);
        assert_eq!(signed(&both, at), format!("{own} {expected}"));
        assert_eq!(
            signed(&both, until),
            signed(&Key::parse(new).unwrap(), until)
        );
        for wrong in ["", "whsec_%", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert!(Key::parse(wrong).is_err(), "{wrong:?}");
        }
        assert_ne!(new_secret().unwrap(), new_secret().unwrap());
        assert!(Key::parse(&new_secret().unwrap()).is_ok());
    }
}
