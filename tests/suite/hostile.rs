//! What strangers send: wrong, huge, endless and ambiguous. The whole box answers 4xx or hangs up, lives,
//! stays small, touches nothing outside its data directory, and serves the others meanwhile.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::appliance::Appliance;
use crate::support::client::{Client, assert_sound, connect, exchange, read_head};
use crate::support::fake_upstream::{FakeUpstream, Image};

/// What the box may use, also in a debug build.
const MEMORY: u64 = 64 << 20;
const GOOD: &str = "/v2/library/alpine/manifests/latest";

/// A box with a cached image, and every address of it.
fn stage() -> (FakeUpstream, Image, Appliance, Client) {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[1_000]);
    fake.put_image("library/alpine", "latest", &image);
    let appliance = Appliance::with_upstream(fake.url());
    appliance.ok(&["group", "add", "acme"]);
    let client = Client::of(&appliance);
    assert_eq!(client.get(GOOD).status, 200);
    (fake, image, appliance, client)
}

/// One path of every route.
fn routes(image: &Image) -> Vec<String> {
    let digest = image.layer_digest(0);
    let mut routes = vec![
        "/".to_owned(),
        "/v2/".to_owned(),
        "/v2".to_owned(),
        "/jwt/auth".to_owned(),
        "/-/liveness".to_owned(),
        "/-/readiness".to_owned(),
        "/-/health".to_owned(),
        "/nowhere".to_owned(),
    ];
    for name in [
        "library/alpine",
        "acme/dependency_proxy/containers/alpine",
        "acme/hosted",
    ] {
        for part in [
            "manifests/latest",
            "tags/list",
            "blobs/uploads/",
            "blobs/uploads/1",
        ] {
            routes.push(format!("/v2/{name}/{part}"));
        }
        routes.push(format!("/v2/{name}/blobs/{digest}"));
        routes.push(format!("/v2/{name}/manifests/{}", image.digest()));
        routes.push(format!("/v2/{name}/referrers/{digest}"));
    }
    routes
}

/// The names of all files below a directory.
fn listing(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        names.push(path.display().to_string());
        if path.is_dir() {
            names.extend(listing(&path));
        }
    }
    names.sort();
    names
}

/// All that could have been written beside the data directory.
fn outside(appliance: &Appliance) -> Vec<String> {
    let data = appliance.data();
    let mut names = listing(data.parent().unwrap());
    names.retain(|name| !Path::new(name).starts_with(&data));
    names
}

/// Files below the data directory that no bad request may add to; SQLite's own come and go.
fn inside(appliance: &Appliance) -> Vec<String> {
    let mut names = listing(&appliance.data());
    names.retain(|name| !name.contains(".sqlite"));
    names
}

fn assert_alive(appliance: &mut Appliance, client: &Client, image: &Image) {
    assert!(appliance.is_running());
    assert_eq!(client.get(GOOD).body, image.manifest);
    let log = appliance.log();
    assert!(!log.contains("panicked"), "a handler panicked");
}

/// Does something while another client pulls again and again; each pull must succeed.
fn while_pulling(client: &Client, image: &Image, attack: impl FnOnce()) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let pulls = scope.spawn(|| {
            let mut pulls = 0;
            while pulls == 0 || !over.load(Ordering::SeqCst) {
                assert_eq!(client.get(GOOD).body, image.manifest);
                pulls += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        // However the attack ends, the pulls end with it.
        let attacked = std::panic::catch_unwind(AssertUnwindSafe(attack));
        over.store(true, Ordering::SeqCst);
        pulls.join().expect("others are served meanwhile");
        if let Err(panic) = attacked {
            std::panic::resume_unwind(panic);
        }
    });
}

fn assert_small(appliance: &Appliance) {
    let memory = appliance.memory();
    assert!(memory.peak < MEMORY, "{} MB at the peak", memory.peak >> 20);
}

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
                format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
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
        "Basic Og==".to_owned(),
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
    assert!(appliance.memory().peak < 2 * MEMORY);
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

#[test]
fn an_announced_length_costs_nothing_on_any_route() {
    let (_fake, image, mut appliance, client) = stage();
    let address = appliance.address();
    let jwt = client.token(&["repository:library/alpine:pull"]);
    while_pulling(&client, &image, || {
        for path in routes(&image) {
            for method in ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"] {
                for length in ["40000000000", "9000000000000000000"] {
                    let head = format!(
                        "{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {jwt}\r\nContent-Length: {length}\r\n\r\nxyz"
                    );
                    let mut stream = connect(address);
                    stream.write_all(head.as_bytes()).unwrap();
                    // The form is waited for; whatever else is answered, is answered without the body.
                    if (method, path.as_str()) != ("POST", "/jwt/auth") {
                        let (answer, _) = read_head(&mut stream).unwrap();
                        let known = matches!(answer.status, 200 | 400 | 401 | 404 | 405 | 413);
                        assert!(known, "{method} {path} {length}: {answer:?}");
                    }
                }
            }
        }
    });
    assert_alive(&mut appliance, &client, &image);
    assert_small(&appliance);
    assert_sound(&appliance);
}

