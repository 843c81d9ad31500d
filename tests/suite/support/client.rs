//! A registry client over raw sockets that reads answers strictly, and can also send what no client
//! should: one connection a request, so that no test depends on another's framing.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine as _;

use super::appliance::Appliance;

/// No answer on loopback takes so long; a test that waits for it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Asks one server, with the same header fields in every request.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    fields: Vec<(String, String)>,
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Whether the body came to its announced end.
    pub(crate) complete: bool,
}

/// An answer whose body is read piece by piece.
pub(crate) struct Streaming {
    pub(crate) answer: Answer,
    stream: TcpStream,
    length: usize,
}

impl Client {
    /// A client of this address.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self {
            address,
            fields: Vec::new(),
        }
    }

    /// A client of the box, without credentials.
    pub(crate) fn of(appliance: &Appliance) -> Self {
        Self::at(appliance.address())
    }

    /// The same with one more header field.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.fields.push((name.to_owned(), value.to_owned()));
        client
    }

    /// The same with `Authorization: Bearer`.
    pub(crate) fn bearer(&self, token: &str) -> Self {
        self.with("Authorization", &format!("Bearer {token}"))
    }

    /// The same with `Authorization: Basic`.
    pub(crate) fn basic(&self, user: &str, password: &str) -> Self {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        self.with("Authorization", &format!("Basic {pair}"))
    }

    /// A GET.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, b"")
    }

    /// A HEAD.
    pub(crate) fn head(&self, path: &str) -> Answer {
        self.request("HEAD", path, b"")
    }

    /// A POST of a form.
    pub(crate) fn post_form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        self.with("Content-Type", "application/x-www-form-urlencoded")
            .request("POST", path, form.finish().as_bytes())
    }

    /// A request with a body, if that is not empty.
    pub(crate) fn request(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let answer = self.try_request(method, path, body);
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// As [`Client::request`], of a server that may be gone.
    pub(crate) fn try_request(&self, method: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
        let mut head = self.request_head(method, path);
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        let mut bytes = format!("{head}\r\n").into_bytes();
        bytes.extend_from_slice(body);
        exchange(self.address, &bytes, method == "HEAD")
    }

    /// A GET of which only the head has been read.
    pub(crate) fn open(&self, path: &str) -> Streaming {
        let mut stream = connect(self.address);
        let head = self.request_head("GET", path);
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        let (mut answer, rest) = read_head(&mut stream).unwrap();
        answer.body = rest;
        let length = answer.field("Content-Length");
        let length = length.unwrap_or_default().parse().unwrap_or(usize::MAX);
        Streaming {
            answer,
            stream,
            length,
        }
    }

    /// What the token endpoint gives for these scopes; panics where it gives none.
    pub(crate) fn token(&self, scopes: &[&str]) -> String {
        let answer = self.get(&token_path(scopes));
        let token = answer.json()["token"].as_str().map(str::to_owned);
        token.unwrap_or_else(|| panic!("no token: {answer:?}"))
    }

    /// The head of a request without its last, empty line: for bodies that are framed by hand.
    pub(crate) fn head_of(&self, method: &str, path: &str) -> String {
        self.request_head(method, path)
    }

    fn request_head(&self, method: &str, path: &str) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !self.fields.iter().any(|(name, _)| name == "Host") {
            head.push_str(&format!("Host: {}\r\n", self.address));
        }
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head
    }
}

impl Answer {
    /// A header field's value.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// `X-Cache`, or nothing.
    pub(crate) fn cache(&self) -> &str {
        self.field("X-Cache").unwrap_or_default()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null where it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The code of the first OCI error, where the body is one in the form of the spec.
    pub(crate) fn code(&self) -> String {
        let json = self.json();
        let text = json["errors"][0]["code"].as_str();
        text.unwrap_or_default().to_owned()
    }

    /// The message of the first OCI error.
    pub(crate) fn message(&self) -> String {
        let json = self.json();
        let text = json["errors"][0]["message"].as_str();
        text.unwrap_or_default().to_owned()
    }

    /// Status and code together, for tables.
    pub(crate) fn verdict(&self) -> (u16, String) {
        (self.status, self.code())
    }

    /// The header fields that do not tell when and for whom it was answered, sorted.
    pub(crate) fn lasting_fields(&self) -> Vec<String> {
        let passing = ["x-cache", "age", "x-request-id", "date"];
        let mut fields: Vec<_> = self
            .head
            .lines()
            .skip(1)
            .map(str::to_ascii_lowercase)
            .filter(|line| !line.is_empty())
            .filter(|line| {
                !passing
                    .iter()
                    .any(|name| line.starts_with(&format!("{name}:")))
            })
            .collect();
        fields.sort();
        fields
    }
}

impl Streaming {
    /// Reads until `count` bytes of the body are there, or the connection ends.
    pub(crate) fn read_up_to(&mut self, count: usize) -> &[u8] {
        let mut piece = [0; 64 * 1024];
        while self.answer.body.len() < count.min(self.length) {
            match self.stream.read(&mut piece) {
                Ok(0) | Err(_) => break,
                Ok(read) => self.answer.body.extend_from_slice(&piece[..read]),
            }
        }
        &self.answer.body
    }

