//! The configuration of clients, by the URL and the authority of the box. Pure.

use serde::Serialize;

use crate::cli::reached::Reached;

/// Whose configuration it is.
pub(super) enum Target {
    Docker,
    Containerd,
    Podman,
    Buildkit,
    GitlabCi { group: String },
}

/// What the lines are about.
pub(super) struct Lines<'a> {
    pub(super) url: &'a Reached,
    /// The certificate of the authority that clients have to trust, in PEM; none where they know it already.
    pub(super) authority: Option<String>,
    /// Names of the upstreams that the mirror serves.
    pub(super) upstreams: Vec<String>,
}

/// What has to be done on the machine of a client.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(super) struct Setup {
    client: &'static str,
    /// Where it is done.
    #[serde(skip)]
    scene: &'static str,
    url: String,
    files: Vec<File>,
    /// What makes the client read them; empty where it does so by itself.
    restart: &'static str,
    /// What is good to know beside.
    notes: Vec<String>,
    /// Says on the machine of the client whether it can pull.
    check: String,
}

#[derive(Debug, Serialize, PartialEq, Eq)]
struct File {
    path: String,
    /// What stands in it, or is added to what does.
    text: String,
}

impl Setup {
    /// As text for people: each file can be pasted as it stands.
    pub(super) fn text(&self) -> String {
        let mut text = format!("# {}: {}\n", self.client, self.scene);
        for note in &self.notes {
            text.push_str(&format!("# {note}\n"));
        }
        for File { path, text: lines } in &self.files {
            text.push_str(&format!("\n# into {path}\n{lines}"));
        }
        if !self.restart.is_empty() {
            text.push_str(&format!("\n# then\n{}\n", self.restart));
        }
        text.push_str(&format!("\n# whether it can pull\n{}\n", self.check));
        text
    }
}

impl Lines<'_> {
    pub(super) fn setup(&self, target: &Target) -> Setup {
        let (client, restart) = match target {
            Target::Docker => ("docker", "systemctl restart docker"),
            Target::Containerd => ("containerd", ""),
            Target::Podman => ("podman, buildah, skopeo and CRI-O", ""),
            Target::Buildkit => ("buildkit", "systemctl restart buildkit"),
            Target::GitlabCi { .. } => ("gitlab-ci", ""),
        };
        let place = self.url.place();
        let mut files = Vec::new();
        let directory = match target {
            Target::Docker | Target::GitlabCi { .. } => "/etc/docker/certs.d",
            Target::Podman => "/etc/containers/certs.d",
            Target::Containerd => "/etc/containerd/certs.d",
            Target::Buildkit => "/etc/buildkit/certs.d",
        };
        let ca = format!("{directory}/{place}/ca.crt");
        if let Some(authority) = &self.authority {
            files.push(File {
                path: ca.clone(),
                text: authority.clone(),
            });
        }
        files.extend(match target {
            Target::Docker => vec![self.docker()],
            Target::Containerd => self.containerd(&ca),
            Target::Podman => vec![self.podman()],
            Target::Buildkit => vec![self.buildkit(&ca)],
            Target::GitlabCi { group } => vec![self.gitlab_ci(group)],
        });
        Setup {
            client,
            scene: match target {
                Target::GitlabCi { .. } => "in GitLab",
                _ => "on the machine of a client, as root",
            },
            url: self.url.url.clone(),
            files,
            restart,
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

    fn notes(&self, target: &Target) -> Vec<String> {
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
            Target::GitlabCi { .. } => notes.push(
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

    fn docker(&self) -> File {
        let url = &self.url.url;
        // A mirror by plain HTTP is taken as it is, but logins and pushes are not.
        let insecure = match self.url.is_tls() || !self.url.is_beyond_loopback {
            true => String::new(),
            false => format!(",\n  \"insecure-registries\": [\"{}\"]", self.url.place()),
        };
        File {
            path: "/etc/docker/daemon.json".to_owned(),
            text: format!("{{\n  \"registry-mirrors\": [\"{url}\"]{insecure}\n}}\n"),
        }
    }

    fn containerd(&self, ca: &str) -> Vec<File> {
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
            File {
                path: format!("/etc/containerd/certs.d/{name}/hosts.toml"),
                text: format!(
                    "server = \"https://{server}\"\n\n[host.\"{url}\"]\n  capabilities = [\"pull\", \"resolve\"]\n{ca}"
                ),
            }
        };
        self.upstreams.iter().map(of_upstream).collect()
    }

    fn podman(&self) -> File {
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
        File {
            path: "/etc/containers/registries.conf.d/breakwater.conf".to_owned(),
            text: registries.join("\n"),
        }
    }

    fn buildkit(&self, ca: &str) -> File {
        let place = self.url.place();
        let trust = match (self.url.is_tls(), &self.authority) {
            (false, _) => "  http = true\n".to_owned(),
            (true, Some(_)) => format!("  ca = [\"{ca}\"]\n"),
            (true, None) => String::new(),
        };
        File {
            path: "/etc/buildkit/buildkitd.toml".to_owned(),
            text: format!(
                "[registry.\"docker.io\"]\n  mirrors = [\"{place}\"]\n\n[registry.\"{place}\"]\n{trust}"
            ),
        }
    }

    fn gitlab_ci(&self, group: &str) -> File {
        let place = self.url.place();
        File {
            path: "Settings, CI/CD, Variables".to_owned(),
            text: format!(
                "CI_DEPENDENCY_PROXY_SERVER={place}\nCI_DEPENDENCY_PROXY_USER=ci\nCI_DEPENDENCY_PROXY_PASSWORD=$TOKEN\nCI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX={place}/{group}/dependency_proxy/containers\n"
            ),
        }
    }
}
