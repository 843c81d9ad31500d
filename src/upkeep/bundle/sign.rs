//! Signatures of bundles, in minisign's formats: `minisign -V` verifies them, and `minisign -W` keys sign.
//!
//! The formats are short, and the crate of that name brings its own Ed25519, scrypt and a second sha2 with it, so they are
//! written here on aws-lc-rs and on the blake2 that argon2 needs anyhow. Keys have no passphrase: machines sign.

use std::io::{self, Write};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::digest::consts::U32;
use blake2::{Blake2b, Blake2b512, Digest as _};
use zeroize::Zeroizing;

use crate::error::{Error, Kind, Result};

const COMMENT: &str = "untrusted comment: ";
const TRUSTED: &str = "trusted comment: ";
/// A key.
const KEY: &[u8] = b"Ed";
/// A signature of the message's BLAKE2b hash.
const OF_HASH: &[u8] = b"ED";
/// How a secret key's checksum is made.
const CHECKSUM: &[u8] = b"B2";
const SEED_BYTES: usize = 32;
const ID_BYTES: usize = 8;
/// What stands before the key's id in a secret key's file: algorithms, and the parameters of a passphrase.
const BEFORE_ID: usize = 54;
/// And what before its checksum.
const BEFORE_CHECKSUM: usize = 126;
/// All of a secret key's file, decoded.
const SECRET_BYTES: usize = 158;
/// Longer comments are cut, so that a signature's entry is always one block of the tar.
const MAX_COMMENT: usize = 160;

/// Hashes what is signed, as it is written to it.
#[derive(Default)]
pub struct Message(Blake2b512);

impl Write for Message {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Message {
    fn hash(self) -> Vec<u8> {
        self.0.finalize().to_vec()
    }
}

/// A key that signs.
pub struct SigningKey {
    id: [u8; ID_BYTES],
    seed: Zeroizing<Vec<u8>>,
    pair: Ed25519KeyPair,
}

/// A key that verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyKey {
    id: Vec<u8>,
    key: Vec<u8>,
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    /// `Internal` where the system gives no random numbers.
    pub fn generate() -> Result<Self> {
        let mut random = Zeroizing::new([0; SEED_BYTES]);
        let mut id = [0; ID_BYTES];
        getrandom::fill(&mut random[..])
            .and_then(|()| getrandom::fill(&mut id))
            .map_err(|error| {
                Error::internal("the system gives no random numbers").because(error)
            })?;
        Self::new(id, &random[..])
            .ok_or_else(|| Error::internal("a key cannot be made of random numbers"))
    }

    fn new(id: [u8; ID_BYTES], seed: &[u8]) -> Option<Self> {
        Some(Self {
            id,
            pair: Ed25519KeyPair::from_seed_unchecked(seed).ok()?,
            seed: Zeroizing::new(seed.to_vec()),
        })
    }

    /// Reads a file that [`Self::secret_text`] or `minisign -G -W` has made.
    ///
    /// # Errors
    /// `BadRequest`.
    pub fn read(text: &str) -> Result<Self> {
        let bytes = Zeroizing::new(encoded(text).unwrap_or_default());
        let part = |from: usize, length: usize| bytes.get(from..from.saturating_add(length));
        let not_one = || {
            let error = Error::new(Kind::BadRequest, "it is not a secret key of minisign");
            error.remedy("make one with `breakwater bundle key -o KEYFILE`")
        };
        if bytes.len() != SECRET_BYTES || part(0, 2) != Some(KEY) {
            return Err(not_one());
        }
        if part(2, 2) != Some(&[0, 0]) {
            let error = Error::new(Kind::BadRequest, "the secret key has a passphrase");
            return Err(error.remedy(
                "machines sign: make a key without one, by `breakwater bundle key` or `minisign -G -W`",
            ));
        }
        let id = part(BEFORE_ID, ID_BYTES).and_then(|id| id.try_into().ok());
        let seed = part(BEFORE_ID.saturating_add(ID_BYTES), SEED_BYTES);
        let key = seed.zip(id).and_then(|(seed, id)| Self::new(id, seed));
        let key = key.ok_or_else(not_one)?;
        // minisign leaves the checksum of a key without a passphrase empty.
        let own = key.encoded_secret();
        let (own_key, _) = own.split_at_checked(BEFORE_CHECKSUM).unwrap_or_default();
        let (its_key, checksum) = bytes.split_at_checked(BEFORE_CHECKSUM).unwrap_or_default();
        let is_unchecked = own_key == its_key && checksum.iter().all(|byte| *byte == 0);
        match *own == *bytes || is_unchecked {
            true => Ok(key),
            false => Err(Error::new(Kind::BadRequest, "the secret key is damaged")),
        }
    }

