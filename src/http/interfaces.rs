//! The addresses of this machine's interfaces.

use std::io;
use std::net::IpAddr;

/// Those that there are now, in the order of the system; IPv4-mapped IPv6 addresses as IPv4.
///
/// # Errors
/// Where the system does not tell.
pub fn interface_addresses() -> io::Result<Vec<IpAddr>> {
    let interfaces = if_addrs::get_if_addrs()?;
    let addresses = interfaces.iter().map(if_addrs::Interface::ip);
    Ok(addresses.map(|address| address.to_canonical()).collect())
}
