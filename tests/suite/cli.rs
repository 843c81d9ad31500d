//! The command line as a person or a script meets it: exit statuses, sentences, JSON, the life of
//! `serve`.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::appliance::{Appliance, breakwater, run_with_input};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A store without a server.
fn initialised() -> Appliance {
    let appliance = Appliance::builder().prepare();
    appliance.ok(&["init"]);
    appliance
}

#[test]
fn failures_have_a_status_and_a_sentence() {
    let appliance = initialised();
    let nowhere = tempfile::tempdir().unwrap();
    let missing = nowhere.path().join("missing");
    let missing = missing.to_str().unwrap();
    // The command, its exit status, and what its one line on standard error must hold.
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["frobnicate"], 2, &["frobnicate", "usage:"]),
        (&["user", "lst"], 2, &["lst", "list"]),
        (&["user", "add"], 2, &["<NAME>"]),
        (
            &["user", "add", "alice"],
            2,
            &["--password-stdin", "--service"],
        ),
        (&["user", "add", "a b", "--service"], 2, &["a b"]),
        (&["user", "passwd", "root"], 2, &["--password-stdin"]),
        (&["user", "block", "nobody"], 1, &["`nobody`", "user list"]),
        (&["user", "add", "root", "--service"], 1, &["root"]),
        (&["group", "add", "library"], 2, &["Docker Hub"]),
        (
            &["group", "add", "acme/backend"],
            1,
            &["`acme`", "group add acme"],
        ),
        (&["group", "remove", "mirror"], 1, &["mirror's group"]),
        (&["group", "set", "mirror", "colour=red"], 2, &["colour"]),
        (
            &["member", "add", "acme", "root", "--level", "king"],
            2,
            &["king", "owner"],
        ),
        (&["member", "list", "acme"], 1, &["`acme`"]),
        (
            &[
                "token", "create", "--name", "n", "--scope", "all", "--user", "root",
            ],
            2,
            &["`all`", "read_registry"],
        ),
        (
            &[
                "token", "create", "--name", "n", "--scope", "api", "--user", "nobody",
            ],
            1,
            &["`nobody`"],
        ),
        (
            &[
                "token", "create", "--name", "n", "--scope", "api", "--group", "mirror",
            ],
            2,
            &["not available in this version"],
        ),
        (
            &[
                "token", "create", "--name", "n", "--scope", "api", "--deploy", "mirror",
            ],
            2,
            &["not available in this version"],
        ),
        (
            &[
                "token",
                "create",
                "--name",
                "n",
                "--scope",
                "api",
                "--user",
                "root",
                "--expires",
                "2001-01-01",
            ],
            2,
            &["2001-01-01", "future"],
        ),
        (&["token", "revoke", "999"], 1, &["999"]),
        (
            &["network", "add", "10.1.2.3/8", "--ability", "read"],
            2,
            &["10.0.0.0/8"],
        ),
        (&["network", "remove", "10.0.0.0/8"], 1, &["10.0.0.0/8"]),
        (
            &["upstream", "status"],
            1,
            &["no server runs", "breakwater serve"],
        ),
        (&["cache", "show", "alpine"], 1, &["`alpine`", "cache list"]),
        (&["cache", "show", "A:B:C"], 2, &["`B:C` is not a tag"]),
        (
            &["verify", "--repair"],
            2,
            &["not available in this version"],
        ),
        (
            &["user", "list", "--data", missing],
            1,
            &[missing, "breakwater init"],
        ),
        (
            &["cache", "stats", "--data", missing],
            1,
            &[missing, "breakwater init"],
        ),
        (
            &["verify", "--data", missing],
            1,
            &[missing, "breakwater init"],
        ),
        (&["user", "list", "--config", missing], 1, &[missing]),
    ];
    for (arguments, status, parts) in cases {
        let mut command = if arguments.contains(&"--data") || arguments.contains(&"--config") {
            let mut command = breakwater();
            command.args(*arguments);
            command
        } else {
            appliance.command(arguments)
        };
        let output = run_with_input(&mut command, "");
        let error = stderr(&output);
        assert_eq!(
            output.status.code(),
            Some(*status),
            "{arguments:?}: {error}"
        );
        assert!(error.starts_with("breakwater: "), "{arguments:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{arguments:?}: {error}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
        for part in *parts {
            assert!(
                error.contains(part),
                "{arguments:?}: {error} lacks {part:?}"
            );
        }
    }
    assert!(
        !Path::new(missing).exists(),
        "only serve and init make a store"
    );
}

