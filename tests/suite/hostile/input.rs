//! Well-formed requests that say nonsense: names, digests, queries, credentials, forms, header fields.

use super::{GOOD, MEMORY, assert_alive, assert_small, inside, outside, stage};
use crate::support::client::{assert_sound, exchange};

#[test]
fn bad_names_tags_digests_and_queries_are_the_clients_fault() {
    let (fake, image, mut appliance, client) = stage();
    let (outer, inner) = (outside(&appliance), inside(&appliance));
    fake.forget_requests();
    let long = "a".repeat(10_000);
    let digest = image.layer_digest(0).to_string();
    let hex = &digest[7..];
    let mut paths = Vec::new();
    for name in [
        "..",
        "../..",
        ".",
        "a/../b",
        "A",
        "a//b",
        "/a",
        "a/",
        "-a",
        "a-",
        "a..b",
        "a__.b",
        "%2e%2e",
        "%2e%2e%2f%2e%2e",
        "..%2f..%2fetc",
        "a%2fb",
        "a%00",
        "%00",
        "a%0ab",
        "a%0d%0ab",
        "%ff%fe",
        "%c3%28",
        "a%20b",
        "a%5c..%5cb",
        "%",
        "%2",
        "%zz",
        "a?b",
        "a;b",
        "a:b/c:d",
        "é",
        "%C3%A9",
        "a*",
        "~root",
        "localhost:99999/x",
        "127.0.0.1:x/y",
        "[::1]/x",
        ".dot/x",
        "user@host.example/x",
        &long,
    ] {
        paths.push(format!("/v2/{name}/manifests/latest"));
        paths.push(format!("/v2/{name}/blobs/{digest}"));
        paths.push(format!("/v2/{name}/tags/list"));
        paths.push(format!("/v2/{name}/referrers/{digest}"));
        paths.push(format!(
            "/v2/{name}/dependency_proxy/containers/x/manifests/latest"
        ));
        paths.push(format!(
            "/v2/acme/dependency_proxy/containers/{name}/manifests/latest"
        ));
    }
    for reference in [
        "",
        "..",
        ".",
        "-a",
        ".a",
        "a b",
        "a%20b",
        "a%2f..",
        "%2e%2e%2f",
        "%00",
        "a%00",
        "%ff",
        "a:b",
        "@",
        "sha256:",
        "sha256:00",
        "sha256:..",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        &long,
        &format!("sha256:{}", "0".repeat(63)),
        &format!("sha256:{}", "0".repeat(65)),
        &format!("sha256:{}", "G".repeat(64)),
        &format!("sha256:{}", hex.to_uppercase()),
        &format!("sha512:{hex}"),
        &format!("SHA256:{hex}"),
        &format!("sha256:{hex}%00"),
        &format!("sha256:../../{}", &hex[6..]),
        &format!("sha256%3A%2e%2e%2f{}", &hex[3..]),
    ] {
        paths.push(format!("/v2/library/alpine/manifests/{reference}"));
        paths.push(format!("/v2/library/alpine/blobs/{reference}"));
        paths.push(format!("/v2/library/alpine/referrers/{reference}"));
    }
    for query in [
        "ns=",
        "ns=..",
        "ns=a%2fb",
        "ns=%00",
        "ns=%ff",
        "ns=http://evil.example",
        "ns=user@docker.io",
        "ns=docker.io%0d%0ax",
        "ns=docker.io/../x",
        "ns=DOCKER%20IO",
        &format!("ns={long}"),
    ] {
        paths.push(format!("{GOOD}?{query}"));
    }
    for query in [
        "n=x",
        "n=-1",
        "n=",
        "n=1.5",
        "n=4294967296",
        "n=99999999999999999999",
        &format!("last={long}"),
    ] {
        paths.push(format!("/v2/library/alpine/tags/list?{query}"));
    }
    for path in [
        "//",
        "//v2/",
        "/v2//",
        "/v2/..",
        "/v2/../../etc/passwd",
        "/v2/%2e%2e/%2e%2e/etc/passwd",
        "/v2//library/alpine/manifests/latest",
        "/v2/library//alpine/manifests/latest",
        "/V2/",
        "/v2/_catalog",
        "/jwt/auth/",
        "/jwt/../v2/",
        "/-/",
        "/-/../",
        "/../data/access.sqlite",
        "/access.sqlite",
    ] {
        paths.push(path.to_owned());
    }
    for path in &paths {
        for method in ["GET", "HEAD"] {
            let request =
                format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            let answer = exchange(appliance.address(), request.as_bytes(), method == "HEAD");
            let answer = answer.unwrap_or_else(|error| panic!("{path:.200}: {error}"));
            assert!(
                matches!(answer.status, 400 | 401 | 404 | 414 | 431),
                "{method} {path:.200}: {answer:?}"
            );
            if method == "GET" {
                assert!(!answer.code().is_empty(), "{path:.200}: {}", answer.text());
                assert!(
                    answer.body.len() < 2_000,
                    "{path:.200}: an echo of {} bytes",
                    answer.body.len()
                );
            }
        }
    }
    assert_eq!(fake.requests().len(), 0, "{:?}", fake.requests());
    assert_eq!((outside(&appliance), inside(&appliance)), (outer, inner));
    assert_alive(&mut appliance, &client, &image);
    assert_small(&appliance);
    assert_sound(&appliance);
}

