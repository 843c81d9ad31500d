//! The command line's end of the socket: HTTP/1.0, one request a connection, no more of HTTP than
//! our own server speaks.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Asked, OPERATIONS, Progress, Refused, SOCKET, Status, WATCHED, reachable};
use crate::error::{Error, Kind, Result};

/// How long a server that is alive may take for a plain answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server, by its socket.
pub struct Client {
    data: PathBuf,
    patience: Duration,
}

impl Client {
    /// The server on the data directory `data`, if one runs.
    ///
    /// # Errors
    /// `Io` if there is a socket that may not be opened: then nobody can say whether one runs.
    pub fn find(data: &Path) -> Result<Option<Self>> {
        let client = Self {
            data: data.to_owned(),
            patience: PATIENCE,
        };
        match client.connect() {
            Ok(_) => Ok(Some(client)),
            Err(error) => match error.kind() {
                // No socket, or one that a dead server has left.
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => Ok(None),
                _ => Err(
                    Error::io("cannot ask the running server at", &client.socket(), error)
                        .remedy("run this as the owner of the data directory, or as root"),
                ),
            },
        }
    }

    /// For plain answers it is waited so long, and no longer.
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// What it says about itself.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn status(&self) -> Result<Status> {
        self.get("/status")
    }

    /// The JSON at `path`.
    ///
    /// # Errors
    /// `Unavailable` if the server went away, otherwise what it says.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.exchange("GET", path, b"", Some(self.patience))
    }

    /// Performs the operation of that name, for which it is waited as long as it takes where it `takes_long`; what it
    /// gives.
    ///
    /// # Errors
    /// What the operation says, and as [`Client::get`].
    pub fn perform<T: DeserializeOwned>(
        &self,
        name: &str,
        asked: &Asked,
        takes_long: bool,
    ) -> Result<T> {
        let patience = (!takes_long).then_some(self.patience);
        let path = format!("{OPERATIONS}{name}");
        self.exchange("POST", &path, &to_json(asked)?, patience)
    }

    pub(super) fn exchange<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        patience: Option<Duration>,
    ) -> Result<T> {
        let mut answer = self.ask(method, path, body, patience)?;
        let mut body = String::new();
        answer
            .read_to_string(&mut body)
            .map_err(|error| self.gone(&error))?;
        serde_json::from_str(&body).map_err(|error| self.odd(&error.to_string()))
    }

    /// Lets the server verify its store, and `repair` what is damaged; `progress` hears how far it is. The report.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn verify(&self, repair: bool, progress: Progress<'_>) -> Result<Value> {
        let path = if repair { "/repair" } else { "/verify" };
        self.watch(path, b"", progress)
    }

    /// Performs the operation of that name, for as long as it takes; `progress` hears how far it is. What it gives.
    ///
    /// # Errors
    /// As [`Client::perform`].
    pub fn perform_watched(
        &self,
        name: &str,
        asked: &Asked,
        progress: Progress<'_>,
    ) -> Result<Value> {
        self.watch(&format!("{WATCHED}{name}"), &to_json(asked)?, progress)
    }

    fn watch(&self, path: &str, body: &[u8], progress: Progress<'_>) -> Result<Value> {
        // One large file can take minutes, so silence says nothing here.
        let answer = self.ask("POST", path, body, None)?;
        for line in answer.lines() {
            let line = line.map_err(|error| self.gone(&error))?;
            let mut event: Value =
                serde_json::from_str(&line).map_err(|error| self.odd(&error.to_string()))?;
            if let Some(report) = event.get_mut("report") {
                return Ok(report.take());
            }
            if let Some(refused) = event.get_mut("error") {
                return Err(self.refused(refused.take()));
            }
            let progressed = event.get("progress");
            let number = |name: &str| progressed?.get(name)?.as_u64();
            if let (Some(done), Some(total)) = (number("done"), number("total")) {
                progress(done, total);
            }
        }
        Err(self.gone(&ErrorKind::UnexpectedEof.into()))
    }

    fn socket(&self) -> PathBuf {
        self.data.join(SOCKET)
    }

    fn connect(&self) -> std::io::Result<UnixStream> {
        let (path, _directory) = reachable(&self.data)?;
        UnixStream::connect(path)
    }

    /// Sends a request and reads the answer's head; gives its body.
    fn ask(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        patience: Option<Duration>,
    ) -> Result<impl BufRead + use<>> {
        let exchange = || {
            let mut stream = self.connect()?;
            stream.set_read_timeout(patience)?;
            write!(
                stream,
                "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
                body.len()
            )?;
            stream.write_all(body)?;
            let mut answer = BufReader::new(stream);
            let mut head = Vec::new();
            // Bounded, although it is our own server that speaks.
            while !head.ends_with(b"\r\n\r\n") && head.len() < 16 << 10 {
                if answer.by_ref().take(4096).read_until(b'\n', &mut head)? == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
            Ok((head, answer))
        };
        let (head, mut answer) = exchange().map_err(|error: std::io::Error| self.gone(&error))?;
        let head = String::from_utf8_lossy(&head);
        let status = head.split_ascii_whitespace().nth(1).unwrap_or_default();
        if status == "200" {
            return Ok(answer);
        }
        let mut body = String::new();
        answer
            .read_to_string(&mut body)
            .map_err(|error| self.gone(&error))?;
        match serde_json::from_str(&body) {
            Ok(refused) => Err(self.refused(refused)),
            Err(_) => Err(self.odd(&format!("status {status}"))),
        }
    }

    fn refused(&self, refused: Value) -> Error {
        match serde_json::from_value::<Refused>(refused) {
            Ok(refused) => refused.into(),
            Err(error) => self.odd(&error.to_string()),
        }
    }

    // The io error goes into the sentence, not into the source: a broken pipe to the server is not
    // the broken pipe of standard output that the command line is quiet about.
    fn gone(&self, error: &std::io::Error) -> Error {
        let what = format!(
            "the running server at {} broke off: {error}",
            self.socket().display()
        );
        Error::new(Kind::Io, what).remedy("look at its log, and try again")
    }

    fn odd(&self, why: &str) -> Error {
        let what = format!(
            "the running server at {} gave no usable answer: {why}",
            self.socket().display()
        );
        Error::new(Kind::Io, what)
            .remedy("restart it, so that it has the version of the command line")
    }
}

fn to_json(request: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(request)
        .map_err(|error| Error::internal("a request is no JSON").because(error))
}
