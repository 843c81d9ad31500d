//! Heads that are understood, and everything that two readers could understand differently.

use super::*;
use proptest::prelude::*;

fn parse(head: &str) -> Result<Head, Refused> {
    parse_head(head.as_bytes())
}

#[test]
fn request_lines() {
    let cases: &[(&str, u16)] = &[
        ("GET / HTTP/1.1", 200),
        ("GET / HTTP/1.0", 200),
        ("BREW /pot HTTP/1.1", 200),
        ("M-SEARCH /a HTTP/1.1", 200),
        ("OPTIONS * HTTP/1.1", 200),
        ("GET http://b/c HTTP/1.1", 200),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/1.2", 505),
        ("GET / HTTP/0.9", 505),
        ("PRI * HTTP/2.0", 505),
        ("CONNECT a:443 HTTP/1.1", 501),
        ("CONNECT / HTTP/1.1", 501),
        ("GET /", 400),
        ("GET", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET / HTTP/1.1 ", 400),
        ("GET / a HTTP/1.1", 400),
        ("GET\t/\tHTTP/1.1", 400),
        ("GET /\t HTTP/1.1", 400),
        (" / HTTP/1.1", 400),
        ("G(T / HTTP/1.1", 400),
        ("G\u{e4}T / HTTP/1.1", 400),
        ("GET /\u{e4} HTTP/1.1", 400),
        ("GET / http/1.1", 400),
        ("GET / HTTP/1.", 400),
        ("GET / HTTP/1.11", 400),
        ("GET / HTTP/11", 400),
        ("GET / HTTP/+1.1", 400),
        ("GET / HTTPS/1.1", 400),
        ("GET a:443 HTTP/1.1", 400),
        ("GET * HTTP/1.1", 400),
        ("OPTIONS ** HTTP/1.1", 400),
    ];
    for (line, status) in cases {
        let result = parse(&format!("{line}\r\nHost: a\r\n\r\n"));
        let got = result.map_or_else(|refused| refused.status, |_| 200);
        assert_eq!(got, *status, "{line:?}");
    }
}

#[test]
fn framing_is_clear_or_refused() {
    let length = |length| Some(Framing::Length(length));
    let cases: &[(&str, Option<Framing>)] = &[
        ("", length(0)),
        ("Content-Length: 0\r\n", length(0)),
        ("content-length:5\r\n", length(5)),
        ("CONTENT-LENGTH: \t 5 \t\r\n", length(5)),
        ("Content-Length: 40000000000\r\n", length(40_000_000_000)),
        ("Content-Length: 18446744073709551615\r\n", length(u64::MAX)),
        ("Transfer-Encoding: chunked\r\n", Some(Framing::Chunked)),
        ("Transfer-Encoding: CHUNKED\r\n", Some(Framing::Chunked)),
        ("Transfer_Encoding: chunked\r\n", length(0)),
        ("Content-Length: 18446744073709551616\r\n", None),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", None),
        ("Content-Length: 5\r\ncontent-length: 6\r\n", None),
        ("Content-Length: 5, 5\r\n", None),
        ("Content-Length: +5\r\n", None),
        ("Content-Length: -5\r\n", None),
        ("Content-Length: 0x5\r\n", None),
        ("Content-Length: 5.0\r\n", None),
        ("Content-Length: 5 5\r\n", None),
        ("Content-Length: \r\n", None),
        ("Content-Length: \u{0665}\r\n", None),
        ("Content-Length : 5\r\n", None),
        ("Content-Length\t: 5\r\n", None),
        ("Content-Length\r\n", None),
        (": 5\r\n", None),
        ("A\u{e4}: 5\r\n", None),
        ("A(b): 5\r\n", None),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", None),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", None),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            None,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            None,
        ),
        ("Transfer-Encoding: chunked, chunked\r\n", None),
        ("Transfer-Encoding: gzip, chunked\r\n", None),
        ("Transfer-Encoding: chunked, identity\r\n", None),
        ("Transfer-Encoding: identity\r\n", None),
        ("Transfer-Encoding: xchunked\r\n", None),
        ("Transfer-Encoding: chunked;q=1\r\n", None),
        ("Transfer-Encoding: \"chunked\"\r\n", None),
        ("Transfer-Encoding: ,chunked\r\n", None),
        ("Transfer-Encoding: \r\n", None),
        ("Transfer-Encoding : chunked\r\n", None),
    ];
    for (fields, expected) in cases {
        let result = parse(&format!("PUT / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        match (result, expected) {
            (Ok(head), Some(expected)) => assert_eq!(head.framing, *expected, "{fields:?}"),
            (Err(refused), None) => assert_eq!(refused.status, 400, "{fields:?}"),
            (result, _) => panic!("{fields:?} gave {result:?}"),
        }
    }
    let old = parse("PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(old.map_err(|refused| refused.status).err(), Some(400));
}

#[test]
fn a_host_is_needed_once() {
    let cases: &[(&str, Option<&str>)] = &[
        ("GET / HTTP/1.1\r\nHost: A:5000\r\n\r\n", Some("a:5000")),
        ("GET http://B/ HTTP/1.1\r\nHost: a\r\n\r\n", Some("b")),
        ("GET / HTTP/1.0\r\n\r\n", Some("")),
        ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", Some("a")),
        ("GET http://b/ HTTP/1.0\r\n\r\n", Some("b")),
        ("GET / HTTP/1.1\r\n\r\n", None),
        ("GET http://b/ HTTP/1.1\r\n\r\n", None),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", None),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", None),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", None),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", None),
        ("GET http://b/ HTTP/1.1\r\nHost: a@b\r\n\r\n", None),
    ];
    for (head, expected) in cases {
        let host = parse(head).ok().map(|head| head.host);
        assert_eq!(host.as_deref(), *expected, "{head:?}");
    }
}

