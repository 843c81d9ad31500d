//! The names and addresses of a certificate: given, found on this machine, or read from another one.

use std::fmt;
use std::net::IpAddr;

use crate::cli::reached::is_link_local;
use crate::error::{Error, Kind, Result};
use crate::http::{CertificateSummary, interface_addresses};

/// As many addresses as a machine may have before they are no use in a certificate.
const MOST_ADDRESSES: usize = 64;

/// In the order in which they came, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) names: Vec<String>,
    pub(super) addresses: Vec<IpAddr>,
}

impl Names {
    /// What the options say; an address is one under either of them.
    pub(super) fn given(names: &[String], addresses: &[IpAddr]) -> Result<Self> {
        let mut given = Self::default();
        for name in names {
            match name.parse::<IpAddr>() {
                Ok(address) => given.add_address(address),
                Err(_) if is_dns_name(name) => given.add_name(name),
                Err(_) => {
                    let what = format!("`{name}` is no name that a certificate can have");
                    return Err(Error::new(Kind::Usage, what)
                        .remedy("write it without scheme and port, as in registry.example.com"));
                }
            }
        }
        for address in addresses {
            given.add_address(*address);
        }
        Ok(given)
    }

    /// The machine's name, `localhost`, and the addresses of its interfaces.
    pub(super) fn of_this_machine() -> Result<Self> {
        let mut here = Self::default();
        let uname = rustix::system::uname();
        let full = uname.nodename().to_string_lossy();
        let short = full.split('.').next().unwrap_or_default();
        for name in [&full, short, "localhost"] {
            if is_dns_name(name) {
                here.add_name(name);
            }
        }
        let mut addresses = interface_addresses().map_err(|error| {
            Error::new(Kind::Io, "cannot list the addresses of this machine").because(error)
        })?;
        addresses.retain(|address| !address.is_unspecified() && !is_link_local(*address));
        addresses.sort_unstable();
        // Where an interface is down, its address is still what clients on this machine use.
        for loopback in [
            [127, 0, 0, 1].into(),
            IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
        ] {
            here.add_address(loopback);
        }
        for address in addresses.into_iter().take(MOST_ADDRESSES) {
            here.add_address(address);
        }
        Ok(here)
    }

    /// What a certificate is for.
    pub(super) fn of(certificate: &CertificateSummary) -> Self {
        Self {
            names: certificate.names.clone(),
            addresses: certificate.addresses.clone(),
        }
    }

    /// These, and behind them the others.
    pub(super) fn and(mut self, others: Self) -> Self {
        for name in &others.names {
            self.add_name(name);
        }
        for address in others.addresses {
            self.add_address(address);
        }
        self
    }

    /// Whether a certificate is for all of them.
    pub(super) fn are_in(&self, certificate: &CertificateSummary) -> bool {
        let names = self.names.iter();
        names.clone().all(|name| certificate.names.contains(name))
            && self
                .addresses
                .iter()
                .all(|address| certificate.addresses.contains(address))
    }

    /// The first name, or else the first address.
    pub(super) fn first(&self) -> Option<String> {
        let address = || self.addresses.first().map(IpAddr::to_string);
        self.names.first().cloned().or_else(address)
    }

    fn add_name(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        if !self.names.contains(&name) {
            self.names.push(name);
        }
    }

    fn add_address(&mut self, address: IpAddr) {
        if !self.addresses.contains(&address) {
            self.addresses.push(address);
        }
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.addresses.iter().map(IpAddr::to_string);
        let all: Vec<String> = self.names.iter().cloned().chain(addresses).collect();
        f.write_str(&all.join(", "))
    }
}

/// Letters, digits and hyphens between dots; the first label may be `*`.
fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let rest = name.strip_prefix("*.").unwrap_or(name);
    name.len() <= 253 && rest.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_addresses_and_from_nonsense() {
        let given = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            Names::given(&names, &["10.0.0.5".parse().unwrap()])
        };
        let names = given(&[
            "Box.example",
            "*.box.example",
            "10.0.0.6",
            "::1",
            "box.example",
        ])
        .unwrap();
        assert_eq!(
            names.to_string(),
            "box.example, *.box.example, 10.0.0.6, ::1, 10.0.0.5"
        );
        assert_eq!(names.first().as_deref(), Some("box.example"));
        assert_eq!(given(&[]).unwrap().first().as_deref(), Some("10.0.0.5"));
        for wrong in [
            "",
            "https://box",
            "box:5443",
            "-box",
            "a..b",
            "a b",
            "*",
            "box.*",
            "b\u{e4}",
        ] {
            let error = given(&[wrong]).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage, "{wrong}");
        }
    }

    #[test]
    fn this_machine_has_a_name_and_its_loopback() {
        let here = Names::of_this_machine().unwrap();
        assert!(here.names.contains(&"localhost".to_owned()), "{here}");
        assert!(here.addresses.contains(&[127, 0, 0, 1].into()), "{here}");
    }
}
