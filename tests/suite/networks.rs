//! Network rules over a real socket: CIDR by family, reading and filling, per group, and behind proxies.

use std::net::SocketAddr;

use crate::support::appliance::Appliance;
use crate::support::client::{Client, assert_sound, exchange, token_path};
use crate::support::fake_upstream::{FakeUpstream, Image};

/// A box behind a proxy at 127.0.0.1, so that a test can come from any address; no rule but its own.
fn behind_proxy(toml: &str) -> (FakeUpstream, Appliance, Client) {
    let fake = FakeUpstream::start();
    fake.put_image("library/alpine", "latest", &Image::oci(1, &[1_000]));
    let toml = format!("[server]\ntrusted_proxies = [\"127.0.0.1/32\"]\n{toml}");
    let appliance = Appliance::builder()
        .upstream(fake.url())
        .toml(&toml)
        .start();
    for cidr in ["127.0.0.0/8", "::1/128"] {
        appliance.ok(&["network", "remove", cidr]);
    }
    let client = Client::of(&appliance);
    (fake, appliance, client)
}

fn add(appliance: &Appliance, cidr: &str, ability: &str, group: Option<&str>) {
    let mut command = vec!["network", "add", cidr, "--ability", ability];
    if let Some(group) = group {
        command.extend(["--group", group]);
    }
    appliance.ok(&command);
}

#[test]
fn addresses_of_both_families_are_judged_by_their_rules() {
    let (fake, appliance, client) = behind_proxy("[cache]\ntag_ttl = \"0s\"");
    for group in ["acme", "acme/backend", "other"] {
        appliance.ok(&["group", "add", group]);
    }
    add(&appliance, "192.0.2.0/25", "fill", None);
    add(&appliance, "192.0.2.128/25", "read", None);
    // A wider rule takes nothing away from a narrower one, nor the other way round.
    add(&appliance, "192.0.2.0/24", "read", None);
    add(&appliance, "2001:db8:1::/48", "read", None);
    add(&appliance, "2001:db8:1:2::/64", "fill", None);
    add(&appliance, "198.51.100.7/32", "read", Some("acme"));
    add(&appliance, "2001:db8:acce::/64", "fill", Some("acme"));
    add(
        &appliance,
        "2001:db8:acce::/64",
        "read",
        Some("acme/backend"),
    );
    // address → what it may in the mirror, in acme, in acme/backend
    let table = [
        ("192.0.2.1", ["fill", "-", "-"]),
        ("192.0.2.127", ["fill", "-", "-"]),
        ("192.0.2.128", ["read", "-", "-"]),
        ("192.0.3.1", ["-", "-", "-"]),
        ("::ffff:192.0.2.1", ["fill", "-", "-"]),
        ("2001:db8:1::1", ["read", "-", "-"]),
        ("2001:db8:1:2::1", ["fill", "-", "-"]),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", ["fill", "-", "-"]),
        ("2001:db8:1:3::1", ["read", "-", "-"]),
        ("2001:db8:2::1", ["-", "-", "-"]),
        ("198.51.100.7", ["-", "read", "-"]),
        ("198.51.100.8", ["-", "-", "-"]),
        ("2001:db8:acce::9", ["-", "fill", "read"]),
        ("2001:db8:acce:1::9", ["-", "-", "-"]),
    ];
    let names = [
        "",
        "acme/dependency_proxy/containers/",
        "acme/backend/dependency_proxy/containers/",
    ];
    let mut images = 0_u64;
    for (address, expected) in table {
        let client = client.with("X-Forwarded-For", address);
        for (name, expected) in names.iter().zip(expected) {
            // An image that nobody has pulled: what may be filled is a miss, then a hit.
            images += 1;
            let image = format!("image{images}");
            fake.put_image(&format!("library/{image}"), "1", &Image::oci(images, &[10]));
            let name = format!("{name}library/{image}");
            let token = client.get(&token_path(&[&format!("repository:{name}:pull")]));
            assert_eq!(
                token.status == 200,
                expected != "-",
                "{address}: a token for {name}"
            );
            let path = format!("/v2/{name}/manifests/1");
            let words = [client.get(&path), client.get(&path)].map(|answer| match answer.status {
                200 => answer.cache().to_owned(),
                status => status.to_string(),
            });
            let expected = match expected {
                "fill" => ["miss", "revalidated"],
                "read" => ["bypass", "bypass"],
                _ => ["401", "401"],
            };
            assert_eq!(words, expected, "{address}: {name}");
        }
        // Never anybody else's group.
        let other = "/v2/other/dependency_proxy/containers/alpine/manifests/latest";
        assert_eq!(client.get(other).status, 401, "{address}");
    }
    assert_sound(&appliance);
}

