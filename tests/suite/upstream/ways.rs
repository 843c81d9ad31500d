//! TLS with a private CA, and proxies.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use breakwater::upstream::{Ca, FaultKind, Proxies, Upstream};

use super::{drain, get, impatient, make, repository, settings, stage};
use crate::support::fake_upstream::{Answer, Bearer, FakeUpstream, Image};

#[test]
fn a_private_ca_is_trusted_where_it_is_configured() {
    let fake = FakeUpstream::start_tls();
    let image = Image::oci(1, &[100_000]);
    fake.put_image("library/alpine", "latest", &image);
    fake.require_bearer(Bearer::default());
    let mut trusting = settings(fake.url());
    trusting.ca = Some(Ca::File(FakeUpstream::ca_file()));
    let upstream = make(trusting.clone());
    assert_eq!(get(&upstream).unwrap(), image.manifest);
    let blob = upstream
        .get_blob(&repository(), &image.layer_digest(0), 0, None)
        .unwrap();
    let (bytes, end) = drain(blob.reader);
    end.unwrap();
    assert!(bytes == image.layers[0]);
    assert_eq!(fake.connections(), 1, "one connection, one handshake");
    for (answer, kind) in [
        (Answer::good().truncate_at(500), ErrorKind::UnexpectedEof),
        (Answer::good().stall_at(500), ErrorKind::TimedOut),
    ] {
        let mut client = trusting.clone();
        if kind == ErrorKind::TimedOut {
            client.timeouts = impatient(fake.url()).timeouts;
        }
        fake.on("GET", "/blobs/").next([answer]);
        let blob = make(client)
            .get_blob(&repository(), &image.layer_digest(0), 0, None)
            .unwrap();
        assert_eq!(drain(blob.reader).1.unwrap_err().kind(), kind);
    }

    let fault = get(&make(settings(fake.url()))).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unreachable);
    assert!(fault.message.contains("certificate"), "{fault}");

    // From https to plain http leads no way: no redirect, no realm.
    let plain = FakeUpstream::start();
    plain.put_image("library/alpine", "latest", &image);
    fake.on("GET", "/manifests/")
        .next([Answer::redirect(&format!("{}{{path}}", plain.url()))]);
    assert_eq!(get(&upstream).unwrap_err().kind, FaultKind::Protocol);
    fake.require_bearer(Bearer {
        realm: Some(format!("{}/token", plain.url())),
        ..Bearer::default()
    });
    assert_eq!(get(&make(trusting)).unwrap_err().kind, FaultKind::Protocol);
    assert_eq!(plain.connections(), 0);
}

/// A proxy that answers CONNECT by connecting to `target`, whatever the name; counts, and notes the
/// names.
fn proxy(target: SocketAddr) -> (SocketAddr, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(mut client) = client else { return };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if client.read_exact(&mut byte).is_err() {
                    break;
                }
                head.push(byte[0]);
            }
            log.lock().unwrap().push(String::from_utf8(head).unwrap());
            let Ok(mut server) = TcpStream::connect(target) else {
                return;
            };
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            std::thread::spawn(move || std::io::copy(&mut server, &mut client));
        }
    });
    (address, asked)
}

#[test]
fn requests_go_through_the_proxy_unless_no_proxy_names_their_host() {
    let (fake, image) = stage();
    let (address, asked) = proxy(fake.address());
    let proxies = |no_proxy: &str| {
        Proxies::read(|name| match name {
            "http_proxy" => Some(format!("http://user:p%40ss@{address}")),
            "no_proxy" => Some(no_proxy.to_owned()),
            _ => None,
        })
        .unwrap()
    };
    let make = |url: &str, no_proxy: &str| {
        let mut settings = settings(url);
        settings.allow_private_addresses = false;
        let offline = Arc::new(AtomicBool::new(false));
        Upstream::with_proxies(settings, offline, proxies(no_proxy)).unwrap()
    };
    // The name exists for the proxy alone; that the proxy itself is on loopback is the operator's choice.
    let upstream = make("http://registry.invalid", "");
    assert_eq!(get(&upstream).unwrap(), image.manifest);
    let heads = asked.lock().unwrap().clone();
    assert_eq!(heads.len(), 1);
    assert!(
        heads[0].starts_with("CONNECT registry.invalid:80 HTTP/1.1\r\n"),
        "{heads:?}"
    );
    assert!(
        heads[0].contains("Proxy-Authorization: Basic dXNlcjpwQHNz"),
        "{heads:?}"
    );
    assert_eq!(fake.requests()[0].header("host"), Some("registry.invalid"));
    // By its name in NO_PROXY it is asked directly, and has no address there.
    let direct = make("http://registry.invalid", "invalid");
    assert_eq!(get(&direct).unwrap_err().kind, FaultKind::Unreachable);
    // Neither the proxy nor a redirect through it opens a way to this machine.
    for location in [
        fake.url().to_owned(),
        "http://0x7f.1/".to_owned(),
        "http://10.0.0.1/".to_owned(),
    ] {
        fake.on("GET", "/manifests/")
            .next([Answer::redirect(&location)]);
        let fault = get(&upstream).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Protocol, "{location}: {fault}");
        assert!(fault.message.contains("not public"), "{location}: {fault}");
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn a_proxy_that_refuses_or_is_gone_makes_the_upstream_unreachable() {
    let (fake, _) = stage();
    fake.on("CONNECT", "").always(Answer::status(407));
    for stop in [false, true] {
        if stop {
            fake.stop();
        }
        let address = fake.address();
        let proxies = Proxies::read(|name| {
            (name == "http_proxy").then(|| format!("http://user:SECRET@{address}"))
        });
        let offline = Arc::new(AtomicBool::new(false));
        let settings = settings("http://registry.invalid");
        let upstream = Upstream::with_proxies(settings, offline, proxies.unwrap()).unwrap();
        let fault = get(&upstream).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Unreachable, "{fault}");
        assert!(!fault.message.contains("SECRET"), "{fault}");
    }
}
