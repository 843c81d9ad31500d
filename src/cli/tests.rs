//! The grammar of the command line.

use clap::CommandFactory;

use super::*;

/// Every command that can be run or that holds others, with its words.
fn commands() -> Vec<(String, clap::Command)> {
    fn collect(words: &str, command: &clap::Command, all: &mut Vec<(String, clap::Command)>) {
        all.push((words.to_owned(), command.clone()));
        for sub in command
            .get_subcommands()
            .filter(|sub| sub.get_name() != "help")
        {
            collect(&format!("{words} {}", sub.get_name()), sub, all);
        }
    }
    let mut all = Vec::new();
    let mut root = CommandLine::command();
    root.build();
    collect("breakwater", &root, &mut all);
    all
}

#[test]
fn the_grammar_is_sound() {
    CommandLine::command().debug_assert();
}

#[test]
fn every_commands_help_has_an_example_of_itself_and_a_sentence() {
    let commands = commands();
    assert!(
        commands.len() > 30,
        "only {} commands found",
        commands.len()
    );
    for (words, command) in commands {
        let about = command
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(!about.is_empty(), "`{words}` has no sentence");
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(help.contains("Example"), "`{words} --help` has no example");
        assert!(
            help.contains(&words),
            "the example of `{words} --help` is of another command: {help}"
        );
    }
}

/// Commands without `--json`, and why.
const WITHOUT_JSON: [(&str, &str); 5] = [
    ("serve", "it logs, and `log.format` says in which form"),
    ("completions", "what it prints is a shell's script"),
    ("complete", "it answers that script, a word a line"),
    ("man", "it prints nothing, but writes files"),
    (
        "data-directory",
        "what it prints is for scripts: a path alone",
    ),
];

#[test]
fn every_command_prints_json_where_it_prints_anything() {
    let without: Vec<String> = commands()
        .into_iter()
        .filter(|(_, command)| !command.has_subcommands())
        .filter(|(_, command)| {
            command
                .get_arguments()
                .all(|argument| argument.get_id() != "json")
        })
        .map(|(name, _)| name)
        .collect();
    for (name, why) in WITHOUT_JSON {
        let is_known = without
            .iter()
            .any(|known| known.ends_with(&format!(" {name}")));
        assert!(is_known, "`{name}` has --json now, or is gone: {why}");
    }
    for name in &without {
        let (_, words) = name.split_once(' ').unwrap_or(("", name));
        let is_known = WITHOUT_JSON.iter().any(|(known, _)| *known == words);
        assert!(is_known, "`{name}` prints something and has no --json");
    }
}

#[test]
fn examples_parse() {
    for (words, command) in commands() {
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default()
            .replace("\\\n", " ");
        for example in help.lines().skip(1) {
            let from = example.find("breakwater").unwrap_or_default();
            // Where its output goes is the shell's affair.
            let example = example[from..].split(" >").next().unwrap_or_default();
            let example = example.trim_end_matches(')').replace('\'', "");
            let parsed = CommandLine::try_parse_from(example.split_whitespace());
            assert!(
                parsed.is_ok(),
                "{words}: {example}: {}",
                parsed.unwrap_err()
            );
        }
    }
}

#[test]
fn place_is_told_before_or_after_the_command() {
    for line in [
        "breakwater --data d --config c user list",
        "breakwater user --data d list --config c",
        "breakwater user list --data d --config c",
        "breakwater user list --data=d --config=c",
    ] {
        let parsed = CommandLine::try_parse_from(line.split(' ')).unwrap();
        assert_eq!(
            parsed.place.data.as_deref(),
            Some(std::path::Path::new("d")),
            "{line}"
        );
        assert_eq!(
            parsed.place.config.as_deref(),
            Some(std::path::Path::new("c")),
            "{line}"
        );
    }
}

#[test]
fn lines_are_accepted_or_refused_as_the_interface_says() {
    let cases: &[(&str, bool)] = &[
        ("serve", true),
        ("serve --listen 127.0.0.1:0 --listen [::1]:0", true),
        ("serve --listen", false),
        ("init", true),
        ("user add alice --admin --password-stdin", true),
        ("user add ci --service", true),
        ("user add ci --service --password-stdin", false),
        ("user add", false),
        ("user passwd root --password-stdin", true),
        ("group add acme --visibility public", true),
        ("group add acme --visibility secret", false),
        ("group set acme visibility=public", true),
        ("group set acme", false),
        ("member add acme alice --level owner", true),
        ("member add acme alice --level king", false),
        ("member add acme alice", false),
        (
            "token create --name n --scope api --user alice --expires never",
            true,
        ),
        (
            "token create --name n --scope api,read_api --user alice",
            true,
        ),
        (
            "token create --name n --scope api --group acme --level guest",
            true,
        ),
        (
            "token create --name n --job acme/x --user alice --ttl 1h",
            true,
        ),
        ("token create --name n --job acme/x --user alice", true),
        ("token create --name n --job acme/x", false),
        (
            "token create --name n --scope api --job acme/x --user alice",
            false,
        ),
        (
            "token create --name n --job acme/x --user alice --expires 30d",
            true,
        ),
        (
            "token create --name n --scope api --user alice --ttl 1h",
            true,
        ),
        (
            "token create --name n --scope api --project acme/x --level guest",
            true,
        ),
        (
            "token create --name n --scope api --deploy acme --username u",
            true,
        ),
        (
            "token create --name n --scope api --deploy acme --level guest",
            false,
        ),
        (
            "token create --name n --scope api --group acme --user alice",
            false,
        ),
        (
            "token create --name n --scope api --group acme --project acme/x",
            false,
        ),
        ("token rotate 7 --expires 30d --json", true),
        ("token rotate", false),
        ("project add acme/api --visibility public", true),
        ("project set acme/api visibility=public", true),
        ("project set acme/api", false),
        ("project remove acme/api", true),
        ("feature list --json", true),
        ("feature enable F --group acme", true),
        ("feature disable F", true),
        ("feature reset F --group acme", true),
        ("feature reset F", false),
        ("backup f", true),
        ("backup", false),
        ("restore f", true),
        ("doctor --json", true),
        ("token create --name n --scope api", false),
        ("token create --name n --user alice", false),
        ("token create --scope api --user alice", false),
        (
            "token create --name n --scope api --user alice --username u",
            false,
        ),
        ("token list acme", true),
        ("token list --user alice", true),
        ("token list acme --user alice", false),
        ("token revoke 7", true),
        ("token revoke seven", false),
        ("network add 10.0.0.0/8 --ability fill --group acme", true),
        ("network add 10.0.0.0/8", false),
        ("network remove 10.0.0.0/8", true),
        ("upstream list --json", true),
        ("upstream status", true),
        ("cache list", true),
        ("cache list alp* --json", true),
        ("cache show", false),
        ("cache stats --json", true),
        ("verify --repair", true),
        ("completions bash", true),
        ("completions zsh", true),
        ("completions fish", true),
        ("completions elvish", false),
        ("completions", false),
        ("man --out d", true),
        ("man", false),
        ("frobnicate", false),
        ("user frobnicate", false),
        ("user list --frobnicate", false),
    ];
    for (line, accepted) in cases {
        let words = std::iter::once("breakwater").chain(line.split(' '));
        assert_eq!(
            CommandLine::try_parse_from(words).is_ok(),
            *accepted,
            "{line}"
        );
    }
}
