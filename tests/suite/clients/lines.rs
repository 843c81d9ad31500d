//! `breakwater client docker|containerd|podman|buildkit|gitlab-ci`: every client's file has its form and names the box.

use std::io::Write;

use serde_json::Value;

use crate::support::appliance::Appliance;

const CLIENTS: [&str; 5] = ["docker", "containerd", "podman", "buildkit", "gitlab-ci"];

/// The files that a client needs: path and text.
fn files(appliance: &Appliance, client: &str, options: &[&str]) -> Vec<(String, String)> {
    let arguments = [&["client", client, "--json"], options].concat();
    let setup = appliance.json(&arguments);
    let files = setup["files"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    files
        .map(|file| (text(&file["path"]), text(&file["text"])))
        .collect()
}

#[test]
fn each_client_s_file_can_be_read_by_it_and_leads_to_this_box() {
    let appliance = Appliance::builder()
        .toml("[upstreams.\"quay.io\"]\nurl = \"https://quay.io\"")
        .start();
    appliance.ok(&["upstream", "add", "ghcr.io", "https://ghcr.io"]);
    let place = appliance.address().to_string();
    let url = format!("http://{place}");

    let docker = files(&appliance, "docker", &[]);
    assert_eq!(docker[0].0, "/etc/docker/daemon.json");
    let settings: Value = serde_json::from_str(&docker[0].1).unwrap();
    assert_eq!(settings["registry-mirrors"][0], url);
    assert_eq!(settings["insecure-registries"], Value::Null, "on loopback");

    let containerd = files(&appliance, "containerd", &[]);
    let paths: Vec<&str> = containerd.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        ["docker.io", "ghcr.io", "quay.io"]
            .map(|name| format!("/etc/containerd/certs.d/{name}/hosts.toml"))
    );
    for (path, text) in &containerd {
        let hosts: toml::Table = text.parse().unwrap();
        let host = &hosts["host"][&url];
        assert_eq!(host["capabilities"][0].as_str(), Some("pull"), "{path}");
    }

    let podman = files(&appliance, "podman", &[]);
    let registries: toml::Table = podman[0].1.parse().unwrap();
    for (number, name, location) in [
        (0, "docker.io", place.clone()),
        (1, "ghcr.io", format!("{place}/ghcr.io")),
    ] {
        let registry = &registries["registry"][number];
        assert_eq!(registry["prefix"].as_str(), Some(name));
        let mirror = &registry["mirror"][0];
        assert_eq!(mirror["location"].as_str(), Some(location.as_str()));
        assert_eq!(mirror["insecure"].as_bool(), Some(true));
    }

    let buildkit = files(&appliance, "buildkit", &[]);
    let settings: toml::Table = buildkit[0].1.parse().unwrap();
    assert_eq!(
        settings["registry"]["docker.io"]["mirrors"][0].as_str(),
        Some(place.as_str())
    );
    assert_eq!(settings["registry"][&place]["http"].as_bool(), Some(true));

    let gitlab = files(&appliance, "gitlab-ci", &["--group", "acme"]);
    let prefix = format!("IMAGE_PREFIX={place}/acme/dependency_proxy/containers\n");
    assert!(gitlab[0].1.contains(&prefix), "{gitlab:?}");

    assert!(!appliance.ok(&["client", "gitlab-ci"]).contains("as root"));

    for client in CLIENTS {
        let text = appliance.ok(&["client", client]);
        for part in [
            place.as_str(),
            &format!("breakwater client check {url}"),
            "reached from this machine alone",
        ] {
            assert!(text.contains(part), "{client}: {part}:\n{text}");
        }
    }
}

#[test]
fn a_box_with_an_authority_of_its_own_gives_it_to_its_clients() {
    let appliance = Appliance::builder().prepare();
    appliance.ok(&["init"]);
    let made = appliance.json(&["tls", "self-signed", "--json", "--name", "box.example"]);
    let lines = format!(
        "\n[tls]\ncertificate = {}\nkey = {}\nlisten = [\"0.0.0.0:5443\"]\n",
        made["certificate"], made["key"]
    );
    let mut config = std::fs::File::options()
        .append(true)
        .open(appliance.config())
        .unwrap();
    config.write_all(lines.as_bytes()).unwrap();
    let ca = std::fs::read_to_string(made["ca"].as_str().unwrap()).unwrap();
    for (client, directory) in [
        ("docker", "/etc/docker/certs.d"),
        ("containerd", "/etc/containerd/certs.d"),
        ("podman", "/etc/containers/certs.d"),
        ("buildkit", "/etc/buildkit/certs.d"),
    ] {
        let files = files(&appliance, client, &[]);
        let (path, text) = &files[0];
        assert_eq!(path, &format!("{directory}/box.example:5443/ca.crt"));
        assert_eq!(text, &ca, "{client}");
        let rest: String = files
            .iter()
            .skip(1)
            .map(|(_, text)| text.as_str())
            .collect();
        assert!(
            !rest.contains("insecure") && !rest.contains("http = true"),
            "{rest}"
        );
        if ["containerd", "buildkit"].contains(&client) {
            assert!(rest.contains(path), "{client} is told of the file: {rest}");
        }
        // By another URL, plain, nothing of it is needed.
        let plain = self::files(&appliance, client, &["--url", "http://10.0.0.5:5000"]);
        assert!(
            plain.iter().all(|(path, _)| !path.ends_with("ca.crt")),
            "{plain:?}"
        );
        let text: String = plain.iter().map(|(_, text)| text.as_str()).collect();
        assert!(text.contains("10.0.0.5:5000"), "{text}");
    }
    let docker = files(&appliance, "docker", &["--url", "http://10.0.0.5:5000"]);
    assert!(
        docker[0]
            .1
            .contains(r#""insecure-registries": ["10.0.0.5:5000"]"#),
        "{docker:?}"
    );
    let output = appliance.run_cli(&["client", "docker", "--url", "ftp://box"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
