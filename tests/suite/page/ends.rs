//! Whose a session is, how long it lasts, what ends it, and which are listed.

use rusqlite::Connection;

use super::{Browser, password, set_cookie, user};
use crate::support::appliance::Appliance;
use crate::support::client::Client;

#[test]
fn signing_in_makes_a_new_session_and_ends_the_one_before() {
    let appliance = Appliance::start();
    let root = appliance.root_password();
    let fields = [("username", "root"), ("password", root.as_str())];
    // One that somebody else put into the browser is not taken over.
    let planted = "breakwater=00000000000000000000000000000000";
    let answer = Client::of(&appliance)
        .with("Cookie", planted)
        .post_form("/sign-in", &fields);
    let first = set_cookie(&answer, "breakwater").unwrap();
    assert_ne!(first, planted);
    assert_eq!(
        Client::of(&appliance)
            .with("Cookie", planted)
            .get("/groups")
            .status,
        303
    );
    let answer = Client::of(&appliance)
        .with("Cookie", &first)
        .post_form("/sign-in", &fields);
    let second = set_cookie(&answer, "breakwater").unwrap();
    assert_eq!(
        Client::of(&appliance)
            .with("Cookie", &first)
            .get("/groups")
            .status,
        303
    );
    assert_eq!(
        Client::of(&appliance)
            .with("Cookie", &second)
            .get("/groups")
            .status,
        200
    );
}

