//! README.md and the manual against the code: the list of topics and the tables of configuration keys, of
//! commands and so on are rendered and compared, and the configuration files that are handed out hold every
//! key with its default.
//!
//! A rendered table stands between `<!-- generated: NAME -->` and `<!-- end -->`. To bring the documents
//! up to date: `BREAKWATER_UPDATE_README=1 cargo nextest run readme`. A further table is one more line
//! in [`TABLES`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use breakwater::cli::TOPICS;
use breakwater::config::{KeyDefault, SECTIONS};
use breakwater::server;
use clap::{Arg, ArgAction, Command};

use super::errors::errors;
use super::{in_repository, read};

/// The name in the marker, the document that has it, and what renders what follows it.
const TABLES: &[(&str, &str, fn() -> String)] = &[
    ("topics", "README.md", list_of_topics),
    ("configuration", "src/help/configuration.md", configuration),
    ("commands", "src/help/commands.md", commands),
    ("errors", "src/help/protocol.md", errors),
    ("metrics", "src/help/metrics.md", metrics),
];

#[test]
fn the_tables_of_readme_and_manual_are_those_of_the_code() {
    let update = std::env::var_os("BREAKWATER_UPDATE_README").is_some_and(|value| value == "1");
    for (name, path, render) in TABLES {
        let before = read(path).text;
        let mut after = before.clone();
        let marker = format!("<!-- generated: {name} -->\n");
        let start = after.find(&marker).unwrap_or_else(|| panic!("{marker}"));
        let start = start + marker.len();
        let length = after[start..].find("<!-- end -->").expect("<!-- end -->");
        after.replace_range(start..start + length, &render());
        if update {
            std::fs::write(in_repository(path), after).unwrap();
        } else if before != after {
            let changed: Vec<_> = after
                .lines()
                .filter(|line| !before.lines().any(|known| known == *line))
                .collect();
            panic!(
                "{path} is not what the code says (BREAKWATER_UPDATE_README=1 cargo nextest run readme \
                 mends it); it lacks, or has in another order:\n{}",
                changed.join("\n")
            );
        }
    }
}

#[test]
fn the_installed_configuration_holds_every_key_with_its_default() {
    let mut expected = BTreeMap::new();
    for section in SECTIONS {
        let table = section.name.replace("\"HOST\"", "docker.io");
        let prefix = if table.is_empty() { table } else { table + "." };
        for key in section.keys {
            let name = format!("{prefix}{}", key.name);
            expected.insert(name, value(&key.default.to_string()));
        }
    }
    let text = std::fs::read_to_string(in_repository("scripts/breakwater.toml")).unwrap();
    let uncommented: Vec<_> = text.lines().map(uncomment).collect();
    let table: toml::Table = uncommented.join("\n").parse().unwrap();
    let mut found = BTreeMap::new();
    flatten("", table, &mut found);
    assert_eq!(found, expected);
}

/// `#key = value` is a default that is commented out; `# words` is a comment.
fn uncomment(line: &str) -> &str {
    let key = |line: &&str| line.starts_with(|first: char| first.is_ascii_lowercase());
    line.strip_prefix('#').filter(key).unwrap_or(line)
}

fn value(text: &str) -> toml::Value {
    let mut table: toml::Table = format!("value = {text}").parse().unwrap();
    table.remove("value").unwrap()
}

/// Puts every value of the table into `found`, under its dotted key.
fn flatten(prefix: &str, table: toml::Table, found: &mut BTreeMap<String, toml::Value>) {
    for (name, value) in table {
        match value {
            toml::Value::Table(table) => flatten(&format!("{prefix}{name}."), table, found),
            value => assert!(found.insert(format!("{prefix}{name}"), value).is_none()),
        }
    }
}

/// A row for each topic, with its first sentence.
fn list_of_topics() -> String {
    let mut table = "| `breakwater help …` | |\n|---|---|\n".to_owned();
    for topic in TOPICS {
        let (name, summary) = (topic.name, topic.summary());
        writeln!(table, "| [{name}](src/help/{name}.md) | {summary} |").unwrap();
    }
    table
}