#[test]
fn connections_stay_as_the_rfc_has_it() {
    let cases: &[(&str, &str, bool)] = &[
        ("1.1", "", true),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: TE, Close\r\n", false),
        (
            "1.1",
            "Connection: keep-alive\r\nConnection: close\r\n",
            false,
        ),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: x , keep-alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ];
    for (version, fields, expected) in cases {
        let head = parse(&format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n")).unwrap();
        assert_eq!(head.keep_alive, *expected, "{version} {fields:?}");
    }
}

#[test]
fn only_one_thing_may_be_expected() {
    let cases: &[(&str, &str, Result<bool, u16>)] = &[
        ("1.1", "", Ok(false)),
        ("1.1", "Expect: 100-Continue\r\n", Ok(true)),
        ("1.0", "Expect: 100-continue\r\n", Ok(false)),
        ("1.1", "Expect: 200-ok\r\n", Err(417)),
        ("1.1", "Expect: 100-continue\r\nExpect: x\r\n", Err(417)),
        ("1.1", "Expect: \r\n", Err(417)),
    ];
    for (version, fields, expected) in cases {
        let result = parse(&format!("PUT / HTTP/{version}\r\nHost: a\r\n{fields}\r\n"));
        let result = result
            .map(|head| head.expects_continue)
            .map_err(|refused| refused.status);
        assert_eq!(result, *expected, "{version} {fields:?}");
    }
}

#[test]
fn values_are_trimmed_and_kept_as_bytes() {
    let head = parse_head(b"GET / HTTP/1.1\r\nHost: a\r\nA: \t b c\t \r\nB:\xff\r\nC:\r\n\r\n");
    let headers = head.unwrap().headers;
    let expected: [(&[u8], &[u8]); 4] = [
        (b"Host", b"a"),
        (b"A", b"b c"),
        (b"B", b"\xff"),
        (b"C", b""),
    ];
    assert_eq!(headers.fields().collect::<Vec<_>>(), expected);
}

proptest! {
    #[test]
    fn nothing_panics(bytes: Vec<u8>) {
        let _ = parse_head(&bytes);
    }

    #[test]
    fn nearly_good_heads_do_not_panic(
        line in "(GET|PUT|OPTIONS) [!-~]{0,20} HTTP/1.[01]",
        fields in "((Host|A|Content-Length|Transfer-Encoding|Connection|Expect):[ -~]{0,12}\r\n){0,6}",
    ) {
        let _ = parse(&format!("{line}\r\n{fields}\r\n"));
    }
}
