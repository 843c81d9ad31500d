//! The REST API, as GitLab's clients meet it: the real server, and every answer held against the OpenAPI
//! document that it serves.

mod bounds;
mod cleanup;
mod credentials;
mod document;
mod effects;
mod full;
mod hosted;
mod kinship;
mod pages;
mod removals;
mod roles;
mod schema;
mod walk;

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::appliance::Appliance;
use crate::support::client::{Answer, Client};

/// A box, and its document.
struct Stage {
    appliance: Appliance,
    client: Client,
    document: Value,
    /// The operations that have succeeded so far: `GET /user`.
    walked: RefCell<BTreeSet<String>>,
    /// Where there is one, it is full whenever something is to be changed for the first time.
    disk: Option<full::FullDisk>,
}

/// A caller with a token.
struct Caller<'a> {
    stage: &'a Stage,
    client: Client,
}

/// A box with nothing in it, and a token of its administrator.
fn stage() -> Stage {
    stage_with(Appliance::builder())
}

fn stage_with(builder: crate::support::appliance::Builder) -> Stage {
    stage_on(builder.start(), None)
}

fn stage_on(appliance: Appliance, disk: Option<full::FullDisk>) -> Stage {
    let client = Client::of(&appliance);
    let document = client.get("/api/v4/openapi.json").json();
    assert_eq!(document["openapi"], "3.0.3");
    Stage {
        appliance,
        client,
        document,
        walked: RefCell::default(),
        disk,
    }
}

impl Stage {
    /// Who has this secret.
    fn caller(&self, secret: &str) -> Caller<'_> {
        Caller {
            stage: self,
            client: self.client.with("PRIVATE-TOKEN", secret),
        }
    }

    /// The administrator of the first start.
    fn root(&self) -> Caller<'_> {
        self.caller(&self.appliance.token("root", &["api"]))
    }

    /// A service account of this name with a token for everything, and that token.
    fn user(&self, name: &str) -> (Caller<'_>, String) {
        let secret = self.appliance.token(name, &["api"]);
        (self.caller(&secret), secret)
    }

    fn user_id(&self, name: &str) -> i64 {
        let users = self.appliance.json(&["user", "list", "--json"]);
        let users = users.as_array().unwrap();
        let user = users.iter().find(|user| user["username"] == name);
        user.unwrap()["id"].as_i64().unwrap()
    }
}

impl Caller<'_> {
    fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None)
    }

    fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(body))
    }

    fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, None)
    }

    /// What must succeed with `status`; its JSON.
    fn ok(&self, method: &str, path: &str, body: Value, status: u16) -> Value {
        let body = Some(body).filter(|body| !body.is_null());
        // Asking an upstream changes nothing.
        let changes_nothing = method == "GET" || path.ends_with("/test");
        if let (Some(disk), false) = (&self.stage.disk, changes_nothing) {
            disk.refuses(self, method, path, body.clone());
        }
        let answer = self.call(method, path, body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        answer.json()
    }

    /// Makes something; its id.
    fn made(&self, path: &str, body: Value) -> i64 {
        let made = self.ok("POST", path, body, 201);
        made["id"].as_i64().expect("an id")
    }

    /// One request below `/api/v4`. Whatever comes back must be in the document.
    fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let bytes = body.map(|body| body.to_string()).unwrap_or_default();
        let client = self.client.with("Content-Type", "application/json");
        let answer = client.request(method, &format!("/api/v4{path}"), bytes.as_bytes());
        assert!(answer.complete, "{method} {path} broke off");
        self.stage.check(method, path, &answer);
        answer
    }
}

impl Stage {
    /// Holds an answer against the document: the status is one of the operation's, and the body has its shape.
    fn check(&self, method: &str, path: &str, answer: &Answer) {
        let path = path.split('?').next().unwrap();
        let Some((pattern, operation)) = document::operation(&self.document, method, path) else {
            assert!(
                matches!(answer.status, 404 | 405),
                "{method} {path} is not in the document, and answered {}",
                answer.status
            );
            return;
        };
        let responses = operation["responses"].as_object().expect("responses");
        let other = responses.get("default").filter(|_| answer.status >= 400);
        let response = responses.get(&answer.status.to_string()).or(other);
        let response = response.unwrap_or_else(|| {
            panic!(
                "{method} {pattern} answered {}, which is not in the document: {}",
                answer.status,
                answer.text()
            )
        });
        let media = &response["content"]["application/json"]["schema"];
        if media.is_null() {
            assert_eq!(answer.body, b"", "{method} {pattern}");
        } else {
            assert_eq!(
                answer.field("Content-Type"),
                Some("application/json"),
                "{method} {pattern}"
            );
            let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
            let wrong = schema::faults(&self.document, media, &body);
            assert_eq!(wrong, Vec::<String>::new(), "{method} {pattern}: {body}");
        }
        if answer.status < 300 {
            self.walked
                .borrow_mut()
                .insert(format!("{method} {pattern}"));
        }
    }
}

/// The names of an object's fields, sorted.
fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value
        .as_object()
        .map(|object| object.keys().map(String::as_str).collect())
        .unwrap_or_default();
    keys.sort_unstable();
    keys
}

/// A body without fields.
fn empty() -> Value {
    json!({})
}
