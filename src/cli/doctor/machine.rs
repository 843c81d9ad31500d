//! What several checks ask of this machine: where the box listens, and files that may be anything.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::server::RunningServer;
use crate::cli::reached::{self, listener};
use crate::cli::workplace::Workplace;
use crate::http::interface_addresses;

/// More is no file of settings.
const LONGEST: u64 = 1 << 20;

/// Scheme and address of each listener of the box.
pub(super) fn listening(
    place: &Workplace,
    server: Option<&RunningServer>,
) -> Vec<(String, SocketAddr)> {
    let urls = match server {
        // systemd may have given it other addresses than the configuration.
        Some(server) => server.status.listening.clone(),
        None => reached::configured(&place.config),
    };
    urls.iter().filter_map(|url| listener(url)).collect()
}

/// Where the box is reached on this machine.
pub(super) struct Listeners {
    addresses: Vec<SocketAddr>,
    /// Of the machine's interfaces.
    own: Vec<IpAddr>,
}

impl Listeners {
    pub(super) fn of(place: &Workplace, server: Option<&RunningServer>) -> Self {
        let addresses = listening(place, server).into_iter();
        Self {
            addresses: addresses.map(|(_, address)| address).collect(),
            own: interface_addresses().unwrap_or_default(),
        }
    }

    /// Whether the box is what is reached at this address, or listens there itself.
    pub(super) fn are_at(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let is_own = ip.is_loopback() || ip.is_unspecified() || self.own.contains(&ip);
        self.addresses.iter().any(|listener| {
            let listens_at = listener.ip().to_canonical();
            listener.port() == address.port()
                && (listens_at == ip || listens_at.is_unspecified() && is_own)
        })
    }
}

/// Reads a plain file. Whoever may run a process can call it dockerd and name any file on its command
/// line: neither a pipe nor a device without an end may hold up the doctor, who may be root.
pub(super) fn read_plain_file(path: &Path) -> io::Result<String> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(nonblocking).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > LONGEST {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_files_are_read() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};

        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("plain"), "{}").unwrap();
        let long = std::fs::File::create(at("long")).unwrap();
        long.set_len(LONGEST + 1).unwrap();
        mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(read_plain_file(&at("plain")).unwrap(), "{}");
        for name in ["long", "pipe", "/dev/zero", "."] {
            assert!(read_plain_file(&at(name)).is_err(), "{name}");
        }
    }
}
