//! What goes with a project or a group: said before it is removed, or instead. The box's own administrator is above
//! the rules that keep images from others, so the command says what they protect.

use std::io::{BufRead, IsTerminal, Write};

use serde_json::{Value, json};

use super::output::{counted, hint, print, shown_size};
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

/// What goes, and whether it may.
pub(super) struct Going {
    pub(super) contents: PlaceContents,
    pub(super) may_go: bool,
}

impl How {
    /// Says what goes with `what`, and asks on a terminal; whether it may go. Where nothing is lost, nobody is asked.
    ///
    /// # Errors
    /// `Usage` where there is no terminal to ask on, and those of the operation.
    pub(super) fn may_go(
        &self,
        workplace: &Workplace,
        place: NamedPlace,
        what: &str,
        json: bool,
    ) -> Result<Going> {
        let going = workplace.perform(ShowContents {
            place,
            removing: true,
        })?;
        if !json {
            tell(&going)?;
        }
        let may_go = !self.dry_run && (going.is_nothing() || self.confirm(what, &sum(&going))?);
        Ok(Going {
            contents: going,
            may_go,
        })
    }

    /// What `--json` says of it.
    pub(super) fn view(&self, path: &str, contents: &PlaceContents) -> Value {
        let done = match self.dry_run {
            true => "would_remove",
            false => "removed",
        };
        json!({ done: path, "dry_run": self.dry_run, "contents": contents })
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

fn tell(going: &PlaceContents) -> Result<()> {
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
