//! Adding, changing and asking an upstream: what is said at once, to whom it is allowed, and what no URL may hold.

use std::process::Output;
use std::sync::Barrier;

use serde_json::{Value, json};

use super::NAME;
use crate::support::appliance::{Appliance, run_with_input};
use crate::support::client::{Answer as Reply, Client};
use crate::support::fake_upstream::{Answer, Bearer, FakeUpstream, Image};

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn an_upstream_that_cannot_be_used_is_added_all_the_same_and_says_why() {
    let fake = FakeUpstream::start();
    fake.require_basic("ann", "right");
    let gone = FakeUpstream::start();
    gone.stop();
    let tls = FakeUpstream::start_tls();
    let web = FakeUpstream::start();
    web.on("*", "/v2/").always(Answer::status(404));
    for running in [true, false] {
        let mut appliance = Appliance::start();
        if !running {
            appliance.stop();
        }
        for (name, url, login, why) in [
            ("ok.test", fake.url(), Some("right"), ""),
            (
                "wrong.test",
                fake.url(),
                Some("wrong"),
                "refuses the username and password",
            ),
            ("gone.test", gone.url(), None, "connection refused"),
            ("tls.test", tls.url(), None, "--ca FILE"),
            (
                "web.test",
                web.url(),
                None,
                "is no registry: it answers 404",
            ),
        ] {
            let mut arguments = vec!["upstream", "add", name, url];
            if login.is_some() {
                arguments.extend(["--username", "ann", "--password-stdin"]);
            }
            let mut command = appliance.command(&arguments);
            let output = run_with_input(&mut command, login.unwrap_or_default());
            let (out, err) = said(&output);
            assert_eq!(output.status.code(), Some(0), "{name}: {err}");
            assert_eq!(out, format!("added upstream {name}\n"));
            assert_eq!(why.is_empty(), err.is_empty(), "{name}: {err}");
            assert!(err.contains(why), "{name}: {err}");
            let tested = appliance.run_cli(&["upstream", "test", name]);
            let (out, err) = said(&tested);
            assert_eq!(
                tested.status.success(),
                why.is_empty(),
                "{name}: {out}{err}"
            );
            assert!(err.contains(why), "{name}: {err}");
            let tested = appliance.run_cli(&["upstream", "test", name, "--json"]);
            let tested: Value = serde_json::from_slice(&tested.stdout).unwrap();
            assert_eq!(tested["ok"], why.is_empty(), "{tested}");
        }
        // What is mended is asked again.
        let ca = FakeUpstream::ca_file();
        let ca = format!("ca={}", ca.display());
        let output = appliance.run_cli(&["upstream", "set", "tls.test", &ca]);
        let changed = "changed upstream tls.test\n".to_owned();
        let not_served = "what was kept of it under another url, login or ca is not served any more, and is fetched again\n".to_owned();
        assert_eq!(said(&output), (changed, not_served));
    }
}

#[test]
fn nobody_is_asked_where_that_is_not_wanted_or_the_box_is_offline() {
    let fake = FakeUpstream::start();
    let appliance = Appliance::start();
    appliance.ok(&["upstream", "add", NAME, fake.url(), "--no-probe"]);
    appliance.ok(&["upstream", "set", NAME, "max_size=1GiB", "--no-probe"]);
    appliance.ok(&["offline", "on"]);
    appliance.ok(&["upstream", "set", NAME, "max_size="]);
    appliance.ok(&["upstream", "add", "other.test", fake.url()]);
    let (_, err) = said(&appliance.run_cli(&["upstream", "test", NAME]));
    assert!(err.contains("offline on purpose"), "{err}");
    assert_eq!(fake.requests().len(), 0);
}

