//! What goes with a project or a group: said before it is removed, or instead. The box's own administrator is above
//! the rules that keep images from others, so the command says what they protect.

use std::io::{BufRead, IsTerminal, Write};

use serde_json::json;

use super::Outcome;
use super::output::{counted, hint, print, shown_size, tell};
use super::workplace::Workplace;
use crate::admin::{NamedPlace, PlaceContents, ShowContents};
use crate::error::{Error, Kind, Result};

/// How to remove.
#[derive(Debug, clap::Args)]
pub(super) struct How {
    /// Remove nothing, only show what would go
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

impl How {
    /// Says what goes with a group or a project, asks on a terminal, and removes it, with what is always `lost` with
    /// such a one. Where nothing else is lost, nobody is asked.
    ///
    /// # Errors
    /// `Usage` where there is no terminal to ask on, and those of the operations.
    pub(super) fn remove(
        &self,
        workplace: &Workplace,
        (place, path): (NamedPlace, &str),
        (kind, lost): (&str, &str),
        json: bool,
        remove: impl FnOnce() -> Result<()>,
    ) -> Result<Outcome> {
        let what = format!("{kind} {path}");
        let going = workplace.perform(ShowContents {
            place,
            removing: true,
        })?;
        if !json {
            tell_contents(&going)?;
        }
        let (done, line) = if self.dry_run {
            ("would_remove", format!("would remove {what}, with {lost}"))
        } else if going.is_nothing() || self.confirm(&what, &sum(&going))? {
            remove()?;
            ("removed", format!("removed {what}, with {lost}"))
        } else {
            return Ok(Outcome::Bad);
        };
        let view = json!({ done: path, "dry_run": self.dry_run, "contents": going });
        tell(&view, json, &line)?;
        Ok(Outcome::Done)
    }

    /// Asks on a terminal whether `what` may go, and `lost` with it.
    ///
    /// # Errors
    /// `Usage` where there is no terminal to ask on.
    pub(super) fn confirm(&self, what: &str, lost: &str) -> Result<bool> {
        if self.yes {
            return Ok(true);
        }
        if !std::io::stdin().is_terminal() {
            let lost = format!("{what} was not removed: this would go with it for good: {lost}");
            return Err(Error::new(Kind::Usage, lost)
                .remedy("give --yes to remove it without being asked, or --dry-run to see more"));
        }
        let is_wanted = ask(&format!("remove {what}, with {lost}? [y/N] "))?;
        if !is_wanted {
            hint("nothing was removed");
        }
        Ok(is_wanted)
    }
}

fn tell_contents(going: &PlaceContents) -> Result<()> {
    for repository in &going.repositories {
        let protected = match repository.is_protected {
            true => ", protected by a rule",
            false => "",
        };
        print(&format!(
            "  {}: {}, {}{protected}",
            repository.path,
            counted(repository.images, "image"),
            counted(repository.tags, "tag")
        ))?;
    }
    if going.is_nothing() {
        return Ok(());
    }
    print(&format!("  in all: {}", sum(going)))
}

/// `2 projects, 1 token, 5 images (1.2 GiB)`
fn sum(going: &PlaceContents) -> String {
    let counts = [
        (going.groups, "group"),
        (going.projects, "project"),
        (going.tokens, "token"),
        (going.upstreams, "upstream"),
        (going.images, "image"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let words = counts.map(|(count, noun)| counted(count, noun));
    let mut words: Vec<_> = words.collect();
    if !going.repositories.is_empty() {
        words.push(shown_size(going.bytes));
    }
    words.join(", ")
}

/// Asks a question on the terminal; nothing but a yes is one.
fn ask(question: &str) -> Result<bool> {
    let terminal = std::path::Path::new("the terminal");
    let cannot = |error| Error::io("cannot ask on", terminal, error);
    let mut out = std::io::stderr().lock();
    out.write_all(question.as_bytes())
        .and_then(|()| out.flush())
        .map_err(cannot)?;
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(cannot)?;
    let answer = answer.trim().to_ascii_lowercase();
    Ok(answer == "y" || answer == "yes")
}