#[test]
fn whoever_signs_in_where_somebody_else_was_is_the_one_who_is_logged() {
    let appliance = Appliance::start();
    user(&appliance, "alice");
    let alice = Browser::sign_in(&appliance, "alice", &password("alice"));
    let root = appliance.root_password();
    let fields = [("username", "root"), ("password", root.as_str())];
    let answer = alice.with_cookie().post_form("/sign-in", &fields);
    assert_eq!(answer.status, 303, "{}", answer.text());
    appliance.wait_for_log(r#""principal":"root","method":"POST","path":"/sign-in""#);
    assert_eq!(alice.get("/sessions").status, 303);
}

#[test]
fn a_session_ends_when_it_is_idle_old_or_signed_out_and_when_its_owner_is_refused() {
    let appliance = Appliance::start();
    user(&appliance, "alice");
    let access = Connection::open(appliance.data().join("access.sqlite")).unwrap();
    let set = |statement: &str| assert!(access.execute(statement, []).unwrap() > 0);
    let alice = || Browser::sign_in(&appliance, "alice", &password("alice"));
    let status = |browser: &Browser| browser.get("/groups").status;

    let idle = alice();
    set("UPDATE sessions SET last_used_at = last_used_at - 3601");
    assert_eq!(status(&idle), 303);
    let old = alice();
    set("UPDATE sessions SET ends_at = last_used_at");
    assert_eq!(status(&old), 303);
    let out = alice();
    let left = out.post("/sign-out", &[]);
    assert_eq!(
        (left.status, left.field("Location")),
        (303, Some("/sign-in"))
    );
    assert!(left.head.contains("breakwater=; ") && left.head.contains("Max-Age=0"));
    assert_eq!(status(&out), 303);

    let token = appliance.token("alice", &["api"]);
    let by_token = Browser::sign_in(&appliance, "", &token);
    let by_password = alice();
    assert_eq!((status(&by_token), status(&by_password)), (200, 200));
    let id = appliance.json(&["token", "list", "--user", "alice", "--json"])[0]["id"].to_string();
    appliance.ok(&["token", "revoke", &id]);
    assert_eq!((status(&by_token), status(&by_password)), (303, 200));
    appliance.ok(&["user", "block", "alice"]);
    assert_eq!(status(&by_password), 303);
    appliance.ok(&["user", "unblock", "alice"]);
    assert_eq!(status(&by_password), 200);
    appliance.ok_with_input(
        &["user", "passwd", "alice", "--password-stdin"],
        "another long password",
    );
    assert_eq!(status(&by_password), 303);
}

#[test]
fn one_sees_and_ends_ones_own_sessions() {
    let appliance = Appliance::start();
    user(&appliance, "alice");
    let (root, alice) = (
        Browser::root(&appliance),
        Browser::sign_in(&appliance, "alice", &password("alice")),
    );
    let other = Browser::sign_in(&appliance, "alice", &password("alice"));
    assert_eq!(alice.page("/sessions").matches("<time").count(), 6);
    assert_eq!(root.page("/sessions").matches("<time").count(), 3);
    let id = |browser: &Browser| {
        let text = browser.page("/sessions");
        let (before, _) = text.split_once("this one").unwrap();
        let (_, rest) = text[before.len()..]
            .split_once("/act/user/sessions/")
            .unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let end = |browser: &Browser, id: &str| {
        let path = format!("/act/user/sessions/{id}");
        browser
            .post(&path, &[("_method", "DELETE"), ("_back", "/sessions")])
            .status
    };
    assert_eq!(end(&root, &id(&other)), 404);
    assert_eq!(other.get("/sessions").status, 200);
    assert_eq!(end(&alice, &id(&other)), 303);
    assert_eq!(other.get("/sessions").status, 303);
    let revoked = appliance.audit(&["--event", "session.revoked"]);
    assert_eq!(revoked[0]["actor"], "alice");
    let began = appliance.audit(&["--event", "session.began"]);
    assert_eq!(began.as_array().unwrap().len(), 3);
    // No more than twenty at once.
    for _ in 0..21 {
        Browser::sign_in(&appliance, "alice", &password("alice"));
    }
    assert_eq!(root.page("/sessions").matches("<time").count(), 3);
    let access = Connection::open(appliance.data().join("access.sqlite")).unwrap();
    let count: i64 = access
        .query_row("SELECT count(*) FROM sessions", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 21);
}

#[test]
fn a_page_that_refreshes_itself_keeps_no_session_alive_and_takes_no_word_meant_for_another() {
    let appliance = Appliance::start();
    let browser = Browser::root(&appliance);
    let access = Connection::open(appliance.data().join("access.sqlite")).unwrap();
    let set = |statement: &str| assert!(access.execute(statement, []).unwrap() > 0);
    let used = || -> i64 {
        let text = "SELECT ends_at - last_used_at FROM sessions";
        access.query_row(text, [], |row| row.get(0)).unwrap()
    };
    let half = 12 * 3600 + 1800;
    set("UPDATE sessions SET last_used_at = ends_at - 45000");
    let cookie = format!("{}; breakwater_done=It%20is%20done", browser.cookie);
    let client = Client::of(&appliance).with("Cookie", &cookie);
    let now = client.with("X-Refresh", "now").get("/");
    assert_eq!(now.status, 200);
    let text = now.text();
    assert!(text.contains("id=\"now\""), "{text}");
    for left in ["It is done", "Disk", "What was served", "What needs"] {
        assert!(!text.contains(left), "{left}: {text}");
    }
    assert_eq!(now.field("Set-Cookie"), None, "{}", now.head);
    let findings = client.with("X-Refresh", "findings").get("/").text();
    assert!(findings.contains("id=\"findings\"") && !findings.contains("id=\"now\""));
    let upstreams = client.with("X-Refresh", "upstreams").get("/upstreams");
    assert!(upstreams.text().contains("id=\"upstreams\""));
    assert_eq!(used(), half, "that was no use");
    let page = client.get("/");
    assert!(page.text().contains("It is done"), "{}", page.text());
    assert!(page.field("Set-Cookie").is_some());
    assert!(used() < half, "that was one");
    set("UPDATE sessions SET last_used_at = ends_at - 45000");
    client.with("X-Refresh", "now").post_form("/act/x", &[]);
    assert!(used() < half, "a form is one, whatever its head says");
    set("UPDATE sessions SET last_used_at = last_used_at - 3601");
    let over = client.with("X-Refresh", "now").get("/");
    assert_eq!((over.status, over.field("Location")), (401, None));
    assert_eq!(client.get("/").status, 303);
}

#[test]
fn a_session_that_is_over_is_not_listed() {
    let appliance = Appliance::start();
    user(&appliance, "alice");
    let access = Connection::open(appliance.data().join("access.sqlite")).unwrap();
    let set = |statement: &str| assert!(access.execute(statement, []).unwrap() > 0);
    let alice = || Browser::sign_in(&appliance, "alice", &password("alice"));
    let listed = |browser: &Browser| browser.page("/sessions").matches("<time").count() / 3;
    let token = appliance.token("alice", &["api"]);
    let (idle, by_token) = (alice(), Browser::sign_in(&appliance, "", &token));
    let own = alice();
    assert_eq!(listed(&own), 3);
    set("UPDATE sessions SET last_used_at = last_used_at - 3601 WHERE id = 1");
    assert_eq!((listed(&own), idle.get("/sessions").status), (2, 303));
    let id = appliance.json(&["token", "list", "--user", "alice", "--json"])[0]["id"].to_string();
    appliance.ok(&["token", "revoke", &id]);
    assert_eq!((listed(&own), by_token.get("/sessions").status), (1, 303));
    let passwd = ["user", "passwd", "alice", "--password-stdin"];
    appliance.ok_with_input(&passwd, "another long password");
    let newest = Browser::sign_in(&appliance, "alice", "another long password");
    assert_eq!((listed(&newest), own.get("/sessions").status), (1, 303));
}

#[test]
fn sessions_of_a_token_push_out_no_other_ones() {
    let appliance = Appliance::start();
    user(&appliance, "alice");
    let by_password = Browser::sign_in(&appliance, "alice", &password("alice"));
    let token = appliance.token("alice", &["read_api"]);
    let first = Browser::sign_in(&appliance, "alice", &token);
    for _ in 0..20 {
        Browser::sign_in(&appliance, "alice", &token);
    }
    assert_eq!(first.get("/sessions").status, 303);
    assert_eq!(by_password.get("/sessions").status, 200);
}
