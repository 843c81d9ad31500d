//! The forms of groups, projects, members and users.

use serde_json::{Value, json};

use super::people::{People, people};

fn group(people: &People, path: &str) -> Option<Value> {
    let groups = people.appliance.json(&["group", "list", "--json"]);
    let mut groups = groups.as_array().unwrap().iter();
    groups.find(|group| group["full_path"] == path).cloned()
}

fn project(people: &People, path: &str) -> Option<Value> {
    let projects = people.appliance.json(&["project", "list", "--json"]);
    let mut projects = projects.as_array().unwrap().iter();
    let found = projects.find(|project| project["path_with_namespace"] == path);
    found.cloned()
}

#[test]
fn groups_and_projects_are_made_changed_and_removed_by_forms() {
    let people = people();
    let (root, olga, max, dora) = (
        people.browser("root"),
        people.browser("olga"),
        people.browser("max"),
        people.browser("dora"),
    );
    let new = [
        ("path", "ops"),
        ("visibility", "public"),
        ("_next", "/groups/{id}"),
    ];
    let made = root.post("/act/groups", &new);
    let ops = group(&people, "ops").unwrap();
    assert_eq!(ops["visibility"], "public");
    let page = format!("/groups/{}", ops["id"]);
    assert_eq!(
        (made.status, made.field("Location")),
        (303, Some(page.as_str()))
    );
    assert_eq!(olga.post("/act/groups", &[("path", "mine")]).status, 403);
    assert!(group(&people, "mine").is_none());
    // Nobody is led elsewhere by a form.
    let elsewhere = [
        ("path", "led"),
        ("_next", "//evil.test/{id}"),
        ("_back", "/groups"),
    ];
    let made = root.post("/act/groups", &elsewhere);
    assert_eq!(
        (made.status, made.field("Location")),
        (303, Some("/groups"))
    );

    let acme = people.acme.to_string();
    let inner = [("path", "team"), ("parent_id", acme.as_str())];
    assert_eq!(max.post("/act/groups", &inner).status, 403);
    assert_eq!(olga.post("/act/groups", &inner).status, 303);
    assert!(group(&people, "acme/team").is_some());
    let new = [
        ("path", "web"),
        ("namespace_id", acme.as_str()),
        ("_next", "/projects/{id}"),
    ];
    assert_eq!(dora.post("/act/projects", &new).status, 403);
    assert_eq!(max.post("/act/projects", &new).status, 303);
    let web = project(&people, "acme/web").unwrap()["id"].clone();
    let text = dora.page(&people.group(""));
    assert!(
        text.contains("acme/team") && text.contains("acme/web"),
        "{text}"
    );
    assert!(
        text.contains("/acme/dependency_proxy/containers/alpine:latest"),
        "{text}"
    );

    let settings = [
        ("_method", "PUT"),
        ("_keep", "default_upstream"),
        ("_sizes", "max_size quota"),
        ("_form", "settings"),
        ("_back", &people.group("/settings")),
        ("visibility", "public"),
        ("dependency_proxy_enabled", "false"),
        ("dependency_proxy_enabled", "true"),
        ("on_read_only_miss", "deny"),
        ("default_upstream", ""),
    ];
    let act = format!("/act{}", people.group(""));
    assert_eq!(max.post(&act, &settings).status, 403);
    assert_eq!(olga.post(&act, &settings).status, 303);
    let of_root = [&settings[..], &[("max_size", "50GB"), ("quota", "0")]].concat();
    assert_eq!(olga.post(&act, &of_root).status, 403);
    assert_eq!(root.post(&act, &of_root).status, 303);
    let changed = group(&people, "acme").unwrap();
    for (field, value) in [
        ("visibility", json!("public")),
        ("dependency_proxy_enabled", json!(true)),
        ("on_read_only_miss", json!("deny")),
        ("max_size", json!(50_000_000_000_u64)),
        ("quota", Value::Null),
    ] {
        assert_eq!(changed[field], value, "{field}");
    }
    assert!(
        root.page(&people.group("/settings"))
            .contains("value=\"50GB\"")
    );
    let wrong = [&settings[..], &[("max_size", "lots")]].concat();
    let refused = root.post(&act, &wrong);
    assert_eq!(refused.status, 400);
    assert!(
        refused.text().contains("max_size is no size: write 50GB"),
        "{}",
        refused.text()
    );
    assert!(refused.text().contains("value=\"lots\""));

    let policy = "container_expiration_policy_attributes";
    let fields: Vec<_> = [
        ("enabled", "true"),
        ("cadence", "7d"),
        ("keep_n", ""),
        ("older_than", "30d"),
        ("name_regex_delete", "pr-.*"),
    ]
    .map(|(name, value)| (format!("{policy}[{name}]"), value))
    .to_vec();
    let keep = format!("{policy}[keep_n]");
    let mut form: Vec<_> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    form.extend([("_method", "PUT"), ("_keep", &keep)]);
    let act = format!("/act{}", people.project(""));
    assert_eq!(dora.post(&act, &form).status, 403);
    assert_eq!(max.post(&act, &form).status, 303);
    let set = project(&people, "acme/api").unwrap()["container_expiration_policy"].clone();
    for (field, value) in [
        ("enabled", json!(true)),
        ("cadence", json!("7d")),
        ("keep_n", Value::Null),
        ("older_than", json!("30d")),
        ("name_regex_delete", json!("pr-.*")),
    ] {
        assert_eq!(set[field], value, "{field}");
    }

    let purge = format!("/act{}", people.group("/dependency_proxy/cache"));
    let delete = [
        ("_method", "DELETE"),
        ("_back", "/groups"),
        ("_next", "/groups"),
    ];
    assert_eq!(max.post(&purge, &delete).status, 403);
    assert_eq!(olga.post(&purge, &delete).status, 303);
    let settings = olga.page(&people.group("/settings"));
    assert!(
        settings.contains("with 1 group and 2 projects below it"),
        "{settings}"
    );
    assert_eq!(
        olga.post(&format!("/act/projects/{web}"), &delete).status,
        303
    );
    assert!(project(&people, "acme/web").is_none());
    let act = format!("/act{}", people.group(""));
    assert_eq!(max.post(&act, &delete).status, 403);
    assert!(group(&people, "acme").is_some());
    let removed = olga.post(&act, &delete);
    assert_eq!(
        (removed.status, removed.field("Location")),
        (303, Some("/groups"))
    );
    assert!(group(&people, "acme").is_none() && project(&people, "acme/api").is_none());
}

