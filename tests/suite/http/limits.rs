//! Clients that want too much: endless heads, thousands of half requests, silence, slowness, and no
//! descriptors left. Others must be served meanwhile.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use breakwater::http::{Body, Limits, Response};

use super::support::{
    Client, PATIENCE, connect_from, echo, eventually, limit_descriptors, limits, resident,
    run_alone, serve, serve_on, text,
};

/// More than the socket buffers of both sides hold.
const LARGE: usize = 24 << 20;

#[test]
fn endless_heads_end() {
    let server = serve(limits(), echo);
    let starts = [
        "GET /",
        "GET / HTTP/1.1\r\nHost: a\r\nX: ",
        "GET / HTTP/1.1\r\nHost: a\r\n",
    ];
    let pieces = ["a".repeat(1000), "a".repeat(1000), "X: y\r\n".repeat(100)];
    std::thread::scope(|scope| {
        for (start, piece) in starts.iter().zip(&pieces) {
            let mut client = Client::connect(&server);
            client.send(start);
            let mut sender = client.stream.try_clone().unwrap();
            let sending = scope.spawn(move || {
                // It must come to an end, and long before all of it was taken.
                let mut sent = 0;
                while sent < 1 << 30 && sender.write_all(piece.as_bytes()).is_ok() {
                    sent += piece.len();
                }
                sent
            });
            scope.spawn(move || {
                assert_eq!(client.answer().unwrap().status, 431, "{start:?}");
                let sent = sending.join().unwrap();
                assert!(sent < 1 << 30, "{start:?}: {sent} bytes were taken");
            });
        }
    });
    assert_eq!(Client::connect(&server).get("/").status, 200);
}

#[test]
fn thousands_of_half_requests_cost_neither_workers_nor_memory() {
    run_alone("http::limits::child_with_half_requests");
}

#[test]
#[ignore = "measures its process: started by thousands_of_half_requests_cost_neither_workers_nor_memory"]
fn child_with_half_requests() {
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    limit_descriptors(hard);
    // Both ends are in this process, and a few descriptors are needed for other things.
    let most = hard.map_or(10_000, |hard| (hard as usize - 100) / 2);
    let server = serve(
        Limits {
            workers: 4,
            max_connections: 20_000,
            max_connections_per_address: 20_000,
            ..limits()
        },
        echo,
    );
    let mut client = Client::connect(&server);
    assert_eq!(client.get("/").status, 200);
    let before = resident();
    let half: Vec<TcpStream> = (0..most.min(10_000))
        .map(|turn| {
            let mut stream = TcpStream::connect(server.addresses()[0]).unwrap();
            if turn % 2 == 0 {
                let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(300));
                stream.write_all(head.as_bytes()).unwrap();
            }
            stream
        })
        .collect();
    for turn in 0..200 {
        let answer = client.get(&format!("/{turn}"));
        assert_eq!(answer.text(), format!("GET /{turn} "));
    }
    let grown = resident().saturating_sub(before);
    assert!(
        grown < 64 << 20,
        "{grown} bytes for {} connections",
        half.len()
    );
}

#[test]
fn a_head_has_a_deadline_and_so_has_silence() {
    let hasty = Limits {
        head_timeout: Duration::from_millis(300),
        idle_timeout: Duration::from_millis(300),
        ..limits()
    };
    let server = serve(hasty, echo);
    let mut silent = Client::connect(&server);
    let mut partial = Client::connect(&server);
    partial.send("GET / HTTP/1.1\r\nHo");
    let mut dripping = Client::connect(&server);
    let mut drip = dripping.stream.try_clone().unwrap();
    let dripped = std::thread::spawn(move || {
        let _ = drip.write_all(b"GET / HTTP/1.1\r\nX: ");
        let start = Instant::now();
        while start.elapsed() < PATIENCE && drip.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
        start.elapsed()
    });
    let mut kept = Client::connect(&server);
    assert_eq!(kept.get("/").status, 200);

    assert!(silent.is_over(), "silence is answered with silence");
    assert_eq!(partial.answer().unwrap().status, 408);
    assert!(partial.is_over());
    assert_eq!(
        dripping.answer().unwrap().status,
        408,
        "each byte came in time, the head did not"
    );
    assert!(kept.is_over(), "an idle connection ends without a word");
    drop(dripping);
    assert!(dripped.join().unwrap() < PATIENCE);
}

