//! TLS with many clients: silence, half handshakes, memory, a new certificate and the end under load.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use breakwater::http::{Limits, Refresh, Server};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use super::support::{
    Client, PATIENCE, TlsServer, echo, eventually, limit_descriptors, limits, resident, run_alone,
    serve_tls,
};
use crate::support::certificates::{Authority, client_trusting, tls_connect};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Few workers, and room for everybody.
fn wide() -> Limits {
    Limits {
        workers: 4,
        max_connections: 20_000,
        max_connections_per_address: 20_000,
        ..limits()
    }
}

/// A ClientHello as it stands on the wire.
fn client_hello(authority: &Authority) -> Vec<u8> {
    let config = Arc::new(authority.client(rustls::ALL_VERSIONS));
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = ClientConnection::new(config, name).unwrap();
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_handshake_has_a_deadline() {
    let hasty = Limits {
        head_timeout: Duration::from_millis(500),
        ..limits()
    };
    let tls = serve_tls(hasty, echo);
    let hello = client_hello(&tls.authority);
    let mut silent = Client::connect(&tls.server);
    let mut half = Client::connect(&tls.server);
    half.send(&hello[..hello.len() / 2]);
    let mut unfinished = Client::connect(&tls.server);
    unfinished.send(&hello);
    let mut dripping = Client::connect(&tls.server);
    let mut drip = dripping.stream.try_clone().unwrap();
    let dripped = std::thread::spawn(move || {
        let started = Instant::now();
        for byte in hello {
            if drip.write_all(&[byte]).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        started.elapsed()
    });
    // One that has shaken hands has as long again for its request.
    let mut established = tls.connect();

    assert!(silent.is_over());
    assert!(half.is_over());
    assert!(
        dripping.is_over(),
        "each byte came in time, the flight did not"
    );
    assert!(dripped.join().unwrap() < PATIENCE);
    let flight = unfinished.rest().unwrap_or_default();
    assert_eq!(
        flight.first(),
        Some(&0x16),
        "the server's flight, and then the end"
    );
    let mut end = Vec::new();
    established.stream.read_to_end(&mut end).unwrap();
    assert_eq!(end, b"", "with nothing said but its end");
}

#[test]
fn silent_clients_stop_nobody() {
    run_alone("http::tls_load::child_with_silent_clients");
}

#[test]
#[ignore = "needs many descriptors: started by silent_clients_stop_nobody"]
fn child_with_silent_clients() {
    limit_descriptors(rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum);
    let tls = serve_tls(wide(), echo);
    let hello = client_hello(&tls.authority);
    let crowd: Vec<TcpStream> = (0..2000)
        .map(|turn| {
            let mut stream = TcpStream::connect(tls.address()).unwrap();
            // Nothing, a part, all of the first flight.
            let length = [0, hello.len() / 2, hello.len()][turn % 3];
            stream.write_all(&hello[..length]).unwrap();
            stream
        })
        .collect();
    for turn in 0..50 {
        let started = Instant::now();
        let answer = tls.connect().get(&format!("/{turn}"));
        assert_eq!(answer.text(), format!("GET /{turn} "));
        let took = started.elapsed();
        assert!(took < Duration::from_secs(5), "waited {took:?}");
    }
    drop(crowd);
}

#[test]
fn thousands_of_silent_connections_cost_little() {
    let output = run_alone("http::tls_load::child_that_measures");
    // For `--nocapture`: what was measured.
    println!("{output}");
}

#[test]
#[ignore = "measures its process: started by thousands_of_silent_connections_cost_little"]
fn child_that_measures() {
    limit_descriptors(rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum);
    let tls = serve_tls(wide(), echo);
    let hello = client_hello(&tls.authority);
    assert_eq!(tls.connect().get("/").status, 200);
    let silent = |length: usize, count: usize| -> Vec<TcpStream> {
        let connect = |_| {
            let mut stream = TcpStream::connect(tls.address()).unwrap();
            stream.write_all(&hello[..length]).unwrap();
            stream
        };
        (0..count).map(connect).collect()
    };
    for (what, length, limit) in [
        ("nothing", 0, 16 << 20),
        ("half a flight", hello.len() / 2, 32 << 20),
        ("a flight", hello.len(), 192 << 20),
    ] {
        let before = resident();
        let crowd = silent(length, 5000);
        assert_eq!(tls.connect().get("/").status, 200);
        // The first flight is answered, which says that it was looked at.
        for stream in crowd.iter().filter(|_| length == hello.len()) {
            let mut stream = stream;
            stream.read_exact(&mut [0; 5]).unwrap();
        }
        let grown = resident().saturating_sub(before);
        println!("5000 silent clients that sent {what}: {grown} bytes");
        assert!(grown < limit, "{what}: {grown} bytes");
        drop(crowd);
    }
}

/// Asks on one new connection after another until told to stop; gives how many were answered.
fn ask_until(
    tls: &TlsServer,
    authorities: &[&Authority],
    over: &AtomicBool,
    failures: &AtomicUsize,
) -> usize {
    // Whichever certificate is there, one of them knows it.
    let pems: Vec<String> = authorities
        .iter()
        .map(|authority| authority.pem())
        .collect();
    let pems: Vec<&str> = pems.iter().map(String::as_str).collect();
    let config = Arc::new(client_trusting(&pems, rustls::ALL_VERSIONS));
    let mut answered = 0;
    while !over.load(Ordering::SeqCst) {
        let asked = tls.connect_with(&config).and_then(|mut client| {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            client.answer()
        });
        match asked {
            Ok(answer) if answer.status == 200 => answered += 1,
            other => {
                println!("{other:?}");
                failures.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
    answered
}

#[test]
fn a_new_certificate_fails_no_request() {
    let tls = serve_tls(limits(), echo);
    let successor = Authority::new();
    let (over, failures) = (AtomicBool::new(false), AtomicUsize::new(0));
    let serial = || {
        let config = Arc::new(successor.client(rustls::ALL_VERSIONS));
        tls.connect_with(&config).is_ok()
    };
    let authorities = [&tls.authority, &successor];
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| ask_until(&tls, &authorities, &over, &failures)))
            .collect();
        assert!(!serial(), "the successor's certificate is not there yet");
        // A connection from before outlives its certificate.
        let mut kept = tls.connect();
        for turn in 0..10 {
            let next = authorities[turn % 2].issue((turn as u32 + 1) * DAY);
            next.write(tls.directory.path());
            match tls.identity.refresh() {
                Refresh::Loaded(summary) => assert_eq!(summary, tls.identity.summary()),
                other => panic!("{turn}: {other:?}"),
            }
            assert_eq!(serial(), turn % 2 == 1, "{turn}");
            assert!(matches!(tls.identity.refresh(), Refresh::Unchanged));
            assert_eq!(kept.get("/").status, 200);
        }
        over.store(true, Ordering::SeqCst);
        for thread in asking {
            assert!(thread.join().unwrap() > 0);
        }
    });
    assert_eq!(failures.load(Ordering::SeqCst), 0);
}

#[test]
fn a_pair_that_is_of_no_use_leaves_the_old_one() {
    let tls = serve_tls(limits(), echo);
    let directory = tls.directory.path();
    let (certificate, key) = (directory.join("server.crt"), directory.join("server.key"));
    let good = tls.authority.issue(2 * DAY);
    let other = tls.authority.issue(3 * DAY);
    // One file after the other: what is looked at in between is no reason to complain.
    std::fs::write(&certificate, &good.certificate).unwrap();
    assert!(matches!(tls.identity.refresh(), Refresh::Unchanged));
    assert!(!tls.identity.is_outdated());
    assert_eq!(tls.connect().get("/").status, 200);
    std::fs::write(&key, &good.key).unwrap();
    assert!(matches!(tls.identity.refresh(), Refresh::Loaded(_)));
    let before = tls.identity.summary();
    let good = tls.authority.issue(4 * DAY);
    let cases: [(&str, &str, &str); 5] = [
        ("", &good.key, "holds no certificate"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &good.key,
            "no X.509",
        ),
        (&good.certificate, "", "holds no private key"),
        (
            &good.certificate,
            &other.key,
            "is not that of the first certificate",
        ),
        (&good.certificate, "rubbish", "holds no private key"),
    ];
    for (chain, private, expected) in cases {
        std::fs::write(&certificate, chain).unwrap();
        std::fs::write(&key, private).unwrap();
        // It may be half of a change, so it is looked at twice, and complained about once.
        assert!(
            matches!(tls.identity.refresh(), Refresh::Unchanged),
            "{expected}"
        );
        let Refresh::Refused(error) = tls.identity.refresh() else {
            panic!("{expected}: nothing was said");
        };
        assert!(error.to_string().contains(expected), "{error}");
        assert!(
            matches!(tls.identity.refresh(), Refresh::Unchanged),
            "{expected}"
        );
        assert!(tls.identity.reload().is_err(), "{expected}");
        assert!(tls.identity.is_outdated(), "{expected}");
        assert_eq!(tls.identity.summary(), before);
        assert_eq!(tls.connect().get("/").status, 200);
    }
    std::fs::remove_file(&key).unwrap();
    assert!(
        tls.identity
            .reload()
            .unwrap_err()
            .to_string()
            .contains("cannot read")
    );
    good.write(directory);
    assert!(matches!(tls.identity.refresh(), Refresh::Loaded(_)));
    assert!(!tls.identity.is_outdated());
    assert_ne!(tls.identity.summary(), before);
}

#[test]
fn who_has_just_come_is_served_before_the_end() {
    let tls = serve_tls(limits(), echo);
    let config = Arc::new(tls.authority.client(rustls::ALL_VERSIONS));
    let address = tls.address();
    // Accepted, and nothing said yet.
    let sockets: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let mut used = tls.connect();
    assert_eq!(used.get("/").status, 200);
    let TlsServer { server, .. } = tls;
    let stopping = std::thread::spawn(move || Server::stop(server, PATIENCE));
    eventually("the port is closed", || {
        TcpStream::connect(address).is_err()
    });
    assert!(used.is_over(), "who has had an answer can ask elsewhere");
    for socket in sockets {
        let stream = crate::support::certificates::tls_over(socket, &config).unwrap();
        let mut client = Client::on(stream);
        assert_eq!(client.get("/").field("connection"), Some("close"));
    }
    assert_eq!(stopping.join().unwrap(), 0);
    assert!(tls_connect(address, &config).is_err());
}
