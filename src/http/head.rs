//! Turns the bytes of a whole head into its meaning, or into a refusal (RFC 9112 sections 2 to 7).
//!
//! `httparse` takes the fields apart; what they say about framing is judged here, so strictly that no proxy
//! in front can have understood another message (request smuggling): one length or chunked, never both,
//! nothing listed twice, nothing repaired.

use super::authority::{Target, parse_authority, parse_target};
use super::head_scan::FIELD_LIMIT;
use super::{Headers, Method, Refused};

/// Where a request's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes; 0 for a request without a body.
    Length(u64),
    /// With its last chunk.
    Chunked,
}

/// A request without its body.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: Headers,
    /// Lower case; empty only in HTTP/1.0.
    pub(super) host: String,
    /// HTTP/1.1; otherwise 1.0.
    pub(super) modern: bool,
    pub(super) framing: Framing,
    /// Whether the client wants the connection to stay.
    pub(super) keep_alive: bool,
    /// Whether the client waits for `100 Continue`.
    pub(super) expects_continue: bool,
}

/// Parses a head that `HeadScan` found to be whole.
pub(super) fn parse_head(bytes: &[u8]) -> Result<Head, Refused> {
    let line_end = bytes
        .windows(2)
        .position(|pair| pair == b"\r\n")
        .ok_or(Refused::bad("the request line has no end"))?;
    let (method, target, modern) = request_line(&bytes[..line_end])?;
    let headers = fields(&bytes[line_end + 2..])?;
    let host = host(&headers, modern)?;
    let expects_continue = expectation(&headers, modern)?;
    Ok(Head {
        framing: framing(&headers, modern)?,
        keep_alive: keep_alive(&headers, modern),
        host: target.authority.unwrap_or(host),
        path: target.path,
        query: target.query,
        method,
        headers,
        modern,
        expects_continue,
    })
}

/// `METHOD SP TARGET SP VERSION`, with exactly these two spaces.
fn request_line(line: &[u8]) -> Result<(Method, Target, bool), Refused> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refused::bad(
            "the request line is not METHOD TARGET VERSION",
        ));
    };
    let modern = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(Refused {
                status: 505,
                message: "only HTTP/1.1 and HTTP/1.0 are spoken here",
            });
        }
        _ => return Err(Refused::bad("the request line names no version of HTTP")),
    };
    let method = str::from_utf8(method)
        .ok()
        .filter(|text| !text.is_empty() && text.bytes().all(is_token))
        .ok_or(Refused::bad("the method is no word"))?;
    if method == "CONNECT" {
        return Err(Refused {
            status: 501,
            message: "this server is no tunnel: CONNECT is not implemented",
        });
    }
    let target = parse_target(method, target)?;
    Ok((Method::from_name(method), target, modern))
}

/// The characters of a token (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn fields(bytes: &[u8]) -> Result<Headers, Refused> {
    let mut slots = [httparse::EMPTY_HEADER; FIELD_LIMIT];
    match httparse::parse_headers(bytes, &mut slots) {
        Ok(httparse::Status::Complete((used, parsed))) if used == bytes.len() => {
            let owned = |field: &httparse::Header<'_>| {
                (field.name.to_owned(), trim(field.value).to_owned())
            };
            Ok(Headers(parsed.iter().map(owned).collect()))
        }
        Err(httparse::Error::TooManyHeaders) => Err(Refused {
            status: 431,
            message: "the request has more than 100 header fields",
        }),
        _ => Err(Refused::bad("a header field is malformed")),
    }
}

/// Without optional whitespace around it.
fn trim(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value
        .iter()
        .position(|byte| !blank(byte))
        .unwrap_or(value.len());
    let end = value
        .iter()
        .rposition(|byte| !blank(byte))
        .map_or(start, |last| last + 1);
    &value[start..end]
}

/// RFC 9112 section 3.2: exactly one valid `Host` in 1.1, at most one in 1.0.
fn host(headers: &Headers, modern: bool) -> Result<String, Refused> {
    let mut values = headers.raw("host");
    match (values.next(), values.next()) {
        (Some(value), None) => parse_authority(value),
        (None, _) if modern => Err(Refused::bad("an HTTP/1.1 request needs a Host")),
        (None, _) => Ok(String::new()),
        (Some(_), Some(_)) => Err(Refused::bad("the request has more than one Host")),
    }
}

/// RFC 9112 section 6.3, without its leniencies.
fn framing(headers: &Headers, modern: bool) -> Result<Framing, Refused> {
    let mut codings = headers.raw("transfer-encoding");
    let mut lengths = headers.raw("content-length");
    match (codings.next(), lengths.next()) {
        (None, None) => Ok(Framing::Length(0)),
        (Some(_), Some(_)) => Err(Refused::bad(
            "the request has both Content-Length and Transfer-Encoding",
        )),
        (Some(_), None) if !modern => Err(Refused::bad("HTTP/1.0 has no Transfer-Encoding")),
        (Some(coding), None) => {
            if codings.next().is_none() && coding.eq_ignore_ascii_case(b"chunked") {
                Ok(Framing::Chunked)
            } else {
                Err(Refused::bad(
                    "the only Transfer-Encoding is chunked, and once",
                ))
            }
        }
        (None, Some(length)) => {
            let length = if lengths.next().is_none() {
                digits(length)
            } else {
                None
            };
            length
                .map(Framing::Length)
                .ok_or(Refused::bad("Content-Length must be one number"))
        }
    }
}

fn digits(value: &[u8]) -> Option<u64> {
    if value.len() > 20 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(value).ok()?.parse().ok()
}

/// RFC 9112 section 9.3: `close` wins over everything; 1.0 must ask for `keep-alive`.
fn keep_alive(headers: &Headers, modern: bool) -> bool {
    let mut asked = false;
    for value in headers.raw("connection") {
        for option in value.split(|&byte| byte == b',').map(trim) {
            if option.eq_ignore_ascii_case(b"close") {
                return false;
            }
            asked |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
    modern || asked
}

/// RFC 9110 section 10.1.1: only `100-continue` exists, and 1.0 does not know it.
fn expectation(headers: &Headers, modern: bool) -> Result<bool, Refused> {
    let mut expects = false;
    for value in headers.raw("expect") {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Refused {
                status: 417,
                message: "the only expectation that can be met is 100-continue",
            });
        }
        expects = modern;
    }
    Ok(expects)
}

#[cfg(test)]
mod tests {
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
        let expected: [(String, Vec<u8>); 4] = [
            ("Host".into(), b"a".to_vec()),
            ("A".into(), b"b c".to_vec()),
            ("B".into(), b"\xff".to_vec()),
            ("C".into(), b"".to_vec()),
        ];
        assert_eq!(headers.0, expected);
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
}
