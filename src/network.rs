//! The networks around an address that limits by address count as one caller. Pure.
//!
//! A single customer of an IPv6 provider has a network of 64 bits at least, and is often given one of 48 bits: a limit
//! that counted single addresses, or networks of 64 bits alone, would be none for whoever changes the address from
//! one request to the next.

use std::net::IpAddr;

use ipnet::IpNet;

/// What one machine has all addresses of: an IPv4 address, or an IPv6 network of 64 bits.
pub fn of_machine(address: IpAddr) -> IpNet {
    around(address, 32, 64)
}

/// The network to name where a rule for an address is proposed: an IPv4 network of 24 bits, or an IPv6 network of 64
/// bits, which is what a segment of a local network usually is.
pub fn of_segment(address: IpAddr) -> IpNet {
    around(address, 24, 64)
}

/// What one customer may have all addresses of: an IPv4 network of 24 bits, or an IPv6 network of 48 bits.
pub fn of_site(address: IpAddr) -> IpNet {
    around(address, 24, 48)
}

fn around(address: IpAddr, bits_of_v4: u8, bits_of_v6: u8) -> IpNet {
    let address = address.to_canonical();
    let bits = match address {
        IpAddr::V4(_) => bits_of_v4,
        IpAddr::V6(_) => bits_of_v6,
    };
    IpNet::new(address, bits).map_or_else(|_| address.into(), |network| network.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_lies_in_the_networks_of_its_machine_its_segment_and_its_site() {
        struct Case {
            address: &'static str,
            machine: &'static str,
            segment: &'static str,
            site: &'static str,
        }
        let table = [
            Case {
                address: "192.0.2.77",
                machine: "192.0.2.77/32",
                segment: "192.0.2.0/24",
                site: "192.0.2.0/24",
            },
            Case {
                address: "::ffff:192.0.2.77",
                machine: "192.0.2.77/32",
                segment: "192.0.2.0/24",
                site: "192.0.2.0/24",
            },
            Case {
                address: "2001:db8:1:2:3::4",
                machine: "2001:db8:1:2::/64",
                segment: "2001:db8:1:2::/64",
                site: "2001:db8:1::/48",
            },
        ];
        for case in table {
            let address = case.address.parse().unwrap();
            let networks = [of_machine, of_segment, of_site].map(|of| of(address).to_string());
            assert_eq!(
                networks,
                [case.machine, case.segment, case.site],
                "{}",
                case.address
            );
        }
    }
}
