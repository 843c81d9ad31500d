//! The command line: one file a family of commands. Parses, finds the store, calls, prints.
//!
//! No command but `serve` and `init` makes a store; none asks for a password, because who may read
//! the data directory administers the box. Exit status: 0 done, 1 failed, 2 wrong usage. Errors are
//! one line on standard error: `breakwater: what happened: why (what to do)`.

mod account;
mod aliases;
mod audit;
mod backup;
mod ban;
mod bundle;
mod cache;
mod client;
mod completions;
mod configuration;
mod contents;
mod data_directory;
mod doctor;
mod feature;
mod garbage;
mod group;
mod help;
mod images;
mod init;
mod key;
mod man;
mod member;
mod network;
mod offline;
mod output;
mod password;
mod privilege;
mod progress;
mod project;
mod reached;
mod registry;
mod removal;
mod repository;
mod rule;
mod serve;
mod shown;
mod status;
mod table;
mod terminal;
mod tls;
mod token;
mod top;
mod upstream;
mod usage;
mod user;
mod verify;
mod warm;
mod webhook;
mod when;
mod words;
mod workplace;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{Config, Options};
use crate::error::{Kind, Result};
use crate::telemetry;
pub use help::{TOPICS, Topic};
use workplace::Workplace;

/// A pull-through cache for container images, with scoped tokens, in one binary.
#[derive(Debug, Parser)]
#[command(
    name = "breakwater",
    version,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(after_help = "\
Examples:
  breakwater serve
  breakwater token create --name ci --user alice --scope read_registry
  breakwater help topics")]
struct CommandLine {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: AnyCommand,
}

/// Where configuration and data are: options of every command, before or after its own.
#[derive(Debug, Args)]
struct Place {
    /// The configuration file [default: $BREAKWATER_CONFIG, or /etc/breakwater/breakwater.toml if it exists]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Place")]
    config: Option<PathBuf>,
    /// The data directory [default: as configured, or ./breakwater-data]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Place")]
    data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum AnyCommand {
    #[command(flatten)]
    Command(Box<Command>),
    Help(help::Help),
    Version(status::Version),
    Completions(completions::Completions),
    #[command(hide = true)]
    Complete(completions::Complete),
    #[command(hide = true)]
    Man(man::WriteMan),
}

/// What works on a store, and so is configured.
#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Init(init::Init),
    Status(status::Status),
    Top(top::Top),
    #[command(name = "config")]
    Configuration(configuration::Configuration),
    User(user::User),
    Group(group::Group),
    Project(project::Project),
    Member(member::Member),
    Token(token::Token),
    Feature(feature::Feature),
    Key(key::Key),
    Audit(audit::Audit),
    Ban(ban::BanCommand),
    Rule(rule::Rule),
    Registry(registry::Registry),
    Repository(repository::Repository),
    Network(network::Network),
    Offline(offline::Offline),
    Upstream(upstream::Upstream),
    Cache(cache::Cache),
    Export(Box<bundle::Export>),
    Have(bundle::Have),
    #[command(name = "bundle")]
    Bundle(bundle::BundleCommand),
    Client(client::Client),
    Verify(verify::Verify),
    Warm(warm::Warm),
    Webhook(webhook::Webhook),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Import(Box<bundle::Import>),
    Doctor(doctor::Doctor),
    Tls(tls::Tls),
    #[command(hide = true)]
    DataDirectory(data_directory::DataDirectory),
}

/// What a command that did not fail has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Exit status 0.
    Done,
    /// It did what it should, and what it found is bad: exit status 1, and the findings are printed.
    Bad,
}

/// Runs the command that `arguments` (the program's name first) ask for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let done = match parse(&arguments) {
        Ok(line) => line.run(),
        Err(error) if usage::asks_for_help(&error) => {
            let words = arguments.into_iter().skip(1);
            let words: Vec<_> = words.filter(|word| word != "help").collect();
            usage::show_help(&words)
        }
        Err(error) => return usage::report(&error),
    };
    match done {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Bad) => ExitCode::FAILURE,
        // `breakwater … | head` is no failure.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&usage::with_argument(&error));
            ExitCode::from(exit_status(error.kind()))
        }
    }
}

