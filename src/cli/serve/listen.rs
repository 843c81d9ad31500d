//! Opens the public port's addresses: the sockets that systemd holds for us, or our own.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use listenfd::ListenFd;
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::{Config, TlsConfig};
use crate::error::{Error, Kind, Result};
use crate::http::{Listener, Scheme, TlsIdentity};

/// Connections that the kernel keeps for us until they are accepted; it cuts this to its own limit.
const BACKLOG: i32 = 4096;
/// What a socket of systemd is called (`FileDescriptorName=`) that is to speak TLS.
const TLS_SOCKET: &str = "https";

/// The listeners of both kinds, the plain ones first, and what the others prove their name with.
pub(super) struct Opened {
    pub(super) listeners: Vec<Listener>,
    pub(super) identity: Option<Arc<TlsIdentity>>,
}

/// Opens all of them, or none. Sockets of systemd take the place of the configured addresses of their kind.
pub(super) fn open(config: &Config) -> Result<Opened> {
    let identity = match &config.tls {
        TlsConfig {
            certificate: Some(certificate),
            key: Some(key),
            ..
        } => Some(TlsIdentity::load(certificate, key)?),
        _ => None,
    };
    let Inherited { plain, tls } = Inherited::take()?;
    let plain = inherited_or_bound(plain, &config.server.listen, "server.listen")?;
    let mut listeners: Vec<Listener> = plain.into_iter().map(Listener::from).collect();
    match &identity {
        Some(identity) => {
            let tls = inherited_or_bound(tls, &config.tls.listen, "tls.listen")?;
            let tls = tls.into_iter();
            listeners.extend(tls.map(|socket| Listener::tls(socket, Arc::clone(identity))));
        }
        None if !tls.is_empty() => {
            let what = format!(
                "systemd passed a socket named `{TLS_SOCKET}`, and there is no certificate for it"
            );
            return Err(Error::new(Kind::Config, what)
                .remedy("set tls.certificate and tls.key, or disable the socket's unit"));
        }
        None => {}
    }
    let speaks_tls = |listener: &Listener| listener.scheme() == Scheme::Https;
    if identity.is_some() && !listeners.iter().any(speaks_tls) {
        let what = "tls.certificate is set, but tls.listen has no address";
        return Err(Error::new(Kind::Config, what)
            .remedy("set tls.listen, for example to [\"0.0.0.0:5443\"]"));
    }
    Ok(Opened {
        listeners,
        identity,
    })
}

/// Listeners that were there before this process, and whose queues outlive it.
#[derive(Default)]
struct Inherited {
    plain: Vec<TcpListener>,
    tls: Vec<TcpListener>,
}

impl Inherited {
    /// Takes what systemd passed to this process (`LISTEN_FDS`), told apart by their names.
    fn take() -> Result<Self> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut passed = ListenFd::from_env();
        let mut inherited = Self::default();
        for index in 0..passed.len() {
            let name = names.next().unwrap_or_default();
            let socket = passed.take_tcp_listener(index).map_err(|error| {
                Error::new(
                    Kind::Config,
                    format!("the socket `{name}` that systemd passed is no TCP listener"),
                )
                .because(error)
                .remedy("let its unit have ListenStream= with an address and a port")
            })?;
            let same_kind = match name {
                TLS_SOCKET => &mut inherited.tls,
                _ => &mut inherited.plain,
            };
            same_kind.extend(socket);
        }
        Ok(inherited)
    }
}

fn inherited_or_bound(
    inherited: Vec<TcpListener>,
    configured: &[SocketAddr],
    key: &str,
) -> Result<Vec<TcpListener>> {
    if inherited.is_empty() {
        return bind(configured);
    }
    let addresses = inherited
        .iter()
        .filter_map(|socket| socket.local_addr().ok());
    let mut addresses: Vec<SocketAddr> = addresses.collect();
    let mut wanted = configured.to_vec();
    addresses.sort_unstable();
    wanted.sort_unstable();
    if addresses != wanted {
        tracing::warn!(
            ?addresses,
            ?configured,
            "the addresses are those of systemd's sockets, and {key} does not count: change them with `systemctl edit breakwater.socket`"
        );
    }
    Ok(inherited)
}

/// Binds all of them, or none.
fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>> {
    addresses
        .iter()
        .map(|&address| {
            // `[::]` takes IPv4 too, unless that is listed beside it.
            let beside = |other: &SocketAddr| other.is_ipv4() && other.port() == address.port();
            let only_v6 = address.is_ipv6() && addresses.iter().any(beside);
            bind_one(address, only_v6).map_err(|error| explain(address, error))
        })
        .collect()
}

fn bind_one(address: SocketAddr, only_v6: bool) -> std::io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // So that a restart does not wait for the kernel to forget old connections.
    socket.set_reuse_address(true)?;
    if only_v6 {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn explain(address: SocketAddr, error: std::io::Error) -> Error {
    let remedy = match error.kind() {
        ErrorKind::AddrInUse => format!(
            "another program listens on port {}: stop it, or choose another address with --listen",
            address.port()
        ),
        ErrorKind::PermissionDenied => {
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE".to_owned()
        }
        ErrorKind::AddrNotAvailable => {
            "the address belongs to no interface of this machine".to_owned()
        }
        _ => "choose another address with --listen".to_owned(),
    };
    Error::new(Kind::Io, format!("cannot listen on {address}"))
        .because(error)
        .remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind(&[address]).unwrap_err().to_string();
        assert!(
            error.contains(&address.to_string()) && error.contains("--listen"),
            "{error}"
        );
        assert!(
            error.contains(&format!(
                "another program listens on port {}",
                address.port()
            )),
            "{error}"
        );
    }

    #[test]
    fn port_zero_takes_a_free_one() {
        let listeners = bind(&[
            "127.0.0.1:0".parse().unwrap(),
            "127.0.0.1:0".parse().unwrap(),
        ])
        .unwrap();
        let ports: Vec<_> = listeners
            .iter()
            .map(|l| l.local_addr().unwrap().port())
            .collect();
        assert!(ports[0] != 0 && ports[0] != ports[1]);
    }
}
