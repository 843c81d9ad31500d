//! Posts a body to any server, for webhooks: under the address rules that upstreams of groups have, through the same
//! proxies, over a connection of its own, and once. No redirect is followed, and nothing of the answer is read but its
//! status.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use ureq::Agent;

use super::destination::{self, ForbiddenAddress};
use super::proxy::Proxies;
use super::tls::TlsConnector;
use super::url::Url;
use super::{Timeouts, agent, fault, tls};
use crate::error::{Error, Kind, Result, excerpt};

/// How long it may take in all, from the name's addresses to the head of the answer.
pub const PATIENCE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);

/// Sends posts; shared by all threads.
pub struct Poster {
    proxies: Proxies,
    /// For public addresses alone, and for all: without TLS and with it, whose roots are read when they are needed.
    public: [OnceLock<Agent>; 2],
    any: [OnceLock<Agent>; 2],
}

/// Why there was no answer, as what follows "the receiver at ORIGIN: ": "did not answer within 10 s".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsent {
    /// What everybody may know.
    why: String,
    /// With addresses and paths, for administrators and the log, where there is more to say.
    whole: Option<String>,
}

impl Unsent {
    pub fn new(why: impl Into<String>) -> Self {
        let why = why.into();
        Self { why, whole: None }
    }

    #[must_use]
    pub fn whole(self, whole: String) -> Self {
        let whole = Some(whole);
        Self { whole, ..self }
    }

    /// With addresses and paths.
    pub fn logged_why(&self) -> &str {
        self.whole.as_ref().unwrap_or(&self.why)
    }
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl Poster {
    /// With the proxies of the environment; sends nothing.
    ///
    /// # Errors
    /// `Config` for a proxy that cannot be used.
    pub fn new() -> Result<Self> {
        Ok(Self {
            proxies: Proxies::from_environment()?,
            public: Default::default(),
            any: Default::default(),
        })
    }

    /// Posts JSON, and gives the status of the answer.
    ///
    /// # Errors
    /// Why there was none.
    pub fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: &str,
        allow_private: bool,
    ) -> Result<u16, Unsent> {
        let url = Url::parse(url).map_err(|why| Unsent::new(format!("has a URL that {why}")))?;
        let proxy = self.proxies.for_url(&url);
        if proxy.is_some() && !allow_private && !destination::may_ask_proxy_for(url.host()) {
            let why = "is not public, and the proxy is not asked for it";
            return Err(Unsent::new(why));
        }
        let tls_to_proxy =
            proxy.is_some_and(|proxy| proxy.protocol() == ureq::ProxyProtocol::Https);
        let agent = self.agent(url.is_https() || tls_to_proxy, allow_private);
        let mut request = ureq::http::Request::post(url.request())
            .header("Content-Type", "application/json")
            // A connection that was judged when it was made is not used again under another judgement.
            .header("Connection", "close");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request
            .body(body)
            .map_err(|_| Unsent::new("cannot be asked"))?;
        let configured = agent
            .configure_request(request)
            .proxy(proxy.cloned())
            .max_idle_age(Duration::ZERO)
            .timeout_global(Some(PATIENCE));
        let answer = agent
            .run(configured.build())
            .map_err(|error| unsent(error, &url))?;
        // The status says all. Reading the rest would let a receiver hold up this thread with a body that never comes:
        // dropped unread, the answer closes its connection.
        Ok(answer.status().as_u16())
    }

    fn agent(&self, is_secure: bool, allow_private: bool) -> &Agent {
        let timeouts = Timeouts {
            connect: CONNECT,
            silence: PATIENCE,
            ..Timeouts::default()
        };
        let [plain, secure] = match allow_private {
            true => &self.any,
            false => &self.public,
        };
        match is_secure {
            true => secure.get_or_init(|| {
                let tls = TlsConnector::new(agent::native_roots(), &[]);
                agent::make(&timeouts, allow_private, tls)
            }),
            false => {
                plain.get_or_init(|| agent::make(&timeouts, allow_private, TlsConnector::none()))
            }
        }
    }
}

/// Refuses what is no URL to post to; where private addresses are not allowed, also one that is written with one.
///
/// # Errors
/// `Usage`.
pub fn check_url(text: &str, allow_private: bool) -> Result<()> {
    let wrong = |why: &str| Error::new(Kind::Usage, format!("the url {why}"));
    let url = Url::parse(text)
        .map_err(|why| wrong(why).remedy("write https://HOST/PATH, or http://HOST:PORT/PATH"))?;
    if !allow_private && !destination::may_ask_proxy_for(url.host()) {
        let why = format!("names {}, which is not public", url.host());
        return Err(wrong(&why).remedy(
            "an administrator can allow private addresses for this webhook: `breakwater webhook add --allow-private`, or the field allow_private",
        ));
    }
    Ok(())
}

fn unsent(error: ureq::Error, url: &Url) -> Unsent {
    match error {
        ureq::Error::Other(other) => match other.downcast::<ForbiddenAddress>() {
            // An owner of a group does not learn from a webhook what addresses names have in the box's network.
            Ok(forbidden) => Unsent::new(format!("has an address that is not public {ALLOW}"))
                .whole(format!(
                    "has the address {}, which is not public {ALLOW}",
                    forbidden.0
                )),
            Err(_) => Unsent::new("the connection failed"),
        },
        error => Unsent::new(reason(error, url)),
    }
}

const ALLOW: &str = "(an administrator can allow private addresses for this webhook)";

fn reason(error: ureq::Error, url: &Url) -> String {
    match error {
        ureq::Error::Timeout(ureq::Timeout::Global) => {
            format!("did not answer within {}", fault::in_words(PATIENCE))
        }
        ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => {
            format!("cannot be reached within {}", fault::in_words(CONNECT))
        }
        ureq::Error::Timeout(_) => "fell silent".to_owned(),
        ureq::Error::Rustls(error) => tls::in_words(&error, url).0,
        ureq::Error::Io(error) => {
            let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref());
            match of_tls {
                Some(error) => tls::in_words(error, url).0,
                None => fault::reason(&error),
            }
        }
        ureq::Error::HostNotFound => "its name has no address".to_owned(),
        ureq::Error::ConnectProxyFailed(why) => format!("the proxy refused: {}", excerpt(&why)),
        ureq::Error::LargeResponseHeader(..) => "sent a head that is too large".to_owned(),
        ureq::Error::Protocol(_) | ureq::Error::Http(_) => "sent what is not HTTP".to_owned(),
        _ => "the connection failed".to_owned(),
    }
}
