//! Requests that are wrong on the wire: lengths that never come, heads that never end, two framings.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{GOOD, assert_alive, assert_small, routes, stage, while_pulling};
use crate::support::client::{assert_sound, connect, read_head};

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
                        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {jwt}\r\nContent-Length: {length}\r\n\r\nxyz"
                    );
                    let mut stream = connect(address);
                    stream.write_all(head.as_bytes()).unwrap();
                    // The form is waited for; whatever else is answered, is answered without the body.
                    if (method, path.as_str()) != ("POST", "/jwt/auth") {
                        let (answer, _) = read_head(&mut stream).unwrap();
                        let known =
                            matches!(answer.status, 200 | 303 | 400 | 401 | 404 | 405 | 413);
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
        "GET /v2/ HTTP/1.1\r\nHost: localhost\r\nX: ",
        "GET /v2/",
        "POST /jwt/auth HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000000000000000\r\n\r\n",
        "POST /jwt/auth HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n",
        "POST /jwt/auth HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;",
        "PUT /v2/library/alpine/manifests/latest HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000000000000000\r\n\r\n",
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
            .write_all(b"GET /v2/library/alpine/manifests/latest HTTP/1.1\r\nHost: localhost\r\nX-")
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
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: r{n}\r\n{close}\r\n"
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
    let hidden = "GET /v2/library/smuggled/manifests/1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let length = hidden.len();
    let table = [
        format!(
            "POST /jwt/auth HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
        ),
        format!(
            "GET /v2/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: {length}\r\n\r\n{hidden}"
        ),
        format!("GET /v2/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: +0\r\n\r\n{hidden}"),
        format!("GET /v2/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x0\r\n\r\n{hidden}"),
        format!(
            "POST /jwt/auth HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{hidden}"
        ),
        format!(
            "POST /jwt/auth HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n{hidden}"
        ),
        format!(
            "POST /jwt/auth HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n{hidden}"
        ),
        format!(
            "POST /jwt/auth HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n{hidden}"
        ),
        format!(
            "POST /jwt/auth HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
        ),
        format!("GET /v2/ HTTP/1.1\nHost: a\n\n{hidden}"),
        format!("GET /v2/ HTTP/1.1\r\nHost: localhost\r\nHost: b\r\n\r\n{hidden}"),
        format!("GET /v2/ HTTP/1.1\r\n\r\n{hidden}"),
        format!("GET /v2/ HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n{hidden}"),
        format!("GET /v2/ HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n{hidden}"),
        format!("GET  /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n{hidden}"),
        format!("GET /v2/ HTTP/2.0\r\nHost: localhost\r\n\r\n{hidden}"),
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
