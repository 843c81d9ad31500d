//! TLS on the public port: versions, ends of every kind, large bodies, and clients that speak something else.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use breakwater::http::{Body, Limits, Response, Scheme};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ProtocolVersion};

use super::support::{Client, PATIENCE, echo, limits, serve, serve_tls, serve_tls_on, text};
use crate::support::certificates::{read_to_close_notify, send_close_notify};

/// More than the socket buffers of both sides hold.
const LARGE: usize = 24 << 20;

#[test]
fn both_versions_serve_requests_as_https() {
    let tls = serve_tls(limits(), |request| {
        assert_eq!(request.scheme, Scheme::Https);
        echo(request)
    });
    for (version, expected) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let config = Arc::new(tls.authority.client(&[version]));
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut client = tls.connect_with(&config).unwrap();
            assert_eq!(client.get("/a").text(), "GET /a ");
            client.send("PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
            assert_eq!(client.answer().unwrap().text(), "PUT /b hello");
            let session = &client.stream.conn;
            assert_eq!(session.protocol_version(), Some(expected));
            assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
            let found = session.handshake_kind().unwrap();
            // A key share that the server does not like best is asked for once more, and is full all the same.
            let full = found != HandshakeKind::Resumed;
            assert_eq!(full, kind == HandshakeKind::Full, "{expected:?}: {found:?}");
        }
    }
}

#[test]
fn requests_arrive_however_records_are_cut() {
    let wire = concat!(
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "PUT /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n",
        "GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    let tls = serve_tls(limits(), echo);
    for piece in [1, 7, 40, wire.len()] {
        let mut client = tls.connect();
        for bytes in wire.as_bytes().chunks(piece) {
            client.stream.write_all(bytes).unwrap();
            client.stream.flush().unwrap();
        }
        for expected in ["GET /1 ", "PUT /2 def", "GET /3 "] {
            assert_eq!(client.answer().unwrap().text(), expected, "by {piece}");
        }
        assert!(client.is_over(), "by {piece}");
    }
    // All of them in the packet that ends the handshake, and more of them than one look takes.
    let many = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2000);
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let config = Arc::new(tls.authority.client(&[&TLS13]));
    let mut session = rustls::ClientConnection::new(config, name).unwrap();
    session.set_buffer_limit(None);
    session.writer().write_all(many.as_bytes()).unwrap();
    let socket = Client::connect(&tls.server).stream;
    let mut client = Client::on(rustls::StreamOwned::new(session, socket));
    for turn in 0..2000 {
        assert_eq!(client.answer().unwrap().text(), "GET /x ", "{turn}");
    }
}

#[test]
fn who_speaks_something_else_is_told_where_that_is_possible() {
    let tls = serve_tls(limits(), echo);
    let mut plain = Client::connect(&tls.server);
    plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = plain.answer().unwrap();
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("use https"), "{}", answer.text());
    assert!(plain.is_over());

    for nonsense in [
        "\x00",
        "\r\n",
        "\x16\x02\x01\x00\x01a",
        "\x17\x03\x03\x00\x01a",
    ] {
        let mut client = Client::connect(&tls.server);
        client.send(nonsense);
        assert!(client.is_over(), "{nonsense:?}");
    }
    // A record that is whole, and no ClientHello, is answered with an alert.
    let mut wrong = Client::connect(&tls.server);
    wrong.send(b"\x16\x03\x01\x00\x05\x05\x00\x00\x01a");
    assert_eq!(wrong.rest().unwrap()[0], 0x15);

    // Only HTTP/2 is no protocol of this port.
    let mut config = tls.authority.client(rustls::ALL_VERSIONS);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let error = tls.connect_with(&Arc::new(config)).err().unwrap();
    assert!(
        error.to_string().contains("NoApplicationProtocol"),
        "{error}"
    );

    // And the other way round.
    let server = serve(limits(), echo);
    let mut client = Client::connect(&server);
    client.send(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01a");
    assert_eq!(client.answer().unwrap().status, 400);
}

#[test]
fn a_whole_answer_and_a_broken_one_end_differently() {
    let tls = serve_tls(limits(), |request| {
        let whole = request.path == "/whole";
        let reader = std::io::repeat(b'x').take(100_000);
        let reader: Box<dyn Read + Send> = match whole {
            true => Box::new(reader),
            false => Box::new(reader.chain(Failing)),
        };
        Response::new(200).body(Body::Stream {
            reader,
            length: None,
        })
    });
    // To HTTP/1.0 a body without a length ends with the connection, and with nothing else.
    let request = |path: &str| format!("GET {path} HTTP/1.0\r\n\r\n");
    let mut client = tls.connect();
    client.send(request("/whole"));
    client.head().unwrap();
    assert_eq!(client.rest().unwrap().len(), 100_000);
    let mut client = tls.connect();
    client.send(request("/broken"));
    let error = client.head().and_then(|_| client.rest()).unwrap_err();
    let kinds = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
    assert!(kinds.contains(&error.kind()), "{error}");
}

/// A body's source that breaks.
struct Failing;

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("the upstream lied"))
    }
}

