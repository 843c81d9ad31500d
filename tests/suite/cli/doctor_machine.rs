//! What the doctor finds of the machine around the box: docker's settings and daemons, and the limits of the
//! running server. Files of the machine are private ones, in a mount namespace of the command's own.

use std::path::Path;
use std::process::{Command, Stdio};

use super::doctor_surroundings::{assert_found, doctor, found, set_mode};
use super::initialised;
use crate::support::appliance::Appliance;

/// Whether this process may make namespaces and control groups, and run commands as somebody else.
pub(super) fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!(
            "skipped: only root makes namespaces and control groups, and runs commands as others"
        );
    }
    is_root
}

/// `command` run by the shell's `prelude`, in which `$1` is `argument`; `unshare` takes `options`.
pub(super) fn inside(
    command: &Command,
    options: &[&str],
    prelude: &str,
    argument: &Path,
) -> Command {
    let mut wrapped = Command::new("unshare");
    wrapped.args(options).args(["--", "sh", "-c"]);
    wrapped.arg(format!("set -e; {prelude}; shift; exec \"$@\""));
    wrapped.arg("sh").arg(argument);
    wrapped.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}

/// Words of the shell that wait until `condition` holds, for ten seconds at most.
pub(super) fn wait_for(condition: &str) -> String {
    format!("n=0; until {condition}; do n=$((n + 1)); [ $n -lt 500 ]; sleep 0.02; done")
}

pub(super) fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

const HERE: &str = r#"{"registry-mirrors": ["http://127.0.0.1:5000"]}"#;
const ELSEWHERE: &str = r#"{"registry-mirrors": ["https://mirror.gcr.io"]}"#;

/// Each case: files below `/etc`, the finding, and a part of its sentence.
#[test]
fn docker_is_judged_by_its_settings_its_unit_and_its_drop_ins() {
    if !is_root() {
        return;
    }
    let appliance = initialised();
    let settings = "docker/daemon.json";
    let unit = (
        "systemd/system/docker.service",
        "[Service]\nExecStart=/usr/bin/dockerd -H fd:// $DOCKER_OPTS\n",
    );
    let drop_in = "systemd/system/docker.service.d/mirror.conf";
    let by_flag = "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd \\\n  --registry-mirror=https://flag.example\n";
    type Files<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Files, Option<(&str, &str, &str)>); 9] = [
        (&[unit, (settings, HERE)], None),
        (
            &[unit],
            Some(("docker_without_mirror", "note", "uses no mirror")),
        ),
        (
            &[unit, (settings, ELSEWHERE)],
            Some((
                "docker_elsewhere",
                "warning",
                "https://mirror.gcr.io, which is not this box; so it says in /etc/docker/daemon.json",
            )),
        ),
        (
            &[unit, (settings, "{]")],
            Some((
                "docker_settings",
                "warning",
                "/etc/docker/daemon.json is no JSON",
            )),
        ),
        (
            &[
                unit,
                (
                    settings,
                    r#"{"registry-mirrors": ["https://first.example", "http://127.0.0.1:5000"]}"#,
                ),
            ],
            Some((
                "docker_elsewhere",
                "warning",
                "asks https://first.example before this box",
            )),
        ),
        (
            &[unit, (drop_in, by_flag)],
            Some((
                "docker_elsewhere",
                "warning",
                "https://flag.example, which is not this box; so it says in /etc/systemd/system/docker.service.d/mirror.conf",
            )),
        ),
        (
            &[unit, (drop_in, by_flag), (settings, HERE)],
            Some(("docker_settings", "warning", "both name mirrors")),
        ),
        (
            &[
                unit,
                (
                    "default/docker",
                    "DOCKER_OPTS=\"--registry-mirror https://options.example\"\n",
                ),
            ],
            Some(("docker_elsewhere", "warning", "https://options.example")),
        ),
        (
            &[
                unit,
                (
                    drop_in,
                    "[Service]\nExecStart=\nExecStart=dockerd --config-file /etc/other.json\n",
                ),
                ("other.json", ELSEWHERE),
                (settings, HERE),
            ],
            Some((
                "docker_elsewhere",
                "warning",
                "so it says in /etc/other.json",
            )),
        ),
    ];
    for (files, expected) in cases {
        let etc = tempfile::tempdir().unwrap();
        for (name, text) in files {
            write(&etc.path().join(name), text);
        }
        let namespace = ["--mount", "--pid", "--fork", "--mount-proc"];
        let prelude = "mount --bind \"$1\" /etc";
        let examine = || inside(&doctor(&appliance), &namespace, prelude, etc.path());
        for check in [
            "docker_without_mirror",
            "docker_elsewhere",
            "docker_settings",
        ] {
            match expected {
                Some((expected, severity, part)) if expected == check => {
                    assert_found(&mut examine(), check, severity, part);
                }
                _ => assert_eq!(found(&mut examine(), check), [], "{check}: {files:?}"),
            }
        }
    }
}

