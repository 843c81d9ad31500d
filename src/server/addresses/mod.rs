//! Finds the address of whoever sends a request, with what speaks against trusting it, and tells the log where that
//! cost a client what a network rule would have given it.
//!
//! `own`: which addresses are this machine's.

mod own;

use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};

use ipnet::IpNet;

use crate::auth::address::{ClientAddress, NotTrusted, Provenance};
use crate::config::ServerConfig;
use crate::http::{Authority, Headers, Host, Request, Scheme};
use crate::time::Timestamp;
use own::OwnAddresses;

/// Header fields that proxies set, and no client of itself.
const FORWARDING: [&str; 14] = [
    "X-Forwarded-For",
    "Forwarded",
    "Via",
    "X-Real-IP",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Server",
    "X-Original-Forwarded-For",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "CF-Connecting-IP",
    "True-Client-IP",
    "Fastly-Client-IP",
];

/// Between two lines in the log about the same kind of not_trusted, in seconds.
const QUIET: i64 = 3600;

/// What is known of this machine and of the proxies before it.
pub(super) struct Addresses {
    trusted_proxies: Vec<IpNet>,
    /// Scheme and authority of `server.external_url`.
    external: Option<(Scheme, Authority)>,
    own: OwnAddresses,
    /// When the log was last told of each kind of not_trusted, as Unix time.
    told: [AtomicI64; 5],
}

impl Addresses {
    pub(super) fn new(config: &ServerConfig) -> Self {
        Self {
            trusted_proxies: config.trusted_proxies.clone(),
            external: external(&config.external_url),
            own: OwnAddresses::default(),
            told: std::array::from_fn(|_| AtomicI64::new(0)),
        }
    }

    /// Whether forwarding headers of this peer are believed.
    pub(super) fn is_trusted_proxy(&self, peer: IpAddr) -> bool {
        let mut proxies = self.trusted_proxies.iter();
        proxies.any(|network| network.contains(&peer))
    }

    /// The address of whoever sends `request`, believing forwarding headers of configured proxies only.
    pub(super) fn client(&self, request: &Request) -> ClientAddress {
        let headers = &request.headers;
        let peer = request.peer.ip().to_canonical();
        let forwarded_for = headers.contains("X-Forwarded-For").then(|| {
            let values = headers.get_all("X-Forwarded-For");
            values.collect::<Vec<_>>().join(",")
        });
        let forwarding = |name: &&str| headers.contains(name);
        let provenance = Provenance {
            forwarded_for: forwarded_for.as_deref(),
            forwarding_field: FORWARDING.into_iter().find(forwarding),
            is_http_1_0: request.is_http_1_0,
            is_for_other_site: is_for_other_site(headers),
            is_for_other_host: peer.is_loopback() && !self.is_for_this_machine(request),
        };
        ClientAddress::of(peer, provenance, &self.trusted_proxies)
    }

    /// Whether the host that a request from loopback asks for is this machine: `localhost`, an address of it, or
    /// `server.external_url`. Of the latter the scheme has to be right too: where the box is known by https, what asks
    /// for it by http has come through a proxy.
    fn is_for_this_machine(&self, request: &Request) -> bool {
        let Some(asked) = Authority::parse(&request.host, request.scheme) else {
            return false;
        };
        let is_here = match &asked.host {
            Host::Name(name) => name == "localhost",
            Host::Address(address) => {
                // The addresses are read for requests without credentials only, which is how every client begins,
                // so that a pull with a token makes no system call for them.
                let may_read = !request.headers.contains("Authorization");
                self.own.contains(*address, may_read, Timestamp::now())
            }
        };
        is_here || self.external == Some((request.scheme, asked))
    }

    /// Tells the log that no network rule holds for a request from `ip`, though there is one, and why: once an hour for
    /// each kind of not_trusted, because whoever made the rule wonders.
    pub(super) fn tell(&self, ip: IpAddr, not_trusted: NotTrusted) {
        let (index, what) = told(ip, not_trusted);
        let now = Timestamp::now().0;
        let Some(told) = self.told.get(index) else {
            return;
        };
        let last = told.load(Ordering::Relaxed);
        let is_due = now.abs_diff(last) >= QUIET.unsigned_abs();
        if is_due
            && told
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            tracing::warn!(
                "{what}: no network rule holds for it (see `breakwater help proxies`; this is told once an hour)"
            );
        }
    }
}

/// Which of the kinds a not_trusted is, and what the log says of it.
fn told(ip: IpAddr, not_trusted: NotTrusted) -> (usize, String) {
    match not_trusted {
        NotTrusted::UnnamedClient => (
            0,
            format!(
                "the trusted proxy {ip} does not say for whom it asks: its request has forwarding headers, but no X-Forwarded-For that can be read"
            ),
        ),
        NotTrusted::Forwarded(field) => (
            1,
            format!(
                "a request from {ip} has the header {field}, which proxies set, and {ip} is not in server.trusted_proxies"
            ),
        ),
        NotTrusted::OldProtocol => (
            2,
            format!(
                "a request from {ip} is HTTP/1.0, which no registry client speaks, but a proxy such as an older nginx with nothing but proxy_pass"
            ),
        ),
        NotTrusted::OtherSite => (
            3,
            format!("a browser at {ip} sent a request on behalf of a page of another site"),
        ),
        NotTrusted::OtherHost => (
            4,
            format!(
                "a request from {ip} asks for a host that is neither localhost, nor an address of this machine, nor server.external_url, as it does through a proxy on this machine or after DNS rebinding"
            ),
        ),
    }
}

/// Whether a browser says that it asks on behalf of a page of another site. To http it says so only of hosts that it
/// takes for secure, such as localhost; to others it sends `Origin`, where the page wants to read the answer.
fn is_for_other_site(headers: &Headers) -> bool {
    let mut sites = headers.get_all("Sec-Fetch-Site").peekable();
    if sites.peek().is_none() {
        return headers.contains("Origin");
    }
    sites.any(|site| !matches!(site, "none" | "same-origin"))
}

/// Scheme and authority of a URL without a path; `None` where there is none.
fn external(url: &str) -> Option<(Scheme, Authority)> {
    let (scheme, authority) = url.split_once("://")?;
    let scheme = match scheme {
        "https" => Scheme::Https,
        _ => Scheme::Http,
    };
    let authority = Authority::parse(authority.trim_end_matches('/'), scheme)?;
    Some((scheme, authority))
}

#[cfg(test)]
mod tests;
