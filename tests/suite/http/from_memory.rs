//! Requests that the poller's own thread answers, and what becomes of the others when one of them has to wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use breakwater::context;
use breakwater::http::{Body, Limits, Response, Server};

use super::support::{Client, connect_from, eventually, limits, serve, text};
use super::waiting::{AT_ONCE, Gate, Opens};

fn thread() -> String {
    let name = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
    name.trim().to_owned()
}

/// As many workers as all tests need: where all of them are busy, the poller leaves requests to them in their order.
fn many() -> Limits {
    Limits {
        workers: 128,
        ..limits()
    }
}

/// `/memory` tells which thread answers it; `/memory/wait` says that it waits, and does, for the gate; `/memory/long` is so
/// much that the kernel does not take it at once. The others are for workers.
fn server(limits: Limits) -> (Server, Opens) {
    let gate = Arc::new(Gate::default());
    let of_handler = Arc::clone(&gate);
    let long: Arc<[u8]> = vec![b'x'; 64 << 20].into();
    let server = serve(limits, move |request| match request.path.as_str() {
        "/memory/wait" => {
            context::waits();
            of_handler.pass();
            text(200, &thread())
        }
        "/memory/panic" => panic!("on purpose"),
        "/memory/long" => Response::new(200).body(Body::Bytes(Arc::clone(&long))),
        _ => text(200, &thread()),
    });
    (server, Opens(gate))
}

/// Asks until the poller answers: the first request on a connection is for a worker, and there must be an idle one before the
/// poller answers anything.
fn settled(client: &mut Client, path: &str) {
    eventually("the poller answers itself", || {
        client.get(path).text() == "http-poller"
    });
}

#[test]
fn the_poller_answers_what_is_in_memory_and_wakes_nobody() {
    let (server, _gate) = server(many());
    let mut clients: Vec<_> = (0..8).map(|_| Client::connect(&server)).collect();
    for client in &mut clients {
        settled(client, "/memory");
    }
    // One after the other, and all at once.
    for _ in 0..50 {
        for client in &mut clients {
            assert_eq!(client.get("/memory").text(), "http-poller");
        }
        for client in &mut clients {
            client.send("GET /memory HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        for client in &mut clients {
            assert_eq!(client.answer().unwrap().text(), "http-poller");
        }
    }
    // One that a worker answers, and back.
    assert_eq!(clients[0].get("/else").text(), "http-worker");
    settled(&mut clients[0], "/memory");
    // Two in one packet: nobody takes the other one's answer.
    let two = "GET /memory HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2);
    clients[1].send(&two);
    for _ in 0..2 {
        assert_eq!(clients[1].answer().unwrap().status, 200);
    }
}

#[test]
fn who_waits_on_the_pollers_thread_keeps_nobody_waiting() {
    let (server, gate) = server(many());
    let mut quick = Client::connect(&server);
    let mut waiting = Vec::new();
    for number in 1..=40 {
        settled(&mut quick, "/memory");
        let mut client = Client::connect(&server);
        settled(&mut client, "/memory");
        // On a connection that the poller watches, so that it is told of it again if it does not stop that.
        client.send("GET /memory/wait HTTP/1.1\r\nHost: a\r\n\r\n");
        eventually("it waits", || gate.0.waiting() == number);
        // What comes meanwhile is for after it.
        client.send("GET /memory HTTP/1.1\r\nHost: a\r\n\r\n");
        waiting.push(client);
        let began = Instant::now();
        assert_eq!(quick.get("/memory").status, 200);
        assert_eq!(Client::connect(&server).get("/memory").status, 200);
        assert_eq!(Client::connect(&server).get("/else").status, 200);
        assert!(began.elapsed() < AT_ONCE, "{number}: {:?}", began.elapsed());
    }
    gate.0.open();
    for mut client in waiting {
        assert_eq!(client.answer().unwrap().text(), "http-worker");
        assert_eq!(client.answer().unwrap().status, 200);
        settled(&mut client, "/memory");
    }
    // Whoever goes away meanwhile is noticed afterwards.
    let (server, gate) = server_with_one_gone();
    eventually("the connection is closed", || {
        server.gauge().read().unwrap().connections == 1
    });
    drop(gate);
}

/// A server of which one client has hung up in the middle of a request that waited.
fn server_with_one_gone() -> (Server, Opens) {
    let (server, gate) = server(many());
    let mut quick = Client::connect(&server);
    settled(&mut quick, "/memory");
    let mut client = Client::connect(&server);
    settled(&mut client, "/memory");
    client.send("GET /memory/wait HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("it waits", || gate.0.waiting() == 1);
    drop(client);
    assert_eq!(quick.get("/memory").status, 200);
    gate.0.open();
    // `quick` is kept open by whoever tests.
    std::mem::forget(quick);
    (server, gate)
}

#[test]
fn who_reads_slowly_what_was_in_memory_keeps_nobody_waiting() {
    let (server, _gate) = server(many());
    let mut quick = Client::connect(&server);
    let mut slow = Vec::new();
    for _ in 0..20 {
        settled(&mut quick, "/memory");
        let mut client = Client::connect(&server);
        settled(&mut client, "/memory");
        client.send("GET /memory/long HTTP/1.1\r\nHost: a\r\n\r\n");
        slow.push(client);
        let began = Instant::now();
        assert_eq!(quick.get("/memory").status, 200);
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    }
    let mut last = slow.pop().unwrap();
    let answer = last.answer().unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 64 << 20));
    settled(&mut last, "/memory");
}

