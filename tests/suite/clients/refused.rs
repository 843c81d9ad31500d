//! Who asks the mirror from a network that no rule lets in, and names that a group takes from the mirror.

use super::findings;
use crate::support::appliance::Appliance;
use crate::support::client::{Client, token_path};
use crate::support::fake_upstream::{FakeUpstream, Image};

const METRIC: &str = "breakwater_mirror_untrusted_requests_total";
const GRAFANA: &str = "repository:grafana/grafana:pull";

/// A box behind a proxy at 127.0.0.1, which names the addresses of clients.
fn behind_proxy() -> (FakeUpstream, Appliance) {
    let fake = FakeUpstream::start();
    fake.put_image("library/redis", "latest", &Image::oci(1, &[1_000]));
    let appliance = Appliance::builder()
        .upstream(fake.url())
        .toml("[server]\ntrusted_proxies = [\"127.0.0.1/32\"]")
        .start();
    (fake, appliance)
}

fn client(appliance: &Appliance, address: &str) -> Client {
    Client::of(appliance).with("X-Forwarded-For", address)
}

fn asks(client: &Client) -> u16 {
    client
        .get(&token_path(&["repository:library/redis:pull"]))
        .status
}

/// The command in a sentence that begins with `breakwater network add`, as words.
fn command_in(text: &str) -> Vec<String> {
    let (_, command) = text.split_once("`breakwater network add ").expect(text);
    let command = command.split('`').next().unwrap();
    let words = command.split(' ').map(str::to_owned);
    ["network", "add"]
        .map(str::to_owned)
        .into_iter()
        .chain(words)
        .collect()
}

