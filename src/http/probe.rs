//! Asks the own public port as a client would: by a connection to a listener, through the poller and a worker.
//!
//! It is the one client that is never turned away, because a flood of others is no reason to believe that
//! nobody answers; and it speaks plain HTTP to every listener, because it is known before it speaks.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::service::Service;

/// Asks a running [`super::Server`].
pub struct Probe {
    service: Arc<Service>,
    addresses: Vec<SocketAddr>,
}

impl Probe {
    pub(super) fn new(service: Arc<Service>, addresses: Vec<SocketAddr>) -> Self {
        Self { service, addresses }
    }

    /// The status of the answer to a GET for `path`, from the first listener that gives one.
    ///
    /// # Errors
    /// Why the last listener gave none; `TimedOut` if none did `within` that time, for all of them together.
    pub fn ask(&self, path: &str, within: Duration) -> io::Result<u16> {
        let deadline = crate::time::deadline(within);
        let mut last = ErrorKind::NotConnected.into();
        for address in &self.addresses {
            // An address may go with its interface; that the others answer is enough.
            match self.ask_at(*address, path, deadline) {
                Ok(status) => return Ok(status),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn ask_at(&self, address: SocketAddr, path: &str, deadline: Instant) -> io::Result<u16> {
        let host = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(host, 0).into())?;
        let own = socket.local_addr()?.as_socket();
        let own = own.ok_or(ErrorKind::AddrNotAvailable)?;
        let _known = Known::as_probe(&self.service, own);
        let target = SocketAddr::new(host, address.port());
        socket.connect_timeout(&target.into(), left(deadline)?)?;
        let mut stream = TcpStream::from(socket);
        stream.set_write_timeout(Some(left(deadline)?))?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {target}\r\nX-Request-Id: watchdog\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        // `HTTP/1.1 200`
        let mut line = [0; 12];
        let mut length = 0_usize;
        while let Some(room @ [_, ..]) = line.get_mut(length..) {
            stream.set_read_timeout(Some(left(deadline)?))?;
            match stream.read(room) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => length = length.saturating_add(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Err(ErrorKind::TimedOut.into());
                }
                Err(error) => return Err(error),
            }
        }
        let status = str::from_utf8(&line[9..]).ok();
        let status = status.and_then(|status| status.parse().ok());
        status.ok_or_else(|| ErrorKind::InvalidData.into())
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
}

/// The probe's own address, known to the poller while it is there.
struct Known<'a>(&'a Service);

impl<'a> Known<'a> {
    fn as_probe(service: &'a Service, address: SocketAddr) -> Self {
        *service.probe.lock() = Some(address);
        Self(service)
    }
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        *self.0.probe.lock() = None;
    }
}
