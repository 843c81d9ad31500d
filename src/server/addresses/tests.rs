//! Which requests bear a mark of a proxy or of another site's browser.

use std::io;
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::http::{Method, RequestBody};

fn addresses(external_url: &str) -> Addresses {
    let mut config = crate::config::Config::default().server;
    config.external_url = external_url.to_owned();
    Addresses::new(&config)
}

/// A request from loopback to `host` with these fields.
fn request(host: &str, scheme: Scheme, fields: &[(&str, &str)]) -> Request {
    Request {
        method: Method::Get,
        path: "/v2/".to_owned(),
        query: None,
        headers: fields.iter().copied().collect(),
        host: host.to_owned(),
        peer: "127.0.0.1:1".parse().unwrap(),
        scheme,
        is_http_1_0: false,
        body: RequestBody::from(Vec::new()),
    }
}

#[test]
fn from_loopback_the_host_must_be_this_machine() {
    use Scheme::{Http, Https};
    struct Case {
        host: &'static str,
        scheme: Scheme,
        external_url: &'static str,
        is_here: bool,
    }
    let http = |host, is_here| Case {
        host,
        scheme: Http,
        external_url: "",
        is_here,
    };
    let at = |external_url, scheme, host, is_here| Case {
        host,
        scheme,
        external_url,
        is_here,
    };
    let secure = "https://box.example";
    let plain = "http://box.example:5000";
    for case in [
        http("localhost", true),
        http("localhost:5000", true),
        // The port may be that of a tunnel.
        http("localhost:8080", true),
        http("localhost.:5000", true),
        http("127.0.0.1", true),
        http("127.0.0.1.", true),
        http("127.8.9.10:5000", true),
        http("[::1]:5000", true),
        http("[::ffff:127.0.0.1]:5000", true),
        http("192.0.2.1:5000", false),
        http("[2001:db8::1]:5000", false),
        // Where a browser takes it for loopback, it is not ours.
        http("0.0.0.0:5000", false),
        http("evil.example", false),
        http("evil.example:5000", false),
        http("localhost.evil.example", false),
        http("127.0.0.1.evil.example", false),
        http("127.1", false),
        http("", false),
        at(secure, Https, "box.example", true),
        at(secure, Https, "box.example.", true),
        at(secure, Https, "box.example:443", true),
        at(secure, Https, "box.example:5443", false),
        at(secure, Https, "evil.example", false),
        // A proxy ended TLS on the way.
        at(secure, Http, "box.example", false),
        at(plain, Http, "box.example:5000", true),
        at(plain, Http, "box.example", false),
        at("http://192.0.2.1", Http, "192.0.2.1:80", true),
        at(
            "http://[2001:db8::1]:5000",
            Http,
            "[2001:db8:0::1]:5000",
            true,
        ),
    ] {
        let addresses = addresses(case.external_url);
        let client = addresses.client(&request(case.host, case.scheme, &[]));
        let expected = (!case.is_here).then_some(NotTrusted::OtherHost);
        let Case {
            host, external_url, ..
        } = case;
        assert_eq!(client.not_trusted, expected, "{host} of {external_url:?}");
    }
    // Clients elsewhere call the box as they like.
    let mut elsewhere = request("any.example", Http, &[]);
    elsewhere.peer = "192.0.2.7:1".parse().unwrap();
    assert_eq!(addresses("").client(&elsewhere).not_trusted, None);
}

#[test]
fn an_address_of_this_machine_is_a_host_of_it() {
    let own = crate::http::interface_addresses().unwrap();
    for address in own.into_iter().filter(|address| !address.is_loopback()) {
        let host = std::net::SocketAddr::from((address, 5000)).to_string();
        // A link-local address has its zone there, which no Host has.
        let host = host.split('%').next().unwrap_or_default();
        let client = addresses("").client(&request(host, Scheme::Http, &[]));
        assert_eq!(client.not_trusted, None, "{host}");
    }
}

static READ: AtomicUsize = AtomicUsize::new(0);

fn counted() -> io::Result<Vec<IpAddr>> {
    READ.fetch_add(1, Ordering::SeqCst);
    Ok(vec![[192, 0, 2, 1].into()])
}

#[test]
fn the_machines_addresses_are_never_read_on_the_way_of_a_pull_with_a_token() {
    let mut addresses = addresses("");
    addresses.own = OwnAddresses::read_by(counted);
    let not_trusted = |host: &str, fields: &[(&str, &str)]| {
        addresses
            .client(&request(host, Scheme::Http, fields))
            .not_trusted
    };
    let token = [("Authorization", "Bearer x.y.z")];
    assert_eq!(
        not_trusted("192.0.2.1", &token),
        Some(NotTrusted::OtherHost)
    );
    assert_eq!(not_trusted("localhost", &[]), None);
    assert_eq!(not_trusted("127.0.0.1", &[]), None);
    assert_eq!(READ.load(Ordering::SeqCst), 0);
    // The challenge, or the request for the token, comes first, and without credentials.
    assert_eq!(not_trusted("192.0.2.1", &[]), None);
    assert_eq!(not_trusted("192.0.2.1", &token), None);
    assert_eq!(READ.load(Ordering::SeqCst), 1);
}

#[test]
fn browsers_say_for_whom_they_ask() {
    struct Case {
        fields: &'static [(&'static str, &'static str)],
        is_for_other_site: bool,
    }
    for Case {
        fields,
        is_for_other_site,
    } in [
        Case {
            fields: &[],
            is_for_other_site: false,
        },
        Case {
            fields: &[("Sec-Fetch-Site", "none")],
            is_for_other_site: false,
        },
        Case {
            fields: &[
                ("Sec-Fetch-Site", "same-origin"),
                ("Origin", "http://localhost:5000"),
            ],
            is_for_other_site: false,
        },
        Case {
            fields: &[("Sec-Fetch-Site", "cross-site")],
            is_for_other_site: true,
        },
        Case {
            fields: &[("Sec-Fetch-Site", "same-site")],
            is_for_other_site: true,
        },
        Case {
            fields: &[("Sec-Fetch-Site", "")],
            is_for_other_site: true,
        },
        Case {
            fields: &[("Sec-Fetch-Site", "none"), ("sec-fetch-site", "cross-site")],
            is_for_other_site: true,
        },
        Case {
            fields: &[("Origin", "http://evil.example")],
            is_for_other_site: true,
        },
        Case {
            fields: &[("Origin", "null")],
            is_for_other_site: true,
        },
    ] {
        let client = addresses("").client(&request("localhost", Scheme::Http, fields));
        let expected = is_for_other_site.then_some(NotTrusted::OtherSite);
        assert_eq!(client.not_trusted, expected, "{fields:?}");
    }
}

#[test]
fn every_field_that_proxies_set_is_a_mark_in_any_case() {
    for name in FORWARDING {
        let lower = name.to_ascii_lowercase();
        let client = addresses("").client(&request("localhost", Scheme::Http, &[(&lower, "")]));
        assert_eq!(client.not_trusted, Some(NotTrusted::Forwarded(name)));
    }
}

#[test]
fn each_kind_of_doubt_has_a_place_of_its_own() {
    let addresses = addresses("");
    let ip = [127, 0, 0, 1].into();
    let kinds = [
        NotTrusted::UnnamedClient,
        NotTrusted::Forwarded("Via"),
        NotTrusted::OldProtocol,
        NotTrusted::OtherSite,
        NotTrusted::OtherHost,
    ];
    for (index, not_trusted) in kinds.into_iter().enumerate() {
        assert_eq!(told(ip, not_trusted).0, index);
    }
    assert_eq!(kinds.len(), addresses.told.len());
}