/// A daemon that runs was told by its command line, whatever stands in files by now; one in a container is
/// that container's business.
#[test]
fn a_running_docker_daemon_is_judged_by_its_command_line() {
    if !is_root() {
        return;
    }
    let appliance = initialised();
    let etc = tempfile::tempdir().unwrap();
    write(&etc.path().join("docker/daemon.json"), "{}");
    let dockerd = etc.path().join("dockerd");
    write(&dockerd, "#!/bin/sh\nsleep 60\n");
    set_mode(&dockerd, 0o755);
    let namespace = ["--mount", "--pid", "--fork", "--mount-proc"];
    let waits = wait_for("grep -q dockerd /proc/[0-9]*/comm");
    let daemon = "/etc/dockerd --registry-mirror https://flag.example";
    let prelude = |daemon: &str| format!("mount --bind \"$1\" /etc; {daemon} & {waits}");
    let own = prelude(daemon);
    let mut examine = inside(&doctor(&appliance), &namespace, &own, etc.path());
    assert_found(
        &mut examine,
        "docker_elsewhere",
        "warning",
        "https://flag.example, which is not this box; so it says in the command line of process",
    );
    let contained = prelude(&format!("unshare --pid --fork --kill-child {daemon}"));
    let mut examine = inside(&doctor(&appliance), &namespace, &contained, etc.path());
    assert_eq!(found(&mut examine, "docker_elsewhere"), []);
}

fn prlimit(appliance: &Appliance, files: &str) {
    let limit = format!("--nofile={files}");
    let mut command = Command::new("prlimit");
    command.args(["--pid", &appliance.pid().to_string(), &limit]);
    assert!(command.status().unwrap().success(), "{files}");
}

/// The limits are the running server's: neither the doctor's own, nor those of a server that has ended.
#[test]
fn open_files_are_those_of_the_running_server() {
    if !is_root() {
        return;
    }
    let mut appliance = Appliance::start();
    prlimit(&appliance, "16384:16384");
    // The doctor's own limit says nothing.
    let mut narrow = Command::new("prlimit");
    let inner = doctor(&appliance);
    narrow.args(["--nofile=512:512", "--"]);
    narrow.arg(inner.get_program()).args(inner.get_args());
    assert_eq!(found(&mut narrow, "limit_files"), []);
    // The soft one is what the server raises by itself.
    prlimit(&appliance, "1024:16384");
    assert_eq!(found(&mut doctor(&appliance), "limit_files"), []);
    prlimit(&appliance, "1024:2048");
    assert_found(
        &mut doctor(&appliance),
        "limit_files",
        "warning",
        "only 2048 files may be open at once, but server.max_connections = 4096 needs 4608",
    );
    appliance.stop();
    assert_found(&mut narrow, "limit_files", "warning", "only 512 files");
}

/// A control group of its own, removed when it is dropped.
struct ControlGroup(std::path::PathBuf);

