//! Turns the bytes of a whole head into its meaning, or into a refusal (RFC 9112 sections 2 to 7).
//!
//! `httparse` takes the fields apart; what they say about framing is judged here, so strictly that no proxy
//! in front can have understood another message (request smuggling): one length or chunked, never both,
//! nothing listed twice, nothing repaired.

#[cfg(test)]
mod tests;

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
    let (line, rest) = bytes.split_at_checked(line_end).unwrap_or_default();
    let (method, target, modern) = request_line(line)?;
    let headers = fields(rest.get(2..).unwrap_or_default())?;
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
            let mut headers = Headers::with_capacity(parsed.len(), bytes.len());
            for field in parsed {
                headers.push(field.name.as_bytes(), trim(field.value));
            }
            Ok(headers)
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
    let mut value = value;
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
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
