//! `breakwater help`: topics and commands, printed or paged.

use std::process::{Command, Output};

use breakwater::cli::TOPICS;

use super::{stderr, stdout};
use crate::support::appliance::breakwater;

fn help(words: &[&str]) -> Output {
    let mut command = breakwater();
    // Where standard output is no terminal nobody pages; and no configuration is needed.
    command
        .env("PAGER", "false")
        .env("BREAKWATER_CONFIG", "/nonexistent");
    command.arg("help").args(words).output().unwrap()
}

#[test]
fn topics_are_listed_and_each_is_shown() {
    let list = help(&["topics"]);
    assert!(list.status.success(), "{}", stderr(&list));
    let list = stdout(&list);
    assert_eq!(list.lines().count(), TOPICS.len());
    for topic in TOPICS {
        let line = list.lines().find(|line| {
            let name = line.split(' ').next();
            name == Some(topic.name)
        });
        assert!(line.unwrap().ends_with(topic.summary()), "{line:?}");
        let shown = help(&[topic.name]);
        assert!(shown.status.success(), "{}", stderr(&shown));
        assert_eq!(stderr(&shown), "");
        let shown = stdout(&shown);
        let title = topic.text.lines().next().unwrap().trim_start_matches("# ");
        assert_eq!(shown.lines().next(), Some(title));
        assert!(!shown.contains("<!--") && !shown.contains("```"), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }
}

#[test]
fn a_word_that_is_no_topic_is_answered_by_the_nearest() {
    struct Case {
        words: &'static [&'static str],
        says: &'static str,
    }
    for case in [
        Case {
            words: &["certificate"],
            says: "breakwater: there is no topic and no command `certificate` (did you mean certificates? \
                   `breakwater help topics` lists the topics, `breakwater --help` the commands)\n",
        },
        Case {
            words: &["tokens", "rotate"],
            says: "breakwater: the topic tokens has no parts (ask for `breakwater help tokens`)\n",
        },
        Case {
            words: &["token", "rotat"],
            says: "breakwater: unrecognized subcommand 'rotat' (",
        },
    ] {
        let output = help(case.words);
        assert_eq!(output.status.code(), Some(2), "{:?}", case.words);
        assert!(
            stderr(&output).starts_with(case.says),
            "{}",
            stderr(&output)
        );
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn the_help_of_a_command_is_what_its_option_prints() {
    for words in [&["token", "create"][..], &["token"], &["help"], &[]] {
        let option = breakwater().args(words).arg("--help").output().unwrap();
        assert!(option.status.success());
        let command = help(words);
        assert!(command.status.success(), "{}", stderr(&command));
        assert_eq!(stdout(&command), stdout(&option), "{words:?}");
    }
    let within = breakwater().args(["token", "help", "create"]).output();
    let within = within.unwrap();
    assert_eq!(stdout(&within), stdout(&help(&["token", "create"])));
}

/// What appears on a terminal, with `PAGER`.
fn on_a_terminal(pager: &str) -> String {
    let program = breakwater().get_program().to_owned();
    let line = format!("{} help networks", program.display());
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    let output = script.env("PAGER", pager).output().unwrap();
    assert!(output.status.success(), "{pager}: {}", stdout(&output));
    stdout(&output).replace('\r', "")
}

#[test]
fn on_a_terminal_a_pager_shows_it_and_without_one_it_is_printed() {
    assert!(on_a_terminal("sed 's/^/paged: /'").starts_with("paged: Networks\n"));
    // Who has read enough quits, and that is no failure.
    assert!(!on_a_terminal("true").contains("Networks"));
    assert!(on_a_terminal("no-such-pager 2>/dev/null").starts_with("Networks\n"));
}
