//! Each page as each role: what REST refuses is not there, and neither is what it hides.

use super::people::{ROLES, people};

#[test]
fn each_role_sees_of_each_page_what_rest_lets_it_see() {
    let people = people();
    let appliance = &people.appliance;
    for place in ["acme", "acme/api"] {
        let name = format!("farm-of-{place}");
        let make = [
            "token",
            "create",
            "--name",
            &name,
            "--deploy",
            place,
            "--scope",
            "read_registry",
        ];
        appliance.ok(&make);
    }
    appliance.ok(&[
        "rule",
        "add",
        "acme/api",
        "acme/api/secret*",
        "--min-push",
        "owner",
    ]);
    let add = ["upstream", "add", "own.test", "http://127.0.0.1:9"];
    let of_acme = ["--group", "acme", "--no-probe"];
    appliance.ok(&[&add[..], &of_acme].concat());
    // sam gina dora max olga root
    let of_all = [200; 6];
    let of_members = [404, 200, 200, 200, 200, 200];
    let of_developers = [404, 403, 200, 200, 200, 200];
    let of_maintainers = [404, 403, 403, 200, 200, 200];
    let of_owners = [404, 403, 403, 403, 200, 200];
    let of_root = [403, 403, 403, 403, 403, 200];
    let refused_to_others = [403, 403, 403, 403, 403, 404];
    let hidden_but_from_root = [404, 404, 404, 404, 404, 200];
    let pages = [
        ("/groups".to_owned(), of_all),
        ("/groups?search=acm".to_owned(), of_all),
        (people.group(""), of_members),
        (people.group("/members"), of_members),
        (people.group("/tokens"), of_owners),
        (people.group("/tokens?kind=access"), of_owners),
        (people.group("/rules"), of_owners),
        (people.group("/settings"), of_owners),
        ("/projects".to_owned(), of_all),
        (people.project(""), of_members),
        (people.project("/members"), of_members),
        (people.project("/tokens"), of_developers),
        (people.project("/tokens?kind=access"), of_developers),
        (people.project("/tokens?kind=job"), of_developers),
        (people.project("/rules"), of_maintainers),
        (people.project("/rules?of=tags"), of_maintainers),
        (people.project("/settings"), of_maintainers),
        ("/users".to_owned(), of_all),
        (format!("/users/{}", people.user_id("gina")), of_all),
        ("/users/999".to_owned(), [404; 6]),
        ("/groups/999".to_owned(), [404; 6]),
        ("/groups/999/tokens".to_owned(), [404; 6]),
        ("/projects/999/settings".to_owned(), [404; 6]),
        ("/tokens".to_owned(), of_all),
        ("/tokens?of=all".to_owned(), of_all),
        ("/tokens?of=deploy".to_owned(), of_root),
        ("/rules".to_owned(), of_all),
        ("/rules?of=groups".to_owned(), of_all),
        ("/account".to_owned(), of_all),
        ("/".to_owned(), of_all),
        (people.group("/webhooks"), of_owners),
        ("/groups/999/webhooks".to_owned(), [404; 6]),
        (people.group("/upstreams"), of_owners),
        ("/groups/999/upstreams".to_owned(), [404; 6]),
        ("/webhooks".to_owned(), of_root),
        ("/upstreams".to_owned(), of_root),
        ("/flags".to_owned(), of_root),
        ("/audit".to_owned(), of_all),
        (format!("/audit?place=groups/{}", people.acme), of_owners),
        ("/start".to_owned(), of_all),
        ("/start?client=containerd".to_owned(), of_all),
        ("/sessions".to_owned(), of_all),
        ("/images".to_owned(), of_all),
        ("/images/show?image=absent".to_owned(), refused_to_others),
        ("/images/next".to_owned(), hidden_but_from_root),
        ("/images/pins".to_owned(), of_root),
        ("/images/purge".to_owned(), hidden_but_from_root),
        ("/repositories".to_owned(), of_all),
        (format!("/repositories?project={}", people.api), of_members),
        ("/repositories/999".to_owned(), [404; 6]),
        ("/repositories/999/tags/v1".to_owned(), [404; 6]),
    ];
    for pattern in patterns() {
        let is_walked = pages.iter().any(|(path, _)| is_of(&pattern, path));
        assert!(is_walked, "{pattern} is walked by nobody");
    }
    for (index, name) in ROLES.into_iter().enumerate() {
        let browser = people.browser(name);
        let manages = index >= 3;
        for (path, expected) in &pages {
            let answer = browser.get(path);
            let text = answer.text();
            assert_eq!(answer.status, expected[index], "{name} at {path}: {text}");
            if name == "sam" {
                assert!(!text.contains("acme"), "{name} at {path}: {text}");
            }
            assert!(manages || !text.contains("farm-of"), "{name} at {path}");
            assert!(manages || !text.contains("secret*"), "{name} at {path}");
            assert!(index >= 4 || !text.contains("own.test"), "{name} at {path}");
            assert!(text.len() < 50_000, "{path}: {}", text.len());
            assert!(!text.contains("style="), "{path}");
        }
    }
    let max = people.browser("max");
    assert!(
        max.page(&people.project("/tokens"))
            .contains("farm-of-acme/api")
    );
    assert!(max.page(&people.project("/rules")).contains("secret*"));
    let olga = people.browser("olga");
    let upstreams = olga.page(&people.group("/upstreams"));
    assert!(!upstreams.contains("docker.io"), "{upstreams}");
    let test = format!("/act{}", people.group("/upstreams/own%2Etest/test"));
    assert!(
        upstreams.contains("own.test") && upstreams.contains(&test),
        "{upstreams}"
    );
    // A group reaches no address that is not public.
    let asked = olga.post(&test, &[("_back", &people.group("/upstreams"))]);
    let told = asked.text();
    let (_, told) = told.split_once("role=\"alert\">").unwrap();
    let (told, _) = told.split_once("</p>").unwrap();
    assert_eq!(asked.status, 200);
    assert!(told.contains("127.0.0.1"), "{told}");
    let root = people.browser("root").page("/tokens?of=deploy");
    for place in [
        ("farm-of-acme<", people.group("/tokens")),
        ("farm-of-acme/api<", people.project("/tokens")),
    ] {
        assert!(root.contains(place.0) && root.contains(&place.1), "{root}");
    }
}

