//! The offline switch: by command at run time, over a restart, and by the configuration.

use std::path::Path;

use breakwater::oci::Digest;

use crate::support::appliance::Appliance;
use crate::support::client::{Client, assert_sound};
use crate::support::fake_upstream::{FakeUpstream, Image, Index};

/// Status, `X-Cache` and body of `GET path`, or of the manifest that it names.
fn get(appliance: &Appliance, path: &str) -> (u16, String, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into();
    let mut answer = agent.get(appliance.url(path)).call().unwrap();
    let cache = answer.headers().get("x-cache");
    let cache = cache.map_or("", |word| word.to_str().unwrap()).to_owned();
    let body = answer.body_mut().read_to_string().unwrap_or_default();
    (answer.status().as_u16(), cache, body)
}

const KEPT: &str = "/v2/library/kept/manifests/latest";
const OTHER: &str = "/v2/library/other/manifests/latest";

#[test]
fn switched_by_command_it_asks_nobody_until_it_is_switched_back() {
    let upstream = FakeUpstream::start();
    let kept = Image::oci(1, &[1_000]);
    upstream.put_image("library/kept", "latest", &kept);
    upstream.put_image("library/other", "latest", &Image::oci(2, &[1_000]));
    let mut appliance = Appliance::builder()
        .upstream(upstream.url())
        .toml("[cache]\ntag_ttl = \"0s\"\n")
        .start();
    assert_eq!(get(&appliance, KEPT).0, 200);
    for blob in kept.blobs() {
        let path = format!("/v2/library/kept/blobs/{}", Digest::of(blob));
        let agent = ureq::Agent::new_with_defaults();
        agent
            .get(appliance.url(&path))
            .call()
            .unwrap()
            .body_mut()
            .read_to_vec()
            .unwrap();
    }
    assert_eq!(appliance.ok(&["offline", "status"]).trim(), "online");

    appliance.ok(&["offline", "on"]);
    appliance.ok(&["offline", "on"]);
    upstream.forget_requests();
    for phase in ["switched", "after a restart", "after a crash"] {
        let (status, cache, _) = get(&appliance, KEPT);
        assert_eq!((status, cache.as_str()), (200, "stale"), "{phase}");
        let (status, _, body) = get(&appliance, OTHER);
        assert_eq!(status, 503, "{phase}");
        assert!(body.contains("offline"), "{phase}: {body}");
        let state = appliance.json(&["offline", "status", "--json"]);
        assert_eq!(state["offline"], true, "{phase}");
        assert_eq!(state["by_command"], true, "{phase}");
        assert_eq!(state["by_configuration"], false, "{phase}");
        if phase == "switched" {
            appliance.stop();
        } else {
            appliance.kill();
        }
        appliance.restart();
    }
    assert_eq!(upstream.requests().len(), 0);

    appliance.ok(&["offline", "off"]);
    assert_eq!(appliance.ok(&["offline", "status"]).trim(), "online");
    assert_eq!(get(&appliance, OTHER).0, 200);
    assert_eq!(get(&appliance, KEPT).1, "revalidated");
}

#[test]
fn what_the_configuration_says_cannot_be_switched_by_command() {
    let mut appliance = Appliance::builder()
        .variable("BREAKWATER_OFFLINE", "true")
        .start();
    let refused = |appliance: &Appliance| {
        let output = appliance.run_cli(&["offline", "off"]);
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            text.contains("`offline = true`") && text.contains("restart"),
            "{text}"
        );
    };
    refused(&appliance);
    let state = appliance.json(&["offline", "status", "--json"]);
    assert_eq!(
        (&state["offline"], &state["by_configuration"]),
        (&true.into(), &true.into())
    );
    appliance.stop();
    refused(&appliance);
}

#[test]
fn a_box_that_is_not_running_is_switched_for_its_next_start() {
    let mut appliance = Appliance::builder().start();
    appliance.stop();
    appliance.ok(&["offline", "on"]);
    assert!(appliance.ok(&["offline", "status"]).contains("by command"));
    appliance.restart();
    appliance.wait_for_log("offline: no connection leaves this box");
    appliance.ok(&["offline", "off"]);
    assert_eq!(appliance.ok(&["offline", "status"]).trim(), "online");
}

