//! Both ends of the socket, with a server that is played.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use serde_json::value::to_raw_value;

use super::*;
use crate::error::{Error, Kind};

#[derive(Default)]
struct Played {
    /// `verify` waits here until somebody opens the gate.
    gate: Mutex<bool>,
    opened: Condvar,
    begun: Condvar,
    running: Mutex<bool>,
}

impl Controlled for Played {
    fn status(&self) -> Status {
        Status {
            version: "1".to_owned(),
            pid: 7,
            data: PathBuf::from("/data"),
            listening: vec!["http://127.0.0.1:5000".to_owned()],
            started_at: Timestamp(1),
            offline: false,
        }
    }
    fn perform(&self, name: &str, asked: Asked) -> Result<Box<RawValue>> {
        match name {
            "echo" => Ok(to_raw_value(&(asked.account, asked.request)).unwrap()),
            "burn" => Err(Error::new(Kind::Sql, "the database is on fire").remedy("extinguish it")),
            _ => Err(Error::new(Kind::Usage, "there is no such thing").remedy("say echo")),
        }
    }
    fn perform_watched(&self, name: &str, asked: Asked, watch: Watch<'_>) -> Result<Box<RawValue>> {
        let begun = Instant::now();
        while name == "long" && watch(1, 9) {
            assert!(begun.elapsed() < Duration::from_secs(30), "nobody reads");
            std::thread::sleep(Duration::from_millis(20));
        }
        *self.running.lock().unwrap() = true;
        self.begun.notify_all();
        std::thread::sleep(Duration::from_millis(250));
        watch(3, 9);
        self.perform(name, asked)
    }
    fn has_answered_long(&self) {}
    fn verify(&self, _repair: bool, progress: Progress<'_>) -> Result<Box<RawValue>> {
        *self.running.lock().unwrap() = true;
        self.begun.notify_all();
        let mut open = self.gate.lock().unwrap();
        while !*open {
            open = self.opened.wait(open).unwrap();
        }
        std::thread::sleep(Duration::from_millis(250));
        progress(3, 9);
        Ok(to_raw_value(&json!({ "damaged": [] })).unwrap())
    }
}

impl Played {
    fn open_gate(&self) {
        *self.gate.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

#[test]
fn questions_are_answered_and_errors_come_through() {
    let data = tempfile::tempdir().unwrap();
    let _listener = ControlListener::start(data.path(), Arc::new(Played::default())).unwrap();
    let mode = std::fs::metadata(data.path().join(SOCKET))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let client = Client::find(data.path()).unwrap().unwrap();
    assert_eq!(client.status().unwrap().pid, 7);
    let asked = Asked {
        account: None,
        request: Value::Null,
    };
    let error = client.perform::<Value>("burn", &asked, false).unwrap_err();
    assert_eq!(error.to_string(), "the database is on fire (extinguish it)");
    assert_eq!(error.kind(), Kind::Sql);
    assert_eq!(error.remedy_text(), Some("extinguish it"));
    assert_eq!(
        client.get::<Value>("/nothing").unwrap_err().kind(),
        Kind::NotFound
    );
}

#[test]
fn an_operation_goes_to_the_server_with_its_request_and_who_asks() {
    let data = tempfile::tempdir().unwrap();
    let _listener = ControlListener::start(data.path(), Arc::new(Played::default())).unwrap();
    let client = Client::find(data.path()).unwrap().unwrap();
    let asked = Asked {
        account: Some("alice".to_owned()),
        request: json!({ "text": "x".repeat(100_000) }),
    };
    for takes_long in [false, true] {
        assert_eq!(
            client.perform::<Value>("echo", &asked, takes_long).unwrap(),
            json!(["alice", asked.request])
        );
    }
    let without_body = client.exchange::<Value>("POST", "/operations/echo", b"", None);
    assert!(without_body.is_err(), "a request without its body");
    let error = client.perform::<Value>("shout", &asked, false).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert_eq!(error.to_string(), "there is no such thing (say echo)");
}

#[test]
fn verify_tells_how_far_it_is_and_runs_once_at_a_time() {
    let data = tempfile::tempdir().unwrap();
    let played = Arc::new(Played::default());
    let controlled: Arc<dyn Controlled> = Arc::clone(&played) as _;
    let _listener = ControlListener::start(data.path(), controlled).unwrap();
    let client = Client::find(data.path()).unwrap().unwrap();
    let heard = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            client.verify(false, &|done, total| {
                heard.lock().unwrap().push((done, total))
            })
        });
        let mut running = played.running.lock().unwrap();
        while !*running {
            running = played.begun.wait(running).unwrap();
        }
        let second = client.verify(false, &|_, _| {}).unwrap_err();
        assert_eq!(second.kind(), Kind::Conflict, "{second}");
        assert_eq!(
            client.status().unwrap().pid,
            7,
            "a long task holds up nobody"
        );
        played.open_gate();
        assert_eq!(first.join().unwrap().unwrap(), json!({ "damaged": [] }));
    });
    assert_eq!(*heard.lock().unwrap(), [(3, 9)]);
    played.open_gate();
    client.verify(false, &|_, _| {}).unwrap();
}

