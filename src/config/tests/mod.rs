//! The configuration: its defaults, what adds up, and how a test loads one.

mod refusals;
mod sources;

use std::path::Path;

use std::time::Duration;

use super::value::Size;
use super::*;

const NO_FILE: &str = "/nonexistent/breakwater.toml";

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Loads a file with `text` under the given environment.
fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("breakwater.toml");
    std::fs::write(&file, text).unwrap();
    let options = Options {
        file: Some(file),
        ..Options::default()
    };
    Config::from_sources(&options, variables(environment), Path::new(NO_FILE))
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let config = Config::default();
    assert_eq!(config.data, Path::new("./breakwater-data"));
    assert_eq!(config.server.listen, ["127.0.0.1:5000".parse().unwrap()]);
    assert_eq!(
        (config.server.workers, config.server.max_connections),
        (256, 4096)
    );
    assert_eq!(config.server.max_connections_per_address, 1024);
    assert_eq!(config.server.head_timeout, Duration::from_secs(15));
    assert_eq!(config.auth.token_ttl, Duration::from_secs(900));
    assert_eq!(config.cache.min_free, Size::Percent(5));
    assert_eq!(config.mirror.default.as_str(), "docker.io");
    assert_eq!(config.upstreams.len(), 1);
    assert_eq!(config.upstreams[0].url, "https://registry-1.docker.io");
}

/// With every default that is commented out: `#key = value`, while `# words` is a comment.
fn uncommented(text: &str) -> String {
    let is_key = |line: &&str| line.starts_with(|first: char| first.is_ascii_lowercase());
    let lines = text
        .lines()
        .map(|line| line.strip_prefix('#').filter(is_key).unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_file_of_the_documentation_is_the_default() {
    let installed = include_str!("../../../scripts/breakwater.toml");
    let config = load(&uncommented(installed), &[]).unwrap();
    let expected = Config {
        data: "/var/lib/breakwater".into(),
        names_data: true,
        file: config.file.clone(),
        // There all of its keys are set.
        has_built_in_upstream: false,
        ..Config::default()
    };
    assert_eq!(format!("{config:?}"), format!("{expected:?}"));
}

#[test]
fn upstreams_add_up() {
    let file = "[upstreams.'docker.io']\nurl = 'http://hub.example:5000/'\n[upstreams.'quay.io']\n[upstreams.'my-hub.example']\nurl = 'http://10.0.0.1'";
    let environment = [
        ("BREAKWATER_UPSTREAMS_MY_HUB_EXAMPLE_USERNAME", "me"),
        (
            "BREAKWATER_UPSTREAMS_MY_HUB_EXAMPLE_PASSWORD_FILE",
            "/secret",
        ),
        (
            "BREAKWATER_UPSTREAMS_A__B_EXAMPLE_AUTH_REALM",
            "https://auth.example/token",
        ),
    ];
    let config = load(file, &environment).unwrap();
    let got: Vec<_> = config
        .upstreams
        .iter()
        .map(|upstream| {
            (
                upstream.name.as_str(),
                upstream.url.as_str(),
                upstream.username.as_str(),
            )
        })
        .collect();
    assert_eq!(
        got,
        [
            ("docker.io", "http://hub.example:5000", ""),
            ("a-b.example", "https://a-b.example", ""),
            ("my-hub.example", "http://10.0.0.1", "me"),
            ("quay.io", "https://quay.io", ""),
        ]
    );
    assert_eq!(
        config.upstreams[1].auth_realm.as_deref(),
        Some("https://auth.example/token")
    );
    assert_eq!(
        config.upstreams[2].password_file.as_deref(),
        Some(Path::new("/secret"))
    );

    let docker = load(
        "",
        &[("BREAKWATER_UPSTREAMS_DOCKER_IO_URL", "http://127.0.0.1:1")],
    )
    .unwrap();
    assert_eq!(docker.upstreams.len(), 1);
    assert_eq!(docker.upstreams[0].url, "http://127.0.0.1:1");
}