#[test]
fn a_network_that_is_refused_is_seen_and_the_command_that_is_named_lets_it_in() {
    let (_fake, appliance) = behind_proxy();
    let told = || {
        let log = appliance.log();
        let lines = log
            .lines()
            .filter(|line| line.contains("asks the mirror for"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    for address in ["10.99.0.7", "10.99.0.8", "10.99.0.7", "2001:db8:0:1::5"] {
        assert_eq!(asks(&client(&appliance, address)), 401, "{address}");
    }
    appliance.wait_for_log("10.99.0.7 asks the mirror for library/redis");
    appliance.wait_for_log("2001:db8:0:1::/64");
    let lines = told();
    assert_eq!(lines.len(), 2, "once for each network: {lines:?}");
    assert!(lines[0].contains(r#""level":"WARN""#), "{lines:?}");
    let found = findings(&appliance, "network_refused");
    assert_eq!(found.len(), 2, "{found:?}");
    // The client that was refused is told the same.
    let answer = client(&appliance, "10.99.0.9").get(&token_path(&["repository:redis:pull"]));
    let message = answer.message();
    assert!(
        message.contains("10.99.0.9") && answer.status == 401,
        "{message}"
    );
    let (what, remedy) = found
        .iter()
        .find(|(what, _)| what.contains("10.99.0.0/24"))
        .unwrap();
    assert!(
        what.contains("10.99.0.7 asked the mirror for library/redis"),
        "{what}"
    );
    let command = command_in(remedy);
    assert_eq!(
        command,
        ["network", "add", "10.99.0.0/24", "--ability", "fill"]
    );
    assert_eq!(command_in(&message), command);
    assert!(
        lines[0].contains(&format!("breakwater {}", command.join(" "))),
        "{lines:?}"
    );
    let metrics = Client::of(&appliance).get("/metrics").text();
    assert!(metrics.contains(&format!("{METRIC} 5\n")), "{metrics}");

    appliance.ok(&command.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(asks(&client(&appliance, "10.99.0.7")), 200);
    let found = findings(&appliance, "network_refused");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].0.contains("2001:db8:0:1::/64"), "{found:?}");
}

/// docker sends a mirror the login that it has for Docker Hub.
#[test]
fn a_daemon_with_a_login_for_docker_hub_is_seen_too() {
    let (_fake, appliance) = behind_proxy();
    let daemon = client(&appliance, "10.99.1.7").basic("hub-user", "hub-secret");
    assert_eq!(asks(&daemon), 401);
    appliance.wait_for_log("10.99.1.7 asks the mirror for library/redis");
    assert_eq!(findings(&appliance, "network_refused").len(), 1);
}

/// Every client begins without a token, and not everybody who is refused wants the mirror.
#[test]
fn who_logs_in_or_is_refused_for_another_reason_is_not_told_of() {
    let (_fake, appliance) = behind_proxy();
    let token = appliance.token("alice", &["read_registry", "write_registry"]);
    appliance.ok(&["group", "add", "acme"]);
    let stranger = client(&appliance, "10.99.2.7");
    let pull = "/v2/library/redis/manifests/latest";
    for path in ["/v2/", pull] {
        assert_eq!(stranger.get(path).status, 401, "the challenge at {path}");
    }
    for scope in [
        "repository:acme/dependency_proxy/containers/redis:pull",
        "repository:acme/api:pull",
        "registry:catalog:*",
    ] {
        let answer = stranger.get(&token_path(&[scope]));
        assert_eq!(answer.status, 401, "{scope}");
        assert!(!answer.message().contains("network"), "{scope}: {answer:?}");
    }
    assert_eq!(asks(&stranger.basic("alice", &token)), 200);
    assert_eq!(asks(&stranger.basic("alice", "wrong")), 401);
    // A proxy that is not configured: to let its own network in is not what helps.
    let proxied = client(&appliance, "10.99.2.7").with("Via", "1.1 proxy");
    let unnamed = Client::of(&appliance).with("X-Forwarded-For", "nonsense");
    assert_eq!(asks(&unnamed), 401);
    // A configured proxy may ask in any way.
    assert_eq!(asks(&proxied), 401);
    appliance.wait_for_log("10.99.2.7 asks the mirror for library/redis");
    let found = findings(&appliance, "network_refused");
    assert_eq!(found.len(), 1, "only the last one: {found:?}");
}

/// Only who asks to pull from a mirror that is on, and that no rule opens, is told of network rules.
#[test]
fn a_network_rule_is_named_only_where_it_helps() {
    let (_fake, appliance) = behind_proxy();
    appliance.ok_with_input(
        &["user", "add", "carol", "--password-stdin"],
        "right Passw0rd\n",
    );
    let stranger = client(&appliance, "10.99.3.7");
    let ask = |client: &Client, scope: &str| {
        let answer = client.get(&token_path(&[scope]));
        assert_eq!(answer.status, 401, "{scope}: {answer:?}");
        assert!(
            !answer.message().contains("network rule"),
            "{scope}: {answer:?}"
        );
    };
    let pull = "repository:library/redis:pull";
    ask(&stranger, "repository:library/redis:push");
    appliance.ok(&["group", "add", "acme"]);
    ask(&stranger, "repository:acme/api:pull");
    ask(&stranger.basic("carol", "wrong Passw0rd"), pull);
    appliance.ok(&["network", "add", "10.99.4.0/24", "--ability", "read"]);
    let trusted = client(&appliance, "10.99.4.7");
    ask(&trusted, "repository:library/redis:push");
    ask(&trusted.basic("carol", "wrong Passw0rd"), pull);
    let set = |on: &str| {
        let change = format!("dependency_proxy_enabled={on}");
        appliance.ok(&["group", "set", "mirror", &change]);
    };
    set("false");
    ask(&stranger, pull);
    ask(&trusted, pull);
    set("true");
    assert_eq!(findings(&appliance, "network_refused"), []);
    assert_eq!(asks(&stranger), 401);
    assert_eq!(findings(&appliance, "network_refused").len(), 1);
    let log = appliance.log();
    let why = "in no network that is trusted here";
    assert!(
        !log.lines().any(|line| line.contains(why)),
        "the answer names it: {log}"
    );
}

#[test]
fn a_box_that_listens_to_others_says_whom_it_lets_in_and_how_it_is_read() {
    let here = Appliance::start();
    for check in ["no_network_trusted", "plain_http"] {
        assert_eq!(findings(&here, check), [], "{check} on loopback alone");
    }
    let everywhere = Appliance::builder()
        .listen("0.0.0.0:0".parse().unwrap())
        .start();
    let log = everywhere.log();
    let hints = log.lines().filter(|line| line.contains("registry-mirrors"));
    let hints: Vec<&str> = hints.collect();
    assert_eq!(hints.len(), 1, "{log}");
    let port = everywhere.address().port();
    assert!(hints[0].contains(&format!(":{port}")), "{hints:?}");
    for line in log.lines().filter(|line| !line.contains("listening on")) {
        assert!(!line.contains("http://0.0.0.0"), "{line}");
    }
    assert_eq!(findings(&everywhere, "no_network_trusted").len(), 1);
    let plain = findings(&everywhere, "plain_http");
    assert!(
        plain[0].1.contains("breakwater tls self-signed"),
        "{plain:?}"
    );
    everywhere.ok(&["network", "add", "10.0.0.0/8", "--ability", "read"]);
    assert_eq!(findings(&everywhere, "no_network_trusted"), []);
}

#[test]
fn a_group_that_takes_names_from_the_mirror_is_made_with_a_warning() {
    let (_fake, appliance) = behind_proxy();
    let warning = |name: &str| {
        let output = appliance.run_cli(&["group", "add", name]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            format!("added group {name}\n")
        );
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert_eq!(warning("acme"), "");
    assert_eq!(warning("acme/bitnami"), "", "only at the top");
    let known = warning("bitnami");
    assert!(
        known.contains("docker.io/bitnami/… are well-known"),
        "{known}"
    );
    // A name that nobody knows, but that was asked for.
    let stranger = client(&appliance, "10.99.0.7");
    for scope in ["repository:ourteam/tool:pull", GRAFANA] {
        assert_eq!(stranger.get(&token_path(&[scope])).status, 401);
    }
    for (name, image) in [("ourteam", "ourteam/tool"), ("grafana", "grafana/grafana")] {
        let asked = warning(name);
        let expected = format!("{image} was asked of the mirror, and refused");
        assert!(asked.contains(&expected), "{asked}");
        assert!(
            asked.contains(&format!("breakwater group remove {name}")),
            "{asked}"
        );
    }
    appliance.wait_for_log("takes ourteam/… from the mirror");
    // By REST it is a field of the answer.
    let token = appliance.ok(&[
        "token", "create", "--name", "t", "--user", "root", "--scope", "api",
    ]);
    let rest = Client::of(&appliance)
        .with("PRIVATE-TOKEN", token.trim_end())
        .with("Content-Type", "application/json");
    let add = |name: &str| {
        let body = format!(r#"{{"path": "{name}", "name": "{name}"}}"#);
        let answer = rest.request("POST", "/api/v4/groups", body.as_bytes());
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["warning"].as_str().map(str::to_owned)
    };
    assert_eq!(add("plain"), None);
    assert!(add("minio").unwrap().contains("docker.io/minio"));
}
