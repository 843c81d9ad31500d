//! Completions and manual pages: that they are of this program, whole, and usable.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use breakwater::cli::TOPICS;
use breakwater::config::SECTIONS;

use super::{stderr, stdout};
use crate::support::appliance::{breakwater, run_with_input};

/// What bash offers, with the script of `breakwater completions bash`, for the last word of `line`.
fn completed_by_bash(script: &str, line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let last = words.len() - 1;
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let call = format!(
        "COMP_WORDS=({})\nCOMP_CWORD={last}\n_breakwater breakwater '{}' '{}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        quoted.join(" "),
        words[last],
        words[last.saturating_sub(1)],
    );
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-s"]);
    let output = run_with_input(&mut bash, &format!("{script}\n{call}"));
    assert!(output.status.success(), "{line}: {}", stderr(&output));
    stdout(&output).lines().map(str::to_owned).collect()
}

fn completions(shell: &str) -> String {
    // A configuration that nobody could use: completions have to do without.
    let output = breakwater()
        .args([
            "--config",
            "/nonexistent/breakwater.toml",
            "completions",
            shell,
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{shell}: {}", stderr(&output));
    assert_eq!(stderr(&output), "", "{shell}");
    stdout(&output)
}

#[test]
fn bash_completes_commands_and_options_and_offers_nothing_hidden() {
    let script = completions("bash");
    // The line, what has to be among the offers, what must not be.
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("breakwater ", &["serve", "token", "completions"], &["man"]),
        ("breakwater to", &["token"], &["serve"]),
        (
            "breakwater token ",
            &["create", "rotate", "revoke"],
            &["serve"],
        ),
        ("breakwater token create --sc", &["--scope"], &["--name"]),
        (
            "breakwater cache list --",
            &["--json", "--data", "--config"],
            &["--scope"],
        ),
        (
            "breakwater help ",
            &["topics", "getting-started", "token"],
            &["man"],
        ),
        (
            "breakwater completions ",
            &["bash", "zsh", "fish"],
            &["elvish"],
        ),
    ];
    for (line, offered, withheld) in cases {
        let offers = completed_by_bash(&script, line);
        for word in *offered {
            assert!(
                offers.iter().any(|offer| offer == word),
                "`{line}` does not offer {word}: {offers:?}"
            );
        }
        for word in *withheld {
            assert!(
                !offers.iter().any(|offer| offer == word),
                "`{line}` offers {word}: {offers:?}"
            );
        }
    }
}

#[test]
fn every_shell_learns_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = completions(shell);
        for command in breakwater::cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(
                command.is_hide_set() || script.contains(name),
                "{shell}: no {name}"
            );
        }
    }
}

/// Name of the page and command, of everything that `--help` shows.
fn pages(command: &clap::Command, page: &str, all: &mut Vec<(String, clap::Command)>) {
    all.push((page.to_owned(), command.clone()));
    for subcommand in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        pages(
            subcommand,
            &format!("{page}-{}", subcommand.get_name()),
            all,
        );
    }
}

#[test]
fn every_command_has_a_page_with_its_sentence_options_and_examples() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("share/man");
    write_pages(&out);
    let out = out.join("man1");
    let mut expected = Vec::new();
    pages(&breakwater::cli::command(), "breakwater", &mut expected);
    assert_eq!(fs::read_dir(&out).unwrap().count(), expected.len());
    for (name, command) in &expected {
        let path = out.join(format!("{name}.1"));
        let page = fs::read_to_string(&path).unwrap();
        // roff writes a hyphen as `\-`, and an apostrophe as `\*(Aq`.
        let plain = page.replace("\\-", "-").replace("\\*(Aq", "'");
        let about = command.get_about().unwrap().to_string();
        assert!(
            plain.contains(&format!("{name} - {about}")),
            "{name}: {page}"
        );
        assert!(
            plain.contains(".SH EXAMPLES") && plain.contains("--help"),
            "{name}: {page}"
        );
        for argument in command
            .get_arguments()
            .filter(|argument| !argument.is_hide_set())
        {
            let Some(option) = argument.get_long() else {
                continue;
            };
            assert!(
                plain.contains(&format!("--{option}")),
                "{name} has no --{option}"
            );
        }
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, !umask() & 0o044, "{name} has mode {mode:o}");
    }
    let before = fs::read(out.join("breakwater.1")).unwrap();
    write_pages(&directory.path().join("share/man"));
    assert_eq!(
        fs::read(out.join("breakwater.1")).unwrap(),
        before,
        "a second run changes it"
    );
}

fn write_pages(out: &Path) {
    let output = breakwater()
        .args(["man", "--out"])
        .arg(out)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn every_topic_has_a_page_and_the_configuration_that_of_its_file() {
    let directory = tempfile::tempdir().unwrap();
    write_pages(directory.path());
    let mut expected = vec!["man5/breakwater.toml.5".to_owned()];
    let others = TOPICS.iter().filter(|topic| topic.name != "configuration");
    expected.extend(others.map(|topic| format!("man7/breakwater-{}.7", topic.name)));
    expected.sort();
    let mut found = Vec::new();
    for section in ["man5", "man7"] {
        for page in fs::read_dir(directory.path().join(section)).unwrap() {
            let name = page.unwrap().file_name().into_string().unwrap();
            found.push(format!("{section}/{name}"));
        }
    }
    found.sort();
    assert_eq!(found, expected);
    let page = fs::read_to_string(directory.path().join("man5/breakwater.toml.5")).unwrap();
    for key in SECTIONS.iter().flat_map(|section| section.keys) {
        let (name, default) = (key.name, key.default.to_string());
        let term = format!(".TP\n\\fB{name}\\fR = \\fB{default}\\fR\n").replace('-', "\\-");
        assert!(page.contains(&term), "no {name}: {page}");
    }
    for section in SECTIONS.iter().filter(|section| !section.name.is_empty()) {
        let heading = format!(".SS [{}]\n", section.name.replace('"', "\\(dq"));
        assert!(page.contains(&heading), "no {heading}: {page}");
    }
    let first = fs::read_to_string(directory.path().join("man1/breakwater.1")).unwrap();
    let first = first.replace("\\-", "-");
    for topic in TOPICS.iter().filter(|topic| topic.name != "configuration") {
        let reference = format!("\\fBbreakwater-{}\\fR(7)", topic.name);
        assert!(first.contains(&reference), "no {reference}");
    }
}

/// The umask of this process, which children inherit.
fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))
        .unwrap();
    u32::from_str_radix(line.trim(), 8).unwrap()
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let output = breakwater()
        .args(["man", "--out", "/proc/nowhere"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("/proc/nowhere"),
        "{}",
        stderr(&output)
    );
}
