//! A client that notices what others smooth over: whether an answer came whole, and where it was cut.

use std::io::{self, BufRead as _, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a client waits for anything. Longer than every patience of the box's.
const PATIENCE: Duration = Duration::from_secs(100);

/// An answer whose head is there and whose body may still be on its way. Dropped, it hangs up.
pub(crate) struct Download {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    reader: BufReader<TcpStream>,
    framing: Framing,
}

/// What is left of the body.
enum Framing {
    Sized(u64),
    /// Left in the current chunk; 0: the next one's size comes first.
    Chunked(u64),
    Ended,
}

/// A whole answer, or what came of it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the body ended as its framing announced.
    pub(crate) complete: bool,
}

/// Sends a request on a connection of its own and waits for the head of the answer.
pub(crate) fn open(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Download {
    try_open(address, method, path, headers).expect("an answer")
}

/// As [`open`], where the box may be killed meanwhile.
pub(crate) fn try_open(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> io::Result<Download> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    io::Write::write_all(&mut &stream, head.as_bytes())?;
    let mut reader = BufReader::with_capacity(64 * 1024, stream);
    let status = line(&mut reader)?;
    let status = status.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("not a status line"))?;
    let mut headers = Vec::new();
    loop {
        let line = line(&mut reader)?;
        match line.split_once(':') {
            Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
            None => break,
        }
    }
    let mut download = Download {
        status,
        headers,
        reader,
        framing: Framing::Ended,
    };
    if method != "HEAD" && !matches!(status, 204 | 304) {
        download.framing = match download.header("Content-Length") {
            Some(length) => Framing::Sized(length.parse().expect("a length")),
            None => Framing::Chunked(0),
        };
        if matches!(download.framing, Framing::Chunked(_)) {
            assert_eq!(download.header("Transfer-Encoding"), Some("chunked"));
        } else if matches!(download.framing, Framing::Sized(0)) {
            download.framing = Framing::Ended;
        }
    }
    Ok(download)
}

/// GET, to the end.
pub(crate) fn get(address: SocketAddr, path: &str) -> Reply {
    get_with(address, path, &[])
}

/// GET with headers, to the end.
pub(crate) fn get_with(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Reply {
    open(address, "GET", path, headers).finish()
}

/// HEAD.
pub(crate) fn head(address: SocketAddr, path: &str) -> Reply {
    open(address, "HEAD", path, &[]).finish()
}

impl Download {
    /// A header's first value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// Exactly so many bytes of the body.
    pub(crate) fn next_bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.read_exact(&mut bytes).expect("bytes of the body");
        bytes
    }

    /// The rest of the body, and whether it came whole.
    pub(crate) fn finish(mut self) -> Reply {
        let mut body = Vec::new();
        let complete = self.read_to_end(&mut body).is_ok();
        Reply {
            status: self.status,
            headers: self.headers,
            body,
            complete,
        }
    }

    /// What ends the chunk before, if there is one, and the size of the next.
    fn next_chunk(&mut self) -> io::Result<Framing> {
        let size = match line(&mut self.reader)? {
            end if end.is_empty() => line(&mut self.reader)?,
            size => size,
        };
        let size = u64::from_str_radix(&size, 16).map_err(io::Error::other)?;
        if size > 0 {
            return Ok(Framing::Chunked(size));
        }
        line(&mut self.reader)?;
        Ok(Framing::Ended)
    }
}

impl Read for Download {
    /// Fails where the connection ends before the body does.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if matches!(self.framing, Framing::Chunked(0)) {
            self.framing = self.next_chunk()?;
        }
        let left = match self.framing {
            Framing::Ended => return Ok(0),
            Framing::Sized(left) | Framing::Chunked(left) => left,
        };
        let room = usize::try_from(left).unwrap().min(buffer.len());
        let count = self.reader.read(&mut buffer[..room])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let left = left - count as u64;
        self.framing = match self.framing {
            Framing::Sized(_) if left == 0 => Framing::Ended,
            Framing::Sized(_) => Framing::Sized(left),
            _ => Framing::Chunked(left),
        };
        Ok(count)
    }
}

impl Reply {
    /// A header's first value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// `X-Cache`.
    pub(crate) fn cache(&self) -> &str {
        self.header("X-Cache").unwrap_or_default()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let named = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
    headers.iter().find(named).map(|(_, value)| value.as_str())
}

fn line(reader: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
