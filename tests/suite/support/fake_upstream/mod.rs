//! A registry to pull from, whose every answer a test can spoil: truncated, stalled, reset, slow, lying.
//! On raw sockets, because a proper HTTP server would not do most of that.
//!
//! ```ignore
//! let fake = FakeUpstream::start();                       // 127.0.0.1, any port
//! let image = Image::oci(1, &[1000, 2000]);
//! fake.put_image("library/alpine", "latest", &image);
//! fake.require_bearer(Bearer::default());                 // its own /token
//! fake.on("GET", "/blobs/").next([Answer::status(500), Answer::good().truncate_at(10)]);
//! fake.on("HEAD", "/manifests/").always(Answer::status(405));
//! // …
//! assert_eq!(fake.count("GET", "/blobs/"), 3);
//! fake.stop();                                            // connection refused
//! fake.restart();                                         // same port, same content
//! ```
//!
//! A request is answered by the oldest queued answer that matches it, else by the newest standing one,
//! else well. Authorization is judged before that, except at `/token`, so that scripted answers are spent
//! only by requests that were let in. One thread a connection; `Drop` ends everything and frees the port.

mod answer;
mod image;
mod serve;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use breakwater::oci::{Digest, MediaType};

pub(crate) use answer::{Answer, Gate};
pub(crate) use image::{Image, Index, noise};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Without the `?`; empty if there was none.
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    /// Counts the connections of this server; tells which requests shared one.
    pub(crate) connection: u64,
}

impl Recorded {
    /// A header's first value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let named = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .find(named)
            .map(|(_, value)| value.as_str())
    }
}

/// The `Bearer` dance that a server demands.
#[derive(Clone, Debug)]
pub(crate) struct Bearer {
    /// The realm that the challenge names; `None`: this server's own `/token`.
    pub(crate) realm: Option<String>,
    /// The service that it names.
    pub(crate) service: String,
    /// Basic credentials that this server's `/token` demands.
    pub(crate) credentials: Option<(String, String)>,
    /// What `/token` says in `expires_in`.
    pub(crate) expires_in: u64,
    /// The field that holds the token: `token` or `access_token`.
    pub(crate) field: &'static str,
}

impl Default for Bearer {
    fn default() -> Self {
        Self {
            realm: None,
            service: "fake.example".to_owned(),
            credentials: None,
            expires_in: 300,
            field: "token",
        }
    }
}

#[derive(Clone, Debug)]
enum Guard {
    Nobody,
    Basic(String, String),
    Bearer(Bearer),
}

#[derive(Clone)]
struct StoredManifest {
    media_type: String,
    bytes: Arc<[u8]>,
    digest: Digest,
}

#[derive(Default)]
struct Content {
    blobs: HashMap<(String, String), Arc<[u8]>>,
    manifests: HashMap<(String, String), StoredManifest>,
    tags: BTreeMap<(String, String), ()>,
    referrers: HashMap<(String, String), Vec<serde_json::Value>>,
    has_referrers_api: bool,
}

struct Rule {
    method: String,
    part: String,
    queue: VecDeque<Answer>,
    standing: Option<Answer>,
}

/// Survives `stop` and `restart`.
struct State {
    content: Mutex<Content>,
    rules: Mutex<Vec<Rule>>,
    guard: Mutex<Guard>,
    rate_limit: Mutex<Option<(u64, u64)>>,
    counts_pulls: AtomicBool,
    log: Mutex<Vec<Recorded>>,
    /// Tokens issued before this serial number are refused.
    valid_from: AtomicU64,
    connections: AtomicU64,
    body_bytes: AtomicU64,
    tls: Option<Arc<rustls::ServerConfig>>,
    /// `http://127.0.0.1:5000`
    url: String,
}

/// Ends with `stop`.
struct Running {
    stopped: AtomicBool,
    live: Mutex<HashMap<u64, TcpStream>>,
}

/// The server. See the module.
pub(crate) struct FakeUpstream {
    state: Arc<State>,
    address: SocketAddr,
    running: Mutex<Option<(Arc<Running>, JoinHandle<()>)>>,
}

impl FakeUpstream {
    /// Starts on 127.0.0.1 and any port.
    pub(crate) fn start() -> Self {
        Self::start_on("127.0.0.1")
    }

    /// Starts on another loopback address: another host for whoever follows redirects.
    pub(crate) fn start_on(address: &str) -> Self {
        Self::begin(address, None)
    }

    /// Starts with TLS; its certificate is [`FakeUpstream::ca_file`].
    pub(crate) fn start_tls() -> Self {
        Self::begin("127.0.0.1", Some(serve::tls_config()))
    }