#[test]
fn sentences_say_what_why_and_what_to_do() {
    let appliance = initialised();
    let output = appliance.run_cli(&["user", "block", "nobody"]);
    assert_eq!(
        stderr(&output),
        "breakwater: there is no user `nobody` (see `breakwater user list`)\n"
    );
}

#[test]
fn an_unknown_key_is_an_error_that_names_the_nearest() {
    let appliance = Appliance::builder().toml("[server]\nworker = 3").prepare();
    let output = appliance.run_cli(&["user", "list"]);
    assert_eq!(output.status.code(), Some(1));
    let expected = format!(
        "breakwater: {}, line 2: there is no key `server.worker` (did you mean `server.workers`?)\n",
        appliance.config().display()
    );
    assert_eq!(stderr(&output), expected);
}

#[test]
fn the_store_is_found_by_option_then_environment_then_file_then_here() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let file = path("breakwater.toml");
    std::fs::write(&file, format!("data = {:?}", path("file"))).unwrap();
    for (option, variable, with_file, expected) in [
        (true, true, true, path("option")),
        (true, false, false, path("option")),
        (false, true, true, path("environment")),
        (false, true, false, path("environment")),
        (false, false, true, path("file")),
        (false, false, false, "./breakwater-data".into()),
    ] {
        let mut command = breakwater();
        command.args(["user", "list"]).current_dir(directory.path());
        if option {
            command.arg("--data").arg(path("option"));
        }
        if variable {
            command.env("BREAKWATER_DATA", path("environment"));
        }
        if with_file {
            command.env("BREAKWATER_CONFIG", &file);
        }
        let error = stderr(&run_with_input(&mut command, ""));
        let found = format!("there is no store at {} (", expected.display());
        let system = Path::new("/etc/breakwater/breakwater.toml").exists();
        assert!(
            error.contains(&found) || (system && expected.is_relative()),
            "{error}"
        );
    }
}

#[test]
fn a_token_is_printed_alone_and_once() {
    let appliance = initialised();
    appliance.ok(&["user", "add", "ci", "--service"]);
    let create = [
        "token",
        "create",
        "--name",
        "build farm",
        "--user",
        "ci",
        "--scope",
        "write_dependency_proxy",
        "--scope",
        "read_registry",
    ];
    let secret = appliance.ok(&create);
    let secret = secret.strip_suffix('\n').unwrap();
    assert_eq!(secret.len(), 36, "{secret}");
    assert!(
        secret.starts_with("bwp_") && secret[4..].bytes().all(|b| b.is_ascii_alphanumeric()),
        "{secret}"
    );

    let created = appliance.json(&[&create[..], &["--expires", "never", "--json"]].concat());
    let mut names: Vec<_> = created
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["expires_at", "id", "kind", "name", "scopes", "token"]
    );
    assert_eq!(created["kind"], "personal");
    assert_eq!(
        created["scopes"],
        json!(["read_registry", "write_virtual_registry"])
    );
    assert_eq!(created["expires_at"], Value::Null);

    let list = appliance.ok(&["token", "list", "--json"]);
    assert!(!list.contains(secret) && !list.contains(created["token"].as_str().unwrap()));
    let stored = std::fs::read(appliance.data().join("access.sqlite")).unwrap();
    let wal = std::fs::read(appliance.data().join("access.sqlite-wal")).unwrap_or_default();
    for bytes in [stored, wal] {
        assert!(
            !bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes())
        );
    }
}