#[test]
fn an_address_has_so_many_connections() {
    let narrow = Limits {
        max_connections_per_address: 3,
        ..limits()
    };
    let server = serve(narrow, echo);
    let mut first: Vec<Client> = (0..3).map(|_| Client::connect(&server)).collect();
    for client in &mut first {
        assert_eq!(client.get("/").status, 200);
    }
    let mut fourth = Client::connect(&server);
    let answer = fourth.answer().unwrap();
    assert_eq!(
        (answer.status, answer.field("connection")),
        (503, Some("close"))
    );
    assert!(fourth.is_over());
    assert_eq!(
        connect_from(&server, 2).get("/").status,
        200,
        "another address"
    );
    assert_eq!(first[0].get("/").status, 200, "one that was there before");
    first.pop();
    eventually("a place that was given back can be taken", || {
        let mut client = Client::connect(&server);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.answer().is_ok_and(|answer| answer.status == 200)
    });
}

#[test]
fn when_all_places_are_taken_idle_ones_make_room_and_busy_ones_stay() {
    let narrow = Limits {
        max_connections: 2,
        ..limits()
    };
    let server = serve(narrow, echo);
    let mut idle = Client::connect(&server);
    assert_eq!(idle.get("/").status, 200);
    let mut busy = Client::connect(&server);
    busy.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
    assert_eq!(busy.answer().unwrap().status, 100);
    eventually("the idle connection makes room", || {
        let mut client = Client::connect(&server);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.answer().is_ok_and(|answer| answer.status == 200)
    });
    assert!(idle.is_over());
    busy.send("x");
    assert_eq!(busy.answer().unwrap().text(), "PUT / x");
}

#[test]
fn slow_readers_leave_workers_for_others_and_for_their_own_address() {
    let served = Arc::new(AtomicUsize::new(0));
    let count = served.clone();
    let few = Limits {
        workers: 4,
        ..limits()
    };
    let body: Arc<[u8]> = vec![1; LARGE].into();
    let server = serve(few, move |request| match request.path.as_str() {
        "/large" => {
            count.fetch_add(1, Ordering::SeqCst);
            Response::new(200).body(Body::Bytes(body.clone()))
        }
        _ => text(200, "small"),
    });
    let mut slow: Vec<Client> = (0..8).map(|_| Client::connect(&server)).collect();
    for client in &mut slow {
        client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for _ in 0..5 {
        assert_eq!(connect_from(&server, 3).get("/").text(), "small");
        assert_eq!(Client::connect(&server).get("/").text(), "small");
    }
    eventually("slow readers do not wait for each other", || {
        served.load(Ordering::SeqCst) == 8
    });
    std::thread::scope(|scope| {
        for mut client in slow {
            scope.spawn(move || assert_eq!(client.answer().unwrap().body.len(), LARGE));
        }
    });
}

#[test]
fn readers_that_trickle_are_cut_and_others_are_served() {
    let hasty = Limits {
        workers: 4,
        stall_timeout: Duration::from_millis(1500),
        ..limits()
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    // With large buffers the kernel reports no progress at all until a third of them is free.
    socket2::SockRef::from(&listener)
        .set_send_buffer_size(4096)
        .unwrap();
    let (report, reports) = mpsc::channel();
    let body: Arc<[u8]> = vec![1; 1 << 20].into();
    let server = serve_on(listener, hasty, move |request| {
        let bytes = body.clone();
        let body = match request.path.as_str() {
            "/bytes" => Body::Bytes(bytes),
            "/file" => {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&bytes).unwrap();
                Body::File {
                    file: file.into(),
                    offset: 0,
                    length: bytes.len() as u64,
                }
            }
            "/stream" => Body::Stream {
                reader: Box::new(std::io::repeat(1).take(1 << 20)),
                length: None,
            },
            _ => return text(200, "small"),
        };
        let report = report.clone();
        Response::new(200)
            .body(body)
            .on_delivered(move |delivery| report.send(delivery).unwrap())
    });
    let address = server.addresses()[0];
    let mut readers = Vec::new();
    for path in ["/bytes", "/file", "/stream"] {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&address.into()).unwrap();
        let mut client = Client::over(socket.into());
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        readers.push(std::thread::spawn(move || {
            let mut piece = [0; 500];
            while let Ok(1..) = client.stream.read(&mut piece) {
                std::thread::sleep(Duration::from_millis(50));
            }
        }));
    }
    assert_eq!(Client::connect(&server).get("/").text(), "small");
    for _ in &readers {
        let delivery = reports.recv_timeout(PATIENCE).unwrap();
        assert!(!delivery.complete && delivery.bytes < 1 << 20);
    }
    for reader in readers {
        reader.join().unwrap();
    }
    let answer = Client::connect(&server).get("/bytes");
    assert_eq!(answer.body.len(), 1 << 20, "a reader that takes it");
}