#[test]
fn ipv6_loopback_is_trusted_at_first_and_its_rule_can_be_taken_away() {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[1_000]);
    fake.put_image("library/alpine", "latest", &image);
    let here: SocketAddr = "[::1]:0".parse().unwrap();
    let appliance = Appliance::builder()
        .upstream(fake.url())
        .listen(here)
        .start();
    let client = Client::of(&appliance);
    let path = "/v2/library/alpine/manifests/latest";
    let got = client.get(path);
    assert_eq!(
        (got.status, got.cache(), &got.body),
        (200, "miss", &image.manifest)
    );
    let challenge = client.get("/v2/");
    let realm = format!("realm=\"http://{}/jwt/auth\"", appliance.address());
    let field = challenge.field("WWW-Authenticate").unwrap();
    assert!(field.contains(&realm), "{field}");
    appliance.ok(&["network", "remove", "::1/128"]);
    assert_eq!(client.get(path).status, 401);
    add(&appliance, "::/1", "read", None);
    assert_eq!(client.get(path).status, 200);
    assert_sound(&appliance);
}

#[test]
fn a_proxy_of_either_family_is_believed_only_where_it_is_configured() {
    let fake = FakeUpstream::start();
    fake.put_image("library/alpine", "latest", &Image::oci(1, &[1_000]));
    let here: SocketAddr = "[::1]:0".parse().unwrap();
    let path = "/v2/library/alpine/manifests/latest";
    for (proxies, forwarded, status) in [
        // Not configured: neither its word nor its own address is worth anything.
        ("[]", "2001:db8::1", 401),
        ("[\"127.0.0.0/8\"]", "2001:db8::1", 401),
        ("[\"::1/128\"]", "2001:db8::1", 200),
        ("[\"::1/128\"]", "2001:db9::1", 401),
        // From the right, past those that are trusted.
        ("[\"::1/128\", \"fd00::/8\"]", "2001:db8::1, fd00::5", 200),
        (
            "[\"::1/128\", \"fd00::/8\"]",
            "2001:db8::1, 2001:db9::1, fd00::5",
            401,
        ),
        ("[\"::1/128\"]", "2001:db8::1, fd00::5", 401),
    ] {
        let toml = format!("[server]\ntrusted_proxies = {proxies}");
        let builder = Appliance::builder().upstream(fake.url()).toml(&toml);
        let appliance = builder.listen(here).start();
        add(&appliance, "2001:db8::/32", "read", None);
        let client = Client::of(&appliance).with("X-Forwarded-For", forwarded);
        let answer = client.get(path);
        assert_eq!(
            answer.status,
            status,
            "{proxies}: {forwarded}: {}",
            answer.text()
        );
    }
}

