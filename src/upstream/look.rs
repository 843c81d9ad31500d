//! Asks any server once, as a client on this machine would, and says in a kind what stands in the way. For
//! `breakwater client check`: nothing is kept, no credentials are sent, and there is no breaker.

use std::io::Read as _;
use std::time::Duration;

use rustls::Error as TlsError;

use super::tls::{Obstacle, TlsConnector};
use super::url::Url;
use super::{Ca, Timeouts, agent, fault};
use crate::error::{Error, Kind, Result, excerpt};

/// How long connecting may take, and the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// No more of a body is read.
const LONGEST: u64 = 64 * 1024;

/// What came of it.
#[derive(Debug)]
pub enum Look {
    Seen(Seen),
    Unseen(Unseen),
}

/// What a server answered.
#[derive(Debug)]
pub struct Seen {
    pub status: u16,
    headers: ureq::http::HeaderMap,
    pub body: String,
}

impl Seen {
    /// A header's first value, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Why there was no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unseen {
    NoAddress,
    /// No connection, in the system's words.
    Unreachable(String),
    /// Neither a connection nor an answer within a time.
    Silent,
    /// The certificate comes from an authority that is not known here.
    UnknownAuthority,
    /// The certificate is for these other names, as far as they are known.
    OtherName(String),
    /// The certificate has ended.
    Expired,
    /// The certificate does not hold yet.
    NotYetValid,
    /// What answers there speaks no TLS.
    NotTls,
    OtherTls(String),
    NotHttp,
}

/// Sends one GET to `url`, trusting the system's authorities and `ca`.
///
/// # Errors
/// `Usage` for a URL that is none, `Config` for a CA file that cannot be used.
pub fn look(url: &str, ca: Option<&Ca>) -> Result<Look> {
    let parsed = Url::parse(url).map_err(|why| {
        Error::new(Kind::Usage, format!("the URL `{}` {why}", excerpt(url)))
            .remedy("write http://HOST:PORT or https://HOST:PORT")
    })?;
    let timeouts = Timeouts {
        connect: PATIENCE,
        silence: PATIENCE,
        ..Timeouts::default()
    };
    let own = ca.map_or(Ok(Vec::new()), agent::read_ca)?;
    let tls = match parsed.is_https() {
        true => TlsConnector::new(agent::native_roots(), &own),
        false => TlsConnector::none(),
    };
    let agent = agent::make(&timeouts, true, tls);
    let request = agent.get(parsed.request());
    Ok(match request.call() {
        Ok(answer) => {
            let (parts, body) = answer.into_parts();
            let mut text = Vec::new();
            // Whatever breaks off is judged by what came.
            let _ = body.into_reader().take(LONGEST).read_to_end(&mut text);
            Look::Seen(Seen {
                status: parts.status.as_u16(),
                headers: parts.headers,
                body: String::from_utf8_lossy(&text).into_owned(),
            })
        }
        Err(error) => Look::Unseen(unseen(&error)),
    })
}

fn unseen(error: &ureq::Error) -> Unseen {
    match error {
        ureq::Error::HostNotFound => Unseen::NoAddress,
        ureq::Error::Timeout(_) => Unseen::Silent,
        ureq::Error::Rustls(error) => of_tls(error),
        ureq::Error::Io(error) => {
            let inner = error.get_ref();
            match inner.and_then(|inner| inner.downcast_ref::<TlsError>()) {
                Some(error) => of_tls(error),
                None if error.kind() == std::io::ErrorKind::TimedOut => Unseen::Silent,
                None => Unseen::Unreachable(fault::reason(error)),
            }
        }
        ureq::Error::Tls(why) => Unseen::OtherTls((*why).to_owned()),
        ureq::Error::ConnectionFailed => Unseen::Unreachable("the connection failed".to_owned()),
        _ => Unseen::NotHttp,
    }
}

fn of_tls(error: &TlsError) -> Unseen {
    match Obstacle::of(error) {
        Obstacle::NoTls => Unseen::NotTls,
        // Whoever does not know an authority does not care whose it is.
        Obstacle::UnknownAuthority | Obstacle::OwnAuthority => Unseen::UnknownAuthority,
        Obstacle::Ended(_) => Unseen::Expired,
        Obstacle::HoldsFrom(_) => Unseen::NotYetValid,
        Obstacle::OtherName(presented) => Unseen::OtherName(excerpt(&presented.join(", "))),
        Obstacle::OtherCertificate(_) | Obstacle::Other => {
            Unseen::OtherTls(excerpt(&error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[test]
    fn an_authority_of_the_same_name_with_another_key_is_not_known() {
        for certificate in [
            CertificateError::UnknownIssuer,
            CertificateError::BadSignature,
        ] {
            let error = TlsError::InvalidCertificate(certificate);
            assert_eq!(of_tls(&error), Unseen::UnknownAuthority, "{error}");
        }
    }
}
