//! Bodies of requests: announced, expected, unread, stalled, broken off.

use std::io::{ErrorKind, Read, Write};
use std::sync::mpsc;
use std::time::Duration;

use breakwater::http::Limits;

use super::support::{Client, echo, limits, serve, text};

#[test]
fn an_announced_length_costs_nothing() {
    let server = serve(limits(), |_| text(401, "who are you?"));
    for length in ["40000000000", "9000000000000000000", "18446744073709551615"] {
        for sent in ["", "some of it"] {
            let mut client = Client::connect(&server);
            client.send(format!(
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{sent}"
            ));
            let answer = client.answer().unwrap();
            assert_eq!(answer.status, 401, "{length}");
            assert_eq!(answer.field("connection"), Some("close"), "{length}");
            assert!(client.is_over(), "{length}");
        }
    }
    assert_eq!(Client::connect(&server).get("/").status, 401);
}

#[test]
fn a_short_unread_body_does_not_cost_the_connection() {
    let server = serve(limits(), |_| text(200, "thanks"));
    let mut client = Client::connect(&server);
    let long = "x".repeat(200 * 1024);
    let bodies = [
        "Content-Length: 3\r\n\r\nabc".to_owned(),
        format!("Content-Length: {}\r\n\r\n{long}", long.len()),
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_owned(),
    ];
    for body in bodies {
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\n{body}"));
        let answer = client.answer().unwrap();
        assert_eq!(answer.field("connection"), None, "{:.60}", body);
    }
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn a_refused_upload_in_flight_still_sees_its_answer() {
    let server = serve(limits(), |_| text(403, "not here"));
    let mut client = Client::connect(&server);
    let mut sender = client.stream.try_clone().unwrap();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    let sending = std::thread::spawn(move || {
        let piece = vec![b'x'; 100_000];
        // The server stops reading in between, which is what it is allowed to do.
        (0..1000).all(|_| sender.write_all(&piece).is_ok())
    });
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.text()), (403, "not here"));
    drop(client);
    sending.join().unwrap();
}

#[test]
fn continue_is_said_when_the_handler_reads() {
    let server = serve(limits(), echo);
    let mut client = Client::connect(&server);
    let head = "PUT /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n";
    client.send(format!("{head}Content-Length: 3\r\n\r\n"));
    assert_eq!(client.answer().unwrap().status, 100);
    client.send("abc");
    assert_eq!(client.answer().unwrap().text(), "PUT /a abc");

    client.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n"));
    assert_eq!(client.answer().unwrap().status, 100);
    client.send("3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(client.answer().unwrap().text(), "PUT /a abc");

    // Who did not wait for the word does not get it.
    client.send(format!("{head}Content-Length: 3\r\n\r\nabc"));
    assert_eq!(client.answer().unwrap().text(), "PUT /a abc");
    // And without a body there is nothing to go on with.
    client.send(format!("{head}Content-Length: 0\r\n\r\n"));
    assert_eq!(client.answer().unwrap().text(), "PUT /a ");
}

#[test]
fn continue_is_not_said_when_nobody_reads() {
    let server = serve(limits(), |_| text(401, "who are you?"));
    let mut client = Client::connect(&server);
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!(
        (answer.status, answer.field("connection")),
        (401, Some("close"))
    );
    assert!(client.is_over());
}

#[test]
fn a_body_that_stalls_or_breaks_off_is_an_error_for_its_reader() {
    let (report, reports) = mpsc::channel();
    let short = Limits {
        stall_timeout: Duration::from_millis(200),
        ..limits()
    };
    let server = serve(short, move |request| {
        let error = request.body.read_to_end(&mut Vec::new()).unwrap_err();
        report.send(error.kind()).unwrap();
        text(400, "that was not all")
    });
    for framing in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let mut stalling = Client::connect(&server);
        stalling.send(format!(
            "PUT / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n5\r\nabc"
        ));
        assert_eq!(reports.recv().unwrap(), ErrorKind::TimedOut, "{framing}");
        assert_eq!(stalling.answer().unwrap().status, 400, "{framing}");
        assert!(stalling.is_over(), "{framing}");

        let mut leaving = Client::connect(&server);
        leaving.send(format!(
            "PUT / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n5\r\nabc"
        ));
        drop(leaving);
        assert_eq!(
            reports.recv().unwrap(),
            ErrorKind::UnexpectedEof,
            "{framing}"
        );
    }
}

#[test]
fn a_large_body_arrives_whole() {
    let server = serve(limits(), |request| {
        let mut sum = 0u64;
        let mut count = 0usize;
        let mut piece = vec![0; 100_000];
        loop {
            match request.body.read(&mut piece).unwrap() {
                0 => return text(200, &format!("{count} {sum}")),
                length => {
                    count += length;
                    sum += piece[..length]
                        .iter()
                        .map(|&byte| u64::from(byte))
                        .sum::<u64>();
                }
            }
        }
    });
    let body: Vec<u8> = (0..5_000_000u32).map(|index| (index % 251) as u8).collect();
    let expected = format!(
        "{} {}",
        body.len(),
        body.iter().map(|&b| u64::from(b)).sum::<u64>()
    );
    let mut client = Client::connect(&server);
    client.send(format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    client.send(&body);
    assert_eq!(client.answer().unwrap().text(), expected);
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for chunk in body.chunks(77_777) {
        client.send(format!("{:x};ext=1\r\n", chunk.len()));
        client.send(chunk);
        client.send("\r\n");
    }
    client.send("0\r\nTrailer: x\r\n\r\n");
    assert_eq!(client.answer().unwrap().text(), expected);
}
