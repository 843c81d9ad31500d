//! What the doctor finds, and what it does not.

use serde_json::Value;

use super::{initialised, stdout};
use crate::support::appliance::Appliance;
use crate::support::client::Client;

/// The doctor's exit status and report.
fn examine(appliance: &Appliance) -> (i32, Value) {
    // How full the disk of this machine is, is not what these tests are about.
    let mut command = appliance.command(&["doctor", "--json"]);
    let output = command.env("BREAKWATER_CACHE_MIN_FREE", "0%").output();
    let output = output.unwrap();
    let report = serde_json::from_str(&stdout(&output)).unwrap();
    (output.status.code().unwrap(), report)
}

/// The findings of one check: severity, sentence, tokens.
fn of_check(report: &Value, check: &str) -> Vec<(String, String, Value)> {
    let findings = report["findings"].as_array().unwrap().iter();
    let findings = findings.filter(|finding| finding["check"] == check);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    findings
        .map(|finding| {
            assert!(!finding["remedy"].as_str().unwrap().is_empty(), "{finding}");
            (
                text(&finding["severity"]),
                text(&finding["what"]),
                finding["tokens"].clone(),
            )
        })
        .collect()
}

#[test]
fn a_new_box_has_only_its_first_password_to_be_warned_of() {
    let appliance = initialised();
    let (status, report) = examine(&appliance);
    assert_eq!(
        (status, &report["errors"], &report["warnings"]),
        (0, &0.into(), &1.into()),
        "{report}"
    );
    assert_eq!(
        of_check(&report, "initial_password")[0].0,
        "warning",
        "{report}"
    );
    assert_eq!(of_check(&report, "no_server").len(), 1, "{report}");
    appliance.ok_with_input(
        &["user", "passwd", "root", "--password-stdin"],
        "a new password\n",
    );
    let mut command = appliance.command(&["doctor"]);
    let text = command.env("BREAKWATER_CACHE_MIN_FREE", "0%").output();
    let text = stdout(&text.unwrap());
    assert!(text.ends_with("nothing is wrong here\n"), "{text}");
}

#[test]
fn a_network_of_everybody_that_fills_is_an_error_and_one_that_reads_a_warning() {
    let appliance = initialised();
    appliance.ok(&["group", "add", "acme"]);
    for (arguments, severity, status) in [
        (
            &["0.0.0.0/0", "--ability", "read", "--group", "acme"][..],
            "warning",
            0,
        ),
        (&["::/0", "--ability", "fill"], "error", 1),
    ] {
        appliance.ok(&[&["network", "add"], arguments].concat());
        let (got, report) = examine(&appliance);
        let found = of_check(&report, "network_trusts_everybody");
        assert_eq!(got, status, "{report}");
        assert_eq!(found.len(), 1, "{report}");
        assert_eq!(found[0].0, severity, "{report}");
        assert!(found[0].1.contains(arguments[0]), "{report}");
        appliance.ok(&["network", "remove", arguments[0]]);
    }
    let (_, report) = examine(&appliance);
    assert_eq!(of_check(&report, "network_trusts_everybody").len(), 0);
}

