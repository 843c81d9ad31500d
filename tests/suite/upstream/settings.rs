//! Settings that cannot work.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use breakwater::error::Kind;
use breakwater::upstream::{Ca, Credentials, Proxies, Settings, Upstream};

use super::settings;

#[test]
fn settings_that_cannot_work_are_refused_with_their_reason() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        Some(path)
    };
    let base = || settings("https://registry.example");
    let cases = [
        (
            "no scheme",
            Settings {
                url: "registry.example".to_owned(),
                ..base()
            },
        ),
        (
            "ftp",
            Settings {
                url: "ftp://registry.example".to_owned(),
                ..base()
            },
        ),
        (
            "password",
            Settings {
                url: "https://u:SECRET@registry.example".to_owned(),
                ..base()
            },
        ),
        (
            "query",
            Settings {
                url: "https://registry.example?SECRET".to_owned(),
                ..base()
            },
        ),
        (
            "realm",
            Settings {
                auth_realm: Some("token".to_owned()),
                ..base()
            },
        ),
        (
            "plain realm",
            Settings {
                auth_realm: Some("http://registry.example/t".to_owned()),
                ..base()
            },
        ),
        (
            "no CA file",
            Settings {
                ca: Some(Ca::File(dir.path().join("missing"))),
                ..base()
            },
        ),
        (
            "empty CA file",
            Settings {
                ca: file("empty", "").map(Ca::File),
                ..base()
            },
        ),
        (
            "CA file without PEM",
            Settings {
                ca: file("text", "hello").map(Ca::File),
                ..base()
            },
        ),
        (
            "broken CA file",
            Settings {
                ca: file(
                    "broken",
                    "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n",
                )
                .map(Ca::File),
                ..base()
            },
        ),
        (
            "colon",
            Settings {
                credentials: Some(Credentials {
                    username: "a:b".to_owned(),
                    password: "SECRET".to_owned(),
                }),
                ..base()
            },
        ),
    ];
    for (what, settings) in cases {
        let offline = Arc::new(AtomicBool::new(false));
        let made = Upstream::with_proxies(settings, offline, Proxies::default());
        let error = made.map(|_| ()).expect_err(what);
        assert_eq!(error.kind(), Kind::Config, "{what}: {error}");
        assert!(!error.to_string().contains("SECRET"), "{what}: {error}");
    }
}
