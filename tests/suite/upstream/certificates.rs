//! Certificates of upstreams: which are taken, and what is said of the others.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, SystemTime};

use breakwater::upstream::{Ca, Fault, FaultKind, Upstream};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

use super::{get, make, settings};
use crate::support::certificates::{Authority, Issued};
use crate::support::fake_upstream::{FakeUpstream, Image};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A certificate that issued itself, for these names, from so long ago for 30 days.
fn own_authority(names: &[&str], is_ca: IsCa, begun: Duration) -> Issued {
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.is_ca = is_ca;
    params
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    let begin = SystemTime::now() - begun;
    params.not_before = begin.into();
    params.not_after = (begin + 30 * DAY).into();
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Issued {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}

fn is_ca() -> IsCa {
    IsCa::Ca(BasicConstraints::Unconstrained)
}

/// An upstream with that certificate, and its client, which trusts `ca` beside the system's roots.
fn stage(issued: &Issued, ca: Option<&str>) -> (FakeUpstream, Upstream) {
    let fake = FakeUpstream::start_with_certificate(&issued.certificate, &issued.key);
    fake.put_image("library/alpine", "latest", &Image::oci(1, &[10]));
    let mut client = settings(fake.url());
    client.ca = ca.map(|pem| Ca::Pem(pem.to_owned()));
    let upstream = make(client);
    (fake, upstream)
}

fn refusal(issued: &Issued, ca: Option<&str>) -> Fault {
    let (_fake, upstream) = stage(issued, ca);
    let fault = get(&upstream).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unreachable, "{fault}");
    // There was no connection: that counts as such each time.
    assert!(upstream.status().failures_in_a_row >= 3, "{fault}");
    fault
}

#[test]
fn a_certificate_that_stands_in_the_ca_file_itself_is_taken_as_by_curl() {
    let authority = Authority::new();
    let issued = authority.issue(DAY);
    for (what, certificate, ca) in [
        ("an authority's", &issued, authority.pem()),
        (
            "itself, from an authority",
            &issued,
            issued.certificate.clone(),
        ),
    ] {
        let (_fake, upstream) = stage(certificate, Some(&ca));
        get(&upstream).unwrap_or_else(|fault| panic!("{what}: {fault}"));
    }
    for is_ca in [is_ca(), IsCa::NoCa, IsCa::ExplicitNoCa] {
        let own = own_authority(&["127.0.0.1"], is_ca, DAY);
        let (_fake, upstream) = stage(&own, Some(&own.certificate));
        get(&upstream).unwrap();
    }
}

#[test]
fn what_is_wrong_with_a_certificate_is_told_in_words_with_the_remedy() {
    let (authority, other) = (Authority::new(), Authority::new());
    let issued = authority.issue(DAY);
    let own = own_authority(&["127.0.0.1"], is_ca(), DAY);
    let for_others = own_authority(&["registry.corp", "10.1.2.3"], is_ca(), DAY);
    let nameless = own_authority(&[], is_ca(), DAY);
    let ended = own_authority(&["127.0.0.1"], is_ca(), 40 * DAY);
    let (now, pem) = (SystemTime::now(), authority.pem());
    let ended_by_authority = authority.issue_between(now - 9 * DAY, now - 2 * DAY);
    let later = authority.issue_between(now + DAY, now + 9 * DAY);
    let ca = |issued: &Issued| Some(issued.certificate.clone());
    let trust = "upstream set NAME ca=FILE";
    for (issued, ca, why, remedy) in [
        (
            &issued,
            None,
            "from an authority that this box does not know",
            trust,
        ),
        (
            &issued,
            Some(other.pem()),
            "from an authority that this box does not know",
            trust,
        ),
        (
            &own,
            None,
            "is its own authority, which this box does not know",
            trust,
        ),
        // Another one of the same name is not it.
        (
            &own,
            ca(&own_authority(&["127.0.0.1"], is_ca(), DAY)),
            "",
            "",
        ),
        (
            &for_others,
            ca(&for_others),
            "is for registry.corp, 10.1.2.3, not for 127.0.0.1",
            "url",
        ),
        (&nameless, ca(&nameless), "is for no host", "url"),
        (&ended, ca(&ended), "its certificate ended at 20", "renew"),
        (
            &ended_by_authority,
            Some(pem.clone()),
            "its certificate ended at 20",
            "renew",
        ),
        (&later, Some(pem), "holds only from 20", "clock"),
    ] {
        let fault = refusal(issued, ca.as_deref());
        assert!(fault.message.contains(why), "{why}: {fault}");
        assert!(
            fault
                .message
                .starts_with("registry.example does not answer: "),
            "{fault}"
        );
        let said = fault.remedy.unwrap_or_default();
        assert!(said.contains(remedy), "{why}: {said}");
    }
}

#[test]
fn https_to_what_speaks_no_tls_says_so() {
    // As web servers do, it says what is wrong as soon as the first line is none of HTTP.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let _ = client.read(&mut [0; 512]);
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let fault = get(&make(settings(&format!("https://{address}")))).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unreachable, "{fault}");
    assert!(
        fault.message.contains("there is no TLS at 127.0.0.1"),
        "{fault}"
    );
    let remedy = fault.remedy.unwrap();
    assert!(remedy.contains(&format!("http://{address}")), "{remedy}");
}
