//! `breakwater completions`: what a shell has to know to complete our words. Needs no store and no
//! configuration. The script knows commands and options; for names of the running box it asks `breakwater complete`.

mod names;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use clap_complete::{Shell, generate};

use super::output::print_text;
use super::{Outcome, command};
use crate::error::{Error, Result};
pub(super) use names::Complete;

/// Print a script that completes commands and options in a shell, and names of the running box
///
/// Groups, projects, users, upstreams, cached images and pushed repositories are asked for while you type, of the box that
/// --data and --config name; nothing is offered where none runs, or where you may not ask it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater completions bash >/usr/share/bash-completion/completions/breakwater
  breakwater completions zsh >/usr/share/zsh/vendor-completions/_breakwater
  breakwater completions fish >~/.config/fish/completions/breakwater.fish")]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: SupportedShell,
}

/// The shells whose completions are tested: less than clap could write.
#[derive(Debug, Clone, Copy)]
struct SupportedShell(Shell);

impl ValueEnum for SupportedShell {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self(Shell::Bash), Self(Shell::Zsh), Self(Shell::Fish)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        self.0.to_possible_value()
    }
}

impl Completions {
    pub(super) fn run(self) -> Result<Outcome> {
        let mut script = Vec::new();
        generate(
            self.shell.0,
            &mut without_hidden_commands(&command()),
            "breakwater",
            &mut script,
        );
        print_text(&self.with_names(&String::from_utf8_lossy(&script))?)?;
        Ok(Outcome::Done)
    }

    /// The script, whose function is asked only where no name can stand. `breakwater complete` knows where one can.
    fn with_names(&self, script: &str) -> Result<String> {
        let (names, end) = match self.shell.0 {
            Shell::Bash => (include_str!("bash.sh"), "\nif [[ \"${BASH_VERSINFO"),
            Shell::Zsh => (include_str!("zsh.sh"), "\nif [ \"$funcstack[1]\""),
            _ => return Ok(format!("{script}{}", include_str!("fish.sh"))),
        };
        let renamed = script.replacen("\n_breakwater() {", "\n_breakwater_words() {", 1);
        let renamed = match script.strip_prefix("_breakwater() {") {
            Some(rest) => format!("_breakwater_words() {{{rest}"),
            None => renamed,
        };
        let (functions, call) = renamed
            .split_once(end)
            .filter(|(functions, _)| functions.contains("_breakwater_words() {"))
            .ok_or_else(|| Error::internal("the script has another form than it had"))?;
        Ok(format!("{functions}{names}{}{call}", end.trim_start()))
    }
}

/// clap_complete offers hidden commands as well, and clap cannot take one out of a command.
fn without_hidden_commands(command: &clap::Command) -> clap::Command {
    let shown = command
        .get_subcommands()
        .filter(|subcommand| !subcommand.is_hide_set());
    clap::Command::new("breakwater")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .args(command.get_arguments())
        .subcommands(shown)
}