    /// The whole answer.
    pub(crate) fn finish(mut self) -> Answer {
        self.read_up_to(usize::MAX);
        self.answer.complete = self.answer.body.len() == self.length;
        self.answer
    }
}

/// `/jwt/auth?…` for these scopes.
pub(crate) fn token_path(scopes: &[&str]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("service", "dependency_proxy");
    for scope in scopes {
        query.append_pair("scope", scope);
    }
    format!("/jwt/auth?{}", query.finish())
}

/// Panics unless `verify` finds the box's store whole, whether it runs or not.
pub(crate) fn assert_sound(appliance: &Appliance) {
    let report = appliance.json(&["verify", "--json"]);
    assert_eq!(report["clean"], true, "{report}");
}

/// Sends bytes on a connection of their own, and reads one answer. A server that says nothing before
/// it closes the connection is an error of the kind `UnexpectedEof`.
pub(crate) fn exchange(address: SocketAddr, bytes: &[u8], is_head: bool) -> io::Result<Answer> {
    let mut stream = try_connect(address)?;
    // A server may answer, and close, before it has read all of it.
    let _ = stream.write_all(bytes);
    let (mut answer, rest) = read_head(&mut stream)?;
    answer.body = rest;
    let empty = is_head || matches!(answer.status, 204 | 304);
    let length = answer.field("Content-Length").map(str::to_owned);
    let chunked = answer.field("Transfer-Encoding") == Some("chunked");
    match length {
        _ if empty => answer.complete = answer.body.is_empty(),
        Some(length) => {
            assert!(!chunked, "two framings: {}", answer.head);
            let length: usize = length.parse().map_err(io::Error::other)?;
            while answer.body.len() < length && read_more(&mut stream, &mut answer.body) {}
            answer.complete = answer.body.len() == length;
        }
        None => {
            while read_more(&mut stream, &mut answer.body) {}
            if chunked {
                (answer.body, answer.complete) = unchunk(&answer.body);
            } else {
                answer.complete = true;
            }
        }
    }
    Ok(answer)
}

/// A connection with patience, but not without end.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    try_connect(address).unwrap()
}

fn try_connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The next head, and what came with it of the body.
pub(crate) fn read_head(stream: &mut TcpStream) -> io::Result<(Answer, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 16 * 1024];
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&piece[..read]),
        }
    };
    let rest = bytes.split_off(end + 4);
    let head = String::from_utf8(bytes).map_err(io::Error::other)?;
    let status = head
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    let status = status.and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status line: {head}")))?;
    let answer = Answer {
        status,
        head: head.trim_end().to_owned(),
        body: Vec::new(),
        complete: false,
    };
    Ok((answer, rest))
}

fn read_more(stream: &mut TcpStream, body: &mut Vec<u8>) -> bool {
    let mut piece = [0; 64 * 1024];
    match stream.read(&mut piece) {
        Ok(0) | Err(_) => false,
        Ok(read) => {
            body.extend_from_slice(&piece[..read]);
            true
        }
    }
}

/// The bytes of a chunked body, and whether its last chunk was there.
fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&rest[..at]).unwrap_or_default();
        let Ok(size) = usize::from_str_radix(size, 16) else {
            break;
        };
        let Some(chunk) = rest.get(at + 2..at + 2 + size) else {
            break;
        };
        if size == 0 {
            return (body, true);
        }
        body.extend_from_slice(chunk);
        rest = rest.get(at + 4 + size..).unwrap_or_default();
    }
    (body, false)
}
