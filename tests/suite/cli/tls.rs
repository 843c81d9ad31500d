//! `breakwater tls self-signed`, and serving with what it makes: real processes, a client that verifies.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;
use rustls::ClientConfig;
use serde_json::Value;

use super::{assert_private, initialised, stderr};
use crate::support::appliance::Appliance;
use crate::support::certificates::{Authority, client_trusting, tls_connect};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn self_signed(appliance: &Appliance, options: &[&str]) -> Value {
    let arguments = [&["tls", "self-signed", "--json"], options].concat();
    appliance.json(&arguments)
}

fn file(made: &Value, name: &str) -> PathBuf {
    PathBuf::from(made[name].as_str().unwrap())
}

/// A configuration that serves the files of `made` on a free port.
fn configure(appliance: &Appliance, made: &Value) {
    let lines = format!(
        "\n[tls]\ncertificate = {}\nkey = {}\nlisten = [\"127.0.0.1:0\"]\n",
        made["certificate"], made["key"]
    );
    let mut config = File::options()
        .append(true)
        .open(appliance.config())
        .unwrap();
    config.write_all(lines.as_bytes()).unwrap();
}

/// Where the running server speaks TLS.
pub(super) fn tls_address(appliance: &Appliance) -> SocketAddr {
    let log = appliance.log();
    let (_, rest) = log.rsplit_once("listening on https://").expect(&log);
    rest.split('"').next().unwrap().parse().unwrap()
}

fn trusting(made: &Value) -> Arc<ClientConfig> {
    let pem = fs::read_to_string(file(made, "ca")).unwrap();
    Arc::new(client_trusting(&[&pem], rustls::ALL_VERSIONS))
}

