//! The fingerprint of an upstream: what is cached belongs to it, and it outlives restarts.
//!
//! A change of how it is counted would orphan every cache.

use super::url::Url;
use super::{Ca, Settings};
use crate::oci::{Algorithm, Digest, Hasher};

/// SHA-256 over the URL, the credentials, further roots and whether private addresses are out of reach, each
/// with its length before it, so that no two settings give the same text.
///
/// The last two stand in it only where they are not as the box's own upstreams have them by default.
pub(super) fn fingerprint(home: &Url, settings: &Settings) -> String {
    let url = home.to_string();
    let mut parts = vec![url.trim_end_matches('/')];
    if let Some(credentials) = &settings.credentials {
        parts.extend([credentials.username.as_str(), credentials.password.as_str()]);
    }
    let path;
    // Three parts or more, so that they are never taken for credentials.
    match &settings.ca {
        Some(Ca::File(file)) => {
            path = file.to_string_lossy();
            parts.extend(["", "ca file", &path]);
        }
        Some(Ca::Pem(pem)) => parts.extend(["", "ca", pem.as_str()]),
        None => {}
    }
    if !settings.allow_private_addresses {
        parts.extend(["", "", "public addresses only"]);
    }
    let mut hasher = Hasher::new(Algorithm::Sha256);
    for part in parts {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    shortened(&hasher.finish())
}

/// HMAC-SHA256 (RFC 2104) of a fingerprint, as long as one.
pub(super) fn keyed(key: &[u8; 32], fingerprint: &str) -> String {
    let pass = |pad: u8, message: &[u8]| {
        let mut block = [pad; 64];
        for (byte, key) in block.iter_mut().zip(key) {
            *byte ^= key;
        }
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(&block);
        hasher.update(message);
        hasher.finish()
    };
    let inner = pass(0x36, fingerprint.as_bytes());
    let (pairs, _) = inner.hex().as_bytes().as_chunks::<2>();
    let inner: Vec<u8> = pairs
        .iter()
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    shortened(&pass(0x5c, &inner))
}

/// The first 128 bits, in hex.
fn shortened(digest: &Digest) -> String {
    digest.hex().chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Credentials, Timeouts};
    use super::*;
    use crate::oci::RegistryHost;

    fn of(
        url: &str,
        credentials: Option<Credentials>,
        ca: Option<Ca>,
        allow_private_addresses: bool,
    ) -> String {
        let settings = Settings {
            name: RegistryHost::parse("a.example").unwrap(),
            url: url.to_owned(),
            credentials,
            auth_realm: None,
            ca,
            allow_private_addresses,
            timeouts: Timeouts::default(),
        };
        fingerprint(&Url::parse(url).unwrap(), &settings)
    }

    #[test]
    fn a_keyed_fingerprint_is_an_hmac() {
        // Counted with another program.
        assert_eq!(keyed(&[7; 32], "abc"), "127da4ced6a839b8f6118bc244684d26");
        assert_ne!(keyed(&[7; 32], "abc"), keyed(&[8; 32], "abc"));
    }

    #[test]
    fn fingerprints_tell_settings_apart_and_stay() {
        let print = |url: &str, credentials: Option<(&str, &str)>| {
            let credentials = credentials.map(|(username, password)| Credentials {
                username: username.to_owned(),
                password: password.to_owned(),
            });
            of(url, credentials, None, true)
        };
        let all = [
            print("https://a", None),
            print("http://a", None),
            print("https://a/b", None),
            print("https://a:8443", None),
            print("https://a", Some(("", ""))),
            print("https://a", Some(("u", "pw"))),
            print("https://a", Some(("up", "w"))),
            of("https://a", None, None, false),
            of("https://a", None, Some(Ca::Pem("x".to_owned())), true),
            of("https://a", None, Some(Ca::Pem("x".to_owned())), false),
            of("https://a", None, Some(Ca::File("x".into())), true),
        ];
        for (n, one) in all.iter().enumerate() {
            assert_eq!(one.len(), 32);
            assert!(!all[..n].contains(one), "{n}");
        }
        assert_eq!(print("https://A:443/", None), all[0]);
        // Written down: a change would orphan every cache.
        assert_eq!(all[0], "e42825ef49ebc1ded5b0f5d6b33fd8fc");
    }
}