#[test]
fn a_trusted_proxy_that_does_not_name_its_client_lends_it_no_network() {
    let (_fake, appliance, client) = behind_proxy("");
    // The proxy's own machine is in a trusted network, as it is at first.
    add(&appliance, "127.0.0.0/8", "fill", None);
    let path = "/v2/library/alpine/manifests/latest";
    assert_eq!(client.get(path).status, 200, "the machine itself");
    for (name, value) in [
        ("X-Real-IP", "203.0.113.5"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "box.example"),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Server", "proxy"),
        ("X-Original-Forwarded-For", "203.0.113.5"),
        ("X-Client-IP", "203.0.113.5"),
        ("CF-Connecting-IP", "203.0.113.5"),
        ("True-Client-IP", "203.0.113.5"),
        ("Forwarded", "for=127.0.0.1"),
        ("Via", "1.1 proxy"),
        ("X-Forwarded-For", "unknown"),
    ] {
        let client = Client::of(&appliance).with(name, value);
        assert_eq!(client.get(path).status, 401, "{name}");
        // The same from a client that is named is judged by the client's network.
        if name != "X-Forwarded-For" {
            let named = client.with("X-Forwarded-For", "127.0.0.1");
            assert_eq!(named.get(path).status, 200, "{name}");
        }
    }
    appliance.wait_for_log("127.0.0.1 does not say for whom it asks");
    let told = appliance.log().matches("for whom it asks").count();
    assert_eq!(told, 1, "{}", appliance.log());
}

const PULL: &str = "/v2/library/alpine/manifests/latest";

/// A box with the networks that it has at first, and the image `alpine` at its upstream.
fn at_first(toml: &str) -> (FakeUpstream, Appliance) {
    let fake = FakeUpstream::start();
    fake.put_image("library/alpine", "latest", &Image::oci(1, &[1_000]));
    let appliance = Appliance::builder().upstream(fake.url()).toml(toml).start();
    (fake, appliance)
}

/// The status of a GET, as the bytes are written here.
fn status(appliance: &Appliance, path: &str, version: &str, fields: &[(&str, &str)]) -> u16 {
    let mut request = format!("GET {path} HTTP/{version}\r\nConnection: close\r\n");
    for (name, value) in fields {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    let answer = exchange(
        appliance.address(),
        format!("{request}\r\n").as_bytes(),
        false,
    );
    answer.unwrap().status
}

/// What comes from loopback and bears the mark of a proxy or of another site's page: on every path where a network
/// rule could let it in, it does not, nothing is fetched for it, and the log says why.
#[test]
fn what_a_proxy_or_a_browser_passes_on_is_not_loopback() {
    let (fake, appliance) = at_first("");
    let host = appliance.address().to_string();
    let host = ("Host", host.as_str());
    let scope = token_path(&["repository:library/alpine:pull"]);
    struct Case<'a> {
        version: &'a str,
        fields: &'a [(&'a str, &'a str)],
        why: &'a str,
    }
    let case = |version, fields, why| Case {
        version,
        fields,
        why,
    };
    for Case {
        version,
        fields,
        why,
    } in [
        // nginx with nothing but proxy_pass.
        case("1.0", &[host][..], "is HTTP/1.0"),
        case("1.0", &[], "is HTTP/1.0"),
        case(
            "1.1",
            &[host, ("CF-Connecting-IP", "203.0.113.5")],
            "CF-Connecting-IP",
        ),
        case("1.1", &[host, ("True-Client-IP", "203.0.113.5")], ""),
        case("1.1", &[host, ("x-client-ip", "203.0.113.5")], ""),
        case(
            "1.1",
            &[host, ("X-Original-Forwarded-For", "127.0.0.1")],
            "",
        ),
        case("1.1", &[host, ("X-Forwarded-Server", "")], ""),
        case("1.1", &[host, ("Via", "1.1 proxy")], ""),
        case(
            "1.1",
            &[host, ("Sec-Fetch-Site", "cross-site")],
            "a browser at 127.0.0.1",
        ),
        case("1.1", &[host, ("Sec-Fetch-Site", "same-site")], ""),
        case("1.1", &[host, ("Origin", "http://evil.example")], ""),
        // A proxy that passes the host on, and DNS rebinding.
        case(
            "1.1",
            &[("Host", "evil.example:5000")],
            "asks for a host that is neither",
        ),
        case(
            "1.1",
            &[("Host", "evil.example"), ("Sec-Fetch-Site", "same-origin")],
            "",
        ),
        case("1.1", &[("Host", "198.51.100.7")], ""),
        case("1.1", &[("Host", "[2001:db8::7]:5000")], ""),
    ] {
        for path in [PULL, &scope, "/metrics"] {
            assert_eq!(
                status(&appliance, path, version, fields),
                401,
                "{path} {fields:?}"
            );
        }
        appliance.wait_for_log(why);
    }
    assert_eq!(fake.requests().len(), 0, "{:?}", fake.requests());
    let told = appliance.log().matches("no network rule holds").count();
    assert_eq!(told, 4, "once for each kind: {}", appliance.log());
    // No mark costs a login anything.
    let secret = appliance.token("alice", &["read_registry", "write_registry"]);
    appliance.ok(&["member", "add", "mirror", "alice", "--level", "guest"]);
    let jwt = Client::of(&appliance)
        .basic("alice", &secret)
        .token(&["repository:library/alpine:pull"]);
    let bearer = format!("Bearer {jwt}");
    let login = ("Authorization", bearer.as_str());
    for (version, fields) in [
        ("1.0", &[login][..]),
        (
            "1.1",
            &[login, ("Host", "box.example"), ("Via", "1.1 proxy")],
        ),
    ] {
        assert_eq!(status(&appliance, PULL, version, fields), 200, "{fields:?}");
    }
}