#[test]
fn settings_change_under_a_running_server_and_are_audited() {
    let (first, second) = (FakeUpstream::start(), FakeUpstream::start());
    let image = Image::oci(1, &[1_000]);
    second.put_image("app", "1", &image);
    second.require_bearer(Bearer {
        credentials: Some(("ann".to_owned(), "right".to_owned())),
        ..Bearer::default()
    });
    let appliance = Appliance::start();
    appliance.ok(&["upstream", "add", NAME, first.url()]);
    let client = Client::of(&appliance);
    let get = || client.get(&format!("/v2/{NAME}/app/manifests/1"));
    assert_eq!(get().status, 404);
    let url = format!("url={}/", second.url());
    let arguments = [
        "upstream",
        "set",
        NAME,
        &url,
        "username=ann",
        "--password-stdin",
    ];
    appliance.ok_with_input(&arguments, "right\n");
    assert_eq!(get().body, image.manifest);
    // The password stays where only another thing changes.
    appliance.ok(&["upstream", "set", NAME, "max_size=1GiB"]);
    let shown = || {
        let all = appliance.json(&["upstream", "list", "--json"]);
        let all = all.as_array().unwrap().clone();
        all.into_iter().find(|one| one["name"] == NAME).unwrap()
    };
    assert_eq!(shown()["max_size"], 1 << 30);
    appliance.ok(&["upstream", "test", NAME]);
    for (arguments, why) in [
        (
            &["username=bob"][..],
            "another username has another password",
        ),
        (&["url=ftp://x"], "not an http(s) URL"),
        (&["url=https://registry.invalid"], "give the password anew"),
        (
            &["auth_realm=https://registry.invalid/token"],
            "give the password anew",
        ),
        (&["password=x"], "--password-stdin"),
        (&["pasword=x"], "did you mean"),
        (
            &["allow_private_addresses=false"],
            "reach private addresses",
        ),
        (&["max_size=many"], "no value of"),
        (&["ca=/nowhere"], "/nowhere"),
    ] {
        let output = appliance.run_cli(&[&["upstream", "set", NAME], arguments].concat());
        let (_, err) = said(&output);
        assert!(
            !output.status.success() && err.contains(why),
            "{arguments:?}: {err}"
        );
    }
    assert_eq!(shown()["url"], second.url());
    // What is said again is no change.
    appliance.ok(&["upstream", "set", NAME, &url]);
    let output = appliance.run_cli(&["upstream", "set", NAME, "max_size=2GiB"]);
    assert_eq!(said(&output).1, "");
    appliance.ok(&["upstream", "set", NAME, "username=", "--no-probe"]);
    assert_eq!(shown()["username"], "");
    let audit = appliance.ok(&["audit", "--json"]);
    assert!(audit.contains("upstream.changed"), "{audit}");
    assert!(!audit.contains("right"), "{audit}");
    for name in ["nowhere.test", "docker.io"] {
        let output = appliance.run_cli(&["upstream", "set", name, "max_size=1GiB"]);
        assert_eq!(output.status.code(), Some(1), "{name}");
    }
}

#[test]
fn paths_before_and_behind_v2_are_honoured_and_v2_alone_is_refused() {
    let fake = FakeUpstream::start();
    let appliance = Appliance::start();
    for (path, asks) in [
        ("/artifactory/hub", "/artifactory/hub/v2/app/manifests/1"),
        ("/v2/hub/", "/v2/hub/app/manifests/1"),
        ("/x/v2/hub/quay.io", "/x/v2/hub/quay.io/app/manifests/1"),
        ("/v2", ""),
        ("/v2/Hub", ""),
    ] {
        let url = format!("{}{path}", fake.url());
        let output = appliance.run_cli(&["upstream", "add", NAME, &url, "--no-probe"]);
        let (_, err) = said(&output);
        assert_eq!(output.status.success(), !asks.is_empty(), "{path}: {err}");
        if asks.is_empty() {
            assert!(err.contains("write https://HOST"), "{err}");
            continue;
        }
        fake.forget_requests();
        Client::of(&appliance).get(&format!("/v2/{NAME}/app/manifests/1"));
        let asked = fake.requests();
        let asked = asked.first().unwrap();
        assert_eq!(asked.path, asks);
        appliance.ok(&["upstream", "remove", NAME]);
    }
}

