//! Handlers and bodies that wait for something else than their clients, as all do while an image is pulled
//! for the first time. Whoever asks for what is there must not wait with them.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use breakwater::http::{Body, Limits, Response, Server};

use super::support::{
    Client, connect_from, eventually, limit_descriptors, limits, resident, run_alone, serve, text,
};

/// Nothing waits for so long when it need not wait: a generous bound, far below the minutes of a cold pull.
pub(super) const AT_ONCE: Duration = Duration::from_secs(2);

/// What everybody waits for.
#[derive(Default)]
pub(super) struct Gate {
    /// Whether it is open, and how many stand before it.
    state: Mutex<(bool, usize)>,
    opened: Condvar,
}

impl Gate {
    pub(super) fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        drop(self.opened.wait_while(state, |(open, _)| !*open).unwrap());
    }

    pub(super) fn open(&self) {
        self.state.lock().unwrap().0 = true;
        self.opened.notify_all();
    }

    pub(super) fn waiting(&self) -> usize {
        self.state.lock().unwrap().1
    }
}

/// Opens the gate even when the test fails, so that its server can end.
pub(super) struct Opens(pub(super) Arc<Gate>);

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// A body that comes when the gate opens.
struct Behind(Arc<Gate>);

impl Read for Behind {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.0.pass();
        let count = buf.len().min(1000);
        buf[..count].fill(b'x');
        Ok(count)
    }
}

/// `/handler` and `/stream` wait for the gate, everything else is answered at once.
fn gated(limits: Limits) -> (Server, Opens) {
    let gate = Arc::new(Gate::default());
    let of_handler = gate.clone();
    let server = serve(limits, move |request| match request.path.as_str() {
        "/handler" => {
            of_handler.pass();
            text(200, "at last")
        }
        "/stream" => Response::new(200).body(Body::Stream {
            reader: Box::new(Behind(of_handler.clone())),
            length: Some(1000),
        }),
        _ => text(200, "quick"),
    });
    (server, Opens(gate))
}

/// So many requests for `path`, one on each connection.
fn ask(server: &Server, path: &str, count: usize) -> Vec<Client> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let asked = (0..count).map(|_| {
        let mut client = Client::connect(server);
        client.send(&request);
        client
    });
    asked.collect()
}

#[test]
fn who_waits_for_something_else_holds_up_nobody() {
    for (path, length) in [("/handler", 7), ("/stream", 1000)] {
        let few = Limits {
            workers: 16,
            ..limits()
        };
        let (server, gate) = gated(few);
        let waiting = ask(&server, path, 300);
        for host in [1, 2, 1, 2] {
            let start = Instant::now();
            assert_eq!(connect_from(&server, host).get("/").text(), "quick");
            let took = start.elapsed();
            assert!(took < AT_ONCE, "{path}: 127.0.0.{host} waited {took:?}");
        }
        eventually("all of them wait at the same time", || {
            gate.0.waiting() == 300
        });
        gate.0.open();
        for mut client in waiting {
            let answer = client.answer().unwrap();
            assert_eq!((answer.status, answer.body.len()), (200, length), "{path}");
        }
    }
}

#[test]
fn as_many_may_wait_as_there_may_be_connections() {
    let narrow = Limits {
        workers: 2,
        max_connections: 5,
        ..limits()
    };
    let (server, gate) = gated(narrow);
    let waiting = ask(&server, "/handler", 5);
    eventually("each connection has a worker", || gate.0.waiting() == 5);
    gate.0.open();
    for mut client in waiting {
        assert_eq!(client.answer().unwrap().text(), "at last");
        assert_eq!(client.get("/").text(), "quick");
    }
}

#[test]
fn a_thousand_that_wait_cost_little_and_leave_nothing() {
    let output = run_alone("http::waiting::child_with_a_thousand_that_wait");
    // For `--nocapture`: what was measured.
    println!("{output}");
}

fn workers() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "http-worker").count()
}

#[test]
#[ignore = "measures its process: started by a_thousand_that_wait_cost_little_and_leave_nothing"]
fn child_with_a_thousand_that_wait() {
    limit_descriptors(rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum);
    for path in ["/handler", "/stream"] {
        let (gated_server, gate) = gated(Limits {
            workers: 16,
            ..limits()
        });
        let before = resident();
        let waiting = ask(&gated_server, path, 1000);
        eventually("a thousand wait", || gate.0.waiting() == 1000);
        let grown = resident().saturating_sub(before);
        println!("{path}: {} workers, {grown} bytes", workers());
        assert!(grown < 64 << 20, "{path}: {grown} bytes");
        gate.0.open();
        for mut client in waiting {
            assert_eq!(client.answer().unwrap().status, 200);
        }
        // The first to end are those beyond `workers`, and all are gone after ten seconds.
        eventually("idle workers end", || workers() == 0);
        assert_eq!(Client::connect(&gated_server).get("/").text(), "quick");
    }
}
