//! The real binary as a process: started on a free port with a data directory of its own, stopped,
//! killed, started again, looked into.
//!
//! ```ignore
//! let appliance = Appliance::with_upstream(&fake.url());           // docker.io is `fake`
//! let token = appliance.token("alice", &["read_registry", "write_registry"]);
//! let answer = client.get(&appliance.url("/v2/"));
//! appliance.kill();                                                // SIGKILL, data stays
//! appliance.restart();                                             // same data, same address
//! assert_eq!(appliance.ok(&["cache", "list", "--json"]), "[]\n");
//! ```
//!
//! Everything lives in one temporary directory, which goes with the [`Appliance`]; dropping it kills
//! the process. When a test fails, the log of its appliances is printed with it.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::IntoRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(60);
/// How long a stop may take: the 30 s that answers in flight have, and some more.
const STOP: Duration = Duration::from_secs(45);

/// What an [`Appliance`] is started with.
#[derive(Default)]
pub(crate) struct Builder {
    upstream: Option<String>,
    toml: String,
    variables: Vec<(String, String)>,
    listen: Option<SocketAddr>,
}

/// A running (or stopped) `breakwater serve`.
pub(crate) struct Appliance {
    directory: tempfile::TempDir,
    variables: Vec<(String, String)>,
    address: SocketAddr,
    child: Option<Child>,
}

/// A process's memory, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Resident now (`VmRSS`).
    pub(crate) resident: u64,
    /// The most that ever was resident (`VmHWM`).
    pub(crate) peak: u64,
}

/// A `breakwater` command that sees nothing of this process's environment that could change what it
/// does: no `BREAKWATER_…` and no proxy variable.
pub(crate) fn breakwater() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_breakwater"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_ascii_uppercase();
        if text.starts_with("BREAKWATER_") || text.ends_with("_PROXY") || text == "NOTIFY_SOCKET" {
            command.env_remove(name);
        }
    }
    command
}

/// The same command, for another user, who need have no way to the directory that the program lies in. Root's only.
pub(crate) fn as_user(command: &Command, user: u32) -> Command {
    // Open until this process ends: it is closed in the command's own process when the program begins.
    let program = File::open(command.get_program()).unwrap().into_raw_fd();
    let mut other = Command::new(format!("/proc/self/fd/{program}"));
    other.args(command.get_args()).uid(user).gid(user);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other
}

/// Runs a command to its end with `input` on its standard input.
pub(crate) fn run_with_input(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    // A command that ends before it reads has said why.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("the binary ends")
}

impl Builder {
    /// `docker.io` is at this URL. Without it, it is where nobody listens.
    pub(crate) fn upstream(mut self, url: &str) -> Self {
        self.upstream = Some(url.to_owned());
        self
    }

    /// Adds lines to the configuration file: top-level keys first, then sections. Leave out `data`
    /// and `server.listen`, and `[upstreams."docker.io"]` unless there is no [`Builder::upstream`].
    pub(crate) fn toml(mut self, toml: &str) -> Self {
        self.toml.push_str(toml);
        self.toml.push('\n');
        self
    }

    /// Sets an environment variable for the server and for commands.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Listens here instead of on a free port of 127.0.0.1.
    pub(crate) fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// Writes the configuration, and starts the server; returns when it answers connections.
    pub(crate) fn start(self) -> Appliance {
        let mut appliance = self.prepare();
        appliance.launch();
        appliance
    }

    /// Writes the configuration, and starts nothing: for commands without a server, or for
    /// [`Appliance::restart`] later.
    pub(crate) fn prepare(self) -> Appliance {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut toml = self.toml;
        if !toml.contains("[upstreams.\"docker.io\"]") {
            let url = self
                .upstream
                .unwrap_or_else(|| "http://127.0.0.1:9".to_owned());
            toml.push_str(&format!("\n[upstreams.\"docker.io\"]\nurl = \"{url}\"\n"));
        }
        std::fs::write(directory.path().join("breakwater.toml"), toml).expect("the configuration");
        Appliance {
            directory,
            variables: self.variables,
            address: self
                .listen
                .unwrap_or_else(|| "127.0.0.1:0".parse().expect("an address")),
            child: None,
        }
    }
}

impl Appliance {
    /// With an upstream that nobody listens at.
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// With `docker.io` at `url`, such as `http://127.0.0.1:12345`.
    pub(crate) fn with_upstream(url: &str) -> Self {
        Self::builder().upstream(url).start()
    }

