//! A server with a closure for a handler, and a client that sends raw bytes and reads answers strictly.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use breakwater::http::{
    Body, Handler, Limits, Listener, Refusal, Request, Response, Server, TlsIdentity,
};
use rustls::ClientConfig;

use crate::support::certificates::{Authority, TlsConnection, tls_over};

/// Nothing on loopback takes so long; a test that waits for it has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

struct Answering<F>(F);

impl<F: Fn(&mut Request) -> Response + Send + Sync + 'static> Handler for Answering<F> {
    fn handle(&self, request: &mut Request) -> Response {
        (self.0)(request)
    }
    fn may_answer_from_memory(&self, head: &[u8]) -> bool {
        head.starts_with(b"GET /memory")
    }
    fn refuse(&self, refusal: &Refusal) -> Response {
        text(refusal.status, refusal.message)
    }
}

/// A response of a few words.
pub(super) fn text(status: u16, words: &str) -> Response {
    Response::new(status).body(Body::Bytes(Arc::from(words.as_bytes())))
}

/// Limits under which no test runs into a deadline by accident.
pub(super) fn limits() -> Limits {
    Limits {
        workers: 16,
        max_connections: 4096,
        max_connections_per_address: 4096,
        head_timeout: PATIENCE,
        idle_timeout: PATIENCE,
        stall_timeout: PATIENCE,
    }
}

/// Starts a server on a free port.
pub(super) fn serve(
    limits: Limits,
    handle: impl Fn(&mut Request) -> Response + Send + Sync + 'static,
) -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    serve_on(listener, limits, handle)
}

/// Starts a server on a listener, whose options its connections have too.
pub(super) fn serve_on(
    listener: TcpListener,
    limits: Limits,
    handle: impl Fn(&mut Request) -> Response + Send + Sync + 'static,
) -> Server {
    start(listener.into(), limits, handle)
}

fn start(
    listener: Listener,
    limits: Limits,
    handle: impl Fn(&mut Request) -> Response + Send + Sync + 'static,
) -> Server {
    Server::start([listener], limits, Arc::new(Answering(handle))).unwrap()
}

/// A server that speaks TLS, and what its clients need.
pub(super) struct TlsServer {
    pub(super) server: Server,
    pub(super) authority: Authority,
    pub(super) identity: Arc<TlsIdentity>,
    /// Where its files are.
    pub(super) directory: tempfile::TempDir,
    client: Arc<ClientConfig>,
}

/// Starts a server with TLS on a free port.
pub(super) fn serve_tls(
    limits: Limits,
    handle: impl Fn(&mut Request) -> Response + Send + Sync + 'static,
) -> TlsServer {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    serve_tls_on(listener, limits, handle)
}

/// As `serve_tls`, on a listener.
pub(super) fn serve_tls_on(
    listener: TcpListener,
    limits: Limits,
    handle: impl Fn(&mut Request) -> Response + Send + Sync + 'static,
) -> TlsServer {
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    let life = Duration::from_secs(24 * 60 * 60);
    let (certificate, key) = authority.issue(life).write(directory.path());
    let identity = TlsIdentity::load(&certificate, &key).unwrap();
    let listener = Listener::tls(listener, identity.clone());
    TlsServer {
        server: start(listener, limits, handle),
        client: Arc::new(authority.client(rustls::ALL_VERSIONS)),
        authority,
        identity,
        directory,
    }
}

impl TlsServer {
    pub(super) fn address(&self) -> SocketAddr {
        self.server.addresses()[0]
    }

    /// A client of the newest version that has done its handshake.
    pub(super) fn connect(&self) -> Client<TlsConnection> {
        self.connect_with(&self.client).unwrap()
    }

    /// As `connect`, with a configuration of its own.
    pub(super) fn connect_with(
        &self,
        config: &Arc<ClientConfig>,
    ) -> io::Result<Client<TlsConnection>> {
        let socket = Client::connect(&self.server).stream;
        tls_over(socket, config).map(Client::on)
    }
}

