//! The operator's page over plain HTTP: who sees what, what forms do, and what hostile ones do not. `scripts/e2e page`
//! looks at it with a real browser.

mod ends;
mod images;
mod overview;
mod people;
mod places;
mod roles;
mod rules;
mod scale;
mod session;
mod tokens;

use std::time::{Duration, Instant};

use crate::support::appliance::Appliance;
use crate::support::client::{Answer, Client};

/// Somebody who is signed in.
pub(crate) struct Browser {
    client: Client,
    /// `NAME=VALUE`.
    cookie: String,
}

/// The cookie that an answer sets under this name, as the browser sends it back.
fn set_cookie(answer: &Answer, name: &str) -> Option<String> {
    let mut lines = answer.head.lines();
    let line = lines.find_map(|line| {
        let (field, value) = line.split_once(": ")?;
        let is_it =
            field.eq_ignore_ascii_case("Set-Cookie") && value.starts_with(&format!("{name}="));
        is_it.then_some(value)
    })?;
    Some(line.split(';').next().unwrap().to_owned())
}

/// What is counted, measured or worked out in the background is there after so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// A page as soon as it is no longer said to come later, nor a part of it.
fn ready(browser: &Browser, path: &str) -> Answer {
    let began = Instant::now();
    loop {
        let answer = browser.get(path);
        let is_waiting = answer.status == 503 || answer.text().contains("being worked out");
        if !is_waiting || began.elapsed() > PATIENCE {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

impl Browser {
    pub(crate) fn sign_in(appliance: &Appliance, user: &str, secret: &str) -> Self {
        let client = Client::of(appliance);
        let fields = [("username", user), ("password", secret)];
        let answer = client.post_form("/sign-in", &fields);
        assert_eq!(answer.status, 303, "{}", answer.text());
        let cookie = set_cookie(&answer, "breakwater").unwrap();
        Self { client, cookie }
    }

    /// The administrator of the first start.
    pub(crate) fn root(appliance: &Appliance) -> Self {
        Self::sign_in(appliance, "root", &appliance.root_password())
    }

    fn with_cookie(&self) -> Client {
        self.client.with("Cookie", &self.cookie)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.with_cookie().get(path)
    }

    /// What is on a page that must be there.
    pub(crate) fn page(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    }

    /// What the forms of this session bring.
    pub(crate) fn form_value(&self) -> String {
        let text = self.page("/sessions");
        let (_, rest) = text.split_once("name=\"_csrf\" value=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    /// Sends a form of the page.
    pub(crate) fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let value = self.form_value();
        let fields = [fields, &[("_csrf", value.as_str())]].concat();
        self.post_alone(path, &fields)
    }

    /// The same without what the forms of this session bring.
    pub(crate) fn post_alone(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.with_cookie().post_form(path, fields)
    }
}

/// A user with a password.
pub(crate) fn user(appliance: &Appliance, name: &str) {
    let add = ["user", "add", name, "--password-stdin"];
    appliance.ok_with_input(&add, &password(name));
}

pub(crate) fn password(name: &str) -> String {
    format!("the password of {name}")
}
