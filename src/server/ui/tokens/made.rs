//! The only time that the secret of a token is shown.

use maud::html;
use serde_json::Value;

use crate::admin::UserView;
use crate::server::ui::visit::Visit;
use crate::server::ui::{Page, parts};

/// `endpoint`: which made it. `body`: what it answered.
pub(in crate::server::ui) fn made(
    visit: &mut Visit<'_, '_>,
    endpoint: &str,
    body: &Value,
    secret: &str,
    back: &str,
) -> Page {
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let url = visit.call.external_url(visit.appliance);
    let host = visit.host();
    let scopes = body.get("scopes").and_then(Value::as_array);
    let mut scopes = scopes.into_iter().flatten().filter_map(Value::as_str);
    let is_of_job = endpoint.contains("/job_tokens");
    let has_api = scopes.clone().any(|scope| scope.ends_with("api"));
    let logs_in = is_of_job || scopes.any(|scope| scope != "read_api");
    let (user, about) = user(visit, endpoint, body);
    let body = html! {
        p { "Copy the token " strong { (text("name")) } " now: only its digest is kept, so it cannot be shown again." }
        (parts::copied("The token", secret))
        @if logs_in {
            (parts::copied("Log in with docker, and paste the token as the password", &format!("docker login --username {user} {host}")))
            p.soft { (about) }
        }
        @if has_api {
            (parts::copied("Ask the REST API, with the token in the variable TOKEN", &format!("curl --header \"PRIVATE-TOKEN: $TOKEN\" {url}/api/v4/version")))
        }
        p { a href=(back) { "I have copied it" } }
    };
    Page::new("Token made", body)
}

/// The name that the token logs in with, and what is to be said about it.
fn user(visit: &mut Visit<'_, '_>, endpoint: &str, body: &Value) -> (String, &'static str) {
    let number = |name: &str| body.get(name).and_then(Value::as_i64);
    if let Some(name) = body.get("username").and_then(Value::as_str) {
        let about = "A deploy token logs in with this user name and no other.";
        return (name.to_owned(), about);
    }
    if endpoint.contains("/job_tokens") {
        let about = "A job token logs in with this user name and no other.";
        return ("gitlab-ci-token".to_owned(), about);
    }
    if let Some(id) = number("user_id") {
        let user = visit.may_get::<UserView>(&format!("/users/{id}"));
        let name = match user {
            Ok(Some(user)) => user.username,
            _ => visit.visitor.name(),
        };
        return (
            name,
            "The box looks at the token alone: any user name will do.",
        );
    }
    let about = "There is no user behind it: any user name will do.";
    ("token".to_owned(), about)
}