#[test]
fn the_machine_itself_is_trusted_by_every_name_that_it_has() {
    let (_fake, appliance) = at_first("[server]\nexternal_url = \"http://box.example:5000\"");
    let own: Vec<String> = if_addrs::get_if_addrs()
        .unwrap()
        .iter()
        .map(|interface| match interface.ip() {
            std::net::IpAddr::V4(address) => address.to_string(),
            std::net::IpAddr::V6(address) => format!("[{address}]:5000"),
        })
        .collect();
    let names = [
        "localhost",
        "localhost.:5000",
        "LocalHost:8080",
        "127.0.0.1",
        "[::1]:5000",
        "box.example:5000",
        "Box.Example.:5000",
    ];
    for host in names.into_iter().chain(own.iter().map(String::as_str)) {
        for browser in ["none", "same-origin"] {
            let fields = [("Host", host), ("Sec-Fetch-Site", browser)];
            assert_eq!(status(&appliance, PULL, "1.1", &fields), 200, "{host}");
        }
    }
    let other_port = [("Host", "box.example")];
    assert_eq!(status(&appliance, PULL, "1.1", &other_port), 401);
}

/// nginx with its default protocol and its own idea of the host, but in `trusted_proxies` and naming the client.
#[test]
fn a_trusted_proxy_may_speak_as_it_likes() {
    let (_fake, appliance) = at_first("[server]\ntrusted_proxies = [\"127.0.0.1\"]");
    let ask = |client: &str, more: &[(&str, &str)]| {
        let fields = [&[("Host", "upstream"), ("X-Forwarded-For", client)], more].concat();
        status(&appliance, PULL, "1.0", &fields)
    };
    assert_eq!(ask("127.0.0.1", &[]), 200);
    assert_eq!(
        ask("127.0.0.1", &[("CF-Connecting-IP", "203.0.113.5")]),
        200
    );
    assert_eq!(ask("203.0.113.5", &[]), 401);
    let browser = [("Sec-Fetch-Site", "cross-site")];
    assert_eq!(
        ask("127.0.0.1", &browser),
        401,
        "the client's browser says so"
    );
    // Where it names nobody, it is judged like everybody.
    let bare = [("Host", "127.0.0.1:5000")];
    assert_eq!(status(&appliance, PULL, "1.0", &bare), 401);
}
