//! The fake upstream's sockets: reads requests, makes the good answer, and spoils it as told.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::answer::{Answer, Base, Event, Framing};
use super::{Guard, Recorded, Running, State};

/// Numbers the tokens of all fake upstreams, so that one can refuse what another issued before.
pub(super) static NEXT_TOKEN: AtomicU64 = AtomicU64::new(0);

pub(super) fn tls_config() -> Arc<rustls::ServerConfig> {
    static CONFIG: OnceLock<Arc<rustls::ServerConfig>> = OnceLock::new();
    let config =
        CONFIG.get_or_init(|| tls_config_of(include_str!("cert.pem"), include_str!("key.pem")));
    Arc::clone(config)
}

pub(super) fn tls_config_of(certificate: &str, key: &str) -> Arc<rustls::ServerConfig> {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    Arc::new(config)
}

pub(super) fn accept(listener: &TcpListener, state: &Arc<State>, running: &Arc<Running>) {
    loop {
        let accepted = listener.accept();
        if running.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok((stream, _)) = accepted else { continue };
        let number = state.connections.fetch_add(1, Ordering::SeqCst);
        let (Ok(control), Ok(live)) = (stream.try_clone(), stream.try_clone()) else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        running.live.lock().unwrap().insert(number, live);
        let (state, running) = (Arc::clone(state), Arc::clone(running));
        std::thread::spawn(move || {
            let mut connection = Connection {
                state: &state,
                running: &running,
                number,
                control,
                buffer: Vec::new(),
                reset: false,
            };
            // A client that goes away is no failure of the server's.
            let _ = match &state.tls {
                None => connection.serve(stream),
                Some(config) => rustls::ServerConnection::new(Arc::clone(config))
                    .map_err(io::Error::other)
                    .and_then(|tls| connection.serve(rustls::StreamOwned::new(tls, stream))),
            };
            // Only the last descriptor's closing sends FIN, or RST where it was asked for.
            let reset = connection.reset;
            let control = connection.control;
            running.live.lock().unwrap().remove(&number);
            if reset {
                let linger = Some(std::time::Duration::ZERO);
                let _ = socket2::SockRef::from(&control).set_linger(linger);
            } else {
                let _ = control.shutdown(std::net::Shutdown::Write);
            }
        });
    }
}

struct Connection<'a> {
    state: &'a State,
    running: &'a Running,
    number: u64,
    control: TcpStream,
    buffer: Vec<u8>,
    reset: bool,
}

/// A good answer, before it is spoiled.
struct Plan {
    status: u16,
    headers: Vec<(String, String)>,
    body: Arc<[u8]>,
}

impl Plan {
    fn new(status: u16, content_type: &str, body: impl Into<Arc<[u8]>>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".to_owned(), content_type.to_owned())],
            body: body.into(),
        }
    }

    fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    fn error(status: u16, code: &str) -> Self {
        let body =
            format!(r#"{{"errors":[{{"code":"{code}","message":"by the fake upstream"}}]}}"#);
        Self::new(status, "application/json", body.into_bytes())
    }
}

