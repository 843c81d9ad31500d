//! `breakwater complete`, which the completion scripts of the shells call: it prints the names on the running box that the word
//! under the cursor may become. It prints nothing if no server runs, and gives up early, because somebody is typing.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Arg, Args, Command};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, complete};
use parking_lot::Mutex;

use crate::admin::{ListNames, NameKind, Operation as _};
use crate::cli::output::print_text;
use crate::cli::{Outcome, command};
use crate::config::{Config, Options};
use crate::control::{Asked, Client};
use crate::error::Result;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_millis(200);

/// Print the names of the running box that complete the last word; the completion scripts call it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  breakwater complete -- breakwater group show ac")]
pub(in crate::cli) struct Complete {
    /// The words of a line up to the cursor, the program first; the last may be empty
    #[arg(last = true)]
    words: Vec<OsString>,
}

impl Complete {
    /// Whatever fails, nothing is offered: an error message would only disturb the line that is being typed.
    pub(in crate::cli) fn run(self) -> Result<Outcome> {
        let names: Arc<Mutex<Vec<OsString>>> = Arc::default();
        let options = place(&self.words);
        let last = self.words.len().saturating_sub(1);
        let mut command = with_names(command(), &[], &|kind| {
            let (names, options) = (Arc::clone(&names), options.clone());
            ArgValueCompleter::new(move |current: &OsStr| {
                let found = ask(&options, kind, current).unwrap_or_default();
                let found = found.into_iter().map(CompletionCandidate::new);
                let found: Vec<_> = found.collect();
                let values = found.iter().map(|found| found.get_value().to_owned());
                names.lock().extend(values);
                found
            })
        });
        let Ok(candidates) = complete(&mut command, self.words, last, None) else {
            return Ok(Outcome::Done);
        };
        let names = names.lock();
        let mut lines = String::new();
        for candidate in candidates {
            let value = candidate.get_value().to_string_lossy();
            // The option may stand before the name: `--user=alice`.
            let is_name = names
                .iter()
                .any(|name| value.ends_with(&*name.to_string_lossy()));
            if is_name && value.chars().all(is_plain) {
                lines.push_str(&value);
                lines.push('\n');
            }
        }
        print_text(&lines)?;
        Ok(Outcome::Done)
    }
}

/// Whether every shell takes this letter literally, so that it needs no quotes.
fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "._-/:@+=,".contains(letter)
}

/// The configuration file and the data directory that the line names.
fn place(words: &[OsString]) -> Options {
    let mut options = Options::default();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let word = word.to_string_lossy();
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(PathBuf::from(value))),
            None => (
                &*word,
                words.peek().map(|next| PathBuf::from(next.as_os_str())),
            ),
        };
        match name {
            "--config" => options.file = value,
            "--data" => options.data = value,
            _ => {}
        }
    }
    options
}

fn ask(options: &Options, kind: NameKind, current: &OsStr) -> Option<Vec<String>> {
    // Reading anything else, such as a pipe, might wait for ever or take what somebody else waits for.
    if options.file.as_ref().is_some_and(|file| !file.is_file()) {
        return None;
    }
    let config = Config::load(options).ok()?;
    let server = Client::find(&config.data).ok()??.with_patience(PATIENCE);
    let request = ListNames {
        kind,
        beginning: current.to_str()?.to_owned(),
    };
    let asked = Asked {
        account: None,
        request: serde_json::to_value(request).ok()?,
    };
    server.perform(ListNames::NAME, &asked, false).ok()
}

/// The same command; those of its arguments that are names now have a completer.
fn with_names(
    command: Command,
    words: &[String],
    completer: &dyn Fn(NameKind) -> ArgValueCompleter,
) -> Command {
    let command = command.mut_args(|argument| match kind_of(words, &argument) {
        Some(kind) => argument.add(completer(kind)),
        None => argument,
    });
    command.mut_subcommands(|part| {
        let words = [words, &[part.get_name().to_owned()]].concat();
        with_names(part, &words, completer)
    })
}

/// Which kind of name an argument of a command takes, if it takes one of the box's.
fn kind_of(words: &[String], argument: &Arg) -> Option<NameKind> {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let value = argument.get_value_names().unwrap_or_default();
    let value = value.first().map_or("", |value| value.as_str());
    let adds = word(1) == "add";
    Some(match (word(0), argument.get_id().as_str(), value) {
        (_, "group", _) => NameKind::Group,
        (_, "user", _) => NameKind::User,
        ("repository", "path" | "image", _) | ("rule", "repository", _) => NameKind::Repository,
        ("import", "to", _) | (_, "deploy", _) => NameKind::Place,
        ("rule", _, "PATH") => NameKind::Place,
        (_, "project" | "job", _) => NameKind::Project,
        ("user", "name", _) if !adds => NameKind::User,
        ("rule", "who", _) => NameKind::User,
        ("ban", "name", _) => NameKind::Ban,
        ("upstream", "name", _) if !adds => NameKind::Upstream,
        ("group", "path", _) => NameKind::Group,
        ("project", "path", _) if adds => NameKind::Group,
        ("project", "path", _) => NameKind::Project,
        ("member" | "token", "path", _) => NameKind::Place,
        ("cache" | "warm" | "export" | "have", _, "IMAGE" | "IMAGE|PATTERN" | "PATTERN") => {
            NameKind::Image
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_are_names_are_known_as_such() {
        for (line, id, kind) in [
            ("user show", "name", Some(NameKind::User)),
            ("user add", "name", None),
            ("group set", "path", Some(NameKind::Group)),
            ("project show", "path", Some(NameKind::Project)),
            ("project add", "path", Some(NameKind::Group)),
            ("member remove", "path", Some(NameKind::Place)),
            ("member remove", "user", Some(NameKind::User)),
            ("token create", "user", Some(NameKind::User)),
            ("token create", "deploy", Some(NameKind::Place)),
            ("token list", "path", Some(NameKind::Place)),
            ("rule tag", "project", Some(NameKind::Place)),
            ("rule check", "who", Some(NameKind::User)),
            ("rule check", "repository", Some(NameKind::Repository)),
            ("ban remove", "name", Some(NameKind::Ban)),
            ("upstream test", "name", Some(NameKind::Upstream)),
            ("upstream add", "name", None),
            ("registry remove", "name", None),
            ("cache show", "image", Some(NameKind::Image)),
            ("cache purge", "image", Some(NameKind::Image)),
            ("cache list", "group", Some(NameKind::Group)),
            ("cache pin", "pattern", Some(NameKind::Image)),
            ("warm", "images", Some(NameKind::Image)),
            ("warm", "platforms", None),
            ("export", "images", Some(NameKind::Image)),
            ("repository delete", "image", Some(NameKind::Repository)),
            ("repository list", "project", Some(NameKind::Project)),
            ("import", "to", Some(NameKind::Place)),
            ("audit", "user", Some(NameKind::User)),
        ] {
            let mut root = command();
            root.build();
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let mut found = &root;
            for word in &words {
                found = found.find_subcommand(word).unwrap();
            }
            let mut arguments = found.get_arguments();
            let argument = arguments.find(|argument| argument.get_id() == id);
            let argument = argument.unwrap_or_else(|| panic!("{line} has no {id}"));
            assert_eq!(kind_of(&words, argument), kind, "{line} {id}");
        }
    }
}