#[test]
fn members_are_added_changed_and_removed_and_inherited_ones_are_told_apart() {
    let people = people();
    let (max, olga) = (people.browser("max"), people.browser("olga"));
    let level = |name: &str| {
        let members = people
            .appliance
            .json(&["member", "list", "acme/api", "--json"]);
        let members = members.as_array().unwrap().clone();
        let mut members = members.iter().filter(|member| member["username"] == name);
        members.next().map(|member| member["access_level"].clone())
    };
    let list = format!("/act{}", people.project("/members"));
    let add = [("username", "sam"), ("access_level", "30")];
    assert_eq!(people.browser("dora").post(&list, &add).status, 403);
    assert_eq!(level("sam"), None);
    let without = max.with_cookie().post_form(&list, &add);
    assert_eq!((without.status, level("sam")), (403, None));
    assert_eq!(max.post(&list, &add).status, 303);
    assert_eq!(level("sam"), Some(json!(30)));
    let again = max.post(
        &list,
        &[&add[..], &[("_back", &people.project("/members"))]].concat(),
    );
    assert_eq!(again.status, 409);
    assert!(
        again.text().contains("Member already exists"),
        "{}",
        again.text()
    );
    let text = max.page(&people.project("/members"));
    let row = |name: &str| {
        let at = text.find(&format!("<td>{name}")).unwrap();
        text[at..].split("</tr>").next().unwrap().to_owned()
    };
    assert!(row("sam").contains("This project") && row("sam").contains("Remove…"));
    assert!(row("gina").contains("A group above") && !row("gina").contains("Remove…"));
    assert!(row("max").contains(">you<"));
    let sam = format!("{list}/{}", people.user_id("sam"));
    let change = [("_method", "PUT"), ("access_level", "50")];
    assert_eq!(max.post(&sam, &change).status, 403);
    assert_eq!(olga.post(&sam, &change).status, 303);
    assert_eq!(level("sam"), Some(json!(50)));
    let leave = [("_method", "DELETE"), ("_next", "/projects")];
    let left = people.browser("sam").post(&sam, &leave);
    assert_eq!(
        (left.status, left.field("Location")),
        (303, Some("/projects"))
    );
    assert_eq!(level("sam"), None);
}