impl Connection<'_> {
    fn serve<S: Read + Write>(&mut self, mut stream: S) -> io::Result<()> {
        while let Some(request) = self.read_request(&mut stream)? {
            self.state.log.lock().unwrap().push(request.clone());
            let (plan, answer) = self.answer(&request);
            let wants_close = request
                .header("connection")
                .is_some_and(|value| value.eq_ignore_ascii_case("close"));
            if !self.write(&mut stream, &request, plan, &answer)? || wants_close {
                break;
            }
        }
        Ok(())
    }

    /// Reads a head; a body, if one was announced, is read and forgotten.
    fn read_request<S: Read>(&mut self, stream: &mut S) -> io::Result<Option<Recorded>> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            if !self.fill(stream)? {
                return Ok(None);
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let request = Recorded {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            connection: self.number,
        };
        let length = request
            .header("content-length")
            .and_then(|text| text.parse().ok());
        let mut left: usize = length.unwrap_or(0);
        while left > 0 {
            if self.buffer.is_empty() && !self.fill(stream)? {
                return Ok(None);
            }
            let count = left.min(self.buffer.len());
            self.buffer.drain(..count);
            left -= count;
        }
        Ok(Some(request))
    }

    fn fill<S: Read>(&mut self, stream: &mut S) -> io::Result<bool> {
        let mut piece = [0; 8192];
        let count = stream.read(&mut piece)?;
        self.buffer.extend_from_slice(&piece[..count]);
        Ok(count > 0)
    }

    fn answer(&self, request: &Recorded) -> (Plan, Answer) {
        let is_token = request.path == "/token";
        if !is_token && let Some(challenge) = self.challenge(request) {
            let plan = Plan::error(401, "UNAUTHORIZED").with("WWW-Authenticate", challenge);
            return (plan, Answer::good());
        }
        let answer = self.state.scripted(&request.method, &request.path);
        let plan = match &answer.base {
            Base::Canned(status, content_type, body) => {
                Plan::new(*status, content_type, body.clone())
            }
            Base::Redirect(status, location) => Plan::new(*status, "text/html", *b"<a>moved</a>")
                .with("Location", location.replace("{path}", &request.path)),
            _ if is_token => self.token(request),
            _ => self.registry(request, answer.ignore_range),
        };
        (plan, answer)
    }

    /// The challenge for a request that is not let in.
    fn challenge(&self, request: &Recorded) -> Option<String> {
        let sent = request.header("authorization").unwrap_or_default();
        match &*self.state.guard.lock().unwrap() {
            Guard::Nobody => None,
            Guard::Basic(username, password) => {
                (sent != basic(username, password)).then(|| "Basic realm=\"fake\"".to_owned())
            }
            Guard::Bearer(bearer) => {
                let name = split(&request.path).map_or("", |(name, _, _)| name);
                let scope = format!("repository:{name}:pull");
                let valid = sent
                    .strip_prefix("Bearer fake.")
                    .and_then(|token| token.split_once('.'))
                    .is_some_and(|(serial, granted)| {
                        let from = self.state.valid_from.load(Ordering::SeqCst);
                        serial.parse().is_ok_and(|serial: u64| serial >= from)
                            && granted == scope.replace(['/', ':'], ".")
                    });
                let realm = bearer.realm.clone();
                let realm = realm.unwrap_or_else(|| format!("{}/token", self.state.url));
                let service = &bearer.service;
                (!valid).then(|| {
                    format!("Bearer realm=\"{realm}\",service=\"{service}\",scope=\"{scope}\"")
                })
            }
        }
    }

    fn token(&self, request: &Recorded) -> Plan {
        let bearer = match &*self.state.guard.lock().unwrap() {
            Guard::Bearer(bearer) => bearer.clone(),
            _ => super::Bearer::default(),
        };
        if let Some((username, password)) = &bearer.credentials
            && request.header("authorization") != Some(&basic(username, password))
        {
            return Plan::error(401, "UNAUTHORIZED")
                .with("WWW-Authenticate", "Basic realm=\"token\"");
        }
        let scope = parameter(&request.query, "scope").unwrap_or_default();
        let serial = NEXT_TOKEN.fetch_add(1, Ordering::SeqCst);
        let token = format!("fake.{serial}.{}", scope.replace(['/', ':'], "."));
        let body = serde_json::json!({bearer.field: token, "expires_in": bearer.expires_in});
        Plan::new(200, "application/json", body.to_string().into_bytes())
    }

    /// The rate limit as this answer tells it.
    fn rate_limit(&self, is_pull: bool) -> Option<(u64, u64)> {
        let mut rate_limit = self.state.rate_limit.lock().unwrap();
        let counts = is_pull && self.state.counts_pulls.load(Ordering::SeqCst);
        if let Some((_, remaining)) = rate_limit.as_mut().filter(|_| counts) {
            *remaining = remaining.saturating_sub(1);
        }
        *rate_limit
    }

    fn registry(&self, request: &Recorded, ignore_range: bool) -> Plan {
        if request.path == "/v2/" {
            return Plan::new(200, "application/json", *b"{}");
        }
        let Some((name, kind, reference)) = split(&request.path) else {
            return Plan::error(404, "NAME_UNKNOWN");
        };
        let key = (name.to_owned(), reference.to_owned());
        let content = self.state.content.lock().unwrap();
        match kind {
            "manifests" => {
                let plan = match content.manifests.get(&key) {
                    None => Plan::error(404, "MANIFEST_UNKNOWN"),
                    Some(stored) => Plan::new(200, &stored.media_type, Arc::clone(&stored.bytes))
                        .with("Docker-Content-Digest", &stored.digest),
                };
                let is_pull = request.method == "GET" && plan.status == 200;
                let rate_limit = self.rate_limit(is_pull);
                match rate_limit {
                    None => plan,
                    Some((limit, remaining)) => plan
                        .with("ratelimit-limit", format!("{limit};w=21600"))
                        .with("ratelimit-remaining", format!("{remaining};w=21600"))
                        .with("docker-ratelimit-source", "192.0.2.1"),
                }
            }
            "blobs" => match content.blobs.get(&key) {
                None => Plan::error(404, "BLOB_UNKNOWN"),
                Some(bytes) => blob(request, bytes, reference, ignore_range),
            },
            "tags" => {
                let number = parameter(&request.query, "n").and_then(|n| n.parse().ok());
                let number: usize = number.unwrap_or(usize::MAX);
                let last = parameter(&request.query, "last").unwrap_or_default();
                let all = content.tags.keys().filter(|(own, _)| own == name);
                let all: Vec<_> = all.map(|(_, tag)| tag).filter(|tag| **tag > last).collect();
                let page = &all[..number.min(all.len())];
                let body = serde_json::json!({"name": name, "tags": page}).to_string();
                let plan = Plan::new(200, "application/json", body.into_bytes());
                match page.last() {
                    Some(last) if page.len() < all.len() => plan.with(
                        "Link",
                        format!("</v2/{name}/tags/list?n={number}&last={last}>; rel=\"next\""),
                    ),
                    _ => plan,
                }
            }
            "referrers" if content.has_referrers_api => {
                let wanted = parameter(&request.query, "artifactType");
                let mut found = content.referrers.get(&key).cloned().unwrap_or_default();
                if let Some(wanted) = &wanted {
                    found.retain(|one| one["artifactType"] == **wanted);
                }
                let media_type = "application/vnd.oci.image.index.v1+json";
                let body = serde_json::json!({
                    "schemaVersion": 2, "mediaType": media_type, "manifests": found,
                });
                let plan = Plan::new(200, media_type, body.to_string().into_bytes());
                match wanted {
                    Some(_) => plan.with("OCI-Filters-Applied", "artifactType"),
                    None => plan,
                }
            }
            _ => Plan::error(404, "NOT_FOUND"),
        }
    }

    /// Writes the answer with its flaws; whether the connection may be used again.
    fn write<S: Read + Write>(
        &mut self,
        stream: &mut S,
        request: &Recorded,
        plan: Plan,
        answer: &Answer,
    ) -> io::Result<bool> {
        std::thread::sleep(answer.delay);
        match answer.base {
            Base::Silence => return self.stall(stream),
            Base::HangUp => return Ok(false),
            Base::Reset => {
                self.reset = true;
                return Ok(false);
            }
            _ => {}
        }
        let mut body = if answer.empty {
            Arc::from([])
        } else {
            plan.body
        };
        if answer.wrong_bytes {
            let mut wrong = body.to_vec();
            if let Some(last) = wrong.last_mut() {
                *last ^= 0xff;
            }
            body = wrong.into();
        }
        let mut head = format!("HTTP/1.1 {} Fake\r\n", plan.status);
        let left_out = |name: &str| {
            answer
                .without
                .iter()
                .any(|out| out.eq_ignore_ascii_case(name))
        };
        let own = plan.headers.iter().filter(|(name, _)| !left_out(name));
        for (name, value) in own.chain(&answer.headers) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut keep = true;
        match answer.framing {
            _ if left_out("Content-Length") => {}
            Framing::Length(off) => {
                let length = i64::try_from(body.len()).unwrap() + off;
                head.push_str(&format!("Content-Length: {length}\r\n"));
                keep = off == 0;
            }
            Framing::Chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
            Framing::UntilClose => {
                head.push_str("Connection: close\r\n");
                keep = false;
            }
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        stream.flush()?;
        if request.method == "HEAD" {
            return Ok(keep);
        }
        Ok(self.write_body(stream, &body, answer)? && keep)
    }

    fn write_body<S: Read + Write>(
        &mut self,
        stream: &mut S,
        body: &[u8],
        answer: &Answer,
    ) -> io::Result<bool> {
        let chunked = matches!(answer.framing, Framing::Chunked);
        let (piece, pause) = answer
            .pace
            .unwrap_or((64 * 1024, std::time::Duration::ZERO));
        let mut event = answer.event.clone();
        let mut sent = 0;
        loop {
            match &event {
                Some((at, what)) if sent >= (*at).min(body.len()) => {
                    match what {
                        Event::Close => return Ok(false),
                        Event::Reset => {
                            self.reset = true;
                            return Ok(false);
                        }
                        Event::Stall => return self.stall(stream),
                        Event::Wait(gate) => {
                            gate.pass(|| self.running.stopped.load(Ordering::SeqCst));
                        }
                    }
                    event = None;
                }
                _ => {}
            }
            if sent == body.len() || self.running.stopped.load(Ordering::SeqCst) {
                break;
            }
            let until = event
                .as_ref()
                .map_or(body.len(), |(at, _)| (*at).min(body.len()));
            let count = piece.min(until - sent);
            let bytes = &body[sent..sent + count];
            // Before it leaves, so that whoever received it finds it counted.
            self.state
                .body_bytes
                .fetch_add(count as u64, Ordering::SeqCst);
            if chunked {
                stream.write_all(format!("{count:x}\r\n").as_bytes())?;
                stream.write_all(bytes)?;
                stream.write_all(b"\r\n")?;
            } else {
                stream.write_all(bytes)?;
            }
            stream.flush()?;
            sent += count;
            if !pause.is_zero() {
                std::thread::sleep(pause);
            }
        }
        if chunked && sent == body.len() {
            stream.write_all(b"0\r\n\r\n")?;
            stream.flush()?;
        }
        Ok(sent == body.len())
    }

    /// Says nothing until the client goes away or the server stops, which shuts the socket down.
    fn stall<S: Read>(&mut self, stream: &mut S) -> io::Result<bool> {
        while self.fill(stream)? {}
        Ok(false)
    }
}

