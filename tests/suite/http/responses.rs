//! Responses: each kind of body whole, or visibly broken off, and reported exactly once.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use breakwater::http::{Body, Delivery, Limits, Response};

use super::support::{Client, eventually, limits, serve, text};

/// A reader that gives what is sent to it, and ends, fails or panics as it is told.
struct Fed(Mutex<mpsc::Receiver<Feed>>);

enum Feed {
    Bytes(&'static str),
    Fail,
    Panic,
}

impl Read for Fed {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let fed = self.0.lock().unwrap().recv();
        match fed {
            Ok(Feed::Bytes(bytes)) => {
                buf[..bytes.len()].copy_from_slice(bytes.as_bytes());
                Ok(bytes.len())
            }
            Ok(Feed::Fail) => Err(io::Error::other("the upstream lied")),
            Ok(Feed::Panic) => panic!("a reader with a mistake"),
            Err(_) => Ok(0),
        }
    }
}

type Feeds = Arc<Mutex<Option<mpsc::Receiver<Feed>>>>;

/// A server whose next response is fed through the channel; deliveries come back.
fn fed(length: Option<u64>) -> (breakwater::http::Server, Feeds, mpsc::Receiver<Delivery>) {
    let feeds: Feeds = Arc::default();
    let source = feeds.clone();
    let (report, reports) = mpsc::channel();
    let server = serve(limits(), move |_| {
        let receiver = source.lock().unwrap().take().unwrap();
        let report = report.clone();
        Response::new(200)
            .body(Body::Stream {
                reader: Box::new(Fed(Mutex::new(receiver))),
                length,
            })
            .on_delivered(move |delivery| report.send(delivery).unwrap())
    });
    (server, feeds, reports)
}

#[test]
fn head_and_bodyless_answers_announce_without_sending() {
    let file = Arc::new(tempfile::tempfile().unwrap());
    let server = serve(limits(), move |request| match request.path.as_str() {
        "/bytes" => text(200, "hello"),
        "/announced" => Response::new(200).header("Content-Length", "123456789"),
        "/file" => Response::new(200).body(Body::File {
            file: file.clone(),
            offset: 0,
            length: 1 << 40,
        }),
        "/204" => text(204, "never sent"),
        "/304" => text(304, "never sent").header("ETag", "\"a\""),
        _ => text(404, "no"),
    });
    let mut client = Client::connect(&server);
    let cases = [
        ("HEAD /bytes", 200, Some("5")),
        ("HEAD /announced", 200, Some("123456789")),
        ("HEAD /file", 200, Some("1099511627776")),
        ("HEAD /other", 404, Some("2")),
        ("GET /204", 204, None),
        ("GET /304", 304, Some("10")),
    ];
    for (line, status, length) in cases {
        client.send(format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let answer = client.head().unwrap();
        assert_eq!(
            (answer.status, answer.field("content-length")),
            (status, length),
            "{line}"
        );
    }
    assert_eq!(client.get("/bytes").text(), "hello");
}

#[test]
fn a_file_leaves_byte_for_byte() {
    let content: Vec<u8> = (0..20_000_003u32)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&content).unwrap();
    let file = Arc::new(file);
    let server = serve(limits(), move |request| {
        let range = request.query.as_deref().unwrap();
        let (offset, length) = range.split_once('-').unwrap();
        Response::new(200).body(Body::File {
            file: file.clone(),
            offset: offset.parse().unwrap(),
            length: length.parse().unwrap(),
        })
    });
    let mut client = Client::connect(&server);
    for (offset, length) in [(0, content.len()), (1, 10), (12_345_678, 5_000_000), (7, 0)] {
        let answer = client.get(&format!("/?{offset}-{length}"));
        assert!(
            answer.body == content[offset..offset + length],
            "{length} bytes from {offset}"
        );
    }
    let too_long = client.get_broken(&format!("/?{}-{}", content.len() - 10, 20));
    assert!(
        too_long,
        "a file that is too short must break the connection off"
    );
}

impl Client {
    /// Whether the answer to a GET breaks off.
    fn get_broken(&mut self, path: &str) -> bool {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        self.answer().is_err()
    }
}

#[test]
fn a_stream_is_forwarded_as_it_comes() {
    let (server, feeds, reports) = fed(None);
    let (feed, receiver) = mpsc::channel();
    *feeds.lock().unwrap() = Some(receiver);
    let mut client = Client::connect(&server);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    // The head comes before there is any body, and each piece before the next one exists.
    assert_eq!(
        client.head().unwrap().field("transfer-encoding"),
        Some("chunked")
    );
    for piece in ["a", "bc", "def"] {
        feed.send(Feed::Bytes(piece)).unwrap();
        assert_eq!(client.chunk().unwrap(), piece.as_bytes());
    }
    drop(feed);
    assert_eq!(client.chunk().unwrap(), b"");
    let expected = Delivery {
        bytes: 6,
        complete: true,
    };
    assert_eq!(reports.recv().unwrap(), expected);
}

