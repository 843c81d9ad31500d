//! `GET /features/:name/consequences`: which tokens a flag would refuse, before somebody sets it.

use serde_json::{Value, json};

use crate::support::appliance::Appliance;
use crate::support::client::{Client, token_path};

const FLAG: &str = "dependency_proxy_split_abilities";

#[test]
fn what_a_flag_would_refuse_is_told_of_tokens_that_are_used_and_see_the_group() {
    let appliance = Appliance::start();
    let client = Client::of(&appliance);
    for group in ["acme", "other"] {
        appliance.ok(&["group", "add", group]);
    }
    let make = |name: &str, words: &[&str]| {
        let create = ["token", "create", "--json", "--name", name];
        let made = appliance.json(&[&create, words].concat());
        let (id, secret) = (
            made["id"].clone(),
            made["token"].as_str().unwrap().to_owned(),
        );
        (id, secret)
    };
    let reads = ["--scope", "read_registry", "--group"];
    let of = |group| make("reads", &[&reads[..], &[group]].concat());
    let (acme, other, unused) = (of("acme"), of("other"), of("acme"));
    let both = ["--scope", "read_registry,write_registry", "--group", "acme"];
    let both = make("both", &both);
    for (_, secret) in [&acme, &other, &both] {
        let login = client.basic("x", secret).get(&token_path(&[]));
        assert_eq!(login.status, 200, "{}", login.text());
    }
    let root = client.with("PRIVATE-TOKEN", &appliance.token("root", &["read_api"]));
    let asked = |query: &str| -> (u16, Value) {
        let answer = root.get(&format!("/api/v4/features/{query}"));
        (answer.status, answer.json())
    };
    let ids = |view: &Value| {
        let tokens = view["tokens"].as_array().unwrap().iter();
        let mut ids: Vec<_> = tokens.map(|token| token["id"].as_i64().unwrap()).collect();
        ids.sort_unstable();
        json!(ids)
    };
    // Judged apart, one that reads may read; by the older rule it would need both.
    let (status, on) = asked(&format!("{FLAG}/consequences"));
    assert_eq!(
        (status, &on["total"], &on["value"]),
        (200, &json!(0), &json!(true))
    );
    let (_, off) = asked(&format!("{FLAG}/consequences?value=false"));
    assert_eq!(
        ids(&off),
        json!([acme.0, other.0]),
        "{off}, and not {unused:?}"
    );
    assert_eq!(
        (&off["total"], &off["group_path"]),
        (&json!(2), &json!(null))
    );
    let (_, off) = asked(&format!("{FLAG}/consequences?value=false&group=acme"));
    assert_eq!(ids(&off), json!([acme.0]), "{off}");
    let token = &off["tokens"][0];
    assert_eq!(
        (&token["owner"], &token["kind"]),
        (&json!("acme"), &json!("group"))
    );
    assert_eq!(token["lacks"], "create_container_image");

    assert_eq!(asked("sudo/consequences").0, 404);
    assert_eq!(asked(&format!("{FLAG}/consequences?group=missing")).0, 400);
    appliance.ok(&["user", "add", "bob", "--service"]);
    let bob = client.with("PRIVATE-TOKEN", &appliance.token("bob", &["read_api"]));
    let refused = bob.get(&format!("/api/v4/features/{FLAG}/consequences"));
    assert_eq!(refused.status, 403);
}