#[test]
fn a_body_that_does_not_come_keeps_nobody_waiting() {
    let (server, _gate) = server(many());
    let mut quick = Client::connect(&server);
    settled(&mut quick, "/memory");
    let mut others: Vec<_> = (0..60).map(|_| Client::connect(&server)).collect();
    for other in &mut others {
        settled(other, "/memory");
    }
    for other in &mut others {
        other.send("GET /memory HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
    }
    // Each of them is waited for, for a twentieth of a second.
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(quick.get("/memory").status, 200);
    }
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    for mut other in others {
        assert_eq!(other.answer().unwrap().status, 200);
    }
}

#[test]
fn a_panic_on_the_pollers_thread_costs_its_own_request() {
    let (server, _gate) = server(many());
    let mut quick = Client::connect(&server);
    settled(&mut quick, "/memory");
    let mut client = Client::connect(&server);
    settled(&mut client, "/memory");
    assert_eq!(client.get("/memory/panic").status, 500);
    assert_eq!(quick.get("/memory").text(), "http-poller");
}

#[test]
fn an_address_that_asks_without_pause_leaves_the_others_their_turns() {
    let (server, _gate) = server(many());
    let stop = AtomicBool::new(false);
    let asked = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| {
            let mut clients: Vec<_> = (0..200).map(|_| connect_from(&server, 1)).collect();
            while !stop.load(Ordering::Relaxed) {
                for client in &mut clients {
                    client.send("GET /memory HTTP/1.1\r\nHost: a\r\n\r\n");
                }
                for client in &mut clients {
                    assert_eq!(client.answer().unwrap().status, 200);
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let mut other = connect_from(&server, 2);
        eventually("the first asks", || asked.load(Ordering::Relaxed) > 1_000);
        for _ in 0..100 {
            let began = Instant::now();
            assert_eq!(other.get("/memory").status, 200);
            assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
        busy.join().unwrap();
    });
}

#[test]
fn connections_of_one_address_take_turns() {
    const CONNECTIONS: usize = 64;
    let (server, _gate) = server(many());
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| Client::connect(&server)).collect();
    for client in &mut clients {
        settled(client, "/memory");
    }
    let asked = AtomicUsize::new(0);
    let each: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = (clients.iter_mut())
            .map(|client| {
                scope.spawn(|| {
                    let mut answered = 0;
                    while asked.fetch_add(1, Ordering::Relaxed) < CONNECTIONS * 200 {
                        assert_eq!(client.get("/memory").status, 200);
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    // Who comes to its turn as often as the others has 200.
    assert!(each.iter().all(|&answered| answered > 50), "{each:?}");
}

#[test]
fn where_every_worker_is_busy_the_poller_does_not_wait_either() {
    let narrow = Limits {
        workers: 2,
        max_connections: 40,
        ..limits()
    };
    let (server, gate) = server(narrow);
    let mut waiting = Vec::new();
    for number in 1..=30 {
        let mut client = Client::connect(&server);
        client.send("GET /memory/wait HTTP/1.1\r\nHost: a\r\n\r\n");
        waiting.push(client);
        eventually("it waits", || gate.0.waiting() == number);
    }
    let began = Instant::now();
    assert_eq!(Client::connect(&server).get("/memory").status, 200);
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    gate.0.open();
    for mut client in waiting {
        assert_eq!(client.answer().unwrap().status, 200);
    }
    assert_eq!(server.stop(Duration::from_secs(30)), 0);
}
