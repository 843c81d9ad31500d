//! Pagination: GitLab's header fields, and links that lead through all of it.

use serde_json::json;

use super::stage;

#[test]
fn pages_lead_through_the_whole_list() {
    let stage = stage();
    let root = stage.root();
    for number in 0..25 {
        root.made("/groups", json!({ "path": format!("group-{number:02}") }));
    }
    let fields = |query: &str| {
        let answer = root.get(&format!("/groups?search=group-{query}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let names = [
            "X-Page",
            "X-Per-Page",
            "X-Total",
            "X-Total-Pages",
            "X-Next-Page",
            "X-Prev-Page",
        ];
        let values = names
            .map(|name| answer.field(name).expect(name).to_owned())
            .join(" ");
        (answer.json().as_array().unwrap().len(), values)
    };
    let table = [
        ("", 20, "1 20 25 2 2 "),
        ("&page=2", 5, "2 20 25 2  1"),
        ("&per_page=10&page=2", 10, "2 10 25 3 3 1"),
        ("&per_page=100", 25, "1 100 25 1  "),
        ("&per_page=1000", 25, "1 100 25 1  "),
        ("&page=9", 0, "9 20 25 2  8"),
        ("nothing", 0, "1 20 0 1  "),
    ];
    for (query, entries, expected) in table {
        assert_eq!(fields(query), (entries, expected.to_owned()), "{query}");
    }
    for query in ["page=0", "page=-1", "per_page=0", "page=x", "per_page=1e9"] {
        let answer = root.get(&format!("/groups?{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
    }
    // By the links alone, as clients that iterate do.
    let mut path = "/groups?search=group-&per_page=7".to_owned();
    let mut seen = Vec::new();
    for _ in 0..10 {
        let answer = root.get(&path);
        for group in answer.json().as_array().unwrap() {
            seen.push(group["path"].as_str().unwrap().to_owned());
        }
        let links = answer.field("Link").unwrap().to_owned();
        let next = links
            .split(", ")
            .find(|link| link.ends_with("rel=\"next\""));
        let Some(next) = next else { break };
        let url = next.split(['<', '>']).nth(1).unwrap();
        path = url
            .strip_prefix(&stage.appliance.url("/api/v4"))
            .unwrap()
            .to_owned();
    }
    let expected: Vec<_> = (0..25).map(|number| format!("group-{number:02}")).collect();
    assert_eq!(seen, expected);
    let answer = root.get("/groups?private_token=secret-of-somebody&per_page=1");
    assert!(
        !answer.head.contains("secret-of-somebody"),
        "{}",
        answer.head
    );
}
