//! `breakwater client`: what the machines of clients need: their configuration, printed on the box. `check`: run
//! on the machine of a client, which has no data directory.

mod check;

use clap::{Args, Subcommand};

use super::Outcome;
use super::output::{print, print_json};
use super::reached;
use super::workplace::Workplace;
use crate::admin::{ClientFile, ClientSetup, ShowClientSetup, Target};
use crate::error::{Error, Kind, Result};
use check::Check;

/// Print what a client's machine needs to pull through this box, or check there whether it can
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater client docker
  breakwater client containerd --url https://box.example:5443
  breakwater client check https://box.example:5443")]
pub(super) struct Client {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// For /etc/docker/daemon.json
    #[command(after_help = "Example:\n  breakwater client docker")]
    Docker(Print),
    /// For containerd and the kubelet: hosts.toml of each upstream of the box
    #[command(after_help = "Example:\n  breakwater client containerd")]
    Containerd(Print),
    /// For podman, buildah, skopeo and CRI-O: registries.conf.d
    #[command(after_help = "Example:\n  breakwater client podman")]
    Podman(Print),
    /// For a BuildKit of its own: buildkitd.toml
    #[command(after_help = "Example:\n  breakwater client buildkit")]
    Buildkit(Print),
    /// Variables of GitLab CI, for the dependency proxy of a group
    #[command(after_help = "Example:\n  breakwater client gitlab-ci --group acme")]
    GitlabCi {
        #[command(flatten)]
        print: Print,
        /// The group whose dependency proxy the jobs use
        #[arg(long, value_name = "PATH", default_value = "GROUP")]
        group: String,
    },
    Check(Check),
}

/// How the lines are printed.
#[derive(Debug, Args)]
struct Print {
    /// The URL by which the client reaches the box [default: server.external_url, or an address of this machine]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Client {
    /// The check, which needs nothing of this machine.
    pub(super) fn check(&self) -> Option<Result<Outcome>> {
        match &self.command {
            Command::Check(check) => Some(check.run()),
            _ => None,
        }
    }

    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        let (target, group, print) = match self.command {
            Command::Docker(print) => (Target::Docker, None, print),
            Command::Containerd(print) => (Target::Containerd, None, print),
            Command::Podman(print) => (Target::Podman, None, print),
            Command::Buildkit(print) => (Target::Buildkit, None, print),
            Command::GitlabCi { print, group } => (Target::GitlabCi, Some(group), print),
            Command::Check(check) => return check.run(),
        };
        print.run(place, target, group)
    }
}

impl Print {
    fn run(self, place: &Workplace, target: Target, group: Option<String>) -> Result<Outcome> {
        let listening = listening(place)?;
        let urls = match self.url {
            Some(url) => vec![reached::given(&url)?],
            None => reached::urls(&place.config, &listening),
        };
        let Some(url) = reached::for_other_machines(&urls) else {
            let what = "no address of this box is known";
            return Err(Error::new(Kind::Config, what).remedy("name one with --url"));
        };
        let asked = ShowClientSetup {
            name: target,
            group,
            url: Some(url.clone()),
        };
        let setup = match place.config.data.exists() {
            true => place.perform(asked)?,
            false => {
                let configured = place.config.upstreams.iter();
                let names = configured.map(|upstream| upstream.name.to_string());
                asked.of(&place.config, names.collect())?
            }
        };
        if self.json {
            print_json(&setup)?;
        } else {
            for line in text(&setup, target).lines() {
                print(line)?;
            }
        }
        Ok(Outcome::Done)
    }
}

/// As text for people: each file can be pasted as it stands.
fn text(setup: &ClientSetup, target: Target) -> String {
    let scene = match target {
        Target::GitlabCi => "in GitLab",
        _ => "on the machine of a client, as root",
    };
    let mut text = format!("# {}: {scene}\n", setup.client);
    for note in &setup.notes {
        text.push_str(&format!("# {note}\n"));
    }
    for ClientFile { path, text: lines } in &setup.files {
        text.push_str(&format!("\n# into {path}\n{lines}"));
    }
    if !setup.restart.is_empty() {
        text.push_str(&format!("\n# then\n{}\n", setup.restart));
    }
    text.push_str(&format!("\n# whether it can pull\n{}\n", setup.check));
    text
}

/// Base URLs of the listeners: of the running server, to which systemd may have given others than are configured.
fn listening(place: &Workplace) -> Result<Vec<String>> {
    if let Some(server) = place.running_server()? {
        return Ok(server.status()?.listening);
    }
    Ok(reached::configured(&place.config))
}