#[test]
fn lists_have_the_shapes_of_the_interface() {
    let appliance = initialised();
    appliance.ok_with_input(
        &["user", "add", "alice", "--password-stdin"],
        "correct horse\n",
    );
    appliance.ok(&["user", "add", "ci", "--service"]);
    appliance.ok(&["user", "block", "ci"]);
    appliance.ok(&["group", "add", "acme", "--visibility", "public"]);
    appliance.ok(&["group", "add", "acme/backend"]);
    appliance.ok(&[
        "group",
        "set",
        "acme/backend",
        "dependency_proxy_enabled=false",
    ]);
    appliance.ok(&["member", "add", "acme", "alice", "--level", "developer"]);
    appliance.ok(&[
        "token",
        "create",
        "--name",
        "t",
        "--user",
        "alice",
        "--scope",
        "api",
        "--expires",
        "30d",
    ]);
    appliance.ok(&[
        "network",
        "add",
        "10.0.0.0/8",
        "--ability",
        "read",
        "--group",
        "acme",
    ]);

    let list = |arguments: &[&str]| match appliance.json(&[arguments, &["--json"]].concat()) {
        Value::Array(items) => items,
        other => panic!("{arguments:?}: {other}"),
    };
    let pick = |items: &[Value], names: &[&str]| -> Vec<Value> {
        items
            .iter()
            .map(|item| names.iter().map(|name| item[*name].clone()).collect())
            .collect()
    };

    let users = list(&["user", "list"]);
    assert_eq!(
        pick(&users, &["username", "state", "is_admin", "bot"]),
        [
            json!(["alice", "active", false, false]),
            json!(["ci", "blocked", false, true]),
            json!(["root", "active", true, false])
        ]
    );
    assert!(users.iter().all(|user| user.get("password_hash").is_none()));
    assert!(users[0]["created_at"].as_str().unwrap().ends_with('Z'));

    let mut groups = list(&["group", "list"]);
    groups.retain(|group| group["full_path"] != "mirror");
    assert_eq!(
        pick(
            &groups,
            &[
                "full_path",
                "path",
                "visibility",
                "dependency_proxy_enabled"
            ]
        ),
        [
            json!(["acme", "acme", "public", true]),
            json!(["acme/backend", "backend", "private", false])
        ]
    );
    assert_eq!(groups[1]["parent_id"], groups[0]["id"]);

    let members = list(&["member", "list", "acme"]);
    assert_eq!(
        pick(&members, &["username", "access_level"]),
        [json!(["alice", 30])]
    );

    let tokens = list(&["token", "list", "--user", "alice"]);
    assert_eq!(
        pick(
            &tokens,
            &[
                "name",
                "kind",
                "scopes",
                "revoked",
                "active",
                "last_used_at",
                "created_by"
            ]
        ),
        [json!(["t", "personal", ["api"], false, true, null, "box"])]
    );
    assert!(tokens[0]["id"].is_i64() && tokens[0]["expires_at"].is_string());
    assert_eq!(list(&["token", "list", "acme"]), [] as [Value; 0]);

    let networks = list(&["network", "list"]);
    assert!(
        pick(&networks, &["cidr", "ability", "group_path"]).contains(&json!([
            "10.0.0.0/8",
            "read",
            "acme"
        ]))
    );
    assert!(
        pick(&networks, &["cidr", "ability", "group_path"]).contains(&json!([
            "127.0.0.0/8",
            "fill",
            null
        ]))
    );

    let upstreams = list(&["upstream", "list"]);
    assert_eq!(
        pick(&upstreams, &["name", "url", "breaker"]),
        [json!(["docker.io", "http://127.0.0.1:9", null])]
    );
    assert_eq!(list(&["cache", "list"]), [] as [Value; 0]);
    let stats = appliance.json(&["cache", "stats", "--json"]);
    assert_eq!((&stats["blobs"], &stats["bytes"]), (&json!(0), &json!(0)));
    let report = appliance.json(&["verify", "--json"]);
    assert_eq!(
        (&report["clean"], &report["damage"]),
        (&json!(true), &json!([]))
    );
}

