//! Who may pull from, push to and delete from hosted repositories, through the real token endpoint: members and
//! tokens of every kind, protection rules, and what is hidden.

mod explained;
mod pushes;
mod rules;
mod shared_parts;
mod told;
mod who;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::support::appliance::Appliance;
use crate::support::client::{Answer, Client, token_path};

const ALL: &str = "repository:acme/api/app:pull,push,delete";

/// The project `acme/api` in the private group `acme`, with a member of every level called by it.
struct Stage {
    appliance: Appliance,
    client: Client,
}

fn stage() -> Stage {
    let appliance = Appliance::start();
    appliance.ok(&["group", "add", "acme"]);
    appliance.ok(&["project", "add", "acme/api"]);
    for level in ["guest", "reporter", "developer", "maintainer", "owner"] {
        appliance.ok(&["user", "add", level, "--service"]);
        appliance.ok(&["member", "add", "acme", level, "--level", level]);
    }
    appliance.ok(&["user", "add", "stranger", "--service"]);
    appliance.ok(&["user", "add", "admin", "--service", "--admin"]);
    let client = Client::of(&appliance);
    Stage { appliance, client }
}

impl Stage {
    /// A personal access token of the user that is worth everything.
    fn api(&self, user: &str) -> String {
        self.appliance.token(user, &["api"])
    }

    /// Makes a token by command; its secret.
    fn create(&self, arguments: &[&str]) -> String {
        let words = [&["token", "create", "--name", "t"], arguments].concat();
        self.appliance.ok(&words).trim().to_owned()
    }

    /// The token endpoint's answer.
    fn ask(&self, user: &str, secret: &str, scopes: &[&str]) -> Answer {
        self.client.basic(user, secret).get(&token_path(scopes))
    }

    /// What the token endpoint grants of one scope: its actions, or the status of a refusal.
    fn granted(&self, user: &str, secret: &str, scope: &str) -> String {
        let answer = self.ask(user, secret, &[scope]);
        if answer.status != 200 {
            return answer.status.to_string();
        }
        match access(&answer).as_slice() {
            [] => "nothing".to_owned(),
            [one] => {
                assert!(scope.starts_with(&format!(
                    "{}:{}:",
                    one["type"].as_str().unwrap(),
                    one["name"].as_str().unwrap()
                )));
                let actions = one["actions"].as_array().unwrap().iter();
                actions
                    .map(|a| a.as_str().unwrap())
                    .collect::<Vec<_>>()
                    .join(",")
            }
            more => panic!("{scope} became {more:?}"),
        }
    }
}

/// The `access` of the JWT in an answer.
fn access(answer: &Answer) -> Vec<Value> {
    let json = answer.json();
    let jwt = json["token"].as_str().unwrap();
    let claims = URL_SAFE_NO_PAD
        .decode(jwt.split('.').nth(1).unwrap())
        .unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["access"].as_array().unwrap().clone()
}