#[test]
fn bad_credentials_scopes_and_forms_are_refused() {
    let (_fake, image, mut appliance, client) = stage();
    let (long, huge) = ("a".repeat(10_000), "a".repeat(25_000));
    let jwt = client.token(&["repository:library/alpine:pull"]);
    let parts: Vec<&str> = jwt.split('.').collect();
    // {"alg":"none"} and {"alg":"HS256","typ":"JWT","kid":"../../keys"}
    let none = "eyJhbGciOiJub25lIn0";
    let kid = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6Ii4uLy4uL2tleXMifQ";
    let authorizations = [
        "Basic".to_owned(),
        "Basic ".to_owned(),
        "Basic !!!!".to_owned(),
        "Basic /////w==".to_owned(),
        "Basic YQ==".to_owned(),
        format!("Basic {huge}"),
        "Digest x".to_owned(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer ...".to_owned(),
        format!("Bearer {long}"),
        format!("Bearer {huge}"),
        format!("Bearer {none}.{}.", parts[1]),
        format!("Bearer {none}.{}.{}", parts[1], parts[2]),
        format!("Bearer {kid}.{}.{}", parts[1], parts[2]),
        format!("Bearer {}.{}.{}", parts[0], "e30", parts[2]),
        format!("Bearer {}", ".".repeat(20_000)),
        "Basic YWRtaW46\u{e9}".to_owned(),
    ];
    for authorization in &authorizations {
        let client = client.with("Authorization", authorization);
        for path in ["/v2/", "/jwt/auth?service=dependency_proxy", GOOD] {
            let answer = client.get(path);
            assert!(
                matches!(answer.status, 400 | 401 | 431),
                "{authorization:.60} {path}: {answer:?}"
            );
            assert!(!answer.code().is_empty(), "{}", answer.text());
        }
    }
    let twice = client.with("Authorization", "Bearer x").bearer(&jwt);
    assert!(matches!(twice.get(GOOD).status, 400 | 401));
    let many = "scope=repository:library/alpine:pull&".repeat(65);
    for query in [
        "scope=",
        "scope=x",
        "scope=:::",
        "scope=repository",
        "scope=repository:",
        "scope=repository:x",
        "scope=repository::pull",
        "scope=repository:../../etc:pull",
        "scope=repository:A:pull",
        "scope=%ff%fe:%00:pull",
        "scope=repository:a%00b:pull",
        "scope=repository:x:%00",
        "service=%ff",
        "service=../x",
        &many,
        &format!("scope=repository:{long}:pull"),
        &format!("service={long}"),
        &format!("account={long}&service={long}"),
    ] {
        let answer = client.get(&format!("/jwt/auth?{query}"));
        // A scope that is none, beside nothing else, is a login of nobody.
        assert!(
            matches!(answer.status, 200 | 400 | 401 | 404),
            "{query:.60}: {answer:?}"
        );
        if answer.status == 200 {
            let got = client
                .bearer(answer.json()["token"].as_str().unwrap())
                .get(GOOD);
            assert_eq!(got.status, 401, "{query:.60} opened something");
        }
    }
    for form in [
        b"".to_vec(),
        b"&&&&".to_vec(),
        b"=".to_vec(),
        vec![0xff; 100],
        vec![0; 100],
        b"grant_type".to_vec(),
        b"grant_type=password".to_vec(),
        b"grant_type=password&username=a&password=%ff".to_vec(),
        b"grant_type=password&username=%00&password=%00".to_vec(),
        b"{\"grant_type\":\"password\"}".to_vec(),
        b"grant_type=refresh_token&refresh_token=bwp_".to_vec(),
        vec![b'a'; 64 << 10],
        vec![b'a'; (64 << 10) + 1],
        vec![b'&'; 1 << 20],
        b"a=b&".repeat(1 << 18),
        format!("grant_type=password&username={huge}&password={huge}").into_bytes(),
    ] {
        let answer = client.request("POST", "/jwt/auth", &form);
        let shown = String::from_utf8_lossy(&form[..form.len().min(40)]).into_owned();
        assert!(
            matches!(answer.status, 400 | 401 | 404 | 413),
            "{shown}: {answer:?}"
        );
        assert!(!answer.code().is_empty(), "{}", answer.text());
    }
    assert_alive(&mut appliance, &client, &image);
    // Passwords are hashed in 19 MiB each, a few at a time.
    let memory = appliance.memory();
    assert!(memory.peak < 2 * MEMORY, "{memory:?}");
    assert_sound(&appliance);
}

#[test]
fn odd_header_fields_change_nothing() {
    let (_fake, image, mut appliance, client) = stage();
    for (name, value) in [
        ("Range", "bytes=-99999999999999999999999"),
        ("Range", "bytes=99999999999999999999999-"),
        ("Range", "bytes=--1"),
        ("Range", "bytes=1-0"),
        ("Range", "bytes=,,,"),
        ("Range", "\u{e9}"),
        ("Range", "bytes=0-18446744073709551615"),
        ("Range", "bytes=18446744073709551615-18446744073709551615"),
        ("If-None-Match", "\"\"\"\"\"\""),
        ("If-None-Match", ",,,,"),
        ("If-Range", "\u{e9}"),
        ("Accept", "*/*;q=NaN"),
        ("Accept", ";;;,,,"),
        ("X-Request-Id", "a\u{e9}b"),
        ("X-Request-Id", "../../x"),
        ("X-Forwarded-For", ",,,,"),
        ("X-Forwarded-Host", "a\"b"),
        ("Cookie", "x"),
        ("Accept-Encoding", "gzip"),
    ] {
        for path in [
            GOOD.to_owned(),
            format!("/v2/library/alpine/blobs/{}", image.layer_digest(0)),
        ] {
            let answer = client.with(name, value).get(&path);
            let expected = matches!(answer.status, 200 | 206 | 400 | 401 | 404 | 416);
            assert!(expected && answer.complete, "{name}: {value}: {answer:?}");
            let id = answer.field("X-Request-Id").unwrap();
            assert!(!id.contains(['/', '\u{e9}']), "{id}");
        }
    }
    for host in [
        "",
        "a b",
        "a/b",
        "a\"b",
        "a,b",
        "evil\u{e9}",
        "a@b",
        "[::1",
        "a:b:c",
    ] {
        let answer = client.with("Host", host).get("/v2/");
        assert!(matches!(answer.status, 400 | 401), "{host}: {answer:?}");
        let challenge = answer.field("WWW-Authenticate").unwrap_or_default();
        assert_eq!(challenge.matches('"').count() % 4, 0, "{challenge}");
    }
    assert_alive(&mut appliance, &client, &image);
}
