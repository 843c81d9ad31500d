//! The lines that make a box serve its certificate, and clients trust it. Pure.
//!
//! Each section can be run, or written to the file that it names, as it stands.

use std::net::SocketAddr;

use super::Files;

/// What the lines are about.
pub(super) struct Trust<'a> {
    /// The name that clients use.
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) files: &'a Files,
    /// `tls.listen` as configured.
    pub(super) listen: &'a [SocketAddr],
}

impl Trust<'_> {
    pub(super) fn lines(&self) -> Vec<String> {
        let ca = quoted(&self.files.authority.display().to_string());
        let place = self.place();
        let listen = match self.listen {
            [] => format!("\"0.0.0.0:{}\"", self.port),
            listen => {
                let listen = listen.iter().map(|address| format!("\"{address}\""));
                listen.collect::<Vec<_>>().join(", ")
            }
        };
        let toml =
            |path: &std::path::Path| toml::Value::from(path.display().to_string()).to_string();
        let text = format!(
            "
# The box: into /etc/breakwater/breakwater.toml, in the place of its section [tls]; then: systemctl restart breakwater
[tls]
certificate = {certificate}
key = {key}
listen = [{listen}]

# Clients: on other machines, copy {ca} there first, and name the copy in its place.

# docker:
install -D -m 0644 {ca} /etc/docker/certs.d/{place}/ca.crt

# docker, as a mirror of Docker Hub: into /etc/docker/daemon.json; then: systemctl restart docker
{{
  \"registry-mirrors\": [\"https://{place}\"]
}}

# podman, buildah, skopeo, CRI-O:
install -D -m 0644 {ca} /etc/containers/certs.d/{place}/ca.crt

# containerd:
install -D -m 0644 {ca} /etc/containerd/certs.d/{place}/ca.crt
cat >/etc/containerd/certs.d/{place}/hosts.toml <<'END'
server = \"https://{place}\"

[host.\"https://{place}\"]
  ca = \"/etc/containerd/certs.d/{place}/ca.crt\"
END

# containerd, as a mirror of Docker Hub: into /etc/containerd/certs.d/docker.io/hosts.toml
server = \"https://registry-1.docker.io\"

[host.\"https://{place}\"]
  capabilities = [\"pull\", \"resolve\"]
  ca = \"/etc/containerd/certs.d/{place}/ca.crt\"

# The whole system, for curl and other programs (Debian; elsewhere: trust anchor {ca}):
install -D -m 0644 {ca} /usr/local/share/ca-certificates/breakwater.crt
update-ca-certificates",
            certificate = toml(&self.files.certificate),
            key = toml(&self.files.key),
        );
        text.lines().map(str::to_owned).collect()
    }

    /// `HOST:PORT` as clients write it, and as their directories are called.
    fn place(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.to_owned(),
        };
        match self.port {
            443 => host,
            port => format!("{host}:{port}"),
        }
    }
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%:,=".contains(c);
    match text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_the_place_as_clients_do() {
        let files = Files::below(std::path::Path::new("/a b/tls")).unwrap();
        for (host, port, directory) in [
            ("box.example", 5443, "/box.example:5443/ca.crt"),
            ("box.example", 443, "/box.example/ca.crt"),
            ("fd00::1", 5443, "/[fd00::1]:5443/ca.crt"),
        ] {
            let trust = Trust {
                host,
                port,
                files: &files,
                listen: &[],
            };
            let text = trust.lines().join("\n");
            for expected in [
                format!("install -D -m 0644 '/a b/tls/ca.crt' /etc/docker/certs.d{directory}"),
                format!("listen = [\"0.0.0.0:{port}\"]"),
                "certificate = \"/a b/tls/server.crt\"".to_owned(),
            ] {
                assert!(text.contains(&expected), "{expected}\n{text}");
            }
        }
    }
}
