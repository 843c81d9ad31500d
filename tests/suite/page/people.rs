//! A group `acme` with a project `acme/api`, and somebody of each role.

use serde_json::Value;

use super::{Browser, password, user};
use crate::support::appliance::Appliance;

/// In the order of the tests' tables; `sam` is no member, `root` administers the box.
pub(super) const ROLES: [&str; 6] = ["sam", "gina", "dora", "max", "olga", "root"];

pub(super) struct People {
    pub(super) appliance: Appliance,
    pub(super) acme: i64,
    pub(super) api: i64,
}

pub(super) fn people() -> People {
    let appliance = Appliance::start();
    appliance.ok(&["group", "add", "acme"]);
    appliance.ok(&["project", "add", "acme/api"]);
    for (name, level) in [
        ("sam", None),
        ("gina", Some("guest")),
        ("dora", Some("developer")),
        ("max", Some("maintainer")),
        ("olga", Some("owner")),
    ] {
        user(&appliance, name);
        if let Some(level) = level {
            appliance.ok(&["member", "add", "acme", name, "--level", level]);
        }
    }
    let id = |what: &str, path: &str, field: &str| {
        let all = appliance.json(&[what, "list", "--json"]);
        let mut all = all.as_array().unwrap().iter();
        all.find(|one| one[field] == path).unwrap()["id"].as_i64()
    };
    let acme = id("group", "acme", "full_path").unwrap();
    let api = id("project", "acme/api", "path_with_namespace").unwrap();
    People {
        appliance,
        acme,
        api,
    }
}

impl People {
    pub(super) fn browser(&self, name: &str) -> Browser {
        match name {
            "root" => Browser::root(&self.appliance),
            name => Browser::sign_in(&self.appliance, name, &password(name)),
        }
    }

    pub(super) fn group(&self, path: &str) -> String {
        format!("/groups/{}{path}", self.acme)
    }

    pub(super) fn project(&self, path: &str) -> String {
        format!("/projects/{}{path}", self.api)
    }

    pub(super) fn user_id(&self, name: &str) -> i64 {
        let users = self.appliance.json(&["user", "list", "--json"]);
        let mut users = users.as_array().unwrap().iter();
        let user: &Value = users.find(|user| user["username"] == name).unwrap();
        user["id"].as_i64().unwrap()
    }
}