#[test]
fn busy_connections_leave_workers_for_each_other() {
    // One address may hold three of the four workers, and six of its connections ask without a pause.
    let few = Limits {
        workers: 4,
        ..limits()
    };
    let server = serve(few, echo);
    let address = server.addresses()[0];
    let greedy: Vec<_> = (0..6)
        .map(|_| {
            std::thread::spawn(move || {
                let mut connection = Client::connect_to(address);
                loop {
                    let sent = connection
                        .stream
                        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                    if sent.is_err() || connection.answer().is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    for turn in 0..100 {
        let mut client = Client::connect_to(address);
        assert_eq!(
            client.get(&format!("/{turn}")).text(),
            format!("GET /{turn} ")
        );
    }
    server.stop(Duration::ZERO);
    for client in greedy {
        client.join().unwrap();
    }
}

#[test]
fn more_requests_than_workers_are_all_answered() {
    let few = Limits {
        workers: 2,
        ..limits()
    };
    let server = serve(few, echo);
    let address = server.addresses()[0];
    let clients: Vec<_> = (0..40)
        .map(|client| {
            std::thread::spawn(move || {
                let mut connection = Client::connect_to(address);
                for turn in 0..50 {
                    let answer = connection.get(&format!("/{client}/{turn}"));
                    assert_eq!(answer.text(), format!("GET /{client}/{turn} "));
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
}

#[test]
fn accepting_survives_the_limit_of_descriptors() {
    run_alone("http::limits::child_without_descriptors");
}

#[test]
#[ignore = "limits its process: started by accepting_survives_the_limit_of_descriptors"]
fn child_without_descriptors() {
    let server = serve(limits(), echo);
    let mut stat = File::open("/proc/self/stat").unwrap();
    limit_descriptors(Some(100));
    let address = server.addresses()[0];
    let socket = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let mut clients: Vec<_> = (0..70).map(|_| socket().unwrap()).collect();
    for client in &clients {
        // The kernel completes them all; the server has descriptors for the first few.
        client.connect(&address.into()).unwrap();
    }
    let before = processor_time(&mut stat);
    std::thread::sleep(Duration::from_secs(1));
    let spent = processor_time(&mut stat) - before;
    assert!(
        spent < 30,
        "{spent} hundredths of a second of work in a second of waiting"
    );
    clients.truncate(10);
    for _ in 0..5 {
        assert_eq!(Client::connect(&server).get("/after").text(), "GET /after ");
    }
}

/// Hundredths of a second that this process has worked, from its open `/proc/self/stat`.
fn processor_time(stat: &mut File) -> u64 {
    let mut line = String::new();
    stat.rewind().unwrap();
    stat.read_to_string(&mut line).unwrap();
    let fields: Vec<&str> = line
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