    /// Starts with TLS and this certificate with its key, in PEM.
    pub(crate) fn start_with_certificate(certificate: &str, key: &str) -> Self {
        Self::begin("127.0.0.1", Some(serve::tls_config_of(certificate, key)))
    }

    /// The PEM file to trust for [`FakeUpstream::start_tls`].
    pub(crate) fn ca_file() -> PathBuf {
        PathBuf::from(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/suite/support/fake_upstream/cert.pem"
        ))
    }

    fn begin(address: &str, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let address: IpAddr = address.parse().unwrap();
        let listener = TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let state = Arc::new(State {
            content: Mutex::default(),
            rules: Mutex::default(),
            guard: Mutex::new(Guard::Nobody),
            rate_limit: Mutex::default(),
            counts_pulls: AtomicBool::new(false),
            log: Mutex::default(),
            valid_from: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            body_bytes: AtomicU64::new(0),
            tls,
            url: format!("{scheme}://{address}"),
        });
        let fake = Self {
            state,
            address,
            running: Mutex::default(),
        };
        fake.run(listener);
        fake
    }

    fn run(&self, listener: TcpListener) {
        let running = Arc::new(Running {
            stopped: AtomicBool::new(false),
            live: Mutex::default(),
        });
        let thread = std::thread::spawn({
            let (state, running) = (Arc::clone(&self.state), Arc::clone(&running));
            move || serve::accept(&listener, &state, &running)
        });
        *self.running.lock().unwrap() = Some((running, thread));
    }

    /// `http://127.0.0.1:5000`, without a slash at the end.
    pub(crate) fn url(&self) -> &str {
        &self.state.url
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts all connections and frees the port: who connects now is refused. Content, rules and log stay.
    pub(crate) fn stop(&self) {
        let Some((running, thread)) = self.running.lock().unwrap().take() else {
            return;
        };
        running.stopped.store(true, Ordering::SeqCst);
        // Wakes the accept loop, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
        let _ = thread.join();
        for stream in running.live.lock().unwrap().values() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Listens again, on the same port. Does nothing while it runs.
    pub(crate) fn restart(&self) {
        if self.running.lock().unwrap().is_none() {
            self.run(TcpListener::bind(self.address).unwrap());
        }
    }

    // What it has.

    /// Puts a blob into a repository.
    pub(crate) fn put_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let key = (repository.to_owned(), digest.to_string());
        self.content(|content| content.blobs.insert(key, bytes.into()));
        digest
    }

    /// Puts a manifest into a repository, under its digest and, unless that is empty, a tag, which moves.
    pub(crate) fn put_manifest(
        &self,
        repository: &str,
        tag: &str,
        media_type: MediaType,
        bytes: &[u8],
    ) -> Digest {
        let digest = Digest::of(bytes);
        let stored = StoredManifest {
            media_type: media_type.as_str().to_owned(),
            bytes: bytes.into(),
            digest: digest.clone(),
        };
        self.content(|content| {
            if !tag.is_empty() {
                let key = (repository.to_owned(), tag.to_owned());
                content.tags.insert(key.clone(), ());
                content.manifests.insert(key, stored.clone());
            }
            let key = (repository.to_owned(), digest.to_string());
            content.manifests.insert(key, stored);
        });
        digest
    }

    /// Puts an image with all its blobs; gives its manifest's digest.
    pub(crate) fn put_image(&self, repository: &str, tag: &str, image: &Image) -> Digest {
        for blob in image.blobs() {
            self.put_blob(repository, blob);
        }
        self.put_manifest(repository, tag, image.media_type, &image.manifest)
    }

    /// Puts an index with all its images; gives the index's digest.
    pub(crate) fn put_index(&self, repository: &str, tag: &str, index: &Index) -> Digest {
        for image in &index.images {
            self.put_image(repository, "", image);
        }
        self.put_manifest(repository, tag, index.media_type, &index.bytes)
    }

    /// Removes a tag, or a manifest by its digest.
    pub(crate) fn remove_manifest(&self, repository: &str, reference: &str) {
        let key = (repository.to_owned(), reference.to_owned());
        self.content(|content| {
            content.tags.remove(&key);
            content.manifests.remove(&key);
        });
    }

    /// Removes a blob.
    pub(crate) fn remove_blob(&self, repository: &str, digest: &Digest) {
        let key = (repository.to_owned(), digest.to_string());
        self.content(|content| content.blobs.remove(&key));
    }

    /// Switches the referrers API on, which is off at first, and adds a descriptor to a subject's list.
    pub(crate) fn put_referrer(
        &self,
        repository: &str,
        subject: &Digest,
        descriptor: serde_json::Value,
    ) {
        let key = (repository.to_owned(), subject.to_string());
        self.content(|content| {
            content.has_referrers_api = true;
            content.referrers.entry(key).or_default().push(descriptor);
        });
    }

    fn content<T>(&self, change: impl FnOnce(&mut Content) -> T) -> T {
        change(&mut self.state.content.lock().unwrap())
    }

    // How it behaves.

    /// Scripts answers for requests with `method` (`*`: any) and a path that contains `part`.
    pub(crate) fn on(&self, method: &str, part: &str) -> On<'_> {
        On {
            fake: self,
            method: method.to_owned(),
            part: part.to_owned(),
        }
    }

    /// Forgets all scripted answers.
    pub(crate) fn behave(&self) {
        self.state.rules.lock().unwrap().clear();
    }

    /// Lets everybody in, as at first.
    pub(crate) fn require_nothing(&self) {
        *self.state.guard.lock().unwrap() = Guard::Nobody;
    }

    /// Demands a username and password.
    pub(crate) fn require_basic(&self, username: &str, password: &str) {
        *self.state.guard.lock().unwrap() = Guard::Basic(username.to_owned(), password.to_owned());
    }

    /// Demands a token.
    pub(crate) fn require_bearer(&self, bearer: Bearer) {
        *self.state.guard.lock().unwrap() = Guard::Bearer(bearer);
    }

    /// Refuses all tokens that were issued so far, by any fake upstream of this process.
    pub(crate) fn revoke_tokens(&self) {
        let next = serve::NEXT_TOKEN.load(Ordering::SeqCst);
        self.state.valid_from.store(next, Ordering::SeqCst);
    }

    /// Docker Hub's headers on manifest answers: limit and remaining, window 21600 s.
    pub(crate) fn set_rate_limit(&self, limit: u64, remaining: u64) {
        *self.state.rate_limit.lock().unwrap() = Some((limit, remaining));
    }

    /// The same, and each GET of a manifest takes one of what remains, as at Docker Hub.
    pub(crate) fn count_pulls(&self, limit: u64, remaining: u64) {
        self.set_rate_limit(limit, remaining);
        self.state.counts_pulls.store(true, Ordering::SeqCst);
    }

    // What it saw.

    /// All requests so far, in the order in which their heads came.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.state.log.lock().unwrap().clone()
    }

    /// The requests with `method` (`*`: any) and a path that contains `part`.
    pub(crate) fn requests_for(&self, method: &str, part: &str) -> Vec<Recorded> {
        let mut all = self.requests();
        all.retain(|one| (method == "*" || one.method == method) && one.path.contains(part));
        all
    }

    /// How many those were.
    pub(crate) fn count(&self, method: &str, part: &str) -> usize {
        self.requests_for(method, part).len()
    }

    /// Forgets the requests so far.
    pub(crate) fn forget_requests(&self) {
        self.state.log.lock().unwrap().clear();
    }

    /// How many connections were accepted so far.
    pub(crate) fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// How many bytes of bodies were sent so far.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.state.body_bytes.load(Ordering::SeqCst)
    }
}

