//! Names to addresses, within a timeout, and only to addresses that may be connected to.
//!
//! The address that is checked is the one that is connected to, because the check sits in ureq's
//! resolver: a name that changes its address in between (DNS rebinding) gains nothing. Behind a proxy,
//! which resolves by itself, only literal addresses can be judged; `transport.rs` does that.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::mpsc;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::destination::{self, ForbiddenAddress};

/// The most addresses of one name that are tried; ureq's own bound.
const MAX_ADDRESSES: usize = 16;

/// Resolves within the timeout, and refuses a name of which any address is not public.
#[derive(Debug)]
pub(super) struct CheckedResolver {
    pub(super) allow_private_addresses: bool,
}

impl Resolver for CheckedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default().to_owned();
        let default_port = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let port = uri.port_u16().unwrap_or(default_port);
        let addresses = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => look_up(host, port, timeout)?,
        };
        // With a proxy only the proxy itself is resolved here, and where that is, is the operator's
        // choice.
        if !self.allow_private_addresses && config.proxy().is_none() {
            let forbidden = |address: &&SocketAddr| !destination::is_public(address.ip());
            if let Some(address) = addresses.iter().find(forbidden) {
                return Err(ureq::Error::Other(Box::new(ForbiddenAddress(address.ip()))));
            }
        }
        let mut resolved = self.empty();
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            resolved.push(address);
        }
        if resolved.is_empty() {
            return Err(ureq::Error::HostNotFound);
        }
        Ok(resolved)
    }
}

/// The system's resolver knows no timeout, so it gets a thread, which is left behind if it hangs.
fn look_up(host: String, port: u16, timeout: NextTimeout) -> Result<Vec<SocketAddr>, ureq::Error> {
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("resolve".to_owned())
        .spawn(move || {
            let found = (host.as_str(), port).to_socket_addrs();
            // Nobody listens any more after a timeout.
            let _ = sender.send(found.map(Iterator::collect));
        })?;
    match receiver.recv_timeout(*timeout.after) {
        Ok(found) => Ok(found?),
        Err(mpsc::RecvTimeoutError::Timeout) => Err(ureq::Error::Timeout(timeout.reason)),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(ureq::Error::HostNotFound),
    }
}