/// A blob, whole or in part (RFC 9110, section 14), with `If-Range`.
fn blob(request: &Recorded, bytes: &Arc<[u8]>, digest: &str, ignore_range: bool) -> Plan {
    let etag = format!("\"{digest}\"");
    let plan = |status, body| {
        Plan::new(status, "application/octet-stream", body)
            .with("Docker-Content-Digest", digest)
            .with("ETag", &etag)
            .with("Accept-Ranges", "bytes")
    };
    let range = request
        .header("range")
        .filter(|_| !ignore_range)
        .filter(|_| request.header("if-range").is_none_or(|own| own == etag))
        .and_then(|text| text.strip_prefix("bytes=")?.split_once('-'))
        .and_then(|(first, last)| {
            let last = if last.is_empty() {
                usize::MAX
            } else {
                last.parse().ok()?
            };
            Some((first.parse::<usize>().ok()?, last))
        });
    let total = bytes.len();
    match range {
        None => plan(200, Arc::clone(bytes)),
        Some((first, _)) if first >= total => {
            Plan::error(416, "RANGE").with("Content-Range", format!("bytes */{total}"))
        }
        Some((first, last)) => {
            let last = last.min(total - 1);
            plan(206, Arc::from(&bytes[first..=last]))
                .with("Content-Range", format!("bytes {first}-{last}/{total}"))
        }
    }
}

/// `/v2/NAME/KIND/REFERENCE`, where NAME may hold slashes.
fn split(path: &str) -> Option<(&str, &str, &str)> {
    let (rest, reference) = path.strip_prefix("/v2/")?.rsplit_once('/')?;
    let (name, kind) = rest.rsplit_once('/')?;
    Some((name, kind, reference))
}

fn parameter(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

fn basic(username: &str, password: &str) -> String {
    let pair = format!("{username}:{password}");
    format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(pair)
    )
}
