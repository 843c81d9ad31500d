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
pub struct Key(hmac::Key);

impl Key {
    /// The key in a secret.
    ///
    /// # Errors
    /// `Config` for what is no secret of a webhook.
    pub fn parse(secret: &str) -> Result<Self> {
        let bytes = secret
            .strip_prefix(PREFIX)
            .and_then(|text| STANDARD.decode(text).ok());
        let bytes = bytes
            .ok_or_else(|| Error::new(Kind::Config, "what was sealed is no secret of a webhook"))?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The headers that prove from whom `body` comes.
    pub(super) fn headers(
        &self,
        message: &str,
        at: Timestamp,
        body: &str,
    ) -> [(&'static str, String); 3] {
        let signed = format!("{message}.{}.{body}", at.0);
        let signature = STANDARD.encode(hmac::sign(&self.0, signed.as_bytes()));
        [
            ("webhook-id", message.to_owned()),
            ("webhook-timestamp", at.0.to_string()),
            ("webhook-signature", format!("v1,{signature}")),
        ]
    }
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
        for wrong in ["", "whsec_%", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert!(Key::parse(wrong).is_err(), "{wrong:?}");
        }
        assert_ne!(new_secret().unwrap(), new_secret().unwrap());
        assert!(Key::parse(&new_secret().unwrap()).is_ok());
    }
}