#[test]
fn tokens_are_named_that_a_setting_of_the_flags_refuses() {
    let appliance = initialised();
    appliance.ok(&["group", "add", "acme"]);
    appliance.ok(&["project", "add", "acme/api"]);
    appliance.ok(&["user", "add", "ci", "--service"]);
    let create = |name: &str, words: &[&str]| -> i64 {
        let made =
            appliance.json(&[&["token", "create", "--json", "--name", name], words].concat());
        made["id"].as_i64().unwrap()
    };
    let user = ["--user", "ci", "--scope"];
    let with = |name: &str, scope: &str| create(name, &[&user[..], &[scope]].concat());
    let reads = with("reads", "read_registry");
    let nothing = with("nothing", "read_api");
    with("both", "read_registry,write_registry");
    with("virtual", "read_virtual_registry,write_virtual_registry");
    with("all", "api");
    let half = create(
        "half",
        &["--group", "acme", "--scope", "write_virtual_registry"],
    );
    create("job", &["--job", "acme/api", "--user", "ci"]);
    let deploy = create("deploy", &["--deploy", "acme", "--scope", "read_registry"]);
    let revoked = with("revoked", "read_api");
    appliance.ok(&["token", "revoke", &revoked.to_string()]);

    let tokens = |report: &Value, check: &str| -> Vec<Value> {
        let found = of_check(report, check).into_iter();
        found.map(|(_, _, tokens)| tokens).collect()
    };
    let (status, report) = examine(&appliance);
    assert_eq!(status, 0, "{report}");
    // A token for the REST API alone, and one that only reads, are meant so.
    assert_eq!(of_check(&report, "tokens_refused"), []);
    assert_eq!(
        tokens(&report, "tokens_would_be_refused"),
        [serde_json::json!([half])]
    );
    assert_eq!(of_check(&report, "enforcement_off"), []);
    appliance.ok(&["feature", "disable", "dependency_proxy_split_abilities"]);
    let (_, report) = examine(&appliance);
    assert_eq!(
        tokens(&report, "tokens_refused"),
        [serde_json::json!([reads, half, deploy])]
    );
    let refused = &of_check(&report, "tokens_refused")[0];
    assert!(
        refused.0 == "warning"
            && refused.1.contains("`reads` (personal, ci;")
            && refused.1.contains("for the box"),
        "{refused:?}"
    );
    appliance.ok(&["feature", "enable", "dependency_proxy_split_abilities"]);

    // Enforcement off: only deploy tokens are judged. A group that keeps the older rule is named.
    appliance.ok(&[
        "feature",
        "disable",
        "enforce_abilities_check_for_dependency_proxy",
    ]);
    appliance.ok(&[
        "feature",
        "disable",
        "dependency_proxy_split_abilities",
        "--group",
        "acme",
    ]);
    let (_, report) = examine(&appliance);
    let refused = of_check(&report, "tokens_refused");
    assert_eq!(
        tokens(&report, "tokens_refused"),
        [serde_json::json!([deploy])]
    );
    assert!(refused[0].1.contains("for acme"), "{refused:?}");
    // What the box and acme let in for that alone; a deploy token is judged all the same.
    let lenient = of_check(&report, "enforcement_off");
    assert_eq!(
        tokens(&report, "enforcement_off"),
        [
            serde_json::json!([nothing]),
            serde_json::json!([reads, nothing, half])
        ],
        "{lenient:?}"
    );
    for ((severity, what, _), place) in lenient.iter().zip(["for the box:", "for acme:"]) {
        assert!(severity == "warning" && what.contains(place), "{what}");
    }
    assert_eq!(
        tokens(&report, "tokens_would_be_refused"),
        [serde_json::json!([half])]
    );
}

#[test]
fn a_group_that_is_read_and_never_filled_is_a_warning() {
    let appliance = initialised();
    appliance.ok(&["group", "add", "acme"]);
    appliance.ok(&["user", "add", "ci", "--service"]);
    let found = |check: &str| -> Vec<String> {
        let (status, report) = examine(&appliance);
        assert_eq!(status, 0, "{report}");
        let found = of_check(&report, check).into_iter();
        found.map(|(_, what, _)| what).collect()
    };
    assert_eq!(found("group_unfilled"), [""; 0]);
    assert!(found("group_unused")[0].contains("of acme"));
    // A member whose token only reads.
    appliance.ok(&["member", "add", "acme", "ci", "--level", "guest"]);
    appliance.token("ci", &["read_registry"]);
    assert!(found("group_unfilled")[0].contains("of acme"));
    // A group's network, the member's next token, a group's token: each fills.
    appliance.ok(&[
        "network",
        "add",
        "10.0.0.0/8",
        "--ability",
        "fill",
        "--group",
        "acme",
    ]);
    assert_eq!(found("group_unfilled"), [""; 0]);
    appliance.ok(&["network", "remove", "10.0.0.0/8"]);
    assert_eq!(found("group_unfilled").len(), 1);
    appliance.token("ci", &["write_registry"]);
    assert_eq!(found("group_unfilled"), [""; 0]);
    appliance.ok(&["user", "block", "ci"]);
    assert_eq!(found("group_unused").len(), 1, "a blocked user is nobody");
    appliance.ok(&[
        "token",
        "create",
        "--name",
        "farm",
        "--group",
        "acme",
        "--scope",
        "write_registry",
    ]);
    assert_eq!(found("group_unused"), [""; 0]);
    assert_eq!(found("group_unfilled"), [""; 0]);
    // The mirror without its networks.
    appliance.ok(&["network", "remove", "127.0.0.0/8"]);
    appliance.ok(&["network", "remove", "::1/128"]);
    assert!(found("group_unused")[0].contains("of mirror"));
    appliance.ok(&["network", "add", "127.0.0.0/8", "--ability", "read"]);
    assert!(found("group_unfilled")[0].contains("of mirror"));
}