/// Answers `method path body`, so that order and content can be checked.
pub(super) fn echo(request: &mut Request) -> Response {
    let mut body = Vec::new();
    if let Err(error) = request.body.read_to_end(&mut body) {
        let status = match error.kind() {
            io::ErrorKind::TimedOut => 408,
            _ => 400,
        };
        return text(status, &error.to_string());
    }
    let words = format!(
        "{} {} {}",
        request.method.as_str(),
        request.path,
        String::from_utf8_lossy(&body)
    );
    text(200, &words)
}

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A connection to the server: TCP, or TLS over it.
pub(super) struct Client<S = TcpStream> {
    pub(super) stream: S,
    unread: Vec<u8>,
}

impl Client {
    pub(super) fn connect(server: &Server) -> Self {
        Self::connect_to(server.addresses()[0])
    }

    pub(super) fn connect_to(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    pub(super) fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::on(stream)
    }
}

impl<S: Read + Write> Client<S> {
    pub(super) fn on(stream: S) -> Self {
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// A GET that keeps the connection.
    pub(super) fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        self.answer().unwrap()
    }

    /// The next answer to anything but HEAD.
    pub(super) fn answer(&mut self) -> io::Result<Answer> {
        let mut answer = self.head()?;
        let chunked = answer.field("transfer-encoding") == Some("chunked");
        let length = answer
            .field("content-length")
            .map(|value| value.parse().unwrap());
        answer.body = match (chunked, length) {
            (true, None) => self.chunks()?,
            (false, Some(length)) => self.take(length)?,
            (false, None) if matches!(answer.status, 100 | 204 | 304) => Vec::new(),
            (false, None) => self.rest()?,
            (true, Some(_)) => panic!("both framings in {}", answer.head),
        };
        Ok(answer)
    }

    /// The next head alone.
    pub(super) fn head(&mut self) -> io::Result<Answer> {
        let head = String::from_utf8(self.through(b"\r\n\r\n")?).unwrap();
        assert!(head.starts_with("HTTP/1.1 "), "{head:?}");
        Ok(Answer {
            status: head[9..12].parse().unwrap(),
            head,
            body: Vec::new(),
        })
    }

    /// Everything until the server's end; an error if it was a reset.
    pub(super) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = std::mem::take(&mut self.unread);
        self.stream.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Whether the connection ends here, with nothing more said. A reset is an end too.
    pub(super) fn is_over(&mut self) -> bool {
        match self.rest() {
            Ok(bytes) => bytes.is_empty(),
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    pub(super) fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < length {
            self.fill()?;
        }
        Ok(self.unread.drain(..length).collect())
    }

    fn through(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self
                .unread
                .windows(end.len())
                .position(|window| window == end)
            {
                return Ok(self.unread.drain(..at + end.len()).collect());
            }
            self.fill()?;
        }
    }

    /// The next chunk; empty for the last.
    pub(super) fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let line = String::from_utf8(self.through(b"\r\n")?).unwrap();
        let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
        let mut chunk = self.take(size + 2)?;
        assert_eq!(chunk.split_off(size), b"\r\n");
        Ok(chunk)
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Ok(body);
            }
            body.extend(chunk);
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut piece = vec![0; 64 * 1024];
        match self.stream.read(&mut piece)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.unread.extend_from_slice(&piece[..count]);
                Ok(())
            }
        }
    }
}

/// Runs an ignored test, named with its modules, in a process of its own, and gives what it printed.
pub(super) fn run_alone(test: &str) -> String {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout).into_owned();
    let errors = String::from_utf8_lossy(&child.stderr);
    assert!(output.contains("1 passed"), "{output}{errors}");
    output
}

pub(super) fn limit_descriptors(count: Option<u64>) {
    let resource = rustix::process::Resource::Nofile;
    let maximum = rustix::process::getrlimit(resource).maximum;
    let limit = rustix::process::Rlimit {
        current: count,
        maximum,
    };
    rustix::process::setrlimit(resource, limit).unwrap();
}

/// Resident memory of this process in bytes.
pub(super) fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kilobytes = line.split_whitespace().nth(1).unwrap();
    kilobytes.parse::<usize>().unwrap() * 1024
}

/// Connects from another address of the loopback network.
pub(super) fn connect_from(server: &Server, host: u8) -> Client {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let source = SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0));
    socket.bind(&source.into()).unwrap();
    socket.connect(&server.addresses()[0].into()).unwrap();
    Client::over(socket.into())
}

/// Waits until `condition` holds; fails the test if it never does.
pub(super) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
