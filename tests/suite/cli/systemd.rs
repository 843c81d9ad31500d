//! What systemd and the box say to each other, with a stand-in for systemd: sockets that outlive the process,
//! readiness, the watchdog, and a restart that no client notices.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustls::ClientConfig;

use super::initialised;
use crate::support::appliance::{Appliance, breakwater};
use crate::support::certificates::{Authority, tls_connect};

/// Nothing takes so long; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A supervisor that holds two sockets and listens to what the box says.
struct Supervisor {
    appliance: Appliance,
    plain: TcpListener,
    tls: TcpListener,
    notify: UnixDatagram,
    trust: Arc<ClientConfig>,
    directory: tempfile::TempDir,
    child: Option<Child>,
}

impl Supervisor {
    fn new() -> Self {
        let appliance = initialised();
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let life = Duration::from_secs(100 * 86_400);
        let (certificate, key) = authority.issue(life).write(directory.path());
        let mut config = std::fs::read_to_string(appliance.config()).unwrap();
        config.push_str(&format!(
            "\n[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n"
        ));
        std::fs::write(appliance.config(), config).unwrap();
        let notify = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        notify.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            appliance,
            plain: TcpListener::bind("127.0.0.1:0").unwrap(),
            tls: TcpListener::bind("127.0.0.1:0").unwrap(),
            notify,
            trust: Arc::new(authority.client(rustls::ALL_VERSIONS)),
            directory,
            child: None,
        }
    }

    /// Starts the box with both sockets as descriptors 3 and 4.
    fn start(&mut self, watchdog: Option<Duration>) {
        let command = breakwater();
        let program = command.get_program().to_owned();
        let give =
            |listener: &TcpListener| Stdio::from(OwnedFd::from(listener.try_clone().unwrap()));
        let mut shell = std::process::Command::new("bash");
        // As systemd does it; the descriptors come by the ways that there are.
        shell
            .arg("-c")
            .arg("exec 3<&0 4<&1 0</dev/null 1>&2; export LISTEN_PID=$$ WATCHDOG_PID=$$; exec \"$@\"")
            .arg("systemd")
            .arg(program)
            .args(["serve", "--config"])
            .arg(self.appliance.config())
            .arg("--data")
            .arg(self.appliance.data())
            .envs([("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "http:https")])
            .env("NOTIFY_SOCKET", self.directory.path().join("notify"))
            .env_remove("WATCHDOG_USEC")
            .stdin(give(&self.plain))
            .stdout(give(&self.tls))
            .stderr(log(self.directory.path()));
        // Nothing of this process's environment may change what it does.
        for (name, _) in command.get_envs().filter(|(_, value)| value.is_none()) {
            if name != "NOTIFY_SOCKET" {
                shell.env_remove(name);
            }
        }
        if let Some(watchdog) = watchdog {
            shell.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
        self.child = Some(shell.spawn().unwrap());
    }

    /// The next message.
    fn hear(&self) -> Option<String> {
        let mut bytes = [0; 4096];
        let length = self.notify.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
    }

    fn wait_for(&self, word: &str) {
        let begun = Instant::now();
        while !self.hear().is_some_and(|said| said.contains(word)) {
            assert!(
                begun.elapsed() < PATIENCE,
                "{word} was never said: {}",
                self.log()
            );
        }
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().unwrap();
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    fn stop(&mut self) {
        self.signal(Signal::TERM);
        let mut child = self.child.take().unwrap();
        assert!(child.wait().unwrap().success(), "{}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn log(directory: &Path) -> std::fs::File {
    let path = directory.join("log");
    let mut options = std::fs::File::options();
    options.append(true).create(true).open(path).unwrap()
}

const REQUEST: &[u8] = b"GET /-/liveness HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn ask(address: SocketAddr, trust: Option<&Arc<ClientConfig>>) -> std::io::Result<()> {
    let mut answer = String::new();
    match trust {
        Some(trust) => {
            let mut stream = tls_connect(address, trust)?;
            stream.write_all(REQUEST)?;
            stream.read_to_string(&mut answer)?;
        }
        None => {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(REQUEST)?;
            stream.read_to_string(&mut answer)?;
        }
    }
    match answer.starts_with("HTTP/1.1 200 ") {
        true => Ok(()),
        false => Err(std::io::Error::other(answer)),
    }
}

#[test]
fn a_restart_under_load_refuses_and_fails_nobody() {
    let mut supervisor = Supervisor::new();
    let addresses = [&supervisor.plain, &supervisor.tls].map(|socket| socket.local_addr().unwrap());
    let trust = supervisor.trust.clone();
    // Who comes before the first start waits, and is served.
    let early = std::thread::spawn(move || ask(addresses[0], None));
    supervisor.start(None);
    supervisor.wait_for("READY=1");
    early.join().unwrap().unwrap();
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let asking: Vec<_> = [None, None, Some(&trust), Some(&trust)]
            .into_iter()
            .map(|trust| {
                let (over, answered) = (&over, &answered);
                scope.spawn(move || {
                    while !over.load(Ordering::SeqCst) {
                        let address = addresses[usize::from(trust.is_some())];
                        ask(address, trust)?;
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                    Ok::<(), std::io::Error>(())
                })
            })
            .collect();
        for _ in 0..3 {
            let before = answered.load(Ordering::SeqCst);
            supervisor.stop();
            supervisor.start(None);
            supervisor.wait_for("READY=1");
            let begun = Instant::now();
            while answered.load(Ordering::SeqCst) < before + 20 {
                assert!(begun.elapsed() < PATIENCE, "nobody is answered any more");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        over.store(true, Ordering::SeqCst);
        for thread in asking {
            thread.join().unwrap().unwrap();
        }
    });
    supervisor.stop();
    assert!(supervisor.log().contains("listening on https://"));
    // The sockets are the supervisor's, and still there.
    TcpStream::connect(addresses[0]).unwrap();
}

#[test]
fn the_watchdog_hears_nothing_from_a_process_that_does_not_work() {
    let mut supervisor = Supervisor::new();
    supervisor.start(Some(Duration::from_secs(2)));
    supervisor.wait_for("READY=1");
    for _ in 0..3 {
        supervisor.wait_for("WATCHDOG=1");
    }
    supervisor.signal(Signal::STOP);
    // What was said before the signal came.
    std::thread::sleep(Duration::from_millis(300));
    supervisor.notify.set_nonblocking(true).unwrap();
    while supervisor.hear().is_some() {}
    supervisor.notify.set_nonblocking(false).unwrap();
    let silence = Some(Duration::from_secs(2));
    supervisor.notify.set_read_timeout(silence).unwrap();
    assert_eq!(supervisor.hear(), None, "a stopped process says nothing");
    supervisor.notify.set_read_timeout(Some(PATIENCE)).unwrap();
    supervisor.signal(Signal::CONT);
    supervisor.wait_for("WATCHDOG=1");
    supervisor.signal(Signal::TERM);
    supervisor.wait_for("STOPPING=1");
    supervisor.child.take().unwrap().wait().unwrap();
    // Without WatchdogSec= there is no watchdog.
    supervisor.start(None);
    supervisor.wait_for("READY=1");
    supervisor.notify.set_read_timeout(silence).unwrap();
    assert_eq!(supervisor.hear(), None);
}

#[test]
fn a_socket_for_tls_needs_a_certificate() {
    let mut supervisor = Supervisor::new();
    let config = std::fs::read_to_string(supervisor.appliance.config()).unwrap();
    let (without, _) = config.split_once("[tls]").unwrap();
    std::fs::write(supervisor.appliance.config(), without).unwrap();
    supervisor.start(None);
    let mut child = supervisor.child.take().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let log = supervisor.log();
    assert!(log.contains("there is no certificate for it"), "{log}");
}
