//! `breakwater client`: what the machines of clients need. `lines`: their configuration, printed on the box. `check`: run
//! on the machine of a client, which has no data directory.

mod check;
mod lines;

use clap::{Args, Subcommand};

use super::Outcome;
use super::output::{print, print_json};
use super::reached;
use super::workplace::Workplace;
use crate::admin::ListUpstreams;
use crate::error::{Error, Kind, Result};
use check::Check;
use lines::{Lines, Target};

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
        let (target, print) = match self.command {
            Command::Docker(print) => (Target::Docker, print),
            Command::Containerd(print) => (Target::Containerd, print),
            Command::Podman(print) => (Target::Podman, print),
            Command::Buildkit(print) => (Target::Buildkit, print),
            Command::GitlabCi { print, group } => (Target::GitlabCi { group }, print),
            Command::Check(check) => return check.run(),
        };
        print.run(place, &target)
    }
}

impl Print {
    fn run(self, place: &Workplace, target: &Target) -> Result<Outcome> {
        let listening = listening(place)?;
        let urls = match self.url {
            Some(url) => vec![reached::given(&url)?],
            None => reached::urls(&place.config, &listening),
        };
        let Some(url) = reached::for_other_machines(&urls) else {
            let what = "no address of this box is known";
            return Err(Error::new(Kind::Config, what).remedy("name one with --url"));
        };
        let lines = Lines {
            url,
            authority: authority(place)?.filter(|_| url.is_tls()),
            upstreams: upstreams(place)?,
        };
        let setup = lines.setup(target);
        if self.json {
            print_json(&setup)?;
        } else {
            for line in setup.text().lines() {
                print(line)?;
            }
        }
        Ok(Outcome::Done)
    }
}

/// Base URLs of the listeners: of the running server, to which systemd may have given others than are configured.
fn listening(place: &Workplace) -> Result<Vec<String>> {
    if let Some(server) = place.running_server()? {
        return Ok(server.status()?.listening);
    }
    Ok(reached::configured(&place.config))
}

/// The certificate of the box's own authority, where `breakwater tls self-signed` has made the one that is served.
fn authority(place: &Workplace) -> Result<Option<String>> {
    let certificate = place.config.tls.certificate.as_ref();
    let Some(file) = certificate.map(|certificate| certificate.with_file_name("ca.crt")) else {
        return Ok(None);
    };
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("cannot read", &file, error)),
    }
}

/// Names of the upstreams of the box itself, docker.io first.
fn upstreams(place: &Workplace) -> Result<Vec<String>> {
    let configured = place.config.upstreams.iter();
    let mut names: Vec<String> = configured
        .map(|upstream| upstream.name.to_string())
        .collect();
    if place.config.data.exists() {
        let listed = place.perform(ListUpstreams {})?;
        let own = listed
            .into_iter()
            .filter(|upstream| upstream.group.is_none());
        names.extend(own.map(|upstream| upstream.name));
    }
    names.sort_by_key(|name| (name != "docker.io", name.clone()));
    names.dedup();
    Ok(names)
}