fn metrics() -> String {
    let mut table = "| metric | kind | labels | |\n|---|---|---|---|\n".to_owned();
    for metric in server::metrics_catalog() {
        let labels = metric.labels.iter().map(|label| format!("`{label}`"));
        let labels = labels.collect::<Vec<_>>().join(", ");
        let (name, kind) = (metric.name, metric.kind.as_str());
        let help = metric.help.trim_end_matches('.');
        writeln!(table, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    table
}

fn configuration() -> String {
    let mut table = "| key | default | |\n|---|---|---|\n".to_owned();
    for section in SECTIONS {
        let prefix = match section.name {
            "" => String::new(),
            name => format!("{name}."),
        };
        for key in section.keys {
            let default = match key.default {
                KeyDefault::Text("") => "empty".to_owned(),
                KeyDefault::Text(text) => format!("`{text}`"),
                other => format!("`{other}`"),
            };
            let (name, about) = (key.name, key.about());
            writeln!(table, "| `{prefix}{name}` | {default} | {about} |").unwrap();
        }
    }
    table
}

fn commands() -> String {
    fn rows(words: &str, command: &Command, table: &mut String) {
        let mut leaf = true;
        for command in command.get_subcommands() {
            leaf = false;
            rows(&format!("{words} {}", command.get_name()), command, table);
        }
        if leaf {
            let cell = |text: String| text.replace('|', "\\|");
            let synopsis = cell(synopsis(command));
            let about = cell(command.get_about().unwrap().to_string());
            writeln!(table, "| `{}{synopsis}` | {about} |", words.trim_start()).unwrap();
        }
    }
    let mut table = "| `breakwater …` | |\n|---|---|\n".to_owned();
    rows("", &breakwater::cli::command(), &mut table);
    table
}

/// What follows a command's words: arguments, options that are needed, options that may be left out.
fn synopsis(command: &Command) -> String {
    let mut needed = String::new();
    let mut optional = String::new();
    let mut grouped = Vec::new();
    for group in command.get_groups().filter(|group| group.is_required_set()) {
        let members: Vec<_> = group.get_args().collect();
        let words = members.iter().map(|id| {
            let is_it = |arg: &&Arg| arg.get_id() == *id;
            word(command.get_arguments().find(is_it).unwrap())
        });
        write!(needed, " ({})", words.collect::<Vec<_>>().join(" | ")).unwrap();
        grouped.extend(members);
    }
    let (positional, options): (Vec<_>, Vec<_>) = command
        .get_arguments()
        .filter(|arg| !arg.is_global_set() && !arg.is_hide_set())
        .filter(|arg| !grouped.contains(&arg.get_id()))
        .partition(|arg| arg.is_positional());
    let mut arguments = String::new();
    for arg in positional {
        let (open, close) = if arg.is_required_set() {
            ("", "")
        } else {
            ("[", "]")
        };
        write!(arguments, " {open}{}{close}", word(arg)).unwrap();
    }
    for arg in options {
        if arg.is_required_set() {
            write!(needed, " {}", word(arg)).unwrap();
        } else {
            write!(optional, " [{}]", word(arg)).unwrap();
        }
    }
    arguments + &needed + &optional
}

/// `NAME`, `--flag`, `--option VALUE`, with `…` where it may be repeated.
fn word(arg: &Arg) -> String {
    let values: Vec<_> = arg
        .get_value_names()
        .unwrap_or_default()
        .iter()
        .map(ToString::to_string)
        .collect();
    let flag = !arg.get_action().takes_values();
    let mut word = match arg.get_long() {
        Some(long) if flag => format!("--{long}"),
        Some(long) => format!("--{long} {}", values.join(" ")),
        None => values.join(" "),
    };
    if matches!(arg.get_action(), ArgAction::Append) {
        word.push('…');
    }
    word
}

/// The words of `doctor --json`, which scripts look for, are all in the manual, which has no other.
#[test]
fn every_check_of_the_doctor_is_in_the_manual() {
    let text = read("src/help/diagnosis.md").text;
    let table = text.split("| it looks at | and tells | `check` |").nth(1);
    let table = table.and_then(|rest| rest.split("\n\n").next());
    let told: BTreeSet<&str> = table
        .expect("the table of the doctor")
        .lines()
        .filter_map(|row| row.trim_end_matches([' ', '|']).rsplit('|').next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    let mut found = BTreeSet::new();
    for file in std::fs::read_dir(in_repository("src/cli/doctor")).unwrap() {
        let source = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        for call in ["Finding::new(", "finding("] {
            for arguments in code.split(call).skip(1) {
                // What is checked is the first text of a finding; a sentence comes where a word was passed on.
                let word = arguments.split('"').nth(1).unwrap_or_default();
                if word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
                    found.insert(word.to_owned());
                }
            }
        }
    }
    found.remove("");
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(found, told);
    // They are what `doctor.accept` takes.
    assert_eq!(found, BTreeSet::from(breakwater::config::FINDINGS));
}
