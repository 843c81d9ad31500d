//! Other words for what commands are called, as hands that know other tools type them.

use clap::Command;

/// What a command is called, and what else it is called where nothing else has that name.
const WORDS: &[(&str, &[&str])] = &[
    ("list", &["ls", "show"]),
    ("add", &["create", "new"]),
    ("create", &["add", "new"]),
    ("remove", &["rm", "delete", "del"]),
    ("delete", &["rm", "remove", "del"]),
    ("revoke", &["rm", "remove", "delete"]),
    ("set", &["update"]),
];

/// Gives the commands below this one their other names. Where nothing shows a single one, `show` is the list.
pub(super) fn with_aliases(command: Command) -> Command {
    let names: Vec<String> = command
        .get_subcommands()
        .flat_map(|one| std::iter::once(one.get_name()).chain(one.get_all_aliases()))
        .map(str::to_owned)
        .collect();
    let is_free = |word: &&str| !names.iter().any(|name| name == word);
    command.mut_subcommands(|one| {
        let mut words = WORDS.iter();
        let others = words.find(|(name, _)| one.get_name() == *name);
        let others = others.map_or(&[][..], |(_, others)| *others);
        let free: Vec<_> = others.iter().copied().filter(is_free).collect();
        with_aliases(one.aliases(free))
    })
}

#[cfg(test)]
mod tests {
    use crate::cli::{command, parse};

    #[test]
    fn what_hands_type_is_what_is_meant() {
        command().debug_assert();
        for line in [
            "group ls",
            "group create acme",
            "group rm acme",
            "group delete acme --yes",
            "project show acme/api",
            "user delete alice",
            "token ls --active --expiring 14d",
            "token rm 7",
            "network show",
            "network rm 10.0.0.0/8",
            "rule delete 3",
            "repository rm acme/api/web:v1",
            "member show acme",
            "registry ls",
            "feature show",
            "key ls",
            "upstream delete quay.io",
            "cache ls",
        ] {
            let words = std::iter::once("breakwater").chain(line.split(' '));
            assert!(parse(words).is_ok(), "{line}");
        }
    }
}
