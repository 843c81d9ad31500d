//! What the machine of a client needs to pull through the box.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admin, ListUpstreams, Operation};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::words::words;

words! {
    "kebab-case"
    /// Whose configuration it is.
    pub enum Target {
        Docker,
        Containerd,
        Podman,
        Buildkit,
        GitlabCi,
    }
}

/// The files of one kind of client, by what the box is called there.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShowClientSetup {
    #[schemars(skip)]
    pub name: Target,
    /// the group whose dependency proxy the jobs of GitLab CI use, by path
    pub group: Option<String>,
    #[schemars(skip)]
    pub url: Option<Reached>,
}

/// A base URL by which clients reach the box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    pub url: String,
    /// Whether other machines reach it.
    pub is_beyond_loopback: bool,
}

impl Reached {
    pub fn is_tls(&self) -> bool {
        self.url.starts_with("https://")
    }

    /// `HOST:PORT`, as clients write it and as their directories are called.
    pub fn place(&self) -> &str {
        let split = self.url.split_once("://");
        split.map_or("", |(_, authority)| authority)
    }
}

/// What has to be done on the machine of a client.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq, JsonSchema)]
#[schemars(rename = "ClientSetup")]
#[serde(deny_unknown_fields)]
pub struct ClientSetup {
    pub client: String,
    pub url: String,
    pub files: Vec<ClientFile>,
    /// What makes the client read them; empty where it does so by itself
    pub restart: String,
    /// What is good to know beside
    pub notes: Vec<String>,
    /// Says on the machine of the client whether it can pull
    pub check: String,
}

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientFile {
    pub path: String,
    /// What stands in it, or is added to what does
    pub text: String,
}

impl Operation for ShowClientSetup {
    const NAME: &'static str = "clients.setup";
    type View = ClientSetup;

    fn perform(self, admin: &Admin<'_>) -> Result<ClientSetup> {
        let upstreams = upstreams(admin)?;
        self.of(admin.config, upstreams)
    }
}

impl ShowClientSetup {
    /// The same without a store, where the names of the upstreams are known.
    ///
    /// # Errors
    /// `Io` for a certificate that cannot be read.
    pub fn of(self, config: &Config, upstreams: Vec<String>) -> Result<ClientSetup> {
        let what = "an address of the box is missing";
        let url = self.url.ok_or_else(|| Error::internal(what))?;
        let lines = Lines {
            authority: authority(config)?.filter(|_| url.is_tls()),
            upstreams,
            url: &url,
        };
        Ok(lines.setup(self.name, self.group.as_deref().unwrap_or("GROUP")))
    }
}

/// The certificate of the box's own authority, where `breakwater tls self-signed` has made the one that is served.
fn authority(config: &Config) -> Result<Option<String>> {
    let certificate = config.tls.certificate.as_ref();
    let Some(file) = certificate.map(|certificate| certificate.with_file_name("ca.crt")) else {
        return Ok(None);
    };
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("cannot read", &file, error)),
    }
}

/// Names of the upstreams of the box itself, docker.io first. Which there are is for administrators: others are told of
/// the one alone that paths without a host are fetched from.
fn upstreams(admin: &Admin<'_>) -> Result<Vec<String>> {
    let listed = ListUpstreams {}.perform(admin)?.into_iter();
    let own = listed.filter(|upstream| upstream.group.is_none());
    let mut names: Vec<String> = own.map(|upstream| upstream.name).collect();
    if !admin.caller.is_administrator() {
        let default = admin.config.mirror.default.as_str();
        names.retain(|name| name == default);
    }
    names.sort_by_key(|name| (name != "docker.io", name.clone()));
    names.dedup();
    Ok(names)
}

/// What the lines are about.
struct Lines<'a> {
    url: &'a Reached,
    /// The certificate of the authority that clients have to trust, in PEM; none where they know it already.
    authority: Option<String>,
    /// Names of the upstreams that the mirror serves.
    upstreams: Vec<String>,
}