/// The answer to one GET.
pub(super) fn get(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    path: &str,
) -> std::io::Result<String> {
    let mut connection = tls_connect(address, config)?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: localhost:1234\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes())?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn a_certificate_is_made_once_and_renewed_by_the_same_authority() {
    let appliance = initialised();
    let made = self_signed(
        &appliance,
        &["--name", "box.example", "--address", "192.0.2.7"],
    );
    assert_eq!(made["made"], true);
    for (kind, expected) in [
        ("names", "box.example"),
        ("names", "localhost"),
        ("addresses", "192.0.2.7"),
        ("addresses", "127.0.0.1"),
    ] {
        let found = made[kind].as_array().unwrap();
        assert!(found.contains(&expected.into()), "{made}");
    }
    assert_private(&appliance.data().join("tls"));
    let read = |name| fs::read(file(&made, name)).unwrap();
    let all = || ["ca", "certificate", "key"].map(read);
    let before = all();
    // Nothing to do; also where a name is asked for that is there already.
    for options in [&[][..], &["--name", "box.example"]] {
        let kept = self_signed(&appliance, options);
        assert_eq!(
            (kept["made"].as_bool(), all() == before),
            (Some(false), true)
        );
    }
    // Another name, a renewal, the end near, another authority's certificate: a new one of the same authority.
    let foreign = Authority::new().issue(300 * DAY);
    for options in [
        &["--name", "other.example"][..],
        &["--renew", "--days", "3650"],
        &["--renew", "--days", "1"],
    ] {
        let before = all();
        let renewed = self_signed(&appliance, options);
        let after = all();
        assert_eq!(renewed["made"], true, "{options:?}");
        let names = renewed["names"].as_array().unwrap();
        assert!(
            names.contains(&"box.example".into()),
            "names from before stay"
        );
        assert!(after[0] == before[0], "the authority stays: {options:?}");
        assert!(
            after[1] != before[1] && after[2] != before[2],
            "{options:?}"
        );
    }
    foreign.write(&appliance.data().join("tls"));
    assert_eq!(self_signed(&appliance, &[])["made"], true);
    assert_eq!(self_signed(&appliance, &[])["made"], false);
    let text = appliance.ok(&["tls", "self-signed"]);
    for line in [
        "# docker:",
        "# podman, buildah, skopeo, CRI-O:",
        "# containerd:",
        "[tls]",
        "update-ca-certificates",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
}

#[test]
fn what_cannot_be_used_is_said_and_left_alone() {
    let appliance = initialised();
    let fails = |options: &[&str], status: i32, expected: &str| {
        let output = appliance.run_cli(&[&["tls", "self-signed"], options].concat());
        let error = stderr(&output);
        assert_eq!(output.status.code(), Some(status), "{error}");
        assert!(error.contains(expected), "{error}");
    };
    fails(&["--name", "https://box"], 2, "without scheme and port");
    fails(&["--address", "box"], 2, "--address");
    fails(&["--days", "0"], 2, "--days");
    let out = appliance.data().join("elsewhere");
    let out = out.to_str().unwrap();
    let made = self_signed(&appliance, &["--out", out]);
    assert_private(&appliance.data().join("elsewhere"));
    let key = file(&made, "ca").with_extension("key");
    fs::remove_file(&key).unwrap();
    fails(&["--out", out], 1, "but no");
    // An authority with a name of its own.
    let foreign = Authority::new();
    fs::write(&key, foreign.key_pem()).unwrap();
    fails(&["--out", out], 1, "is not that of the first certificate");
    fs::write(file(&made, "ca"), foreign.pem()).unwrap();
    fails(&["--out", out], 1, "was not made by this command");
    let nowhere = Appliance::builder().prepare();
    let output = nowhere.run_cli(&["tls", "self-signed"]);
    assert!(
        stderr(&output).contains("there is no store"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn clients_are_served_by_tls_and_sent_to_tls() {
    let mut appliance = initialised();
    let made = self_signed(&appliance, &[]);
    configure(&appliance, &made);
    appliance.restart();
    let (address, config) = (tls_address(&appliance), trusting(&made));
    let answer = get(address, &config, "/v2/").unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let realm = "realm=\"https://localhost:1234/jwt/auth\"";
    assert!(answer.contains(realm), "{answer}");
    assert!(!answer.to_ascii_lowercase().contains("strict-transport"));
    let ends: jiff::Timestamp = made["not_after"].as_str().unwrap().parse().unwrap();
    let metric = format!(
        "\nbreakwater_tls_certificate_expiry_timestamp_seconds {}\n",
        ends.as_second()
    );
    let page = get(address, &config, "/metrics").unwrap();
    assert!(page.contains(&metric), "{page}");
    // Who does not know the authority is not fooled.
    let stranger = Arc::new(Authority::new().client(rustls::ALL_VERSIONS));
    assert!(get(address, &stranger, "/v2/").is_err());

    // A new certificate is found by itself, and at once where one asks for it.
    let authority = Authority::new();
    let theirs = Arc::new(authority.client(rustls::ALL_VERSIONS));
    let directory = appliance.data().join("tls");
    authority.issue(100 * DAY).write(&directory);
    let begun = Instant::now();
    while get(address, &theirs, "/-/liveness").is_err() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{}",
            appliance.log()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    fs::write(directory.join("server.key"), "").unwrap();
    appliance.wait_for_log("the new certificate is of no use: the old one stays");
    assert!(get(address, &theirs, "/-/liveness").is_ok());
    self_signed(&appliance, &["--renew"]);
    appliance.signal(Signal::HUP);
    let begun = Instant::now();
    while get(address, &config, "/-/liveness").is_err() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{}",
            appliance.log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(appliance.stop().success());
}

#[test]
fn serve_says_what_is_wrong_with_a_certificate() {
    let appliance = Appliance::builder().prepare();
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = authority.issue(DAY).write(directory.path());
    let other = tempfile::tempdir().unwrap();
    let (_, wrong_key) = authority.issue(DAY).write(other.path());
    let base = fs::read_to_string(appliance.config()).unwrap();
    for (key, listen, expected) in [
        (&key, "[]", "tls.listen has no address"),
        (&wrong_key, "['127.0.0.1:0']", "is not that of the first"),
        (&certificate, "['127.0.0.1:0']", "holds no private key"),
        (
            &directory.path().join("none"),
            "['127.0.0.1:0']",
            "cannot read",
        ),
    ] {
        let lines = format!(
            "{base}\n[tls]\ncertificate = '{}'\nkey = '{}'\nlisten = {listen}\n",
            certificate.display(),
            key.display()
        );
        fs::write(appliance.config(), lines).unwrap();
        let output = appliance.run_cli(&["serve", "--listen", "127.0.0.1:0"]);
        assert_eq!(output.status.code(), Some(1));
        let error = stderr(&output);
        assert!(error.lines().last().unwrap().contains(expected), "{error}");
    }
}

#[test]
fn the_doctor_knows_when_a_certificate_ends() {
    let appliance = initialised();
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (certificate, key) = authority.issue(DAY).write(directory.path());
    let made = serde_json::json!({"certificate": certificate, "key": key});
    configure(&appliance, &made);
    let long_ago = SystemTime::now() - 400 * DAY;
    for (issued, expected) in [
        (authority.issue(30 * DAY), None),
        (
            authority.issue(20 * DAY + DAY / 2),
            Some(("warning", "expires in 20 days")),
        ),
        (
            authority.issue_between(long_ago, long_ago + DAY),
            Some(("error", "expired at")),
        ),
        (
            authority.issue_between(SystemTime::now() + DAY, SystemTime::now() + 2 * DAY),
            Some(("error", "is not good before")),
        ),
    ] {
        issued.write(directory.path());
        let output = appliance.run_cli(&["doctor", "--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = report["findings"].as_array().unwrap();
        let found = findings
            .iter()
            .find(|finding| finding["check"] == "tls_expiry");
        let fails = expected.is_some_and(|(severity, _)| severity == "error");
        assert_eq!(output.status.code(), Some(i32::from(fails)), "{report}");
        match (found, expected) {
            (None, None) => {}
            (Some(found), Some((severity, what))) => {
                assert_eq!(found["severity"], severity);
                assert!(found["what"].as_str().unwrap().contains(what), "{found}");
            }
            (found, expected) => panic!("{expected:?}: {found:?}"),
        }
    }
    fs::write(&key, "").unwrap();
    let output = appliance.run_cli(&["doctor"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("the certificate cannot be used"), "{text}");
}