#[test]
fn an_upstream_that_fails_and_a_password_that_nothing_opens_are_told() {
    // Nobody listens at docker.io.
    let appliance = Appliance::start();
    let (status, report) = examine(&appliance);
    assert_eq!(status, 0, "{report}");
    assert_eq!(of_check(&report, "no_server").len(), 0, "{report}");
    let pull = || Client::of(&appliance).get("/v2/library/alpine/manifests/latest");
    // Until the breaker opens.
    for _ in 0..5 {
        assert_eq!(pull().status, 503);
    }
    let (status, report) = examine(&appliance);
    let found = of_check(&report, "upstream_fails");
    assert_eq!(status, 1, "{report}");
    assert!(
        found[0].0 == "error" && found[0].1.contains("docker.io"),
        "{report}"
    );

    appliance.ok_with_input(
        &[
            "upstream",
            "add",
            "quay.io",
            "https://quay.io",
            "--username",
            "acme",
            "--password-stdin",
        ],
        "hunter2\n",
    );
    appliance.ok(&[
        "registry",
        "add",
        "store",
        "--issuer",
        "breakwater",
        "--audience",
        "registry.example",
    ]);
    let (_, report) = examine(&appliance);
    assert_eq!(of_check(&report, "upstream_password").len(), 0, "{report}");
    assert_eq!(of_check(&report, "registry_key").len(), 0, "{report}");
    std::fs::remove_file(appliance.data().join("secret.key")).unwrap();
    let (status, report) = examine(&appliance);
    let found = of_check(&report, "upstream_password");
    assert_eq!(status, 1, "{report}");
    assert!(
        found[0].0 == "error" && found[0].1.contains("quay.io"),
        "{report}"
    );
    let found = of_check(&report, "registry_key");
    assert!(
        found[0].0 == "error" && found[0].1.contains("registry.example"),
        "{report}"
    );
    // Another key in its place opens nothing either.
    let other = "0".repeat(64);
    std::fs::write(appliance.data().join("secret.key"), other).unwrap();
    let (status, report) = examine(&appliance);
    assert_eq!(status, 1, "{report}");
    for check in ["upstream_password", "registry_key"] {
        let found = of_check(&report, check);
        assert!(found[0].1.contains("another key"), "{check}: {report}");
    }
    assert!(!report.to_string().contains("hunter2"));
}

#[test]
fn cleanup_policies_that_fail_or_do_not_run_are_named() {
    let appliance = initialised();
    appliance.ok(&["group", "add", "acme"]);
    for project in ["acme/late", "acme/failing", "acme/well", "acme/off"] {
        appliance.ok(&["project", "add", project]);
        appliance.ok(&["project", "set", project, "cleanup.enabled=true"]);
    }
    appliance.ok(&["project", "set", "acme/off", "cleanup.enabled=false"]);
    let open = |name: &str| rusqlite::Connection::open(appliance.data().join(name)).unwrap();
    let (late, failing) = (
        "UPDATE cleanup_policies SET next_run_at = 1 WHERE project_id = 1",
        "INSERT INTO cleanup_runs (project_id, started_at, finished_at, error) VALUES (2, 1, 1, 'the disk is full')",
    );
    open("access.sqlite").execute(late, []).unwrap();
    open("registry.sqlite").execute(failing, []).unwrap();
    let (_, report) = examine(&appliance);
    for (check, says) in [
        ("cleanup_overdue", "acme/late, since 1970-01-01T00:00:01Z"),
        ("cleanup_fails", "acme/failing: the disk is full"),
    ] {
        let found = of_check(&report, check);
        assert_eq!(found.len(), 1, "{check}: {report}");
        assert_eq!(found[0].0, "warning");
        assert!(
            found[0]
                .1
                .ends_with(&format!("projects failed when they ran last: {says}"))
                || found[0].1.ends_with(&format!("are overdue: {says}")),
            "{}",
            found[0].1
        );
    }
}

#[test]
fn what_is_accepted_counts_as_nothing_and_is_named() {
    let appliance = initialised();
    let of_config = "[doctor]\naccept = [\"initial_password\"]\n";
    let config = std::fs::read_to_string(appliance.config()).unwrap();
    let (_, report) = examine(&appliance);
    assert_eq!(of_check(&report, "initial_password").len(), 1, "{report}");
    assert_eq!(report["accepted"], serde_json::json!([]));
    let once = appliance.json(&["doctor", "--json", "--accept", "initial_password"]);
    assert_eq!(of_check(&once, "initial_password"), []);
    std::fs::write(appliance.config(), config + of_config).unwrap();
    let (_, after) = examine(&appliance);
    assert_eq!(of_check(&after, "initial_password"), []);
    assert_eq!(after["accepted"][0]["check"], "initial_password", "{after}");
    let count = |report: &Value| report["warnings"].as_u64().unwrap();
    assert_eq!(count(&after) + 1, count(&report), "{after}");
    let told = appliance.ok(&["doctor"]);
    assert!(
        told.contains("accepted, and not told: initial_password"),
        "{told}"
    );
    let once = ["doctor", "--accept", "initial_pasword"];
    let in_file = "[doctor]\naccept = [\"proxy_suspected\", \"initial_pasword\"]\n";
    for (config, arguments, status) in [("", &once[..], 2), (in_file, &["doctor"], 1)] {
        std::fs::write(appliance.config(), config).unwrap();
        let wrong = appliance.run_cli(arguments);
        assert_eq!(wrong.status.code(), Some(status), "{arguments:?}");
        let error = String::from_utf8(wrong.stderr).unwrap();
        let why = "`initial_pasword` is no word of a finding of the doctor: did you mean `initial_password`?";
        assert!(error.contains(why), "{error}");
    }
}