    /// For whatever else is to be configured.
    pub(crate) fn builder() -> Builder {
        Builder::default()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT` and `path`, which begins with a slash.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The configuration file; what is written to it counts from the next start.
    pub(crate) fn config(&self) -> PathBuf {
        self.directory.path().join("breakwater.toml")
    }

    /// What it has logged so far, over all its starts; JSON, one object a line.
    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until `text` stands in the log.
    pub(crate) fn wait_for_log(&self, text: &str) {
        let begun = Instant::now();
        while !self.log().contains(text) {
            assert!(
                begun.elapsed() < START,
                "{text:?} never came up in the log:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its process id; panics where it does not run.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("the appliance runs").id()
    }

    /// Its memory.
    pub(crate) fn memory(&self) -> Memory {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("/proc");
        let field = |name: &str| {
            let line = status
                .lines()
                .find(|line| line.starts_with(name))
                .expect("the field");
            let number = line.split_ascii_whitespace().nth(1).expect("a number");
            1024 * number.parse::<u64>().expect("a number")
        };
        Memory {
            resident: field("VmRSS:"),
            peak: field("VmHWM:"),
        }
    }

    /// Lets the kernel forget the peak, so that the next [`Appliance::memory`] tells that of what
    /// comes now.
    pub(crate) fn reset_peak_memory(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").expect("/proc");
    }

    /// Whether the process is there.
    pub(crate) fn is_running(&mut self) -> bool {
        let child = self.child.as_mut();
        child.is_some_and(|child| child.try_wait().expect("our own child").is_none())
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// SIGKILL: as a crash. The data directory stays as it is.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(self.child.as_ref().expect("the appliance runs"));
        kill_process(pid, signal).expect("a signal to our own child");
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the appliance runs");
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("our own child") {
                return status;
            }
            if begun.elapsed() > STOP {
                let _ = child.kill();
                let _ = child.wait();
                panic!(
                    "the appliance did not stop within {STOP:?}:\n{}",
                    self.log()
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts it again (stopping it first if it runs) on the same data, and on the same address.
    pub(crate) fn restart(&mut self) {
        if self.child.is_some() {
            self.stop();
        }
        self.launch();
    }

    /// A command on this appliance's data and configuration, whether the server runs or not.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = breakwater();
        command
            .args(arguments)
            .arg("--config")
            .arg(self.config())
            .arg("--data")
            .arg(self.data());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run_cli(&self, arguments: &[&str]) -> Output {
        run_with_input(&mut self.command(arguments), "")
    }

    /// Runs a command that must succeed; what it printed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        self.ok_with_input(arguments, "")
    }

    /// As [`Appliance::ok`], with `input` on standard input.
    pub(crate) fn ok_with_input(&self, arguments: &[&str], input: &str) -> String {
        let output = run_with_input(&mut self.command(arguments), input);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// What the audit tells, the oldest first, in one object each: `event`, `actor`, `address`, `subject`, … as short
    /// words for the fields of the REST API's shape.
    pub(crate) fn audit(&self, options: &[&str]) -> serde_json::Value {
        let events = self.json(&[&["audit", "--json"], options].concat());
        let flat = |event: &serde_json::Value| {
            let details = &event["details"];
            let entity = event["entity_type"].as_str().expect("a kind of entity");
            let entity_path = |kinds: &[&str]| match kinds.contains(&entity) {
                true => details["entity_path"].clone(),
                false => serde_json::Value::Null,
            };
            serde_json::json!({
                "id": event["id"],
                "time": event["created_at"],
                "event": event["event_name"],
                "actor": details["author_name"],
                "actor_user_id": event["author_id"],
                "address": details["ip_address"],
                "correlation_id": details["correlation_id"],
                "subject_kind": details["target_type"],
                "subject": details["target_details"],
                "subject_id": details["target_id"],
                "user": entity_path(&["User"]),
                "group": entity_path(&["Group", "Project"]),
                "entity_id": event["entity_id"],
                "details": details["changes"],
                "count": details["count"],
                "last_time": details["last_time"],
            })
        };
        let events = events.as_array().expect("a list of events").iter();
        events.rev().map(flat).collect()
    }

    /// As [`Appliance::ok`], for a command with `--json`.
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.ok(arguments)).expect("JSON")
    }

    /// Makes the user if need be (a service account), and a personal access token; its secret.
    pub(crate) fn token(&self, user: &str, scopes: &[&str]) -> String {
        let users = self.json(&["user", "list", "--json"]);
        let known = users
            .as_array()
            .is_some_and(|users| users.iter().any(|known| known["username"] == user));
        if !known {
            self.ok(&["user", "add", user, "--service"]);
        }
        let mut arguments = vec!["token", "create", "--name", "test", "--user", user];
        for scope in scopes {
            arguments.extend(["--scope", scope]);
        }
        self.ok(&arguments).trim_end().to_owned()
    }

    /// What the first start wrote.
    pub(crate) fn root_password(&self) -> String {
        let file = self.data().join("initial_root_password");
        std::fs::read_to_string(file)
            .expect("the file of the first start")
            .trim_end()
            .to_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn launch(&mut self) {
        let before = self.log().len();
        let log = |path: &Path| -> File {
            OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .expect("the log")
        };
        let listen = self.address.to_string();
        let child = self
            .command(&["serve", "--listen", &listen])
            .stdin(Stdio::null())
            .stdout(log(&self.log_path()))
            .stderr(log(&self.log_path()))
            .spawn()
            .expect("the binary starts");
        self.child = Some(child);
        let begun = Instant::now();
        while !self.is_ready(before) {
            let ended = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().expect("our own child"));
            let state = match ended {
                Some(status) => format!("ended with {status}"),
                None if begun.elapsed() > START => format!("was not ready within {START:?}"),
                None => {
                    std::thread::sleep(Duration::from_millis(10));
                    continue;
                }
            };
            panic!("the appliance {state}:\n{}", self.log());
        }
    }

    /// Whether it has logged its address (since the log was `before` long), and accepts connections.
    fn is_ready(&mut self, before: usize) -> bool {
        let log = self.log();
        let found = log[before..]
            .split("listening on http://")
            .nth(1)
            .and_then(|rest| {
                let end =
                    rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".:[]".contains(c)))?;
                rest[..end].parse::<SocketAddr>().ok()
            });
        match found {
            Some(address) if TcpStream::connect(address).is_ok() => {
                self.address = address;
                true
            }
            _ => false,
        }
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            println!(
                "the log of the appliance at {}:\n{}",
                self.address,
                self.log()
            );
        }
    }
}