#[test]
fn ends_are_announced_and_answered() {
    let hasty = Limits {
        idle_timeout: Duration::from_millis(300),
        ..limits()
    };
    let tls = serve_tls(hasty, echo);
    // A client that says its end with its request still gets the answer, and the server's end.
    let mut half_closed = tls.connect();
    half_closed.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    send_close_notify(&mut half_closed.stream);
    assert_eq!(half_closed.answer().unwrap().text(), "GET / ");
    assert_eq!(read_to_close_notify(&mut half_closed.stream).unwrap(), b"");
    // One that is silent for too long is told.
    let mut idle = tls.connect();
    assert_eq!(idle.get("/").status, 200);
    assert_eq!(read_to_close_notify(&mut idle.stream).unwrap(), b"");
    // One that asks for the end gets it.
    let mut closing = tls.connect();
    closing.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(closing.answer().unwrap().text(), "GET / ");
    assert_eq!(read_to_close_notify(&mut closing.stream).unwrap(), b"");
}

#[test]
fn a_body_that_the_client_breaks_off_is_none() {
    let (report, reports) = mpsc::channel();
    let tls = serve_tls(limits(), move |request| {
        let error = request.body.read_to_end(&mut Vec::new());
        report.send(error.err().map(|error| error.kind())).unwrap();
        text(200, "")
    });
    // Announced, or not at all: the framing says that something is missing.
    for announced in [true, false] {
        for framing in ["Content-Length: 9", "Transfer-Encoding: chunked"] {
            let mut client = tls.connect();
            client.send(format!(
                "PUT / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n5\r\nab"
            ));
            if announced {
                send_close_notify(&mut client.stream);
            }
            drop(client);
            let kind = reports.recv_timeout(PATIENCE).unwrap();
            let kinds = [
                Some(ErrorKind::UnexpectedEof),
                Some(ErrorKind::ConnectionReset),
            ];
            assert!(kinds.contains(&kind), "{announced} {framing}: {kind:?}");
        }
    }
}

#[test]
fn large_bodies_come_whole_in_both_directions() {
    let bytes: Arc<[u8]> = (0..LARGE).map(|at| (at / 7 % 251) as u8).collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    let file = Arc::new(file);
    let (sent, report) = (bytes.clone(), mpsc::channel());
    let sender = report.0;
    let tls = serve_tls(limits(), move |request| {
        if request.path == "/put" {
            let mut body = Vec::new();
            request.body.read_to_end(&mut body).unwrap();
            return text(200, if *body == *sent { "same" } else { "different" });
        }
        let sender = sender.clone();
        Response::new(200)
            .body(Body::File {
                file: file.clone(),
                offset: 1,
                length: LARGE as u64 - 2,
            })
            .on_delivered(move |delivery| sender.send(delivery).unwrap())
    });
    for version in [&TLS12, &TLS13] {
        let config = Arc::new(tls.authority.client(&[version]));
        let mut client = tls.connect_with(&config).unwrap();
        let answer = client.get("/file");
        assert!(answer.body == bytes[1..LARGE - 1], "{version:?}");
        let delivery = report.1.recv_timeout(PATIENCE).unwrap();
        assert!(delivery.complete && delivery.bytes == LARGE as u64 - 2);

        client.send(format!(
            "PUT /put HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {LARGE}\r\n\r\n"
        ));
        assert_eq!(client.answer().unwrap().status, 100);
        client.send(&bytes);
        assert_eq!(client.answer().unwrap().text(), "same");

        // A client that goes in the middle is noticed.
        client.send("GET /file HTTP/1.1\r\nHost: a\r\n\r\n");
        client.head().unwrap();
        client.take(100_000).unwrap();
        drop(client);
        let delivery = report.1.recv_timeout(PATIENCE).unwrap();
        assert!(!delivery.complete && delivery.bytes < LARGE as u64 - 2);
    }
}

#[test]
fn readers_and_writers_that_trickle_are_cut() {
    let hasty = Limits {
        stall_timeout: Duration::from_millis(1500),
        ..limits()
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let listening = socket2::SockRef::from(&listener);
    listening.set_send_buffer_size(4096).unwrap();
    let (report, reports) = mpsc::channel();
    let (failure, failures) = mpsc::channel();
    let body: Arc<[u8]> = vec![1; 1 << 20].into();
    let tls = serve_tls_on(listener, hasty, move |request| {
        let read = request.body.read_to_end(&mut Vec::new());
        if let Err(error) = read {
            failure.send(error.kind()).unwrap();
        }
        let report = report.clone();
        Response::new(200)
            .body(Body::Bytes(body.clone()))
            .on_delivered(move |delivery| report.send(delivery).unwrap())
    });
    let kind = socket2::Type::STREAM;
    let socket = socket2::Socket::new(socket2::Domain::IPV4, kind, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&tls.address().into()).unwrap();
    let config = Arc::new(tls.authority.client(&[&TLS13]));
    let reader = crate::support::certificates::tls_over(socket.into(), &config).unwrap();
    let mut reader = Client::on(reader);
    reader.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let reading = std::thread::spawn(move || {
        let mut piece = [0; 500];
        while let Ok(1..) = reader.stream.sock.read(&mut piece) {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let delivery = reports.recv_timeout(PATIENCE).unwrap();
    assert!(!delivery.complete && delivery.bytes < 1 << 20);
    reading.join().unwrap();

    // Byte by byte, a record never comes whole.
    let mut writer = tls.connect();
    writer.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 16000\r\n\r\n");
    writer
        .stream
        .conn
        .writer()
        .write_all(&[b'x'; 16000])
        .unwrap();
    let mut record = Vec::new();
    writer.stream.conn.write_tls(&mut record).unwrap();
    let mut socket = writer.stream.sock.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        for byte in record {
            if socket.write_all(&[byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    assert_eq!(
        failures.recv_timeout(PATIENCE).unwrap(),
        ErrorKind::TimedOut
    );
    drop(writer);
    writing.join().unwrap();
}
