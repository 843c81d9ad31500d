//! The graceful end: nothing in flight is lost, nothing idle is waited for, nothing stuck holds it up.

use std::io::Read;
use std::net::TcpStream;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use breakwater::http::{Body, Response};

use super::support::{Client, PATIENCE, eventually, limits, serve, text};

/// Gives one byte for each message, and ends with the sender.
struct Ticks(Mutex<mpsc::Receiver<u8>>);

impl Read for Ticks {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        Ok(self.0.lock().unwrap().recv().map_or(0, |byte| {
            buf[0] = byte;
            1
        }))
    }
}

#[test]
fn answers_in_flight_are_finished_and_idle_connections_closed() {
    let (tick, ticks) = mpsc::channel();
    let ticks = Mutex::new(Some(ticks));
    let server = serve(limits(), move |request| match request.path.as_str() {
        "/stream" => Response::new(200).body(Body::Stream {
            reader: Box::new(Ticks(Mutex::new(ticks.lock().unwrap().take().unwrap()))),
            length: Some(3),
        }),
        _ => text(200, "hello"),
    });
    let address = server.addresses()[0];
    let mut idle = Client::connect(&server);
    assert_eq!(idle.get("/").text(), "hello");
    let mut half = Client::connect(&server);
    half.send("GET / HT");
    let mut busy = Client::connect(&server);
    busy.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    busy.head().unwrap();
    tick.send(b'a').unwrap();
    assert_eq!(busy.take(1).unwrap(), b"a");

    let stopping = std::thread::spawn(move || server.stop(PATIENCE));
    assert!(idle.is_over());
    assert!(half.is_over());
    eventually("new connections are refused", || {
        TcpStream::connect(address).is_err()
    });
    tick.send(b'b').unwrap();
    tick.send(b'c').unwrap();
    assert_eq!(busy.take(2).unwrap(), b"bc");
    assert!(busy.is_over());
    assert_eq!(stopping.join().unwrap(), 0);
}

#[test]
fn an_answer_given_while_stopping_says_that_the_connection_closes() {
    let (entered, has_entered) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let may_go = Mutex::new(may_go);
    let server = serve(limits(), move |_| {
        entered.send(()).unwrap();
        may_go.lock().unwrap().recv().unwrap();
        text(200, "at last")
    });
    let address = server.addresses()[0];
    let mut client = Client::connect(&server);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    has_entered.recv().unwrap();
    let stopping = std::thread::spawn(move || server.stop(PATIENCE));
    eventually("new connections are refused", || {
        TcpStream::connect(address).is_err()
    });
    go.send(()).unwrap();
    let answer = client.answer().unwrap();
    assert_eq!(
        (answer.text(), answer.field("connection")),
        ("at last", Some("close"))
    );
    assert!(client.is_over());
    drop(client);
    assert_eq!(stopping.join().unwrap(), 0);
}

#[test]
fn what_does_not_end_is_cut_and_counted() {
    let (report, reports) = mpsc::channel();
    let server = serve(limits(), move |request| {
        let report = report.clone();
        let error = request.body.read_to_end(&mut Vec::new()).is_err();
        text(200, "").on_delivered(move |delivery| report.send((error, delivery.complete)).unwrap())
    });
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(&server)).collect();
    for client in &mut clients {
        client
            .send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n");
        assert_eq!(client.answer().unwrap().status, 100);
    }
    let start = Instant::now();
    assert_eq!(server.stop(Duration::from_millis(100)), 3);
    assert!(start.elapsed() < PATIENCE);
    for _ in &clients {
        assert_eq!(reports.recv().unwrap(), (true, false));
    }
}

#[test]
fn a_dropped_server_is_gone() {
    let server = serve(limits(), |_| text(200, "hello"));
    let address = server.addresses()[0];
    let mut client = Client::connect(&server);
    assert_eq!(client.get("/").text(), "hello");
    drop(server);
    assert!(client.is_over());
    assert!(TcpStream::connect(address).is_err());
}