impl Lines<'_> {
    fn setup(&self, target: Target, group: &str) -> ClientSetup {
        let (client, restart) = match target {
            Target::Docker => ("docker", "systemctl restart docker"),
            Target::Containerd => ("containerd", ""),
            Target::Podman => ("podman, buildah, skopeo and CRI-O", ""),
            Target::Buildkit => ("buildkit", "systemctl restart buildkit"),
            Target::GitlabCi => ("gitlab-ci", ""),
        };
        let place = self.url.place();
        let mut files = Vec::new();
        let directory = match target {
            Target::Docker | Target::GitlabCi => "/etc/docker/certs.d",
            Target::Podman => "/etc/containers/certs.d",
            Target::Containerd => "/etc/containerd/certs.d",
            Target::Buildkit => "/etc/buildkit/certs.d",
        };
        let ca = format!("{directory}/{place}/ca.crt");
        if let Some(authority) = &self.authority {
            files.push(ClientFile {
                path: ca.clone(),
                text: authority.clone(),
            });
        }
        files.extend(match target {
            Target::Docker => vec![self.docker()],
            Target::Containerd => self.containerd(&ca),
            Target::Podman => vec![self.podman()],
            Target::Buildkit => vec![self.buildkit(&ca)],
            Target::GitlabCi => vec![self.gitlab_ci(group)],
        });
        ClientSetup {
            client: client.to_owned(),
            url: self.url.url.clone(),
            files,
            restart: restart.to_owned(),
            notes: self.notes(target),
            check: match &self.authority {
                // curl does not know the directories of clients.
                Some(_) => format!(
                    "curl -fsS --cacert {directory}/{place}/ca.crt {0}/-/client-check | sh   # or: breakwater client check {0}",
                    self.url.url
                ),
                None => format!(
                    "curl -fsS {0}/-/client-check | sh   # or: breakwater client check {0}",
                    self.url.url
                ),
            },
        }
    }

    fn notes(&self, target: Target) -> Vec<String> {
        let mut notes = Vec::new();
        match target {
            Target::Docker => notes.push(
                "where the file has settings already, these are added to them".to_owned(),
            ),
            Target::Containerd => notes.push(
                "config_path = \"/etc/containerd/certs.d\" must stand in containerd's own configuration; no restart is needed"
                    .to_owned(),
            ),
            Target::Podman => notes.push("no restart is needed but for CRI-O".to_owned()),
            Target::Buildkit => {}
            Target::GitlabCi => notes.push(
                "variables of the group or project; the password is a masked one, and comes from `breakwater token create`: see `breakwater help ci`"
                    .to_owned(),
            ),
        }
        if !self.url.is_beyond_loopback {
            notes.push(format!(
                "{} is reached from this machine alone: set server.listen or tls.listen for others",
                self.url.url
            ));
        }
        notes
    }

    fn docker(&self) -> ClientFile {
        let url = &self.url.url;
        // A mirror by plain HTTP is taken as it is, but logins and pushes are not.
        let insecure = match self.url.is_tls() || !self.url.is_beyond_loopback {
            true => String::new(),
            false => format!(",\n  \"insecure-registries\": [\"{}\"]", self.url.place()),
        };
        ClientFile {
            path: "/etc/docker/daemon.json".to_owned(),
            text: format!("{{\n  \"registry-mirrors\": [\"{url}\"]{insecure}\n}}\n"),
        }
    }

    fn containerd(&self, ca: &str) -> Vec<ClientFile> {
        let url = &self.url.url;
        let ca = match self.authority {
            Some(_) => format!("  ca = \"{ca}\"\n"),
            None => String::new(),
        };
        let of_upstream = |name: &String| {
            let server = match name.as_str() {
                "docker.io" => "registry-1.docker.io",
                name => name,
            };
            ClientFile {
                path: format!("/etc/containerd/certs.d/{name}/hosts.toml"),
                text: format!(
                    "server = \"https://{server}\"\n\n[host.\"{url}\"]\n  capabilities = [\"pull\", \"resolve\"]\n{ca}"
                ),
            }
        };
        self.upstreams.iter().map(of_upstream).collect()
    }

    fn podman(&self) -> ClientFile {
        let insecure = match self.url.is_tls() {
            true => "",
            false => "insecure = true\n",
        };
        let of_upstream = |name: &String| {
            let place = self.url.place();
            let location = match name.as_str() {
                "docker.io" => place.to_owned(),
                name => format!("{place}/{name}"),
            };
            format!(
                "[[registry]]\nprefix = \"{name}\"\nlocation = \"{name}\"\n\n[[registry.mirror]]\nlocation = \"{location}\"\n{insecure}"
            )
        };
        let registries: Vec<String> = self.upstreams.iter().map(of_upstream).collect();
        ClientFile {
            path: "/etc/containers/registries.conf.d/breakwater.conf".to_owned(),
            text: registries.join("\n"),
        }
    }

    fn buildkit(&self, ca: &str) -> ClientFile {
        let place = self.url.place();
        let trust = match (self.url.is_tls(), &self.authority) {
            (false, _) => "  http = true\n".to_owned(),
            (true, Some(_)) => format!("  ca = [\"{ca}\"]\n"),
            (true, None) => String::new(),
        };
        ClientFile {
            path: "/etc/buildkit/buildkitd.toml".to_owned(),
            text: format!(
                "[registry.\"docker.io\"]\n  mirrors = [\"{place}\"]\n\n[registry.\"{place}\"]\n{trust}"
            ),
        }
    }

    fn gitlab_ci(&self, group: &str) -> ClientFile {
        let place = self.url.place();
        ClientFile {
            path: "Settings, CI/CD, Variables".to_owned(),
            text: format!(
                "CI_DEPENDENCY_PROXY_SERVER={place}\nCI_DEPENDENCY_PROXY_USER=ci\nCI_DEPENDENCY_PROXY_PASSWORD=$TOKEN\nCI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX={place}/{group}/dependency_proxy/containers\n"
            ),
        }
    }
}
