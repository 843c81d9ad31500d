//! The document and the routes are the same: what is in it answers, and what is not does not.

use serde_json::Value;

use super::{Stage, stage};

/// The path of the document that a real path is, and its operation; one without captures before one with.
pub(super) fn operation<'a>(
    document: &'a Value,
    method: &str,
    path: &str,
) -> Option<(&'a str, &'a Value)> {
    let method = if method == "HEAD" {
        "get"
    } else {
        &method.to_lowercase()
    };
    let paths = document["paths"].as_object().expect("paths");
    let segments: Vec<&str> = path.split('/').collect();
    let mut fitting: Vec<_> = paths
        .iter()
        .filter(|(pattern, methods)| {
            let parts: Vec<&str> = pattern.split('/').collect();
            methods.get(method).is_some()
                && parts.len() == segments.len()
                && parts
                    .iter()
                    .zip(&segments)
                    .all(|(part, segment)| part.starts_with('{') || part == segment)
        })
        .collect();
    fitting.sort_by_key(|(pattern, _)| pattern.matches('{').count());
    let (pattern, methods) = fitting.first()?;
    Some((pattern, &methods[method]))
}

/// All operations: method, path, and itself.
pub(super) fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            all.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    all
}

#[test]
fn every_operation_asks_for_a_token_and_no_other_path_is_there() {
    let Stage {
        client, document, ..
    } = &stage();
    let all = operations(document);
    assert!(all.len() > 50, "only {} operations", all.len());
    for (method, path, operation) in &all {
        let real = path.replace(['{', '}'], "");
        let answer = client.request(method, &format!("/api/v4{real}"), b"");
        let is_open = operation["security"] == serde_json::json!([]);
        assert_eq!(is_open, path == "/openapi.json", "{path}");
        let expected = if is_open { 200 } else { 401 };
        assert_eq!(
            answer.status,
            expected,
            "{method} {path}: {}",
            answer.text()
        );
    }
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        for (_, path, _) in &all {
            let there = all.iter().any(|(m, p, _)| m == method && p == path);
            // `self` where a number stands elsewhere is that other operation.
            let real = path.replace(['{', '}'], "");
            if there || operation(document, method, &real).is_some() {
                continue;
            }
            let answer = client.request(method, &format!("/api/v4{real}"), b"");
            assert_eq!(answer.status, 405, "{method} {path}");
            let allowed = answer.field("Allow").unwrap_or_default().to_owned();
            assert!(
                !allowed.is_empty() && !allowed.contains(method),
                "{path}: {allowed}"
            );
        }
    }
    for path in [
        "/api/v4/",
        "/api/v4/nothing",
        "/api/v4/groups/1/nothing",
        "/api/v4/user/1",
    ] {
        let answer = client.get(path);
        let told = (answer.status, answer.text());
        assert_eq!(
            told,
            (404, r#"{"error":"404 Not Found"}"#.to_owned()),
            "{path}"
        );
    }
}
