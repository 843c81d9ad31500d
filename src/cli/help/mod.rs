//! `breakwater help`: the manual, which is part of the program, and the help of commands. Needs no store and no
//! configuration.
//!
//! The text of each topic is `src/help/TOPIC.md`. It is shown on a terminal by [`text`], and written as a man
//! page by [`roff`]; both work on what [`document`] reads.

mod document;
mod pager;
pub(super) mod roff;
mod text;
mod topics;

use std::ffi::{OsStr, OsString};

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Args};

pub(super) use topics::with_topics;

use super::words::nearest;
use super::{Outcome, command, usage};
use crate::error::{Error, Kind, Result};

/// Show the manual: a topic of it, the list of topics, or the help of a command
///
/// On a terminal the text is shown by the program that PAGER names, or by less; elsewhere it is printed as it is.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater help topics
  breakwater help getting-started
  breakwater help token create")]
pub(super) struct Help {
    /// A topic, `topics`, or a command
    #[arg(value_name = "TOPIC|COMMAND", value_parser = AnyWord, hide_possible_values = true)]
    words: Vec<String>,
}

/// A part of the manual.
#[derive(Debug)]
pub struct Topic {
    /// The word that asks for it.
    pub name: &'static str,
    /// Markdown: a title, a sentence that says what it is about, and the rest.
    pub text: &'static str,
}

macro_rules! topics {
    ($($name:literal)*) => {
        &[$(Topic {
            name: $name,
            text: include_str!(concat!("../../help/", $name, ".md")),
        }),*]
    };
}

/// The manual, in the order in which a newcomer needs it.
pub const TOPICS: &[Topic] = topics![
    "getting-started"
    "installation"
    "systemd"
    "certificates"
    "proxies"
    "configuration"
    "clients"
    "ci"
    "page"
    "networks"
    "tokens"
    "upstreams"
    "caching"
    "warming"
    "hosted"
    "airgap"
    "rules"
    "external-registries"
    "faults"
    "speed"
    "diagnosis"
    "metrics"
    "audit-log"
    "webhooks"
    "backups"
    "security"
    "commands"
    "protocol"
    "rest-api"
];

impl Topic {
    /// What it is about, in one sentence without its full stop.
    pub fn summary(&self) -> &'static str {
        let sentence = self.text.lines().nth(2).unwrap_or_default();
        sentence.trim_end_matches('.')
    }
}

/// Takes every word, so that a wrong one is answered in our own words, and offers the known ones to completions.
#[derive(Debug, Clone)]
struct AnyWord;

impl TypedValueParser for AnyWord {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> std::result::Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(known_words().into_iter().map(PossibleValue::new)))
    }
}

impl Help {
    pub(super) fn run(self) -> Result<Outcome> {
        let Some(first) = self.words.first() else {
            return usage::show_help(&[]);
        };
        if command().find_subcommand(first).is_some() {
            let words: Vec<OsString> = self.words.iter().map(OsString::from).collect();
            return usage::show_help(&words);
        }
        let only = self.words.len() == 1;
        let topic = TOPICS.iter().find(|topic| topic.name == first);
        match topic {
            _ if only && first == "topics" => pager::show(&list()),
            Some(topic) if only => pager::show(&text::render(topic.text, text::width())),
            Some(_) => Err(further_words(first)),
            None => Err(unknown(first)),
        }
    }
}

/// A line for each topic.
fn list() -> String {
    let width = TOPICS.iter().map(|topic| topic.name.len()).max();
    let width = width.unwrap_or_default();
    let lines = TOPICS
        .iter()
        .map(|topic| format!("{:width$}  {}\n", topic.name, topic.summary()));
    lines.collect()
}

/// Every topic, and every command that `--help` shows.
fn known_words() -> Vec<String> {
    let commands = command();
    let commands = commands
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    let topics = TOPICS.iter().map(|topic| topic.name);
    topics
        .chain(["topics"])
        .chain(commands.map(clap::Command::get_name))
        .map(str::to_owned)
        .collect()
}

fn unknown(word: &str) -> Error {
    let nearest = nearest(word, known_words());
    let what = format!("there is no topic and no command `{word}`");
    Error::new(Kind::Usage, what).remedy(format!(
        "did you mean {nearest}? `breakwater help topics` lists the topics, `breakwater --help` the commands"
    ))
}

fn further_words(topic: &str) -> Error {
    let what = format!("the topic {topic} has no parts");
    Error::new(Kind::Usage, what).remedy(format!("ask for `breakwater help {topic}`"))
}

#[cfg(test)]
mod tests;