/// Reads a command line; the help that it may ask for names topics of the manual.
fn parse(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> std::result::Result<CommandLine, clap::Error> {
    let colours = match terminal::has_colours() {
        true => clap::ColorChoice::Auto,
        false => clap::ColorChoice::Never,
    };
    let mut command = help::with_topics(command()).color(colours);
    let mut matches = command.try_get_matches_from_mut(arguments)?;
    CommandLine::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// Every command with its options and examples.
pub fn command() -> clap::Command {
    aliases::with_aliases(CommandLine::command())
}

impl CommandLine {
    fn run(self) -> Result<Outcome> {
        match self.command {
            AnyCommand::Command(command) => command.run(self.place),
            // These tell of the program alone: no configuration can be in their way.
            AnyCommand::Help(help) => help.run(),
            AnyCommand::Version(version) => version.run(),
            AnyCommand::Completions(completions) => completions.run(),
            AnyCommand::Complete(complete) => complete.run(),
            AnyCommand::Man(man) => man.run(),
        }
    }
}

impl Command {
    fn run(mut self, place: Place) -> Result<Outcome> {
        let options = Options {
            file: place.config,
            data: place.data,
            listen: match &self {
                Command::Serve(serve) => serve.listen.clone(),
                _ => Vec::new(),
            },
        };
        let config = Config::load(&options)?;
        if let Command::Configuration(configuration) = &self {
            // With the caller's rights and without a store: what is asked is whether a server could start.
            return configuration.run(&config, &options);
        }
        if !matches!(self, Command::Serve(_)) {
            telemetry::start_quiet()?;
        }
        if let Command::DataDirectory(directory) = &self {
            return directory.run(&config);
        }
        // On the machine of a client there is no data directory.
        if let Command::Client(client) = &self
            && let Some(outcome) = client.check()
        {
            return outcome;
        }
        if let Command::Bundle(bundle) = &self {
            return bundle.run();
        }
        // With the caller's rights: afterwards this process may be the data directory's owner, and no more.
        let outside = match &mut self {
            Command::Doctor(doctor) => {
                doctor.look_around();
                None
            }
            Command::Status(status) => {
                status.look_around();
                None
            }
            Command::Backup(backup) => backup.make_file(&config)?,
            Command::Restore(restore) => Some(restore.open_file()?),
            Command::Have(have) => Some(have.make_file()?),
            Command::Export(export) => {
                export.open()?;
                None
            }
            Command::Import(import) => {
                import.open(&config)?;
                None
            }
            Command::Init(_) | Command::Serve(_) => {
                privilege::make_home(&config.data)?;
                None
            }
            Command::Tls(tls) => {
                tls.make_directory(&config)?;
                None
            }
            Command::Warm(warm) => {
                warm.read_files()?;
                None
            }
            _ => None,
        };
        let place = Workplace::new(config)?;
        match self {
            Command::Serve(serve) => serve.run(&place),
            Command::Init(init) => init.run(&place),
            Command::Status(status) => status.run(&place),
            Command::Top(top) => top.run(&place),
            Command::Configuration(configuration) => configuration.run(&place.config, &options),
            Command::User(user) => user.run(&place),
            Command::Group(group) => group.run(&place),
            Command::Project(project) => project.run(&place),
            Command::Member(member) => member.run(&place),
            Command::Token(token) => token.run(&place),
            Command::Feature(feature) => feature.run(&place),
            Command::Key(key) => key.run(&place),
            Command::Audit(audit) => audit.run(&place),
            Command::Ban(ban) => ban.run(&place),
            Command::Rule(rule) => rule.run(&place),
            Command::Registry(registry) => registry.run(&place),
            Command::Repository(repository) => repository.run(&place),
            Command::Network(network) => network.run(&place),
            Command::Offline(offline) => offline.run(&place),
            Command::Upstream(upstream) => upstream.run(&place),
            Command::Cache(cache) => cache.run(&place),
            Command::Export(export) => export.run(&place),
            Command::Have(have) => have.run(&place, outside),
            Command::Bundle(bundle) => bundle.run(),
            Command::Client(client) => client.run(&place),
            Command::Verify(verify) => verify.run(&place),
            Command::Warm(warm) => warm.run(&place),
            Command::Webhook(webhook) => webhook.run(&place),
            Command::Backup(backup) => backup.run(&place, outside),
            Command::Restore(restore) => restore.run(&place, outside),
            Command::Import(import) => import.run(&place),
            Command::Doctor(doctor) => doctor.run(&place),
            Command::Tls(tls) => tls.run(&place),
            Command::DataDirectory(directory) => directory.run(&place.config),
        }
    }
}

/// Writes `breakwater: SENTENCE` to standard error.
fn complain(sentence: &str) {
    let line = format!("breakwater: {}\n", telemetry::escape_text(sentence));
    // If nobody can read it, the exit status still says it.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn exit_status(kind: Kind) -> u8 {
    match kind {
        Kind::Usage
        | Kind::BadRequest
        | Kind::NameInvalid
        | Kind::TagInvalid
        | Kind::DigestInvalid => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests;