    /// What its file holds.
    pub fn secret_text(&self) -> Zeroizing<String> {
        let encoded = Zeroizing::new(STANDARD.encode(self.encoded_secret()));
        Zeroizing::new(format!(
            "{COMMENT}minisign secret key {}\n{}\n",
            shown_id(&self.id),
            *encoded
        ))
    }

    fn encoded_secret(&self) -> Zeroizing<Vec<u8>> {
        let public = self.pair.public_key().as_ref();
        let mut checksum = Blake2b::<U32>::new();
        for part in [KEY, &self.id, &self.seed, public] {
            checksum.update(part);
        }
        let mut bytes = Zeroizing::new(Vec::new());
        for part in [
            KEY,
            &[0, 0],
            CHECKSUM,
            &[0; 48],
            &self.id,
            &self.seed,
            public,
        ] {
            bytes.extend_from_slice(part);
        }
        bytes.extend_from_slice(&checksum.finalize());
        bytes
    }

    pub fn public(&self) -> VerifyKey {
        VerifyKey {
            id: self.id.to_vec(),
            key: self.pair.public_key().as_ref().to_vec(),
        }
    }

    /// Signs a message, and the comment with it; the text of the signature's file, of at most 512 bytes.
    pub fn sign(&self, message: Message, comment: &str) -> String {
        let is_fitting = |c: &char| !c.is_control() || *c == '\t';
        let comment: String = comment.chars().filter(is_fitting).collect();
        let comment = cut(&comment);
        let signature = self.pair.sign(&message.hash());
        let mut signed = signature.as_ref().to_vec();
        signed.extend_from_slice(comment.as_bytes());
        let of_all = self.pair.sign(&signed);
        let mut encoded = OF_HASH.to_vec();
        encoded.extend_from_slice(&self.id);
        encoded.extend_from_slice(signature.as_ref());
        format!(
            "{COMMENT}signature by minisign key {}\n{}\n{TRUSTED}{comment}\n{}\n",
            shown_id(&self.id),
            STANDARD.encode(encoded),
            STANDARD.encode(of_all.as_ref())
        )
    }
}

impl VerifyKey {
    /// Reads a public key: the file that minisign makes, or its second line alone.
    ///
    /// # Errors
    /// `BadRequest`.
    pub fn read(text: &str) -> Result<Self> {
        let bytes = encoded(text).unwrap_or_default();
        let rest = bytes.strip_prefix(KEY);
        let parts = rest.and_then(|rest| rest.split_at_checked(ID_BYTES));
        match parts {
            Some((id, key)) if key.len() == SEED_BYTES => Ok(Self {
                id: id.to_vec(),
                key: key.to_vec(),
            }),
            _ => Err(
                Error::new(Kind::BadRequest, "it is not a public key of minisign")
                    .remedy("name the file that ends in .pub, beside the key that signs"),
            ),
        }
    }

    /// As people compare it.
    pub fn id(&self) -> String {
        shown_id(&self.id)
    }

    /// What its file holds.
    pub fn text(&self) -> String {
        let bytes = [KEY, &self.id, &self.key].concat();
        let encoded = STANDARD.encode(bytes);
        format!("{COMMENT}minisign public key {}\n{encoded}\n", self.id())
    }