#[test]
fn users_are_made_blocked_and_removed_by_administrators_alone() {
    let people = people();
    let (root, olga) = (people.browser("root"), people.browser("olga"));
    let new = [
        ("username", "nina"),
        ("password", "a password of nina"),
        ("admin", "false"),
    ];
    assert_eq!(olga.post("/act/users", &new).status, 403);
    let made = root.post(
        "/act/users",
        &[&new[..], &[("_next", "/users/{id}")]].concat(),
    );
    let page = format!("/users/{}", people.user_id("nina"));
    assert_eq!(
        (made.status, made.field("Location")),
        (303, Some(page.as_str()))
    );
    let service = [("username", "ci"), ("service", "true")];
    assert_eq!(root.post("/act/users", &service).status, 303);
    assert!(root.page("/users").contains("Service account"));
    // A password is never shown again.
    let short = [
        ("username", "nora"),
        ("password", "short"),
        ("_back", "/users"),
        ("_form", "new-user"),
    ];
    let refused = root.post("/act/users", &short);
    assert_eq!(refused.status, 400);
    let text = refused.text();
    assert!(
        text.contains("value=\"nora\"") && !text.contains("\"short\""),
        "{text}"
    );

    let act = format!("/act{page}");
    let nina = super::Browser::sign_in(&people.appliance, "nina", "a password of nina");
    assert_eq!(nina.get("/groups").status, 200);
    for browser in [&olga, &nina] {
        assert_eq!(browser.post(&format!("{act}/block"), &[]).status, 403);
    }
    assert_eq!(root.post(&format!("{act}/block"), &[]).status, 303);
    assert_eq!(nina.get("/groups").status, 303);
    assert!(root.page(&page).contains("Unblock") && root.page("/users").contains("blocked</span>"));
    assert_eq!(root.post(&format!("{act}/unblock"), &[]).status, 303);
    assert_eq!(nina.get("/groups").status, 200);
    let password = [("_method", "PUT"), ("password", "another one of nina")];
    assert_eq!(olga.post(&act, &password).status, 403);
    assert_eq!(root.post(&act, &password).status, 303);
    assert_eq!(nina.get("/groups").status, 303);
    let own = format!("/users/{}", people.user_id("root"));
    let text = root.page(&own);
    assert!(
        !text.contains("Block…") && !text.contains("Remove the user"),
        "{text}"
    );
    let delete = [("_method", "DELETE"), ("_next", "/users")];
    assert_eq!(root.post(&format!("/act{own}"), &delete).status, 403);
    assert_eq!(root.post(&act, &delete).status, 303);
    assert_eq!(root.get(&page).status, 404);
}

#[test]
fn a_token_of_a_group_sees_its_group_and_makes_nothing_for_itself() {
    let people = people();
    let make = [
        "token", "create", "--name", "bot", "--group", "acme", "--level", "owner", "--scope", "api",
    ];
    let secret = people.appliance.ok(&make);
    let bot = super::Browser::sign_in(&people.appliance, "", secret.trim_end());
    assert!(bot.page("/groups").contains("acme"));
    assert!(bot.page("/tokens").contains("makes no others"));
    assert!(bot.page("/account").contains("there is no user"));
    assert!(bot.page(&people.group("/settings")).contains("Save"));
}