impl ControlGroup {
    /// Where the machine counts tasks: in the one tree, or in that of the controller.
    fn of_tasks() -> Option<Self> {
        let name = format!("breakwater-test-{}", std::process::id());
        for tree in ["/sys/fs/cgroup", "/sys/fs/cgroup/pids"] {
            let group = Self(Path::new(tree).join(&name));
            if std::fs::create_dir(&group.0).is_ok() && group.0.join("pids.max").exists() {
                return Some(group);
            }
        }
        eprintln!("skipped: this machine lets nobody make a control group that counts tasks");
        None
    }

    fn set(&self, file: &str, value: &str) {
        std::fs::write(self.0.join(file), value).unwrap();
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn tasks_are_those_of_the_servers_control_group() {
    if !is_root() {
        return;
    }
    let Some(group) = ControlGroup::of_tasks() else {
        return;
    };
    // Declared later, so that it is gone before its group is removed.
    let appliance = Appliance::start();
    group.set("cgroup.procs", &appliance.pid().to_string());
    assert_eq!(found(&mut doctor(&appliance), "limit_tasks"), []);
    group.set("pids.max", "500");
    assert_found(
        &mut doctor(&appliance),
        "limit_tasks",
        "warning",
        "only 500 threads may run, but server.max_connections = 4096",
    );
    group.set("pids.max", "5000");
    assert_eq!(found(&mut doctor(&appliance), "limit_tasks"), []);
}

/// The kernel's files of the server's groups, played by a private tree: of both versions, because a test should
/// take no process out of the group whose memory counts.
#[test]
fn memory_is_that_of_the_servers_control_group_and_those_above() {
    if !is_root() {
        return;
    }
    let appliance = Appliance::start();
    let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", appliance.pid())).unwrap();
    let examine = |memory: Option<(&str, &str)>| {
        let tree = tempfile::tempdir().unwrap();
        for line in groups.lines() {
            let [_, controllers, path] = line.splitn(3, ':').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            let at = tree.path().join(controllers);
            std::fs::create_dir_all(at.join(path.trim_start_matches('/'))).unwrap();
            if let Some((file, value)) = memory
                && (controllers == "memory") == (file == "memory.limit_in_bytes")
            {
                // Of the topmost: it holds for all below.
                write(&at.join(file), value);
            }
        }
        let prelude = "mount --bind \"$1\" /sys/fs/cgroup";
        let command = &mut inside(&doctor(&appliance), &["--mount"], prelude, tree.path());
        found(command, "limit_memory")
    };
    assert_eq!(examine(None), []);
    assert_eq!(examine(Some(("memory.max", "max\n"))), []);
    assert_eq!(examine(Some(("memory.max", "1073741824\n"))), []);
    let is_told = |found: Vec<(String, String)>| match &found[..] {
        [(severity, what)] => severity == "warning" && what.contains("may use 128.0 MiB of memory"),
        _ => panic!("{found:?}"),
    };
    assert!(is_told(examine(Some(("memory.max", "134217728\n")))));
    if groups.lines().any(|line| line.contains(":memory:")) {
        assert!(is_told(examine(Some((
            "memory.limit_in_bytes",
            "134217728\n"
        )))));
        let none = examine(Some(("memory.limit_in_bytes", "9223372036854771712\n")));
        assert_eq!(none, []);
    }
}

/// A machine whose time service hangs, seen by a doctor that does not.
#[test]
fn a_time_service_that_hangs_is_not_waited_for() {
    let appliance = initialised();
    let programs = tempfile::tempdir().unwrap();
    let timedatectl = programs.path().join("timedatectl");
    write(&timedatectl, "#!/bin/sh\nexec sleep 600\n");
    set_mode(&timedatectl, 0o755);
    let mut command = doctor(&appliance);
    let path = format!("{}:/usr/bin:/bin", programs.path().display());
    command.env("PATH", path).stderr(Stdio::null());
    // Ten minutes would be the runner's business.
    assert_eq!(found(&mut command, "clock_not_synchronized"), []);
}