#[test]
fn a_stream_with_a_length_is_read_no_further() {
    let (server, feeds, reports) = fed(Some(5));
    let (feed, receiver) = mpsc::channel();
    *feeds.lock().unwrap() = Some(receiver);
    let mut client = Client::connect(&server);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().unwrap().field("content-length"), Some("5"));
    feed.send(Feed::Bytes("abc")).unwrap();
    assert_eq!(client.take(3).unwrap(), b"abc");
    feed.send(Feed::Bytes("de")).unwrap();
    assert_eq!(client.take(2).unwrap(), b"de");
    assert!(reports.recv().unwrap().complete);
    drop(feed);
}

#[test]
fn a_stream_that_breaks_is_never_taken_for_complete() {
    type Ending = fn(mpsc::Sender<Feed>);
    let fails: Ending = |feed| feed.send(Feed::Fail).unwrap();
    let panics: Ending = |feed| feed.send(Feed::Panic).unwrap();
    let ends: Ending = drop;
    let cases: &[(&str, &str, Option<u64>, Ending)] = &[
        ("fails with a length", "1.1", Some(100), fails),
        ("fails in chunks", "1.1", None, fails),
        ("fails until close", "1.0", None, fails),
        ("panics with a length", "1.1", Some(100), panics),
        ("panics in chunks", "1.1", None, panics),
        ("panics until close", "1.0", None, panics),
        ("ends before its length", "1.1", Some(100), ends),
        ("ends before its length", "1.0", Some(100), ends),
    ];
    for (name, version, length, ending) in cases {
        let (server, feeds, reports) = fed(*length);
        let (feed, receiver) = mpsc::channel();
        *feeds.lock().unwrap() = Some(receiver);
        let mut client = Client::connect(&server);
        client.send(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"));
        client.head().unwrap();
        feed.send(Feed::Bytes("abc")).unwrap();
        client.take(1).unwrap();
        ending(feed);
        assert!(client.rest().is_err(), "{name}: no reset");
        let expected = Delivery {
            bytes: 3,
            complete: false,
        };
        assert_eq!(reports.recv().unwrap(), expected, "{name}");
        assert!(reports.try_recv().is_err(), "{name}: reported twice");
    }
}

#[test]
fn a_client_that_does_not_read_is_cut_and_reported() {
    let (report, reports) = mpsc::channel();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![1; 64 << 20]).unwrap();
    let file = Arc::new(file);
    let short = Limits {
        stall_timeout: Duration::from_millis(300),
        ..limits()
    };
    let server = serve(short, move |request| {
        let report = report.clone();
        let length = 64 << 20;
        let body = match request.path.as_str() {
            "/file" => Body::File {
                file: file.clone(),
                offset: 0,
                length,
            },
            "/bytes" => Body::Bytes(vec![1; 64 << 20].into()),
            _ => Body::Stream {
                reader: Box::new(io::repeat(1)),
                length: Some(length),
            },
        };
        Response::new(200)
            .body(body)
            .on_delivered(move |delivery| report.send(delivery).unwrap())
    });
    for path in ["/file", "/bytes", "/stream"] {
        let mut client = Client::connect(&server);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let delivery = reports.recv().unwrap();
        assert!(!delivery.complete, "{path}: {delivery:?}");
        assert!(
            (1..64 << 20).contains(&delivery.bytes),
            "{path}: {delivery:?}"
        );
        assert!(client.answer().is_err(), "{path}");
    }
}

#[test]
fn a_slow_reader_that_goes_on_reading_is_served() {
    let short = Limits {
        stall_timeout: Duration::from_secs(2),
        ..limits()
    };
    let server = serve(short, |_| {
        Response::new(200).body(Body::Bytes(vec![1; 24 << 20].into()))
    });
    let mut client = Client::connect(&server);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head().unwrap();
    for _ in 0..24 {
        // All of it takes longer than the stall timeout.
        std::thread::sleep(Duration::from_millis(100));
        client.take(1 << 20).unwrap();
    }
}

#[test]
fn a_panic_is_a_500_and_the_server_lives() {
    let delivered = Arc::new(Mutex::new(Vec::new()));
    let reports = delivered.clone();
    let server = serve(limits(), move |request| {
        let reports = reports.clone();
        let response =
            text(200, "fine").on_delivered(move |delivery| reports.lock().unwrap().push(delivery));
        assert_ne!(request.path, "/panic", "a handler with a mistake");
        response
    });
    for turn in 0..20 {
        let mut client = Client::connect(&server);
        let answer = client.get("/panic");
        assert_eq!(
            (answer.status, answer.field("connection")),
            (500, Some("close"))
        );
        assert!(client.is_over());
        assert_eq!(Client::connect(&server).get("/").text(), "fine");
        let reported = || delivered.lock().unwrap().len() == 2 * (turn + 1);
        eventually("one report for each response", reported);
    }
    let reports = delivered.lock().unwrap();
    assert_eq!(
        reports.iter().filter(|delivery| delivery.complete).count(),
        20
    );
}