#[test]
fn an_operation_that_is_watched_tells_how_far_it_is_and_hears_when_nobody_reads() {
    let data = tempfile::tempdir().unwrap();
    let played = Arc::new(Played::default());
    let controlled: Arc<dyn Controlled> = Arc::clone(&played) as _;
    let _listener = ControlListener::start(data.path(), controlled).unwrap();
    let client = Client::find(data.path()).unwrap().unwrap();
    let asked = Asked {
        account: Some("alice".to_owned()),
        request: json!(1),
    };
    let heard = Mutex::new(Vec::new());
    let progress = |done, total| heard.lock().unwrap().push((done, total));
    let view = client.perform_watched("echo", &asked, &progress).unwrap();
    assert_eq!(view, json!(["alice", 1]));
    assert_eq!(*heard.lock().unwrap(), [(3, 9)]);
    let error = client.perform_watched("burn", &asked, &progress);
    assert_eq!(error.unwrap_err().kind(), Kind::Sql);
    *played.running.lock().unwrap() = false;
    let body = serde_json::to_string(&asked).unwrap();
    let mut stream = UnixStream::connect(data.path().join(SOCKET)).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST /watched/long HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    drop(stream);
    let mut running = played.running.lock().unwrap();
    while !*running {
        let waited = played
            .begun
            .wait_timeout(running, Duration::from_secs(30))
            .unwrap();
        assert!(!waited.1.timed_out(), "it goes on for nobody");
        running = waited.0;
    }
}

#[test]
fn a_dead_servers_socket_is_no_server_and_is_replaced() {
    let data = tempfile::tempdir().unwrap();
    assert!(Client::find(data.path()).unwrap().is_none(), "no socket");
    drop(UnixListener::bind(data.path().join(SOCKET)).unwrap());
    assert!(data.path().join(SOCKET).exists());
    assert!(Client::find(data.path()).unwrap().is_none(), "a dead one");
    let listener = ControlListener::start(data.path(), Arc::new(Played::default())).unwrap();
    assert!(Client::find(data.path()).unwrap().is_some());
    drop(listener);
    assert!(!data.path().join(SOCKET).exists(), "removed at the end");
}

#[test]
fn a_directory_with_a_long_path_has_a_socket_too() {
    let data = tempfile::tempdir().unwrap();
    let deep = data.path().join("d".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    let listener = ControlListener::start(&deep, Arc::new(Played::default())).unwrap();
    assert_eq!(
        Client::find(&deep).unwrap().unwrap().status().unwrap().pid,
        7
    );
    drop(listener);
    assert!(!deep.join(SOCKET).exists());
}
