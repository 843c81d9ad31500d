//! Clients that hang up while their requests are handled: the handler's thread is told, and of nothing else.

use std::net::Shutdown;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use breakwater::context::{self, Stopped};
use breakwater::http::{Request, Response};
use rustix::net::sockopt::set_socket_linger;

use super::support::{Client, PATIENCE, limits, serve, serve_tls, text};

const REQUEST: &str = "GET /long HTTP/1.1\r\nHost: a\r\n\r\n";

/// A handler that goes on until it is told to stop: with the path `/short` for no longer than half a second.
fn toiling(told: Sender<Option<Stopped>>) -> impl Fn(&mut Request) -> Response + Send + Sync {
    move |request| {
        let most = match request.path.as_str() {
            "/short" => Duration::from_millis(500),
            _ => PATIENCE,
        };
        let begun = Instant::now();
        let spent = context::limited(2 * PATIENCE, || {
            while context::stopped().is_none() && begun.elapsed() < most {
                std::thread::sleep(Duration::from_millis(5));
            }
            context::stopped()
        });
        told.send(spent).unwrap();
        text(200, "done")
    }
}

#[test]
fn an_end_or_a_reset_is_seen_behind_what_was_sent_before() {
    let (told, heard) = mpsc::channel();
    let server = serve(limits(), toiling(told));
    struct Case {
        name: &'static str,
        sent: &'static str,
        hang_up: fn(&Client),
    }
    let cases = [
        Case {
            name: "an end",
            sent: "",
            hang_up: |client| client.stream.shutdown(Shutdown::Both).unwrap(),
        },
        Case {
            name: "an end of its own side",
            sent: "",
            hang_up: |client| client.stream.shutdown(Shutdown::Write).unwrap(),
        },
        Case {
            name: "an end behind a next request",
            sent: REQUEST,
            hang_up: |client| client.stream.shutdown(Shutdown::Both).unwrap(),
        },
        Case {
            name: "a reset",
            sent: "",
            hang_up: |client| {
                set_socket_linger(&client.stream, Some(Duration::ZERO)).unwrap();
            },
        },
    ];
    for case in cases {
        let mut client = Client::connect(&server);
        client.send(format!("{REQUEST}{}", case.sent));
        std::thread::sleep(Duration::from_millis(50));
        (case.hang_up)(&client);
        drop(client);
        let spent = heard.recv_timeout(PATIENCE).expect(case.name);
        assert_eq!(spent, Some(Stopped::HungUp), "{}", case.name);
        // The one behind it, if it came to that.
        while heard.recv_timeout(Duration::from_millis(300)).is_ok() {}
    }
}

#[test]
fn an_end_under_tls_is_seen_too() {
    let (told, heard) = mpsc::channel();
    let tls = serve_tls(limits(), toiling(told));
    let mut client = tls.connect();
    client.send(REQUEST);
    std::thread::sleep(Duration::from_millis(50));
    drop(client);
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(Some(Stopped::HungUp)));
}

#[test]
fn who_waits_and_sends_its_next_request_meanwhile_has_not_hung_up() {
    let (told, heard) = mpsc::channel();
    let server = serve(limits(), toiling(told.clone()));
    let tls = serve_tls(limits(), toiling(told));
    let two = REQUEST.replace("long", "short").repeat(2);
    let mut plain = Client::connect(&server);
    plain.send(&two);
    let mut encrypted = tls.connect();
    encrypted.send(&two);
    for _ in 0..4 {
        assert_eq!(heard.recv_timeout(PATIENCE), Ok(None));
    }
    for _ in 0..2 {
        assert_eq!(plain.answer().unwrap().status, 200);
        assert_eq!(encrypted.answer().unwrap().status, 200);
    }
}