#[test]
fn lists_are_tables_for_people() {
    let appliance = initialised();
    appliance.ok(&["user", "add", "ci", "--service"]);
    let users = appliance.ok(&["user", "list"]);
    let mut lines = users.lines();
    assert!(lines.next().unwrap().starts_with("ID"), "{users}");
    assert!(
        lines.any(|line| line.contains("ci") && line.contains("active")),
        "{users}"
    );
    for list in [
        &["group", "list"][..],
        &["network", "list"],
        &["token", "list"],
        &["cache", "list"],
        &["upstream", "list"],
        &["member", "list", "mirror"],
    ] {
        assert!(!appliance.ok(list).is_empty(), "{list:?}");
    }
    assert!(appliance.ok(&["verify"]).contains("nothing is damaged"));
}

#[test]
fn what_was_added_can_be_taken_back() {
    let appliance = initialised();
    appliance.ok(&["user", "add", "ci", "--service"]);
    appliance.ok(&["group", "add", "acme"]);
    appliance.ok(&["member", "add", "acme", "ci", "--level", "guest"]);
    appliance.ok(&["network", "add", "10.0.0.0/8", "--ability", "read"]);
    let token = appliance.json(&[
        "token", "create", "--name", "t", "--user", "ci", "--scope", "api", "--json",
    ]);
    let id = token["id"].to_string();
    appliance.ok(&["token", "revoke", &id]);
    appliance.ok(&["token", "revoke", &id]);
    assert_eq!(
        appliance.json(&["token", "list", "--json"])[0]["active"],
        false
    );
    appliance.ok(&["user", "block", "ci"]);
    appliance.ok(&["user", "unblock", "ci"]);
    let users = appliance.json(&["user", "list", "--json"]);
    assert_eq!(
        (&users[0]["username"], &users[0]["state"]),
        (&json!("ci"), &json!("active"))
    );
    appliance.ok(&["member", "remove", "acme", "ci"]);
    assert_eq!(
        appliance
            .run_cli(&["member", "remove", "acme", "ci"])
            .status
            .code(),
        Some(1)
    );
    appliance.ok(&["network", "remove", "10.0.0.0/8"]);
    appliance.ok(&["group", "remove", "acme"]);
    appliance.ok(&["user", "remove", "ci"]);
    assert_eq!(
        appliance.run_cli(&["user", "remove", "ci"]).status.code(),
        Some(1)
    );
}

#[test]
fn init_makes_a_store_once_and_roots_first_password_goes_with_it() {
    let appliance = Appliance::builder().prepare();
    let first = appliance.ok(&["init"]);
    assert!(first.contains("initial_root_password"), "{first}");
    let password = appliance.root_password();
    assert!(
        !first.contains(&password),
        "the password itself is not printed"
    );
    let again = appliance.ok(&["init"]);
    assert!(again.contains("already"), "{again}");
    assert_eq!(
        appliance.root_password(),
        password,
        "the second run changes nothing"
    );

    appliance.ok_with_input(
        &["user", "add", "alice", "--password-stdin"],
        "correct horse\n",
    );
    appliance.ok_with_input(
        &["user", "passwd", "alice", "--password-stdin"],
        "battery staple\n",
    );
    assert!(appliance.data().join("initial_root_password").exists());
    for (input, part) in [("", "no password"), ("\n", "no password"), ("short\n", "8")] {
        let output = run_with_input(
            &mut appliance.command(&["user", "passwd", "root", "--password-stdin"]),
            input,
        );
        assert!(
            !output.status.success() && stderr(&output).contains(part),
            "{input:?}: {}",
            stderr(&output)
        );
    }
    assert!(appliance.data().join("initial_root_password").exists());
    appliance.ok_with_input(
        &["user", "passwd", "root", "--password-stdin"],
        "a new password\r\n",
    );
    assert!(!appliance.data().join("initial_root_password").exists());
}