#[test]
fn an_endless_head_and_an_endless_form_end() {
    let (_fake, image, mut appliance, client) = stage();
    let begins = [
        "GET /v2/ HTTP/1.1\r\nHost: a\r\nX: ",
        "GET /v2/",
        "POST /jwt/auth HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000000000000000\r\n\r\n",
        "POST /jwt/auth HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n",
        "POST /jwt/auth HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;",
        "PUT /v2/library/alpine/manifests/latest HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000000000000000\r\n\r\n",
    ];
    while_pulling(&client, &image, || {
        for begin in begins {
            let mut stream = connect(appliance.address());
            stream
                .set_write_timeout(Some(Duration::from_secs(30)))
                .unwrap();
            stream.write_all(begin.as_bytes()).unwrap();
            let piece = [b'a'; 64 * 1024];
            let mut sent = 0_usize;
            while sent < 256 << 20 && stream.write_all(&piece).is_ok() {
                sent += piece.len();
            }
            assert!(sent < 256 << 20, "{begin:?} is taken for ever");
        }
    });
    assert_alive(&mut appliance, &client, &image);
    assert_small(&appliance);
}

#[test]
fn two_thousand_half_requests_keep_nobody_waiting() {
    let (_fake, image, mut appliance, client) = stage();
    // From several addresses, as one may not have so many connections.
    let mut half = Vec::new();
    for n in 0..2_000 {
        let from = std::net::SocketAddr::from(([127, 0, 1, 1 + (n % 4) as u8], 0));
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&from.into()).unwrap();
        socket.connect(&appliance.address().into()).unwrap();
        let mut stream = TcpStream::from(socket);
        stream
            .write_all(b"GET /v2/library/alpine/manifests/latest HTTP/1.1\r\nHost: a\r\nX-")
            .unwrap();
        half.push(stream);
        if n % 200 == 0 {
            assert_eq!(client.get(GOOD).body, image.manifest);
        }
    }
    let path = format!("/v2/library/alpine/blobs/{}", image.layer_digest(0));
    for _ in 0..20 {
        assert_eq!(client.get(GOOD).body, image.manifest);
        assert_eq!(client.get(&path).body, image.layers[0]);
    }
    assert_small(&appliance);
    let status = std::fs::read_to_string(format!("/proc/{}/status", appliance.pid())).unwrap();
    let threads = status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"));
    let threads: usize = threads.unwrap().trim().parse().unwrap();
    assert!(threads < 300, "{threads} threads");
    drop(half);
    assert_alive(&mut appliance, &client, &image);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (_fake, image, mut appliance, client) = stage();
    let mut stream = connect(appliance.address());
    let paths = ["/-/liveness", GOOD, "/nowhere", GOOD, "/v2/"];
    let mut bytes = String::new();
    for (n, path) in paths.iter().enumerate() {
        let close = if n + 1 == paths.len() {
            "Connection: close\r\n"
        } else {
            ""
        };
        bytes.push_str(&format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nX-Request-Id: r{n}\r\n{close}\r\n"
        ));
    }
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let text = String::from_utf8_lossy(&all).to_ascii_lowercase();
    let places = (0..paths.len()).map(|n| text.find(&format!("x-request-id: r{n}\r\n")).unwrap());
    let places: Vec<_> = places.collect();
    assert!(places.is_sorted(), "{text}");
    let statuses: Vec<_> = text
        .match_indices("http/1.1 ")
        .map(|(at, _)| &text[at + 9..at + 12])
        .collect();
    assert_eq!(statuses, ["200", "200", "404", "200", "401"]);
    assert_alive(&mut appliance, &client, &image);
}

#[test]
fn what_is_framed_in_two_ways_is_one_refused_request() {
    let (fake, image, mut appliance, client) = stage();
    fake.forget_requests();
    let hidden = "GET /v2/library/smuggled/manifests/1 HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = hidden.len();
    let table = [
        format!(
            "POST /jwt/auth HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
        ),
        format!(
            "GET /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: {length}\r\n\r\n{hidden}"
        ),
        format!("GET /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n{hidden}"),
        format!("GET /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0x0\r\n\r\n{hidden}"),
        format!(
            "POST /jwt/auth HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{hidden}"
        ),
        format!(
            "POST /jwt/auth HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n{hidden}"
        ),
        format!(
            "POST /jwt/auth HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n{hidden}"
        ),
        format!(
            "POST /jwt/auth HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n{hidden}"
        ),
        format!(
            "POST /jwt/auth HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
        ),
        format!("GET /v2/ HTTP/1.1\nHost: a\n\n{hidden}"),
        format!("GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n{hidden}"),
        format!("GET /v2/ HTTP/1.1\r\n\r\n{hidden}"),
        format!("GET /v2/ HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n{hidden}"),
        format!("GET /v2/ HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n{hidden}"),
        format!("GET  /v2/ HTTP/1.1\r\nHost: a\r\n\r\n{hidden}"),
        format!("GET /v2/ HTTP/2.0\r\nHost: a\r\n\r\n{hidden}"),
        format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{hidden}"),
        format!("\x16\x03\x01\x02\x00\x01{hidden}"),
    ];
    for request in table {
        let mut stream = connect(appliance.address());
        stream.write_all(request.as_bytes()).unwrap();
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut all = Vec::new();
        // A reset after the answer is an end too.
        let _ = stream.read_to_end(&mut all);
        let text = String::from_utf8_lossy(&all).into_owned();
        assert_eq!(
            text.matches("X-Request-Id: ").count(),
            1,
            "{request:?}: {text}"
        );
        assert!(
            text.starts_with("HTTP/1.1 4") || text.starts_with("HTTP/1.1 50"),
            "{request:?}: {text}"
        );
    }
    assert!(
        fake.requests().is_empty(),
        "a request came through: {:?}",
        fake.requests()
    );
    assert_alive(&mut appliance, &client, &image);
}
