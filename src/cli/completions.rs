//! `breakwater completions`: what a shell has to know to complete our words. Needs no store and no
//! configuration.

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use clap_complete::{Shell, generate};

use super::output::print_text;
use super::{Outcome, command};
use crate::error::Result;

/// Print a script that completes commands and options in a shell
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
        print_text(&String::from_utf8_lossy(&script))?;
        Ok(Outcome::Done)
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
