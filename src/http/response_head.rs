//! Decides how a response is framed and writes its head (RFC 9112 sections 4 and 6.3); no IO.

use super::{Body, Response};

/// What of the request decides the shape of its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// The request was HEAD.
    pub(super) head_only: bool,
    /// The request was HTTP/1.1; otherwise 1.0.
    pub(super) modern: bool,
    /// The connection may stay.
    pub(super) keep: bool,
}

/// How the end of the body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framed {
    /// Nothing of the body goes on the wire, whatever its length.
    Nothing,
    /// `Content-Length`.
    Length(u64),
    Chunked,
    /// The end of the connection, for HTTP/1.0.
    UntilClose,
}

/// Appends the head of `response` to `out`; gives how the body is framed, and whether the connection stays.
pub(super) fn write_head(
    response: &Response,
    terms: Terms,
    date: &str,
    out: &mut Vec<u8>,
) -> (Framed, bool) {
    let status = response.status;
    let framed = framing(&response.body, terms.modern);
    let silent = terms.head_only || matches!(status, 100..=199 | 204 | 304);
    let asked_to_close = response
        .own("connection")
        .is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let keep = terms.keep && !asked_to_close && (silent || framed != Framed::UntilClose);

    push(
        out,
        &[
            "HTTP/1.1 ",
            &status.to_string(),
            " ",
            response.reason.as_deref().unwrap_or_else(|| reason(status)),
            "\r\n",
        ],
    );
    let date = response.own("date").unwrap_or(date);
    push(out, &["Date: ", date, "\r\n"]);
    push(out, &[&response.fields]);
    match framed {
        _ if matches!(status, 100..=199 | 204) => {}
        Framed::Length(length) => {
            if let Some(length) = announced(response, length, terms.head_only) {
                push(out, &["Content-Length: ", &length, "\r\n"]);
            }
        }
        Framed::Chunked => push(out, &["Transfer-Encoding: chunked\r\n"]),
        Framed::UntilClose | Framed::Nothing => {}
    }
    match (keep, terms.modern) {
        (false, _) => push(out, &["Connection: close\r\n"]),
        (true, false) => push(out, &["Connection: keep-alive\r\n"]),
        (true, true) => {}
    }
    push(out, &["\r\n"]);
    (if silent { Framed::Nothing } else { framed }, keep)
}

fn framing(body: &Body, modern: bool) -> Framed {
    match body {
        Body::Empty => Framed::Length(0),
        Body::Bytes(bytes) => Framed::Length(bytes.len() as u64),
        Body::File { length, .. } => Framed::Length(*length),
        Body::Arriving { length, .. } | Body::Stream { length, .. } => match length {
            Some(length) => Framed::Length(*length),
            None if modern => Framed::Chunked,
            None => Framed::UntilClose,
        },
    }
}

/// The value of `Content-Length`. Without a body the handler's own counts where none is expected: what GET
/// would have sent, or nothing where it does not know (RFC 9110 section 8.6). Elsewhere it would make the
/// client wait for what never comes.
fn announced(response: &Response, length: u64, head_only: bool) -> Option<String> {
    let theirs = response.own("content-length");
    match &response.body {
        Body::Empty if head_only || response.status == 304 => theirs.map(str::to_owned),
        _ => Some(length.to_string()),
    }
}