#[test]
fn administrators_and_owners_change_and_ask_upstreams_by_rest() {
    let fake = FakeUpstream::start();
    fake.require_basic("ann", "right");
    let appliance = Appliance::start();
    for group in ["a", "b"] {
        appliance.ok(&["group", "add", group]);
    }
    let mut clients = Vec::new();
    for (user, level) in [("owner", "owner"), ("maintainer", "maintainer")] {
        let secret = appliance.token(user, &["api"]);
        appliance.ok(&["member", "add", "a", user, "--level", level]);
        clients.push(Client::of(&appliance).with("PRIVATE-TOKEN", &secret));
    }
    let root = appliance.ok(&[
        "token", "create", "--name", "x", "--user", "root", "--scope", "api",
    ]);
    let root = Client::of(&appliance).with("PRIVATE-TOKEN", root.trim());
    let [owner, maintainer] = &clients[..] else {
        panic!()
    };
    let add = |name: &str, more: &[&str]| {
        let arguments = [
            "upstream",
            "add",
            name,
            fake.url(),
            "--username",
            "ann",
            "--password-stdin",
        ];
        let mut command = appliance.command(&[&arguments[..], &["--no-probe"], more].concat());
        assert!(run_with_input(&mut command, "wrong\n").status.success());
    };
    add(NAME, &[]);
    add(NAME, &["--group", "a", "--allow-private-addresses"]);
    add("public.test", &["--group", "a"]);
    let put = |client: &Client, path: &str, body: Value| -> Reply {
        let client = client.with("Content-Type", "application/json");
        client.request(
            "PUT",
            &format!("/api/v4{path}"),
            body.to_string().as_bytes(),
        )
    };
    let test = |client: &Client, path: &str| -> Reply {
        client.request("POST", &format!("/api/v4{path}/test"), b"")
    };
    let (of_box, of_a) = (
        format!("/upstreams/{NAME}"),
        format!("/groups/a/upstreams/{NAME}"),
    );
    let tested = test(owner, &of_a);
    assert_eq!(tested.status, 200, "{tested:?}");
    assert_eq!(tested.json()["ok"], false, "{tested:?}");
    assert_eq!(test(maintainer, &of_a).status, 403);
    assert_eq!(test(owner, &of_box).status, 403);
    assert_eq!(test(&root, &of_box).status, 200);
    let password = json!({"password": "right"});
    assert_eq!(put(maintainer, &of_a, password.clone()).status, 403);
    let changed = put(owner, &of_a, password.clone());
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(changed.json()["tested"]["ok"], true, "{changed:?}");
    assert!(!changed.text().contains("right"), "{changed:?}");
    assert_eq!(test(owner, &of_a).json()["ok"], true);
    assert_eq!(put(&root, &of_box, password).status, 200);
    let moved = put(&root, &of_box, json!({"url": "https://registry.invalid"}));
    assert_eq!(moved.status, 400, "{moved:?}");
    // An owner chooses neither the network that is reached, nor where the password of somebody else goes.
    for (path, body) in [
        (&*of_a, json!({"url": "http://127.0.0.1:1"})),
        (&*of_a, json!({"allow_private_addresses": true})),
        (
            "/groups/a/upstreams/public.test",
            json!({"url": "https://evil.example"}),
        ),
        (
            "/groups/a/upstreams/public.test",
            json!({"auth_realm": "https://evil.example/t"}),
        ),
        (
            "/groups/a/upstreams/public.test",
            json!({"ca": "x", "max_size": 1}),
        ),
    ] {
        let refused = put(owner, path, body.clone());
        assert_eq!(refused.status, 403, "{body}: {refused:?}");
    }
    let moved = json!({"url": "https://registry.invalid", "password": "mine", "probe": false});
    assert_eq!(
        put(owner, "/groups/a/upstreams/public.test", moved).status,
        200
    );
    let nowhere = put(
        owner,
        "/groups/a/upstreams/nowhere.test",
        json!({"max_size": 1}),
    );
    assert_eq!(nowhere.status, 404, "{nowhere:?}");
    assert_eq!(
        test(owner, &format!("/groups/b/upstreams/{NAME}")).status,
        404
    );
}

/// Each change reads the settings, is judged by them, and writes all of them.
#[test]
fn changes_at_the_same_time_do_not_undo_each_other() {
    let appliance = Appliance::start();
    let add = ["upstream", "add", NAME, "https://0.test", "--no-probe"];
    appliance.ok(&add);
    let root = appliance.ok(&[
        "token", "create", "--name", "x", "--user", "root", "--scope", "api",
    ]);
    let client = Client::of(&appliance)
        .with("PRIVATE-TOKEN", root.trim())
        .with("Content-Type", "application/json");
    let path = format!("/api/v4/upstreams/{NAME}");
    for round in 1..20 {
        let (url, realm) = (
            format!("https://{round}.test"),
            format!("https://{round}.realm.test"),
        );
        let bodies = [
            json!({"url": url, "probe": false}),
            json!({"auth_realm": realm, "probe": false}),
            json!({"max_size": round, "probe": false}),
        ];
        let all_ready = Barrier::new(bodies.len());
        std::thread::scope(|scope| {
            for body in bodies {
                let (client, path, all_ready) = (&client, &path, &all_ready);
                scope.spawn(move || {
                    all_ready.wait();
                    let answer = client.request("PUT", path, body.to_string().as_bytes());
                    assert_eq!(answer.status, 200, "{answer:?}");
                });
            }
        });
        let all = appliance.json(&["upstream", "list", "--json"]);
        let mut all = all.as_array().unwrap().iter();
        let now = all.find(|one| one["name"] == NAME).unwrap();
        let found = (&now["url"], &now["auth_realm"], &now["max_size"]);
        assert_eq!(found, (&json!(url), &json!(realm), &json!(round)));
    }
}
