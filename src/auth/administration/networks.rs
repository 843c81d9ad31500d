//! How networks are written. Pure.

use ipnet::IpNet;

use crate::error::{Error, Kind, Result, excerpt};

/// A network by its first address and its prefix. Host bits are refused: whoever writes
/// 10.1.2.3/8 may have meant one machine, and would trust sixteen million.
///
/// # Errors
/// `Usage`.
pub fn parse_cidr(text: &str) -> Result<IpNet> {
    let parsed = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
    let Ok(network) = parsed else {
        return Err(
            Error::new(Kind::Usage, format!("`{}` is no network", excerpt(text)))
                .remedy("write it as 10.1.0.0/16 or fd00::/8"),
        );
    };
    if network.trunc() == network {
        return Ok(network);
    }
    let what = format!("{network} is an address inside of a network, not a network");
    Err(Error::new(Kind::Usage, what).remedy(format!(
        "write {} for the whole network, or {} for one machine",
        network.trunc(),
        network.addr()
    )))
}