impl Drop for FakeUpstream {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Answers to be scripted; see [`FakeUpstream::on`].
pub(crate) struct On<'a> {
    fake: &'a FakeUpstream,
    method: String,
    part: String,
}

impl On<'_> {
    /// The next answers, one request each, after those queued before.
    pub(crate) fn next(self, answers: impl IntoIterator<Item = Answer>) {
        self.rule(|rule| rule.queue.extend(answers));
    }

    /// Each answer from now on, once the queued ones are spent.
    pub(crate) fn always(self, answer: Answer) {
        self.rule(|rule| rule.standing = Some(answer));
    }

    fn rule(self, change: impl FnOnce(&mut Rule)) {
        let mut rules = self.fake.state.rules.lock().unwrap();
        let known = rules
            .iter()
            .position(|rule| rule.method == self.method && rule.part == self.part);
        let at = known.unwrap_or_else(|| {
            rules.push(Rule {
                method: self.method,
                part: self.part,
                queue: VecDeque::new(),
                standing: None,
            });
            rules.len() - 1
        });
        change(&mut rules[at]);
    }
}

impl State {
    /// The answer to a request that was let in.
    fn scripted(&self, method: &str, path: &str) -> Answer {
        let mut rules = self.rules.lock().unwrap();
        let fits = |rule: &Rule| {
            (rule.method == "*" || rule.method == method) && path.contains(&rule.part)
        };
        let queued = rules
            .iter_mut()
            .filter(|rule| fits(rule))
            .find_map(|rule| rule.queue.pop_front());
        queued
            .or_else(|| {
                let mut standing = rules.iter().rev().filter(|rule| fits(rule));
                standing.find_map(|rule| rule.standing.clone())
            })
            .unwrap_or_else(Answer::good)
    }
}
