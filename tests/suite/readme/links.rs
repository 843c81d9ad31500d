//! README's length, what the program has of the manual, and where references lead.

use breakwater::cli::TOPICS;

use super::{documents, in_repository, read, topics};

#[test]
fn the_readme_is_short() {
    let lines = read("README.md").text.lines().count();
    assert!(
        lines <= 300,
        "README.md has {lines} lines: move some to src/help"
    );
}

#[test]
fn the_program_has_every_topic_of_the_manual() {
    let files: Vec<String> = topics().into_iter().map(|topic| topic.path).collect();
    let mut named: Vec<String> = TOPICS
        .iter()
        .map(|topic| format!("src/help/{}.md", topic.name))
        .collect();
    named.sort();
    assert_eq!(files, named, "src/help against TOPICS of src/cli/help");
}

/// The text and the target of every link.
fn links(text: &str) -> Vec<(&str, &str)> {
    let mut links = Vec::new();
    for (index, _) in text.match_indices("](") {
        let before = &text[..index];
        let label = &before[before.rfind('[').map_or(0, |start| start + 1)..];
        let target = text[index + 2..].split(')').next().unwrap_or_default();
        links.push((label, target));
    }
    links
}

#[test]
fn every_reference_leads_somewhere() {
    let mut count = 0;
    for document in documents() {
        let directory = in_repository(&document.path);
        let directory = directory.parent().unwrap();
        for (label, target) in links(&document.text) {
            if target.starts_with("https://") {
                continue;
            }
            count += 1;
            let path = &document.path;
            assert!(directory.join(target).exists(), "{path}: {target}");
            // On a terminal and in a page the reference is the topic's name, whatever its label is here.
            if path != "README.md" && target.ends_with(".md") {
                assert_eq!(format!("{label}.md"), target, "{path}");
            }
        }
    }
    assert!(count > 20, "only {count} references found");
}

/// What README or manual tell people to ask the manual for is there.
#[test]
fn every_topic_that_a_text_names_exists() {
    let mut sources = documents();
    for path in [
        "src/server/mod.rs",
        "scripts/breakwater.toml",
        "CHANGELOG.md",
    ] {
        sources.push(read(path));
    }
    for document in sources {
        for words in document.text.split("`breakwater help ").skip(1) {
            let name = words.split('`').next().unwrap_or_default();
            let known = TOPICS.iter().any(|topic| topic.name == name);
            let is_command = breakwater::cli::command()
                .find_subcommand(name.split(' ').next().unwrap_or_default())
                .is_some();
            let is_pattern =
                name == "topics" || name.starts_with(|c: char| !c.is_ascii_lowercase());
            assert!(
                known || is_command || is_pattern,
                "{}: {name}",
                document.path
            );
        }
    }
}
