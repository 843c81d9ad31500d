//! Where one message ends and the next begins: keep-alive, pipelining, and the shapes that smuggle requests.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use breakwater::http::Server;

use super::support::{Client, echo, limits, serve, serve_tls};

#[test]
fn a_connection_is_kept_for_many_requests() {
    let server = serve(limits(), echo);
    let mut client = Client::connect(&server);
    for turn in 0..50 {
        let answer = client.get(&format!("/{turn}"));
        assert_eq!(answer.text(), format!("GET /{turn} "));
        assert_eq!(answer.field("connection"), None);
        assert!(answer.field("date").is_some());
    }
    client.send("GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!(answer.text(), "GET /last ");
    assert_eq!(answer.field("connection"), Some("close"));
    assert!(client.is_over());
}

#[test]
fn pipelined_requests_are_answered_in_order_however_they_are_cut() {
    let wire = concat!(
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "PUT /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        "PUT /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n",
        "\r\nGET http://b/4 HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /never HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let expected = [
        "GET /1 ",
        "PUT /2 abc",
        "PUT /3 def",
        "GET /4 ",
        "OPTIONS * ",
    ];
    let server = serve(limits(), echo);
    for piece in [1, 7, 40, wire.len()] {
        let mut client = Client::connect(&server);
        for bytes in wire.as_bytes().chunks(piece) {
            // The rest is not welcome any more once the last answer was given.
            let _ = client.stream.write_all(bytes);
        }
        for text in expected {
            assert_eq!(
                client.answer().unwrap().text(),
                text,
                "in pieces of {piece}"
            );
        }
        assert!(client.is_over(), "in pieces of {piece}");
    }
}

/// Sends `wire`, and demands exactly one answer of `status` and the end of the connection.
fn assert_refused(server: &Server, wire: &[u8], status: u16) {
    assert_client_refused(Client::connect(server), wire, status);
}

fn assert_client_refused<S: Read + Write>(mut client: Client<S>, wire: &[u8], status: u16) {
    let shape = format!("{:.120?}", String::from_utf8_lossy(wire));
    client.send(wire);
    let answer = client
        .answer()
        .unwrap_or_else(|error| panic!("{shape}: {error}"));
    assert_eq!(answer.status, status, "{shape}: {}", answer.text());
    assert_eq!(answer.field("connection"), Some("close"), "{shape}");
    assert!(client.is_over(), "{shape}");
}

#[test]
fn what_smuggles_requests_is_refused_before_the_handler() {
    let called = Arc::new(AtomicUsize::new(0));
    let counter = called.clone();
    let count = move |request: &mut breakwater::http::Request| {
        counter.fetch_add(1, Ordering::SeqCst);
        echo(request)
    };
    let server = serve(limits(), count.clone());
    let tls = serve_tls(limits(), count);
    // Each stands in a PUT with a Host; behind it waits the request that would be smuggled.
    let fields: &[&str] = &[
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding: chunked\x0b\r\n",
        "Transfer-Encoding:\x0cchunked\r\n",
        "Transfer-Encoding\x0b: chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "X: y\r\n Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding:\n chunked\r\n",
        "X: y\nTransfer-Encoding: chunked\r\n",
        "X: y\rTransfer-Encoding: chunked\r\n",
        "X: y\r\rTransfer-Encoding: chunked\r\n",
        "X: y\0Transfer-Encoding: chunked\r\n",
        "\0Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked;a=b\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\ncontent-length: 0\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5,6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: -0\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5e0\r\n",
        "Content-Length: 5 \x0b\r\n",
        "Content-Length: \r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Content-Length : 5\r\n",
        "Content-Length\r\n",
        "Content-Length: 5\n\r\n",
        "Content-Length: 5\r\n\tX: y\r\n",
        "Host: b\r\n",
        "host: a\r\n",
        "X[: y\r\n",
        ": y\r\n",
    ];
    for field in fields {
        let wire = format!(
            "PUT / HTTP/1.1\r\nHost: a\r\n{field}\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        );
        assert_refused(&server, wire.as_bytes(), 400);
        assert_client_refused(tls.connect(), wire.as_bytes(), 400);
    }
    let heads: &[(&[u8], u16)] = &[
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        (b"GET /\x0b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /#f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", 417),
    ];
    for (wire, status) in heads {
        assert_refused(&server, wire, *status);
        assert_client_refused(tls.connect(), wire, *status);
    }
    assert_eq!(called.load(Ordering::SeqCst), 0, "the handler was asked");
    assert_eq!(Client::connect(&server).get("/after").text(), "GET /after ");
    assert_eq!(tls.connect().get("/after").text(), "GET /after ");
}

#[test]
fn chunks_that_could_be_read_in_two_ways_end_the_connection() {
    let server = serve(limits(), echo);
    let bodies: &[&str] = &[
        "-1\r\nx\r\n0\r\n\r\n",
        "+1\r\nx\r\n0\r\n\r\n",
        "0x1\r\nx\r\n0\r\n\r\n",
        " 1\r\nx\r\n0\r\n\r\n",
        "1 \r\nx\r\n0\r\n\r\n",
        "1\nx\r\n0\r\n\r\n",
        "1\r\nx\n0\r\n\r\n",
        "1\r\nxy\r\n0\r\n\r\n",
        "1\r\nx\r\n0\n\n",
        "1\x0b\r\nx\r\n0\r\n\r\n",
        "1;\n\r\nx\r\n0\r\n\r\n",
        "10000000000000001\r\nx\r\n0\r\n\r\n",
        "\r\nx\r\n0\r\n\r\n",
        "0\r\n folded: x\r\n\r\n",
    ];
    for body in bodies {
        let wire = format!(
            "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        );
        assert_refused(&server, wire.as_bytes(), 400);
    }
}

#[test]
fn http_1_0_closes_unless_it_asks_to_be_kept() {
    let server = serve(limits(), echo);
    let mut client = Client::connect(&server);
    client.send("GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!(
        (answer.text(), answer.field("connection")),
        ("GET /1 ", Some("keep-alive"))
    );
    client.send("GET /2 HTTP/1.0\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!(
        (answer.text(), answer.field("connection")),
        ("GET /2 ", Some("close"))
    );
    assert!(client.is_over());
}

#[test]
fn the_handler_sees_what_was_sent() {
    let server = serve(limits(), |request| {
        let words = format!(
            "{} {:?} {} {} {:?}",
            request.path,
            request.query,
            request.host,
            request.peer.ip(),
            request.body.length(),
        );
        super::support::text(200, &words)
    });
    let mut client = Client::connect(&server);
    let cases = [
        (
            "GET /a%2Fb?c=d",
            "Host: A:5000",
            "/a%2Fb Some(\"c=d\") a:5000 127.0.0.1 Some(0)",
        ),
        ("GET http://B:1/", "Host: a", "/ None b:1 127.0.0.1 Some(0)"),
        (
            "GET /",
            "Host: [::1]:5000",
            "/ None [::1]:5000 127.0.0.1 Some(0)",
        ),
    ];
    for (line, field, expected) in cases {
        client.send(format!("{line} HTTP/1.1\r\n{field}\r\n\r\n"));
        assert_eq!(client.answer().unwrap().text(), expected);
    }
}