fn push(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// The phrase of a status (RFC 9110 section 15); clients ignore it, people read it.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const GET: Terms = Terms {
        head_only: false,
        modern: true,
        keep: true,
    };

    fn stream(length: Option<u64>) -> Body {
        Body::Stream {
            reader: Box::new(std::io::empty()),
            length,
        }
    }

    fn bytes(text: &str) -> Body {
        Body::Bytes(Arc::from(text.as_bytes()))
    }

    #[test]
    fn heads_say_how_the_body_ends() {
        let head = Terms {
            head_only: true,
            ..GET
        };
        let old = Terms {
            modern: false,
            ..GET
        };
        let old_head = Terms {
            head_only: true,
            ..old
        };
        let closing = Terms { keep: false, ..GET };
        let new = Response::new;
        let cases: Vec<(&str, Response, Terms, &str, Framed, bool)> = vec![
            (
                "empty",
                new(200),
                GET,
                "Content-Length: 0\r\n",
                Framed::Length(0),
                true,
            ),
            (
                "bytes",
                new(404).body(bytes("abc")),
                GET,
                "Content-Length: 3\r\n",
                Framed::Length(3),
                true,
            ),
            (
                "a handler's length for a body that has another",
                new(200).header("content-length", "9").body(bytes("abc")),
                GET,
                "Content-Length: 3\r\n",
                Framed::Length(3),
                true,
            ),
            (
                "a handler's length without a body",
                new(200).header("Content-Length", "9"),
                GET,
                "Content-Length: 0\r\n",
                Framed::Length(0),
                true,
            ),
            (
                "HEAD with a handler's length",
                new(200).header("Content-Length", "9"),
                head,
                "Content-Length: 9\r\n",
                Framed::Nothing,
                true,
            ),
            (
                "HEAD where the length is open",
                new(200),
                head,
                "",
                Framed::Nothing,
                true,
            ),
            (
                "HEAD of bytes",
                new(200).body(bytes("abc")),
                head,
                "Content-Length: 3\r\n",
                Framed::Nothing,
                true,
            ),
            (
                "204",
                new(204).body(bytes("abc")),
                GET,
                "",
                Framed::Nothing,
                true,
            ),
            ("304", new(304), GET, "", Framed::Nothing, true),
            (
                "304 with a length",
                new(304).header("Content-Length", "9"),
                GET,
                "Content-Length: 9\r\n",
                Framed::Nothing,
                true,
            ),
            (
                "a stream with a length",
                new(200).body(stream(Some(7))),
                GET,
                "Content-Length: 7\r\n",
                Framed::Length(7),
                true,
            ),
            (
                "a stream",
                new(200).body(stream(None)),
                GET,
                "Transfer-Encoding: chunked\r\n",
                Framed::Chunked,
                true,
            ),
            (
                "a stream for 1.0",
                new(200).body(stream(None)),
                old,
                "Connection: close\r\n",
                Framed::UntilClose,
                false,
            ),
            (
                "HEAD of a stream in 1.0",
                new(200).body(stream(None)),
                old_head,
                "Connection: keep-alive\r\n",
                Framed::Nothing,
                true,
            ),
            (
                "1.0 that is kept",
                new(200),
                old,
                "Content-Length: 0\r\nConnection: keep-alive\r\n",
                Framed::Length(0),
                true,
            ),
            (
                "closing",
                new(200),
                closing,
                "Content-Length: 0\r\nConnection: close\r\n",
                Framed::Length(0),
                false,
            ),
            (
                "a handler that closes",
                new(200).header("connection", "Close"),
                GET,
                "Content-Length: 0\r\nConnection: close\r\n",
                Framed::Length(0),
                false,
            ),
            (
                "a handler that would chunk",
                new(200).header("Transfer-Encoding", "chunked"),
                GET,
                "Content-Length: 0\r\n",
                Framed::Length(0),
                true,
            ),
        ];
        for (name, response, terms, fields, framed, keep) in cases {
            let mut out = Vec::new();
            let result = write_head(&response, terms, "DATE", &mut out);
            let status = response.status;
            let expected = format!(
                "HTTP/1.1 {status} {}\r\nDate: DATE\r\n{fields}\r\n",
                reason(status)
            );
            assert_eq!(String::from_utf8_lossy(&out), expected, "{name}");
            assert_eq!(result, (framed, keep), "{name}");
        }
    }

    #[test]
    fn fields_keep_their_order_and_a_date_is_not_doubled() {
        let response = Response::new(299)
            .header("B", "1")
            .header("Date", "mine")
            .header("B", "2");
        let mut out = Vec::new();
        write_head(&response, GET, "DATE", &mut out);
        let expected = "HTTP/1.1 299 \r\nDate: mine\r\nB: 1\r\nB: 2\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}
