//! Token secrets: `bwp_` and 32 characters, the last six a checksum. Made here, shown once, and
//! stored only as the SHA-256 of the whole text. Nothing here writes or logs one.

use std::fmt;

use sha2::{Digest as _, Sha256};
use zeroize::Zeroize;

use crate::error::{Error, Result};
use crate::store::TokenKind;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 26 characters out of 62 are 154.8 bits: what fits beside the checksum in 32 characters.
const RANDOM_LENGTH: usize = 26;
const CHECKSUM_LENGTH: usize = 6;

/// A token's secret. `Debug` does not show it; as JSON it goes to whoever made the token, and nowhere else.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What a text that somebody sends as a password looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One of our prefixes and a right checksum: worth a lookup.
    Token(TokenKind),
    /// One of our prefixes, but the checksum is wrong: a typing error, no lookup needed.
    Mistyped(TokenKind),
    /// No prefix of ours: perhaps a password.
    Other,
}

impl Secret {
    /// Makes a new secret of `kind` from the operating system's randomness.
    ///
    /// # Errors
    /// `Internal` when the system gives no randomness.
    pub fn mint(kind: TokenKind) -> Result<Self> {
        let mut text = String::from(prefix(kind));
        let length = prefix(kind).len().saturating_add(RANDOM_LENGTH);
        while text.len() < length {
            let mut bytes = [0_u8; 64];
            getrandom::fill(&mut bytes).map_err(|error| {
                Error::internal(format!("no randomness from the system: {error}"))
            })?;
            // Bytes from 248 on are dropped, so that every character is equally likely.
            let fair = bytes.iter().filter(|&&byte| byte < 248);
            let wanted = length.saturating_sub(text.len());
            text.extend(fair.take(wanted).map(|&byte| letter(u64::from(byte))));
        }
        let sum = checksum(&text);
        text.push_str(&sum);
        Ok(Self(text))
    }

    /// The secret itself, to be printed once.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is stored instead of it.
    pub fn digest(&self) -> [u8; 32] {
        digest(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The SHA-256 under which a token is looked up.
pub fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Tells tokens, typing errors and other texts apart without a lookup.
pub fn shape(text: &str) -> Shape {
    let kinds = [
        TokenKind::Personal,
        TokenKind::Group,
        TokenKind::Project,
        TokenKind::Deploy,
        TokenKind::Job,
    ];
    let Some(kind) = kinds
        .into_iter()
        .find(|&kind| text.starts_with(prefix(kind)))
    else {
        return Shape::Other;
    };
    let at = prefix(kind).len().saturating_add(RANDOM_LENGTH);
    match text.split_at_checked(at) {
        Some((random, sum)) if text.is_ascii() && sum == checksum(random) => Shape::Token(kind),
        _ => Shape::Mistyped(kind),
    }
}

fn prefix(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Personal => "bwp_",
        TokenKind::Group => "bwg_",
        TokenKind::Project => "bwr_",
        TokenKind::Deploy => "bwd_",
        TokenKind::Job => "bwj_",
    }
}

/// One of the letters that secrets are made of.
fn letter(number: u64) -> char {
    let at = number % 62;
    ALPHABET.get(at as usize).copied().map_or('0', char::from)
}

/// Six characters from the first 35 bits of the SHA-256 of what stands before them.
fn checksum(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    let mut number = hash
        .iter()
        .take(5)
        .fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    let mut sum = String::with_capacity(CHECKSUM_LENGTH);
    for _ in 0..CHECKSUM_LENGTH {
        sum.push(letter(number));
        number /= 62;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_its_prefix_and_checksum_and_is_never_the_same() {
        let (one, two) = (
            Secret::mint(TokenKind::Personal).unwrap(),
            Secret::mint(TokenKind::Personal).unwrap(),
        );
        assert!(one.expose().starts_with("bwp_") && one.expose().len() == 36);
        assert_ne!(one.expose(), two.expose());
        assert_eq!(shape(one.expose()), Shape::Token(TokenKind::Personal));
        assert_eq!(format!("{one:?}"), "Secret(…)");
    }

    #[test]
    fn a_typing_error_is_told_from_another_text() {
        let secret = Secret::mint(TokenKind::Deploy).unwrap();
        let mistyped = format!("{}!", &secret.expose()[..35]);
        for (text, expected) in [
            (mistyped.as_str(), Shape::Mistyped(TokenKind::Deploy)),
            ("bwd_", Shape::Mistyped(TokenKind::Deploy)),
            ("bwd_ééééééééééééééééé", Shape::Mistyped(TokenKind::Deploy)),
            ("hunter2", Shape::Other),
            ("", Shape::Other),
        ] {
            assert_eq!(shape(text), expected, "{text}");
        }
    }
}
