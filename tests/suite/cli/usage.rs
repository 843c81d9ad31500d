//! Wrong usage and wrong configuration: exit statuses, sentences, help, and where the store is looked for.

use std::path::Path;
use std::process::Stdio;

use super::{initialised, stderr, stdout};
use crate::support::appliance::{Appliance, breakwater, run_with_input};

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
                "token", "create", "--name", "n", "--scope", "api", "--group", "acme",
            ],
            1,
            &["`acme`", "group list"],
        ),
        (
            &[
                "token",
                "create",
                "--name",
                "n",
                "--scope",
                "read_registry",
                "--project",
                "acme/api",
            ],
            1,
            &["`acme/api`", "project list"],
        ),
        (
            &[
                "token", "create", "--name", "n", "--scope", "api", "--deploy", "mirror",
            ],
            2,
            &["a deploy token cannot have the scope api", "read_registry"],
        ),
        (
            &[
                "token",
                "create",
                "--name",
                "n",
                "--scope",
                "read_registry",
                "--deploy",
                "mirror",
                "--username",
                "gitlab-ci-token",
            ],
            2,
            &["reserved"],
        ),
        (
            &[
                "token", "create", "--name", "n", "--job", "acme/api", "--user", "root", "--ttl",
                "1y",
            ],
            2,
            &["`1y`", "30d"],
        ),
        (
            &[
                "token", "create", "--name", "n", "--job", "acme/api", "--user", "root",
            ],
            1,
            &["no project `acme/api`"],
        ),
        (&["token", "list", "acme"], 1, &["group or project `acme`"]),
        (&["token", "rotate", "999"], 1, &["999", "token list"]),
        (
            &["token", "rotate", "1", "--expires", "soon"],
            2,
            &["`soon`"],
        ),
        (&["project", "add", "acme"], 2, &["GROUP/NAME"]),
        (&["project", "add", "library/x"], 2, &["Docker Hub"]),
        (
            &["project", "add", "acme/api"],
            1,
            &["`acme`", "group add acme"],
        ),
        (
            &["project", "set", "acme/api", "visible=public"],
            2,
            &["`visibility`"],
        ),
        (
            &["project", "set", "acme/api", "visibility=secret"],
            2,
            &["`secret`", "public"],
        ),
        (
            &["project", "remove", "acme/api"],
            1,
            &["`acme/api`", "project list"],
        ),
        (
            &["feature", "enable", "dependency_proxy_split"],
            2,
            &[
                "`dependency_proxy_split`",
                "did you mean `dependency_proxy_split_abilities`?",
            ],
        ),
        (
            &["feature", "disable", "enforce_abilities_check"],
            2,
            &["did you mean `enforce_abilities_check_for_dependency_proxy`?"],
        ),
        (
            &[
                "feature",
                "reset",
                "dependency_proxy_split_abilities",
                "--group",
                "mirror",
            ],
            1,
            &["mirror", "feature list"],
        ),
        (&["restore", missing], 1, &[missing]),
        (&["restore", "/"], 2, &["not a file"]),
        (
            &["backup", "x.sqlite", "--data", missing],
            1,
            &[missing, "breakwater init"],
        ),
        (
            &["doctor", "--data", missing],
            1,
            &[missing, "breakwater init"],
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
        let ask = |words: &[&str]| {
            let mut command = breakwater();
            command.args(words).current_dir(directory.path());
            if option {
                command.arg("--data").arg(path("option"));
            }
            if variable {
                command.env("BREAKWATER_DATA", path("environment"));
            }
            if with_file {
                command.env("BREAKWATER_CONFIG", &file);
            }
            run_with_input(&mut command, "")
        };
        let error = stderr(&ask(&["user", "list"]));
        let found = format!("there is no store at {} (", expected.display());
        let system = Path::new("/etc/breakwater/breakwater.toml").exists();
        assert!(
            error.contains(&found) || (system && expected.is_relative()),
            "{error}"
        );
        // What scripts/install asks.
        let told = stdout(&ask(&["data-directory"]));
        let absolute = directory.path().join(expected.file_name().unwrap());
        assert!(
            told == format!("{}\n", absolute.display()) || (system && expected.is_relative()),
            "{told}"
        );
    }
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
