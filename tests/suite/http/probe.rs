//! The question whether the own front door answers: through every kind of listener, past every limit, and no
//! answer where nobody works.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use breakwater::http::{Limits, Scheme};

use super::support::{Client, PATIENCE, echo, limits, serve, serve_tls, text};

#[test]
fn the_answer_is_that_of_the_handler_and_also_when_there_is_no_room() {
    let narrow = Limits {
        max_connections: 1,
        max_connections_per_address: 1,
        ..limits()
    };
    let server = serve(narrow, |request| match request.path.as_str() {
        "/well" => text(200, ""),
        _ => text(404, ""),
    });
    let mut only = Client::connect(&server);
    only.send("GET /w");
    for _ in 0..20 {
        assert_eq!(server.probe().ask("/well", PATIENCE).unwrap(), 200);
        assert_eq!(server.probe().ask("/ill", PATIENCE).unwrap(), 404);
    }
    let mut another = Client::connect(&server);
    assert_eq!(another.answer().unwrap().status, 503, "others have no room");
    only.send("ell HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(only.answer().unwrap().status, 200);
}

#[test]
fn a_listener_of_tls_is_asked_too() {
    let tls = serve_tls(limits(), |request| {
        let scheme = request.scheme == Scheme::Http;
        text(if scheme { 200 } else { 500 }, "")
    });
    assert_eq!(tls.server.probe().ask("/", PATIENCE).unwrap(), 200);
    assert_eq!(tls.connect().get("/").status, 500, "TLS for everybody else");
}

#[test]
fn where_nobody_works_there_is_no_answer() {
    let gate = Arc::new(std::sync::Barrier::new(2));
    let waiting = gate.clone();
    let server = serve(limits(), move |request| {
        if request.path == "/stuck" {
            waiting.wait();
        }
        echo(request)
    });
    let within = Duration::from_millis(300);
    let error = server.probe().ask("/stuck", within).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    gate.wait();
    assert_eq!(server.probe().ask("/", PATIENCE).unwrap(), 200);
    let probe = server.probe();
    drop(server);
    let error = probe.ask("/", PATIENCE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}