/// The paths of the page's table, with `:name` for a segment.
fn patterns() -> Vec<String> {
    let source = include_str!("../../../src/server/ui/mod.rs");
    let (_, table) = source.split_once("const PAGES").unwrap();
    let (table, _) = table.split_once("];").unwrap();
    let rows = table
        .lines()
        .filter_map(|line| line.trim().strip_prefix("(\""));
    let patterns: Vec<_> = rows
        .map(|row| row.split('"').next().unwrap().to_owned())
        .collect();
    assert!(patterns.len() > 30, "{patterns:?}");
    patterns
}

fn is_of(pattern: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap();
    let (parts, segments): (Vec<_>, Vec<_>) =
        (pattern.split('/').collect(), path.split('/').collect());
    let mut both = parts.iter().zip(&segments);
    parts.len() == segments.len()
        && both.all(|(part, segment)| part.starts_with(':') || part == segment)
}

#[test]
fn only_what_somebody_may_do_is_offered() {
    let people = people();
    let has = |name: &str, path: &str, text: &str| people.browser(name).page(path).contains(text);
    for (path, text, expected) in [
        (
            people.group("/members"),
            "Add the member",
            [false, false, false, true, true],
        ),
        (
            people.project("/members"),
            "Add the member",
            [false, false, true, true, true],
        ),
        (
            people.group(""),
            "New project in this group",
            [false, false, true, true, true],
        ),
        (
            people.group(""),
            "New group in this one",
            [false, false, false, true, true],
        ),
        (
            people.group(""),
            "/webhooks\">Webhooks</a></li></ul>",
            [false, false, false, true, true],
        ),
        (
            people.group(""),
            "/upstreams\">Upstreams</a></li><li><a href=\"/groups",
            [false, false, false, true, true],
        ),
        (
            "/groups".to_owned(),
            "Make the group",
            [false, false, false, false, true],
        ),
        (
            "/users".to_owned(),
            "Make the user",
            [false, false, false, false, true],
        ),
        (
            people.project(""),
            "docker push",
            [false, true, true, true, true],
        ),
        (
            "/account".to_owned(),
            "Change the password",
            [false, false, false, false, true],
        ),
        (
            "/account".to_owned(),
            "breakwater user passwd",
            [true, true, true, true, false],
        ),
        (
            "/tokens".to_owned(),
            "All deploy tokens",
            [false, false, false, false, true],
        ),
    ] {
        for (name, expected) in ROLES.into_iter().skip(1).zip(expected) {
            assert_eq!(has(name, &path, text), expected, "{name} at {path}: {text}");
        }
    }
}