    /// Verifies a signature's file; the comment that was signed with the message.
    ///
    /// # Errors
    /// `Denied` with a sentence: another key, another message, or no signature.
    pub fn verify(&self, message: Message, signature: &str) -> Result<String> {
        let wrong = |what: &str| Error::new(Kind::Denied, what);
        let mut lines = signature.lines();
        let mut line = |prefix| {
            let line = lines.next().unwrap_or_default();
            line.strip_prefix(prefix)
        };
        let parts = (|| {
            line(COMMENT)?;
            let signature = STANDARD.decode(line("")?.trim()).ok()?;
            let comment = line(TRUSTED)?.trim_end_matches('\r').to_owned();
            Some((signature, comment, STANDARD.decode(line("")?.trim()).ok()?))
        })();
        let (signature, comment, of_all) =
            parts.ok_or_else(|| wrong("the signature is none of minisign"))?;
        let (algorithm, rest) = signature.split_at_checked(2).unwrap_or_default();
        if algorithm != OF_HASH {
            return Err(wrong("the signature is of a kind that is not taken"));
        }
        let (id, signature) = rest.split_at_checked(ID_BYTES).unwrap_or_default();
        if id != self.id {
            let what = format!(
                "it is signed by the key {}, not by {}",
                shown_id(id),
                self.id()
            );
            return Err(wrong(&what));
        }
        let key = UnparsedPublicKey::new(&ED25519, &self.key);
        if key.verify(&message.hash(), signature).is_err() {
            return Err(wrong(
                "the signature is not of these bytes: something was changed",
            ));
        }
        let signed = [signature, comment.as_bytes()].concat();
        if key.verify(&signed, &of_all).is_err() {
            return Err(wrong("the signature's comment was changed"));
        }
        Ok(comment)
    }
}

/// The last line that is not a comment, decoded.
fn encoded(text: &str) -> Option<Vec<u8>> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.find(|line| !line.starts_with(COMMENT.trim_end()))?;
    STANDARD.decode(line).ok()
}

/// As minisign shows it: a number whose lowest byte comes first in files.
fn shown_id(id: &[u8]) -> String {
    id.iter().rev().map(|byte| format!("{byte:02X}")).collect()
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_COMMENT);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        let mut message = Message::default();
        message.write_all(text.as_bytes()).unwrap();
        message
    }

    #[test]
    fn keys_are_read_back_and_what_they_sign_is_verified() {
        let key = SigningKey::generate().unwrap();
        let key = SigningKey::read(&key.secret_text()).unwrap();
        let public = VerifyKey::read(&key.public().text()).unwrap();
        assert_eq!(public, key.public());
        let line = key.public().text();
        let line = line.lines().nth(1).unwrap();
        assert_eq!(VerifyKey::read(line).unwrap(), public);
        let signature = key.sign(message("content"), &"long\n ".repeat(100));
        assert!(signature.len() <= 512, "{}", signature.len());
        let comment = public.verify(message("content"), &signature).unwrap();
        assert!(comment.starts_with("long long"), "{comment}");
        let other = SigningKey::generate().unwrap().public();
        for (key, text, signature, expected) in [
            (
                &public,
                "changed",
                signature.clone(),
                "something was changed",
            ),
            (
                &other,
                "content",
                signature.clone(),
                "it is signed by the key",
            ),
            (
                &public,
                "content",
                signature.replacen("long", "wrong", 1),
                "comment was changed",
            ),
            (&public, "content", "nothing".to_owned(), "none of minisign"),
        ] {
            let refused = key.verify(message(text), &signature).unwrap_err();
            assert!(refused.to_string().contains(expected), "{refused}");
        }
    }

    #[test]
    fn a_key_as_minisign_writes_it_is_read() {
        let key = SigningKey::generate().unwrap();
        let mut bytes = key.encoded_secret().to_vec();
        bytes[BEFORE_CHECKSUM..].fill(0);
        let text = format!("{COMMENT}minisign secret key\n{}\n", STANDARD.encode(bytes));
        let read = SigningKey::read(&text).unwrap();
        assert_eq!(read.public(), key.public());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let key = SigningKey::generate().unwrap();
        let damaged = key.secret_text().replacen("RWQAAEIy", "RWQAAEIz", 1);
        let locked = key.secret_text().replacen("RWQAAEIy", "RWRTY0Iy", 1);
        for (text, expected) in [
            ("", "not a secret key"),
            ("untrusted comment: x\nRWQ=\n", "not a secret key"),
            (key.public().text().as_str(), "not a secret key"),
            (&damaged, "is damaged"),
            (&locked, "has a passphrase"),
        ] {
            let refused = SigningKey::read(text).err().unwrap();
            assert!(refused.to_string().contains(expected), "{refused}: {text}");
        }
        let refused = VerifyKey::read(&key.secret_text()).unwrap_err();
        assert!(
            refused.to_string().contains("not a public key"),
            "{refused}"
        );
    }
}
