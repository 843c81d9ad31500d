//! How much of a handshake's next flight has come: the boundaries of TLS records (RFC 8446 section 5.1), and
//! nothing of what stands in them. A worker is asked only when there is a whole record for it.

/// A record's type, two bytes of version, two bytes of length.
const HEADER: usize = 5;
/// The longest record: 2^14 bytes and what TLS 1.2 may add to them (RFC 5246 section 6.2.3).
const LONGEST: usize = (1 << 14) + 2048;

/// What the first bytes of a flight are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Flight {
    /// Less than a record.
    Partial,
    /// One or more whole records, of so many bytes.
    Whole(usize),
    /// A client that speaks HTTP without TLS.
    PlainHttp,
    /// Neither: nobody can be told in words.
    Nonsense,
}

/// Looks at what was received of a flight. `first` says that nothing came on the connection before it.
pub(in super::super) fn next_flight(bytes: &[u8], first: bool) -> Flight {
    let mut whole = 0;
    while let Some(&kind) = bytes.get(whole) {
        match kind {
            // A ClientHello is the first thing that anybody says.
            0x16 => {}
            0x14..=0x17 if !first || whole > 0 => {}
            b'A'..=b'Z' if first && whole == 0 => return Flight::PlainHttp,
            _ => return Flight::Nonsense,
        }
        let record = bytes.get(whole..).unwrap_or_default();
        let &[_, major, _, high, low, ..] = record else {
            break;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if major != 3 || length > LONGEST {
            return Flight::Nonsense;
        }
        let length = length.saturating_add(HEADER);
        if record.len() < length {
            break;
        }
        whole = whole.saturating_add(length);
    }
    match whole {
        0 => Flight::Partial,
        whole => Flight::Whole(whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_are_found_and_other_protocols_too() {
        let cases: &[(&[u8], bool, Flight)] = &[
            (b"", true, Flight::Partial),
            (b"\x16", true, Flight::Partial),
            (b"\x16\x03\x01\x00\x02a", true, Flight::Partial),
            (b"\x16\x03\x01\x00\x02ab", true, Flight::Whole(7)),
            (b"\x16\x03\x01\x00\x02ab\x16\x03", true, Flight::Whole(7)),
            (
                b"\x16\x03\x01\x00\x02ab\x14\x03\x03\x00\x01c",
                true,
                Flight::Whole(13),
            ),
            (b"\x14\x03\x03\x00\x01\x01", false, Flight::Whole(6)),
            (b"\x17\x03\x03\x00\x01\x01", false, Flight::Whole(6)),
            (b"\x17\x03\x03\x00\x01\x01", true, Flight::Nonsense),
            (b"G", true, Flight::PlainHttp),
            (b"PRI * HTTP/2.0\r\n", true, Flight::PlainHttp),
            (b"G", false, Flight::Nonsense),
            (b"\x80\x2e\x01\x00\x02", true, Flight::Nonsense),
            (b"\x16\x02\x01\x00\x02ab", true, Flight::Nonsense),
            (b"\x16\x03\x01\xff\xff", true, Flight::Nonsense),
            (b"\x16\x03\x01\x00\x02abG", true, Flight::Nonsense),
        ];
        for (bytes, first, expected) in cases {
            assert_eq!(next_flight(bytes, *first), *expected, "{bytes:?} {first}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in any::<Vec<u8>>(), first: bool) {
            if let Flight::Whole(length) = next_flight(&bytes, first) {
                prop_assert!(length <= bytes.len() && length >= HEADER);
            }
        }
    }
}