/// As if the clock had gone on by so many days since everything was written, or back.
fn let_days_pass(data: &Path, days: i64) {
    for name in [
        "cache.sqlite",
        "access.sqlite",
        "registry.sqlite",
        "audit.sqlite",
    ] {
        let file = data.join(name);
        if !file.exists() {
            continue;
        }
        let database = rusqlite::Connection::open(file).unwrap();
        let text = "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c
            WHERE m.type = 'table' AND (c.name LIKE '%\\_at' ESCAPE '\\') AND c.name <> 'expires_at'";
        let columns: Vec<(String, String)> = {
            let mut statement = database.prepare(text).unwrap();
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
            rows.unwrap().map(Result::unwrap).collect()
        };
        assert!(name != "cache.sqlite" || columns.len() > 5, "{columns:?}");
        for (table, column) in columns {
            let text = format!("UPDATE {table} SET {column} = {column} - ?1");
            database.execute(&text, [days * 86_400]).unwrap();
        }
    }
}

#[test]
fn what_was_kept_is_served_offline_a_year_later_and_whatever_the_clock_says() {
    let upstream = FakeUpstream::start_tls();
    let (amd64, arm64) = (Image::oci(1, &[1_000, 5_000]), Image::docker(2, &[2_000]));
    let index = Index::of(&[("amd64", &amd64), ("arm64", &arm64)]);
    upstream.put_index("library/kept", "latest", &index);
    let signature = Image::oci(3, &[100]);
    let tag = format!("sha256-{}.sig", index.digest().hex());
    upstream.put_image("library/kept", &tag, &signature);
    let descriptor = serde_json::json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": signature.digest().to_string(),
        "size": signature.manifest.len(),
    });
    upstream.put_referrer("library/kept", &index.digest(), descriptor);
    let mut appliance = Appliance::builder()
        .toml(&format!(
            "[upstreams.\"docker.io\"]\nurl = \"{}\"\nca = \"{}\"\n",
            upstream.url(),
            FakeUpstream::ca_file().display()
        ))
        .start();
    let mut paths = vec![
        "manifests/latest".to_owned(),
        format!("manifests/{}", index.digest()),
        format!("manifests/{tag}"),
        format!("referrers/{}", index.digest()),
        "tags/list".to_owned(),
    ];
    for image in [&amd64, &arm64, &signature] {
        paths.push(format!("manifests/{}", image.digest()));
        paths.extend(
            image
                .blobs()
                .map(|blob| format!("blobs/{}", Digest::of(blob))),
        );
    }
    let all = |appliance: &Appliance| -> Vec<_> {
        let client = Client::of(appliance);
        let of = |path: &String| {
            let answer = client.get(&format!("/v2/library/kept/{path}"));
            (path.clone(), answer.status, Digest::of(&answer.body))
        };
        paths.iter().map(of).collect()
    };
    let before = all(&appliance);
    assert!(
        before.iter().all(|(_, status, _)| *status == 200),
        "{before:?}"
    );
    let receiver = "https://hooks.example.com/path-that-is-a-secret";
    appliance.ok(&["webhook", "add", receiver]);
    appliance.ok(&["offline", "on"]);
    appliance.stop();
    upstream.stop();

    // A year, and then a clock that is a day behind what was written.
    for days in [366, -367] {
        let_days_pass(&appliance.data(), days);
        appliance.restart();
        assert_eq!(all(&appliance), before, "{days}");
        // What nobody pulls for 90 days goes elsewhere.
        let goes = appliance.ok(&["cache", "evict", "--dry-run"]);
        assert!(goes.contains("nothing has to go"), "{goes}");
        let basic = Client::of(&appliance).basic("root", &appliance.root_password());
        assert_eq!(basic.get("/v2/").status, 200, "{days}");
        let token = basic.token(&["repository:library/kept:pull"]);
        let with_token = Client::of(&appliance).bearer(&token);
        let path = "/v2/library/kept/manifests/latest";
        assert_eq!(with_token.get(path).status, 200, "{days}");
        let said = appliance.run_cli(&["doctor", "--json"]).stdout;
        let said = String::from_utf8(said).unwrap();
        assert!(
            said.contains("points_outside") && said.contains(upstream.url()),
            "{said}"
        );
        assert!(said.contains("https://hooks.example.com"), "{said}");
        assert!(!said.contains("path-that-is-a-secret"), "{said}");
        assert_eq!(said.contains("clock_behind"), days < 0, "{said}");
        assert_sound(&appliance);
        appliance.stop();
    }
}