#[test]
fn every_command_has_help_with_an_example() {
    fn subcommands(words: &[&str], help: &str) -> Vec<String> {
        let Some((_, list)) = help.split_once("Commands:\n") else {
            return Vec::new();
        };
        let lines = list.lines().take_while(|line| line.starts_with("  "));
        let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        names
            .filter(|name| !name.is_empty() && *name != "help")
            .map(|name| format!("{} {name}", words.join(" ")).trim().to_owned())
            .collect()
    }
    let mut pending = vec![String::new()];
    let mut seen = 0;
    while let Some(words) = pending.pop() {
        let words: Vec<_> = words.split_ascii_whitespace().collect();
        let output = run_with_input(breakwater().args(&words).arg("--help"), "");
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        let help = stdout(&output);
        let example = format!("breakwater {}", words.join(" "));
        let (_, examples) = help
            .split_once("Example")
            .unwrap_or_else(|| panic!("{words:?} has no example"));
        assert!(
            examples.contains(example.trim_end()),
            "{words:?}: {examples}"
        );
        assert!(
            help.contains("--config <FILE>") && help.contains("--data <DIR>"),
            "{words:?}"
        );
        pending.extend(subcommands(&words, &help));
        seen += 1;
    }
    assert!(seen > 30, "only {seen} commands found");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let appliance = initialised();
    let mut child = appliance
        .command(&["user", "list"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Closed before the command has opened its store, so that its first write fails.
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(0), String::new())
    );
}

/// Asserts that directories are 0700 and everything else is 0600.
fn assert_private(path: &Path) {
    let metadata = std::fs::symlink_metadata(path).unwrap();
    let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
    let mode = metadata.permissions().mode() & 0o7777;
    assert_eq!(mode, expected, "{} has mode {mode:o}", path.display());
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            assert_private(&entry.unwrap().path());
        }
    }
}

/// Serves on `data` until it is ready, makes sure that the process is `user`'s, and stops it.
fn serve_once(data: &Path, user: u32) {
    let mut child = breakwater()
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let ready = log.any(|line| line.unwrap().contains("listening on"));
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    let rest: Vec<_> = log.map(|line| line.unwrap()).collect();
    assert!(ready && child.wait().unwrap().success(), "{rest:#?}");
    let everywhere = format!("Uid:\t{user}\t{user}\t{user}\t{user}\n");
    assert!(status.contains(&everywhere), "{status}");
}

#[test]
fn root_becomes_the_owner_of_the_data_directory() {
    if !rustix::process::geteuid().is_root() {
        println!("only root can become somebody else: nothing tested");
        return;
    }
    // `nobody`, as everywhere on Linux.
    let (user, group) = (65534, 65534);
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(directory.path(), Some(user), Some(group)).unwrap();
    let run = |arguments: &[&str]| {
        let output = run_with_input(
            breakwater()
                .args(arguments)
                .arg("--data")
                .arg(directory.path()),
            "",
        );
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            stderr(&output)
        );
    };
    run(&["init"]);
    run(&["user", "add", "ci", "--service"]);
    run(&["verify"]);
    serve_once(directory.path(), user);
    let mut files = 0;
    let mut pending = vec![directory.path().to_owned()];
    while let Some(path) = pending.pop() {
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        assert_eq!(
            (metadata.uid(), metadata.gid()),
            (user, group),
            "{}",
            path.display()
        );
        files += 1;
        if metadata.is_dir() {
            pending.extend(
                std::fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
    }
    assert!(files > 5, "only {files} files found");
    assert_private(directory.path());
}

#[test]
fn serve_starts_says_what_a_newcomer_needs_and_stops() {
    let mut appliance = Appliance::start();
    let url = appliance.url("");
    for text in [
        &*format!("listening on {url}"),
        &*appliance.data().display().to_string(),
        "initial_root_password",
        "registry-mirrors",
        "daemon.json",
    ] {
        assert!(
            appliance.log().contains(text),
            "{text:?} is missing in\n{}",
            appliance.log()
        );
    }
    assert!(!appliance.log().contains(&appliance.root_password()));
    assert!(
        appliance
            .log()
            .lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok()),
        "{}",
        appliance.log()
    );
    let status = appliance.json(&["upstream", "status", "--json"]);
    assert_eq!(status[0]["name"], "docker.io");
    assert_eq!(
        appliance.json(&["upstream", "list", "--json"])[0]["breaker"],
        status[0]["breaker"]
    );
    assert!(appliance.ok(&["upstream", "status"]).contains("docker.io"));
    assert_eq!(
        appliance.json(&["verify", "--json"])["clean"],
        true,
        "by the running server"
    );
    appliance.ok(&["user", "add", "ci", "--service"]);

    let begun = Instant::now();
    assert_eq!(appliance.stop().code(), Some(0), "{}", appliance.log());
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "an idle server stops at once"
    );
    assert!(!appliance.data().join("control.sock").exists());
    assert!(appliance.log().contains("stopped"));

    appliance.restart();
    assert_eq!(appliance.url(""), url);
    assert!(
        !appliance.log().contains("comparing rows with files"),
        "the last stop was clean"
    );
    appliance.signal(Signal::INT);
    assert_eq!(appliance.wait().code(), Some(0));
}

