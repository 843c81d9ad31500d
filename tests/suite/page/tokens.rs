//! Tokens of every kind by the forms of the page.

use super::Browser;
use super::people::{People, people};
use crate::support::client::{Client, token_path};

/// The secret on the page that shows it.
fn secret(text: &str) -> String {
    let (_, rest) = text.split_once("<p>The token</p>").expect(text);
    let (_, rest) = rest.split_once("<code>").unwrap();
    rest.split('<').next().unwrap().to_owned()
}

fn login(people: &People, user: &str, secret: &str) -> u16 {
    let client = Client::of(&people.appliance).basic(user, secret);
    client.get(&token_path(&[])).status
}

/// The user name of the line that logs in.
fn username(text: &str) -> String {
    let (_, rest) = text.split_once("docker login --username ").expect(text);
    rest.split(' ').next().unwrap().to_owned()
}

/// Where the forms of a page's first token post to.
fn first(browser: &Browser, page: &str, action: &str) -> String {
    let text = browser.page(page);
    let (before, _) = text.split_once(&format!("{action}\"")).expect(&text);
    let at = before.rfind("action=\"/act").unwrap();
    text[at + "action=\"".len()..]
        .split('"')
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn a_token_of_each_kind_is_made_shown_once_rotated_and_revoked() {
    let people = people();
    let olga = people.browser("olga");
    let name = ("name", "farm");
    let scopes = [
        ("scopes[]", "read_registry"),
        ("scopes[]", "write_registry"),
    ];
    let until = ("expires_at", "2099-01-31");
    let level = ("access_level", "30");
    let (group, project) = (people.group(""), people.project(""));
    for (page, list, more, user) in [
        (
            "/tokens".to_owned(),
            "/personal_access_tokens".to_owned(),
            ("username", ""),
            "olga",
        ),
        (
            format!("{group}/tokens"),
            format!("{group}/deploy_tokens"),
            ("username", "puller"),
            "puller",
        ),
        (
            format!("{group}/tokens?kind=access"),
            format!("{group}/access_tokens"),
            level,
            "token",
        ),
        (
            format!("{project}/tokens"),
            format!("{project}/deploy_tokens"),
            ("username", ""),
            "gitlab+deploy-token-",
        ),
        (
            format!("{project}/tokens?kind=access"),
            format!("{project}/access_tokens"),
            level,
            "token",
        ),
    ] {
        let make = match page.as_str() {
            "/tokens" => "/act/user/personal_access_tokens".to_owned(),
            _ => format!("/act{list}"),
        };
        let fields = [name, scopes[0], scopes[1], until, more, ("_back", &page)];
        let made = olga.post(&make, &fields);
        assert_eq!(made.status, 200, "{page}: {}", made.text());
        let (old, shown) = (secret(&made.text()), username(&made.text()));
        assert!(shown.starts_with(user), "{page}: {shown}");
        assert_eq!(login(&people, &shown, &old), 200, "{page}");
        let text = olga.page(&page);
        assert!(text.contains("<strong>farm</strong>"), "{text}");
        assert!(text.contains("from 127.0.0.1"), "{page}: {text}");
        assert!(
            text.contains("write_registry</code>") && !text.contains(&old),
            "{page}"
        );

        let rotate = first(&olga, &page, "/rotate");
        assert!(rotate.starts_with(&format!("/act{list}/")), "{rotate}");
        let rotated = olga.post(&rotate, &[until, ("_back", &page)]);
        assert_eq!(rotated.status, 200, "{page}: {}", rotated.text());
        let new = secret(&rotated.text());
        assert_eq!(username(&rotated.text()), shown);
        assert_eq!(login(&people, &shown, &old), 401, "{page}");
        assert_eq!(login(&people, &shown, &new), 200, "{page}");
        assert!(olga.page(&page).contains("2099-01-31"), "{page}");

        let rotate = first(&olga, &page, "/rotate");
        let revoke = rotate.strip_suffix("/rotate").unwrap();
        let fields = [("_method", "DELETE"), ("_back", &page)];
        let revoked = olga.post(revoke, &fields);
        assert_eq!(
            (revoked.status, revoked.field("Location")),
            (303, Some(page.as_str()))
        );
        assert_eq!(login(&people, &shown, &new), 401, "{page}");
        assert!(!olga.page(&page).contains("revoked</span>"), "{page}");
        let separator = if page.contains('?') { '&' } else { '?' };
        let ended = olga.page(&format!("{page}{separator}ended=true"));
        assert!(ended.contains("revoked</span>"), "{ended}");
    }
}

#[test]
fn a_job_token_logs_in_as_jobs_do_and_one_for_rest_alone_does_not_log_in_at_all() {
    let people = people();
    let dora = people.browser("dora");
    let jobs = people.project("/job_tokens");
    let made = dora.post(&format!("/act{jobs}"), &[("name", "job 7"), ("ttl", "10m")]);
    assert_eq!(made.status, 200, "{}", made.text());
    let made = made.text();
    assert_eq!(username(&made), "gitlab-ci-token");
    assert_eq!(login(&people, "gitlab-ci-token", &secret(&made)), 200);
    let page = people.project("/tokens");
    assert!(dora.page(&page).contains("job 7"));
    let id = people
        .appliance
        .json(&["token", "list", "acme/api", "--json"])[0]["id"]
        .to_string();
    let end = dora.post(
        &format!("/act{jobs}/{id}"),
        &[("_method", "DELETE"), ("_back", &page)],
    );
    assert_eq!(end.status, 303);
    assert_eq!(login(&people, "gitlab-ci-token", &secret(&made)), 401);

    let fields = [("name", "reader"), ("scopes[]", "read_api")];
    let made = dora.post("/act/user/personal_access_tokens", &fields);
    let made = made.text();
    assert!(
        !made.contains("docker login --username") && made.contains("PRIVATE-TOKEN"),
        "{made}"
    );
    // A token that somebody else gets logs in with that one's name.
    let root = people.browser("root");
    let of_gina = format!(
        "/act/users/{}/personal_access_tokens",
        people.user_id("gina")
    );
    let fields = [
        ("name", "for gina"),
        ("scopes[]", "read_registry"),
        ("expires_at", "2099-01-31"),
        ("expires_at", "never"),
    ];
    let made = root.post(&of_gina, &fields).text();
    assert_eq!(username(&made), "gina");
    let token = &people
        .appliance
        .json(&["token", "list", "--user", "gina", "--json"])[0];
    assert_eq!(
        (&token["name"], &token["expires_at"]),
        (&"for gina".into(), &serde_json::Value::Null)
    );
    assert!(root.page("/tokens?of=all").contains("for gina"));
    assert!(!dora.page("/tokens?of=all").contains("for gina"));
}

#[test]
fn a_refused_form_comes_back_as_it_was_filled_in_and_nothing_was_made() {
    let people = people();
    let olga = people.browser("olga");
    let page = people.group("/tokens");
    let make = format!("/act{}", people.group("/deploy_tokens"));
    let fields = [
        ("name", "<b>\"x\"&'"),
        ("username", "gitlab+deploy-token-7"),
        ("scopes[]", "write_virtual_registry"),
        ("expires_at", "2099-01-31"),
        ("_back", &page),
        ("_form", "new-token"),
    ];
    let refused = olga.post(&make, &fields);
    let text = refused.text();
    assert_eq!(refused.status, 400, "{text}");
    assert!(
        text.contains("role=\"alert\"") && text.contains("is reserved"),
        "{text}"
    );
    assert!(
        text.contains("value=\"&lt;b&gt;&quot;x&quot;&amp;'\""),
        "{text}"
    );
    assert!(text.contains("value=\"2099-01-31\""), "{text}");
    assert!(
        text.contains("value=\"write_virtual_registry\" checked"),
        "{text}"
    );
    assert!(!text.contains("value=\"read_registry\" checked"), "{text}");
    assert!(
        text.contains("There is no token here. Make one below."),
        "{text}"
    );
    // Who may not make one gets the reason where the page is not for them.
    let dora = people.browser("dora");
    let refused = dora.post(
        &make,
        &[
            ("name", "x"),
            ("scopes[]", "read_registry"),
            ("_back", &people.group("")),
        ],
    );
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("You may not do this."));
    let sam = people.browser("sam");
    let refused = sam.post(&make, &[("name", "x"), ("scopes[]", "read_registry")]);
    assert_eq!(refused.status, 404);
    assert_eq!(
        people.appliance.json(&["token", "list", "acme", "--json"]),
        serde_json::json!([])
    );
}

