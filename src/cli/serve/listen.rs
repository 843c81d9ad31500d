//! Binds the public port's addresses.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::error::{Error, Kind, Result};

/// Connections that the kernel keeps for us until they are accepted; it cuts this to its own limit.
const BACKLOG: i32 = 4096;

/// Binds all of them, or none.
pub(super) fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>> {
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
