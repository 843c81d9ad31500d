//! Digests: `sha256:HEX` and `sha512:HEX` (image-spec, descriptor.md, "Digests"), and hashing into one.

use std::fmt;

use sha2::Digest as _;

use crate::error::{Error, Kind, Result, excerpt};

/// A hash algorithm that image-spec registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Algorithm {
    /// SHA-256, what everybody uses.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// The word before the colon; also the directory name below `blobs/`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The algorithm of this name; `None` for one that is not supported.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "sha256" => Some(Self::Sha256),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    /// How many lower-case hex digits follow the colon.
    fn hex_length(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// A digest whose algorithm is known and whose hex part has the right length, in lower case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    /// `algorithm:hex`.
    text: Box<str>,
}

impl Digest {
    /// Parses `sha256:…` or `sha512:…`.
    ///
    /// # Errors
    /// `DigestInvalid` for another algorithm, a wrong length, or digits other than `[0-9a-f]`.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = || {
            Error::new(
                Kind::DigestInvalid,
                format!("`{}` is not a digest", excerpt(text)),
            )
            .remedy("write sha256: and 64 lower-case hex digits, or sha512: and 128")
        };
        let (algorithm, hex) = text.split_once(':').ok_or_else(invalid)?;
        let algorithm = Algorithm::parse(algorithm).ok_or_else(invalid)?;
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if hex.len() != algorithm.hex_length() || !hex.bytes().all(is_hex) {
            return Err(invalid());
        }
        Ok(Self {
            algorithm,
            text: text.into(),
        })
    }

    /// The SHA-256 digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The digest of `bytes` under `algorithm`.
    pub fn of_with(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The algorithm before the colon.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The lower-case hex digits after the colon.
    pub fn hex(&self) -> &str {
        self.text.split_once(':').map_or("", |(_, hex)| hex)
    }

    /// The hash as bytes; its length tells the algorithm.
    pub fn hash(&self) -> Vec<u8> {
        let nibble = |digit: u8| {
            let number = char::from(digit).to_digit(16).unwrap_or_default();
            u8::try_from(number).unwrap_or_default()
        };
        let digits = self.hex().as_bytes().chunks_exact(2);
        digits
            .map(|pair| {
                pair.iter()
                    .fold(0, |byte, &digit| byte << 4 | nibble(digit))
            })
            .collect()
    }

    /// `algorithm:hex`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| serde::de::Error::custom(error.what()))
    }
}

/// Hashes bytes as they pass into a [`Digest`].
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha512(Box<sha2::Sha512>),
}

impl Hasher {
    /// An empty hash.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Box::new(sha2::Sha512::new())),
        })
    }

    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(hash) => hash.update(bytes),
            State::Sha512(hash) => hash.update(bytes),
        }
    }

    /// The digest of all bytes added.
    pub fn finish(self) -> Digest {
        let (algorithm, hex) = match self.0 {
            State::Sha256(hash) => (Algorithm::Sha256, hex(&hash.finalize())),
            State::Sha512(hash) => (Algorithm::Sha512, hex(&hash.finalize())),
        };
        Digest {
            algorithm,
            text: format!("{}:{hex}", algorithm.as_str()).into(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16);
    let halves = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    halves.filter_map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn hashing_gives_the_known_digest_of_nothing() {
        assert_eq!(Digest::of(b"").as_str(), EMPTY);
        assert_eq!(Digest::of_with(Algorithm::Sha512, b"").hex().len(), 128);
    }

    #[test]
    fn only_well_formed_digests_parse() {
        let upper = EMPTY.to_uppercase();
        let long = format!("sha256:{}", "a".repeat(65));
        let cases: &[(&str, bool)] = &[
            (EMPTY, true),
            (&format!("sha512:{}", "0".repeat(128)), true),
            ("", false),
            ("sha256:", false),
            ("sha256", false),
            (&upper, false),
            (&long, false),
            ("sha256:../../../../etc/passwd", false),
            (&format!("md5:{}", "0".repeat(32)), false),
            (&format!("sha256:{}é", "0".repeat(62)), false),
        ];
        for (text, valid) in cases {
            assert_eq!(Digest::parse(text).is_ok(), *valid, "{text}");
        }
    }
}