#[test]
fn names_are_shown_as_they_are_and_long_lists_come_in_pages() {
    let people = people();
    let hostile = "<script>alert(\"1\")</script> & '";
    let long = "x".repeat(255);
    for name in [hostile, &long] {
        let make = [
            "token",
            "create",
            "--name",
            name,
            "--deploy",
            "acme",
            "--scope",
            "read_registry",
        ];
        people.appliance.ok(&make);
    }
    let olga = people.browser("olga");
    let text = olga.page(&people.group("/tokens"));
    assert!(!text.contains("<script>alert"), "{text}");
    assert!(
        text.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; '"),
        "{text}"
    );
    assert!(text.contains(&long));
    for path in ["/groups?search=", "/projects?search=", "/users?search="] {
        let text = olga.page(&format!("{path}%3Cscript%3Ealert%22"));
        assert!(!text.contains("<script>alert"), "{text}");
    }
    for number in 0..20 {
        let name = format!("{number}-{}", "y".repeat(200));
        let make = [
            "token",
            "create",
            "--name",
            &name,
            "--deploy",
            "acme",
            "--scope",
            "read_registry",
        ];
        people.appliance.ok(&make);
    }
    let first = olga.page(&people.group("/tokens"));
    let second = olga.page(&people.group("/tokens?page=2"));
    assert_eq!(first.matches(">Revoke…<").count(), 15);
    assert_eq!(second.matches(">Revoke…<").count(), 7);
    assert!(first.contains("rel=\"next\"") && second.contains("rel=\"prev\""));
    assert!(first.len() < 60_000, "{}", first.len());
}
