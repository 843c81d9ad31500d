//! Processes of this machine that take connections from other machines and hold one to the box: they may be proxies
//! that pass requests on, however they are configured. Read from `/proc` (proc(5)), within bounds.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::machine::Listeners;
use super::proxies::proxy_subject;
use super::{Finding, Severity};
use crate::cli::workplace::Workplace;

/// More sockets, processes, or descriptors of one process are not looked at.
const MOST: usize = 65_536;

/// What was seen. Only root sees the sockets of other users' processes, so that this is read before the doctor
/// becomes the data directory's owner.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Callers(Vec<Caller>);

/// A process, with its sockets.
#[derive(Debug, Clone)]
struct Caller {
    /// As its program is called.
    program: String,
    /// Its name and its number.
    name: String,
    sockets: Vec<Socket>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Socket {
    /// Takes connections here.
    Listening(SocketAddr),
    /// From here to there.
    Connected(SocketAddr, SocketAddr),
}

impl Socket {
    fn takes_other_machines(self) -> bool {
        matches!(self, Self::Listening(address) if !address.ip().is_loopback())
    }
}

impl Callers {
    /// Those that run now.
    pub(in crate::cli) fn see() -> Self {
        let sockets = sockets();
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let of_process = |directory: &Path| {
            let own = descriptors(directory).filter_map(|inode| sockets.get(&inode).copied());
            let own: Vec<Socket> = own.collect();
            let is_connected = |socket: &Socket| matches!(socket, Socket::Connected(..));
            let is_candidate = own.iter().any(|socket| socket.takes_other_machines())
                && own.iter().any(is_connected);
            let number = directory.file_name()?.to_str()?;
            let name = std::fs::read_to_string(directory.join("comm")).ok()?;
            is_candidate.then(|| Caller {
                program: name.trim_end().to_owned(),
                name: format!("{} (process {number})", name.trim_end().escape_debug()),
                sockets: own,
            })
        };
        let processes = processes.take(MOST);
        Self(
            processes
                .filter_map(|entry| of_process(&entry.path()))
                .collect(),
        )
    }

    /// Those that are not in `server.trusted_proxies`, and not the box itself.
    pub(super) fn find(&self, place: &Workplace, listeners: &Listeners) -> Vec<Finding> {
        let proxies = &place.config.server.trusted_proxies;
        let is_trusted = |address: IpAddr| proxies.iter().any(|network| network.contains(&address));
        let of_caller = |caller: &Caller| {
            let from = caller.connection_to(listeners)?;
            let subject = proxy_subject(&caller.program);
            (!is_trusted(from)).then(|| suspected(&caller.name, from).about(subject))
        };
        self.0.iter().filter_map(of_caller).collect()
    }
}

impl Caller {
    /// The address that its connection to the box comes from, if it has one and is not the box.
    fn connection_to(&self, listeners: &Listeners) -> Option<IpAddr> {
        let is_box = |socket: &Socket| matches!(socket, Socket::Listening(address) if listeners.are_at(*address));
        if self.sockets.iter().any(is_box) {
            return None;
        }
        self.sockets.iter().find_map(|socket| match socket {
            Socket::Connected(from, to) if listeners.are_at(*to) => Some(from.ip()),
            _ => None,
        })
    }
}

/// Many a program does both without being a proxy, so this is only worth a look.
fn suspected(name: &str, from: IpAddr) -> Finding {
    let what = format!(
        "{name} takes connections from other machines and has one to this box, from {from}: if it passes requests on, everybody who comes through it may do what networks allow to {from}"
    );
    let remedy = format!(
        "if it is a proxy, put \"{from}\" into server.trusted_proxies, and let it set X-Forwarded-For: see `breakwater help proxies`"
    );
    Finding::new(Severity::Note, "proxy_suspected", what, remedy)
}

/// Every TCP socket of this network that listens or is connected, by its inode.
fn sockets() -> HashMap<u64, Socket> {
    let mut sockets = HashMap::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        sockets.extend(text.lines().skip(1).take(MOST).filter_map(socket));
    }
    sockets
}

/// A line of `/proc/net/tcp`: its number, both addresses, the state, five more columns, and the inode.
fn socket(line: &str) -> Option<(u64, Socket)> {
    let columns: Vec<&str> = line.split_ascii_whitespace().collect();
    let (here, there) = (address(columns.get(1)?)?, address(columns.get(2)?)?);
    let socket = match *columns.get(3)? {
        "01" => Socket::Connected(here, there),
        "0A" => Socket::Listening(here),
        _ => return None,
    };
    Some((columns.get(9)?.parse().ok()?, socket))
}

/// `0100007F:1388`: the address in words of 32 bits as they lie in memory, the port as a number.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let word = |at: usize| {
        let digits = address.get(at..)?.get(..8)?;
        let word = u32::from_str_radix(digits, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let ip = match address.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?)).to_canonical()
        }
        _ => return None,
    };
    Some((ip, u16::from_str_radix(port, 16).ok()?).into())
}

/// The inodes of the sockets that a process of `/proc` has open, as far as one may see them.
fn descriptors(process: &Path) -> impl Iterator<Item = u64> {
    let open = std::fs::read_dir(process.join("fd"));
    let targets = open.into_iter().flatten().flatten().take(MOST);
    targets.filter_map(|entry| {
        let target = std::fs::read_link(entry.path()).ok()?;
        let inode = target.to_str()?.strip_prefix("socket:[")?;
        inode.strip_suffix(']')?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn lines_of_proc_are_read() {
        let tcp = "   0: 0100007F:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 x";
        let connected = "   1: 0100007F:C350 0100007F:1388 01 00000000:00000000 00:00000000 00000000    33        0 12 1 x";
        let tcp6 = "   0: 00000000000000000000000001000000:1388 00000000000000000000000000000000:0000 0A 0:0 00:0 0     0        0 7 1 x";
        let mapped = "   0: 0000000000000000FFFF00000100007F:0050 0000000000000000FFFF00000100007F:1388 01 0:0 00:0 0     0        0 8 1 x";
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let box_ = at("127.0.0.1:5000");
        for (line, expected) in [
            (tcp, Some((4711, Socket::Listening(box_)))),
            (
                connected,
                Some((12, Socket::Connected(at("127.0.0.1:50000"), box_))),
            ),
            (tcp6, Some((7, Socket::Listening(at("[::1]:5000"))))),
            (
                mapped,
                Some((8, Socket::Connected(at("127.0.0.1:80"), box_))),
            ),
            (&connected.replace(" 01 ", " 06 "), None),
            ("", None),
            ("0: x y 0A", None),
            ("0: 0100007F 0100007F:1388 01 a b c d e 5", None),
        ] {
            assert_eq!(socket(line), expected, "{line}");
        }
    }
}