#[test]
fn systemd_is_told_when_it_is_ready_and_when_it_stops() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let next = || {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut appliance = Appliance::builder()
        .variable("NOTIFY_SOCKET", path.to_str().unwrap())
        .start();
    assert_eq!(next(), "READY=1\n");
    appliance.stop();
    assert_eq!(next(), "STOPPING=1\n");
}

#[test]
fn a_second_signal_stops_at_once() {
    // An upstream that takes connections and never answers keeps a pull in flight.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut appliance =
        Appliance::with_upstream(&format!("http://{}", silent.local_addr().unwrap()));
    let mut client = std::net::TcpStream::connect(appliance.address()).unwrap();
    let request = format!(
        "GET /v2/library/alpine/manifests/latest HTTP/1.1\r\nHost: {}\r\n\r\n",
        appliance.address()
    );
    client.write_all(request.as_bytes()).unwrap();
    let (_asked, _) = silent.accept().unwrap();

    appliance.signal(Signal::TERM);
    appliance.wait_for_log("stopping on SIGTERM");
    std::thread::sleep(Duration::from_millis(200));
    assert!(
        appliance.is_running(),
        "the pull in flight has time\n{}",
        appliance.log()
    );
    appliance.signal(Signal::TERM);
    let begun = Instant::now();
    assert_eq!(appliance.wait().code(), Some(1));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn after_a_crash_the_stale_socket_is_replaced_and_rows_are_compared() {
    let mut appliance = Appliance::start();
    appliance.kill();
    let socket = appliance.data().join("control.sock");
    assert!(
        std::fs::symlink_metadata(&socket)
            .unwrap()
            .file_type()
            .is_socket()
    );
    assert_eq!(
        appliance.run_cli(&["upstream", "status"]).status.code(),
        Some(1)
    );
    assert_eq!(
        appliance.json(&["verify", "--json"])["clean"],
        true,
        "by the command itself"
    );
    appliance.restart();
    appliance.wait_for_log("rows and files agree");
    appliance.ok(&["upstream", "status"]);
    assert_eq!(appliance.stop().code(), Some(0));
}

#[test]
fn a_second_server_on_the_same_data_says_who_holds_it() {
    let appliance = Appliance::start();
    let output = appliance.run_cli(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1));
    let log = stderr(&output);
    let error = log.lines().last().unwrap();
    assert!(
        error.starts_with("breakwater: ") && error.contains("in use"),
        "{log}"
    );
    assert!(
        error.contains(&format!("process id {}", appliance.pid()))
            && error.contains(&appliance.url("")),
        "{log}"
    );
    // `init` beside a server is refused too, and harms nothing.
    assert_eq!(appliance.run_cli(&["init"]).status.code(), Some(1));
    appliance.ok(&["upstream", "status"]);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let appliance = Appliance::builder().prepare();
    let output = appliance.run_cli(&["serve", "--listen", &address]);
    let error = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.lines().last().unwrap().contains(&address) && error.contains("--listen"),
        "{error}"
    );
}

#[test]
fn serve_refuses_what_is_not_there_yet() {
    let appliance = Appliance::builder()
        .toml("[tls]\ncertificate = '/c.pem'\nkey = '/k.pem'")
        .prepare();
    let output = appliance.run_cli(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("`tls.certificate`")
            && stderr(&output).contains("not available in this version"),
        "{}",
        stderr(&output)
    );
    assert!(!appliance.data().exists());
}

#[test]
fn the_whole_data_directory_is_private() {
    let mut appliance = Appliance::start();
    appliance.token("ci", &["api"]);
    assert_private(&appliance.data());
    appliance.stop();
    assert_private(&appliance.data());
}
