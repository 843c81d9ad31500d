//! Where in the manual more stands about a command than its own help says.

use clap::Command;
use clap::builder::StyledStr;

/// By the first word of a command, or by two where a part of it is told of elsewhere.
const TOPICS_OF: &[(&str, &str)] = &[
    ("serve", "configuration"),
    ("init", "getting-started"),
    ("status", "diagnosis"),
    ("top", "diagnosis"),
    ("config", "configuration"),
    ("version", "commands"),
    ("user", "tokens"),
    ("group", "hosted"),
    ("project", "hosted"),
    ("member", "hosted"),
    ("token", "tokens"),
    ("feature", "tokens"),
    ("key", "tokens"),
    ("audit", "audit-log"),
    ("ban", "security"),
    ("rule", "rules"),
    ("registry", "external-registries"),
    ("repository", "hosted"),
    ("network", "networks"),
    ("offline", "upstreams"),
    ("upstream", "upstreams"),
    ("cache", "caching"),
    ("warm", "warming"),
    ("webhook", "webhooks"),
    ("cache gc", "hosted"),
    ("export", "airgap"),
    ("have", "airgap"),
    ("bundle", "airgap"),
    ("client", "clients"),
    ("client gitlab-ci", "ci"),
    ("verify", "diagnosis"),
    ("backup", "backups"),
    ("restore", "backups"),
    ("doctor", "diagnosis"),
    ("tls", "certificates"),
    ("import", "airgap"),
    ("completions", "commands"),
];

/// The same command, each of whose parts names its topic at the end of its help.
pub(in crate::cli) fn with_topics(root: Command) -> Command {
    root.mut_subcommands(|command| {
        let words = command.get_name().to_owned();
        with_topic(command, &words)
    })
}

fn with_topic(command: Command, words: &str) -> Command {
    let command = command.mut_subcommands(|part| {
        let words = format!("{words} {}", part.get_name());
        with_topic(part, &words)
    });
    let Some(topic) = topic_of(words) else {
        return command;
    };
    let mut help = command.get_after_help().cloned().unwrap_or_default();
    help = StyledStr::from(format!("{help}\n\nMore: breakwater help {topic}"));
    command.after_help(help)
}

fn topic_of(words: &str) -> Option<&'static str> {
    let topic = |words: &str| {
        let mut topics = TOPICS_OF.iter();
        let found = topics.find(|(command, _)| *command == words);
        found.map(|(_, topic)| *topic)
    };
    let mut words = words.split(' ');
    let first = words.next().unwrap_or_default();
    let of_part = words
        .next()
        .and_then(|part| topic(&format!("{first} {part}")));
    of_part.or_else(|| topic(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;
    use crate::cli::help::TOPICS;

    #[test]
    fn every_command_names_a_topic_of_the_manual_at_the_end_of_its_help() {
        fn check(command: &Command, words: &str) {
            let help = command.get_after_help().unwrap().to_string();
            let (_, named) = help
                .rsplit_once("\n\nMore: breakwater help ")
                .unwrap_or_else(|| panic!("`{words} --help` names no topic"));
            let is_there = TOPICS.iter().any(|topic| topic.name == named);
            assert!(is_there, "`{words} --help` names the topic {named}");
            for part in command.get_subcommands() {
                check(part, &format!("{words} {}", part.get_name()));
            }
        }
        let root = with_topics(command());
        let shown = root
            .get_subcommands()
            .filter(|command| !command.is_hide_set() && command.get_name() != "help");
        for command in shown {
            check(command, command.get_name());
        }
    }

    #[test]
    fn every_command_of_the_table_is_there() {
        for (words, _) in TOPICS_OF {
            let root = command();
            let mut found = Some(&root);
            for word in words.split(' ') {
                found = found.and_then(|command| command.find_subcommand(word));
            }
            assert!(found.is_some(), "there is no `breakwater {words}`");
        }
    }
}
