//! What an operator wants to know of a certificate: from when until when it holds, and for which names.
//!
//! It reads the few fields of X.509 that say so (RFC 5280 section 4.1) and verifies nothing: whether a
//! certificate may be trusted is for clients to say.

use std::net::IpAddr;

use crate::error::{Error, Kind, Result};
use crate::time::Timestamp;

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT Version` and `[3] EXPLICIT Extensions` of a TBSCertificate.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// `dNSName` and `iPAddress` of a GeneralName.
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;
/// 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// The dates and names of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSummary {
    /// It is not good before.
    pub not_before: Timestamp,
    /// It is not good after.
    pub not_after: Timestamp,
    /// The DNS names that it is for, as they stand in it.
    pub names: Vec<String>,
    /// The addresses that it is for.
    pub addresses: Vec<IpAddr>,
}

impl CertificateSummary {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// `Config` where it is no X.509 certificate.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        summary(der)
            .ok_or_else(|| Error::new(Kind::Config, "it holds what is no X.509 certificate"))
    }
}

/// What is left to read of a value in DER.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next value's tag and content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // Four bytes of length are more than any certificate has.
            0x81..=0x84 => {
                let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = length
                    .iter()
                    .fold(0u64, |length, byte| length << 8 | u64::from(*byte));
                (usize::try_from(length).ok()?, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The next value's content, if it has that tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content) = self.next()?;
        (found == tag).then_some(content)
    }

    /// As `take`; where another tag stands, nothing is taken.
    fn take_if(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.0.starts_with(&[tag]).then(|| self.take(tag))?
    }
}

fn summary(der: &[u8]) -> Option<CertificateSummary> {
    let mut certificate = Der(Der(der).take(SEQUENCE)?);
    let mut fields = Der(certificate.take(SEQUENCE)?);
    fields.take_if(VERSION);
    fields.take(INTEGER)?;
    let (_signature, _issuer) = (fields.take(SEQUENCE)?, fields.take(SEQUENCE)?);
    let mut validity = Der(fields.take(SEQUENCE)?);
    let mut summary = CertificateSummary {
        not_before: time(validity.next()?)?,
        not_after: time(validity.next()?)?,
        names: Vec::new(),
        addresses: Vec::new(),
    };
    let (_subject, _key) = (fields.take(SEQUENCE)?, fields.take(SEQUENCE)?);
    while let Some((tag, content)) = fields.next() {
        if tag == EXTENSIONS {
            let mut extensions = Der(Der(content).take(SEQUENCE)?);
            while let Some(extension) = extensions.take(SEQUENCE) {
                read_extension(Der(extension), &mut summary)?;
            }
        }
    }
    Some(summary)
}

/// Whether a certificate in DER names itself as its issuer.
pub fn is_self_issued(der: &[u8]) -> bool {
    let names = || {
        let mut certificate = Der(Der(der).take(SEQUENCE)?);
        let mut fields = Der(certificate.take(SEQUENCE)?);
        fields.take_if(VERSION);
        let (_serial, _signature) = (fields.take(INTEGER)?, fields.take(SEQUENCE)?);
        let issuer = fields.take(SEQUENCE)?;
        let (_validity, subject) = (fields.take(SEQUENCE)?, fields.take(SEQUENCE)?);
        Some((issuer, subject))
    };
    names().is_some_and(|(issuer, subject)| issuer == subject)
}

fn read_extension(mut extension: Der<'_>, summary: &mut CertificateSummary) -> Option<()> {
    let identifier = extension.take(OBJECT_IDENTIFIER)?;
    extension.take_if(BOOLEAN);
    let value = extension.take(OCTET_STRING)?;
    if identifier != SUBJECT_ALT_NAME {
        return Some(());
    }
    let mut names = Der(Der(value).take(SEQUENCE)?);
    while let Some((tag, name)) = names.next() {
        match tag {
            DNS_NAME => summary.names.push(str::from_utf8(name).ok()?.to_owned()),
            IP_ADDRESS => {
                let four = <[u8; 4]>::try_from(name).map(IpAddr::from);
                let sixteen = || <[u8; 16]>::try_from(name).map(IpAddr::from);
                summary.addresses.push(four.or_else(|_| sixteen()).ok()?);
            }
            // Mail addresses and the like are for other protocols.
            _ => {}
        }
    }
    Some(())
}

/// RFC 5280 section 4.1.2.5: seconds are always there, and the zone is always `Z`.
fn time((tag, text): (u8, &[u8])) -> Option<Timestamp> {
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let pairs = digits
        .chunks(2)
        .map(|pair| str::from_utf8(pair).ok()?.parse::<i8>().ok());
    let pairs: Vec<i8> = pairs.collect::<Option<_>>()?;
    let (year, rest) = match (tag, pairs.as_slice()) {
        (UTC_TIME, [year, rest @ ..]) => {
            let century = if *year < 50 { 2000_i16 } else { 1900 };
            (century.saturating_add(i16::from(*year)), rest)
        }
        (GENERALIZED_TIME, [century, year, rest @ ..]) => {
            let century = i16::from(*century).saturating_mul(100);
            (century.saturating_add(i16::from(*year)), rest)
        }
        _ => return None,
    };
    let [month, day, hour, minute, second] = *<&[i8; 5]>::try_from(rest).ok()?;
    let civil = jiff::civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    // The standard's "no end" (9999-12-31T23:59:59Z) lies a few hours beyond what the clock's crate knows.
    let instant = jiff::tz::TimeZone::UTC.to_timestamp(civil);
    Some(Timestamp(
        instant.unwrap_or(jiff::Timestamp::MAX).as_second(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    /// The certificate of the tests' fake upstream.
    fn example() -> CertificateDer<'static> {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/suite/support/fake_upstream/cert.pem"
        );
        CertificateDer::from_pem_file(file).unwrap()
    }

    #[test]
    fn dates_and_names_are_read() {
        let summary = CertificateSummary::from_der(&example()).unwrap();
        let expected = CertificateSummary {
            not_before: Timestamp(1_577_836_800),
            not_after: Timestamp(4_733_510_400),
            names: vec!["localhost".to_owned()],
            addresses: vec![[127, 0, 0, 1].into(), [127, 0, 0, 2].into()],
        };
        assert_eq!(summary, expected);
    }

    #[test]
    fn a_certificate_that_issued_itself_is_told_from_others() {
        assert!(is_self_issued(&example()) && !is_self_issued(b"nothing"));
    }

    #[test]
    fn times_are_read_as_the_standard_has_them() {
        let cases: &[(u8, &str, Option<i64>)] = &[
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (UTC_TIME, "500101000000Z", Some(-631_152_000)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_207_200)),
            (UTC_TIME, "700101000000", None),
            (UTC_TIME, "7001010000Z", None),
            (UTC_TIME, "701301000000Z", None),
            (UTC_TIME, "70010100000xZ", None),
            (UTC_TIME, "20500101000000Z", None),
            (SEQUENCE, "700101000000Z", None),
        ];
        for (tag, text, expected) in cases {
            let found = time((*tag, text.as_bytes())).map(|time| time.0);
            assert_eq!(found, *expected, "{tag} {text}");
        }
    }

    proptest! {
        #[test]
        fn damage_is_an_error_and_no_panic(at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
            let mut der = example().to_vec();
            let at = at.index(der.len());
            der[at] = byte;
            let _ = CertificateSummary::from_der(&der);
            let _ = CertificateSummary::from_der(&der[..cut.index(der.len())]);
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in any::<Vec<u8>>()) {
            let _ = CertificateSummary::from_der(&bytes);
        }
    }
}
