//! The server's end of the socket.

use std::fs::{File, Permissions};
use std::io::{Read as _, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tiny_http::{Header, Method, Request, Response, Server};

use super::{Asked, Controlled, OPERATIONS, Refused, SOCKET, WATCHED, Watch, reachable};
use crate::context::{self, Origin};
use crate::error::{Error, Kind, Result};

/// The largest request that is read: a certificate authority's file is the longest that one holds.
const MAX_BODY: u64 = 8 << 20;
/// An answer of more bytes took much memory to make.
const LONG: usize = 1 << 20;
/// Between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// The listening socket, and the thread that answers on it. Dropping it stops both and removes the
/// socket; a long task that is running is not waited for.
pub struct ControlListener {
    server: Arc<Server>,
    thread: Option<JoinHandle<()>>,
    /// Keeps the way to a socket with a long path open.
    _directory: Option<File>,
}

impl ControlListener {
    /// Listens on `data`/control.sock. The caller holds the store's lock: a socket that is there
    /// already was left by a server that is dead, and is replaced.
    ///
    /// # Errors
    /// `Io` if the socket or the thread cannot be made.
    pub fn start(data: &Path, controlled: Arc<dyn Controlled>) -> Result<Self> {
        let path = data.join(SOCKET);
        let cannot = |error| Error::io("cannot listen on", &path, error);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(cannot(error));
            }
            _ => {}
        }
        let (short, directory) = reachable(data).map_err(cannot)?;
        let listener = UnixListener::bind(short).map_err(cannot)?;
        // The directory is 0700 and the umask 077; this makes it so whatever they are.
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(cannot)?;
        let server = Server::from_listener(listener, None)
            .map_err(|error| cannot(std::io::Error::other(error)))?;
        let server = Arc::new(server);
        let receiver = Arc::clone(&server);
        let thread = std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || receive(&receiver, &controlled))
            .map_err(cannot)?;
        Ok(Self {
            server,
            thread: Some(thread),
            _directory: directory,
        })
    }
}

impl Drop for ControlListener {
    fn drop(&mut self) {
        self.server.unblock();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // The last `Arc` goes with `self`; tiny_http then wakes its acceptor and removes the socket.
    }
}

/// Answers each request on a thread of its own, so that a long one holds up nobody.
fn receive(server: &Server, controlled: &Arc<dyn Controlled>) {
    let verifying = Arc::new(AtomicBool::new(false));
    while let Ok(request) = server.recv() {
        let (controlled, verifying) = (Arc::clone(controlled), Arc::clone(&verifying));
        let spawned = std::thread::Builder::new()
            .name("control-request".to_owned())
            .spawn(move || answer(request, controlled.as_ref(), &verifying));
        if let Err(error) = spawned {
            tracing::error!(%error, "no thread for a command");
        }
    }
}

/// Lets the next one in, also after a panic.
struct Running<'a>(&'a AtomicBool);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn answer(mut request: Request, controlled: &dyn Controlled, verifying: &AtomicBool) {
    let path = request.url().to_owned();
    if let (Method::Post, Some(name)) = (request.method(), path.strip_prefix(OPERATIONS)) {
        let result =
            body(&mut request).and_then(|asked| question(|| controlled.perform(name, asked)));
        return respond(request, controlled, result);
    }
    if let (Method::Post, Some(name)) = (request.method(), path.strip_prefix(WATCHED)) {
        return match body::<Asked>(&mut request) {
            Ok(asked) => stream(request, None, |watch| {
                question(|| controlled.perform_watched(name, asked, watch))
            }),
            Err(error) => respond(request, controlled, Err(error)),
        };
    }
    let result = match (request.method(), path.as_str()) {
        (Method::Get, "/status") => status_of(controlled),
        (Method::Post, "/verify" | "/repair") => {
            if verifying.swap(true, Ordering::AcqRel) {
                Err(
                    Error::new(Kind::Conflict, "another `verify` is running already")
                        .remedy("wait until it is done"),
                )
            } else {
                let repair = path == "/repair";
                return stream(request, Some(Running(verifying)), |watch| {
                    let progress = |done, total| {
                        // Whoever asked may have gone; the scrub goes on, and its findings are in the log.
                        watch(done, total);
                    };
                    controlled.verify(repair, &progress)
                });
            }
        }
        _ => Err(Error::new(
            Kind::NotFound,
            "the running server does not know this command",
        )
        .remedy("restart it, so that it has the version of the command line")),
    };
    respond(request, controlled, result);
}

fn body<T: DeserializeOwned>(request: &mut Request) -> Result<T> {
    let mut body = Vec::new();
    let read = request.as_reader().take(MAX_BODY).read_to_end(&mut body);
    read.map_err(|error| {
        Error::new(Kind::BadRequest, "the request did not arrive").because(error)
    })?;
    serde_json::from_slice(&body).map_err(|error| {
        Error::new(
            Kind::BadRequest,
            "the request is not of the form that it has here",
        )
        .because(error)
        .remedy("restart the server, so that it has the version of the command line")
    })
}

fn respond(request: Request, controlled: &dyn Controlled, result: Result<Box<RawValue>>) {
    let (status, body) = match result {
        Ok(body) => (200, Box::<str>::from(body).into_string()),
        Err(error) => (500, json!(Refused::from(&error)).to_string()),
    };
    let is_long = body.len() > LONG;
    let mut response = Response::from_string(body).with_status_code(status);
    if let Ok(header) = Header::from_bytes("Content-Type", "application/json") {
        response.add_header(header);
    }
    // Whoever asked may have gone.
    let _ = request.respond(response);
    if is_long {
        controlled.has_answered_long();
    }
}

/// What is asked reads much at most, and waits its turn among the lists that others ask for. Whether whoever asked is
/// still there cannot be told here.
fn question<T>(answer: impl FnOnce() -> T) -> T {
    context::serve(Origin::BOX, || false, answer)
}

fn status_of(controlled: &dyn Controlled) -> Result<Box<RawValue>> {
    to_raw_value(&controlled.status())
        .map_err(|error| Error::internal("the status is no JSON").because(error))
}

/// Streams progress while it is worked. tiny_http would collect a body of unknown length for an HTTP/1.0 client, so the
/// answer is written by hand; its end is the connection's.
fn stream(
    request: Request,
    running: Option<Running<'_>>,
    work: impl FnOnce(Watch<'_>) -> Result<Box<RawValue>>,
) {
    let writer = Mutex::new(request.into_writer());
    let is_read = AtomicBool::new(true);
    let write = |line: &str| {
        if let Ok(mut writer) = writer.lock() {
            let written = writer
                .write_all(line.as_bytes())
                .and_then(|()| writer.flush());
            if written.is_err() {
                is_read.store(false, Ordering::Release);
            }
        }
    };
    write("HTTP/1.0 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n");
    let last = Mutex::new(Instant::now());
    let watch = |done: u64, total: u64| {
        if let Ok(mut last) = last.try_lock()
            && last.elapsed() >= PROGRESS_EVERY
        {
            *last = Instant::now();
            write(&line(
                &json!({ "progress": { "done": done, "total": total } }),
            ));
        }
        is_read.load(Ordering::Acquire)
    };
    let end = match work(&watch) {
        Ok(report) => format!("{{\"report\":{report}}}\n"),
        Err(error) => line(&json!({ "error": Refused::from(&error) })),
    };
    // Before the last line: whoever has read it may start the next one.
    drop(running);
    write(&end);
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}
