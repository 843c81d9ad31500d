//! What forms do: each names a REST endpoint (`/act/PATH`), which is asked in the name of whoever is signed in.
//!
//! Fields whose names begin with `_` are for this file: `_csrf`; `_method`, where it is not POST; `_back`, the page to
//! come back to; `_done`, the sentence to say there, in which `{name}` stands for that field of the answer; `_form`, which
//! form of the page it is. Fields that were left empty are left out, but for those that `_keep` names.

use maud::html;
use serde_json::Value;

use super::layout;
use super::parts;
use super::session::{self, is_local};
use super::visit::{Entered, Refused, Visit, field, form};
use super::{Page, html as page};
use crate::http::{Method, Response};
use crate::server::Appliance;
use crate::server::call::Call;

pub(super) fn act(appliance: &Appliance, call: &mut Call<'_>, endpoint: &str) -> Response {
    let visitor = match session::visitor(appliance, call) {
        Ok(Some(visitor)) => visitor,
        Ok(None) => return session::to_sign_in(call),
        Err(error) => return layout::failed(&error, call),
    };
    let pairs = match form(call) {
        Ok(pairs) => pairs,
        Err(refused) => return layout::alone(refused.status, &refused.message),
    };
    if !session::is_own_form(call, appliance) || !visitor.has_made(field(&pairs, "_csrf")) {
        return layout::alone(403, session::FOREIGN);
    }
    let back = match field(&pairs, "_back") {
        back if is_local(back) => back.to_owned(),
        _ => "/".to_owned(),
    };
    let method = match field(&pairs, "_method") {
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        _ => Method::Post,
    };
    let endpoint = match &call.request.query {
        Some(query) => format!("{endpoint}?{query}"),
        None => endpoint.to_owned(),
    };
    let (path, query) = match back.split_once('?') {
        Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
        None => (back.clone(), None),
    };
    let kept: Vec<_> = field(&pairs, "_keep").split(' ').collect();
    let fields: Vec<_> = pairs
        .iter()
        .filter(|(key, value)| {
            !key.starts_with('_') && (!value.is_empty() || kept.contains(&key.as_str()))
        })
        .cloned()
        .collect();
    let mut visit = Visit::new(appliance, call, visitor, path, query);
    match visit.rest(method, &endpoint, &fields) {
        Ok(got) if got.body.get("ok") == Some(&Value::Bool(false)) => {
            let told = ["message", "remedy"].map(|name| got.body.get(name).and_then(Value::as_str));
            let told: Vec<_> = told.into_iter().flatten().collect();
            let refused = Refused {
                status: 200,
                message: told.join(": "),
            };
            refuse(&mut visit, pairs, refused)
        }
        Ok(got) => match got.body.get("token").and_then(Value::as_str) {
            Some(secret) => {
                let named = |name: &str| got.body.get(name).and_then(Value::as_str);
                let user = named("username").map(str::to_owned);
                let user = user.unwrap_or_else(|| visit.visitor.name());
                let shown = secret_page(
                    &mut visit,
                    named("name").unwrap_or_default(),
                    &user,
                    secret,
                    &back,
                );
                page(200, &layout::framed(&visit, &shown))
            }
            None => session::back_to(&visit, &back, &said(field(&pairs, "_done"), &got.body)),
        },
        Err(refused) => refuse(&mut visit, pairs, refused),
    }
}

/// The sentence with the fields of the answer that it names.
fn said(sentence: &str, answer: &Value) -> String {
    let fields = answer.as_object().into_iter().flatten();
    fields.fold(sentence.to_owned(), |said, (name, value)| match value {
        Value::String(text) => said.replace(&format!("{{{name}}}"), text),
        Value::Number(number) => said.replace(&format!("{{{name}}}"), &number.to_string()),
        _ => said,
    })
}

/// Shows the page again, with the form as it was filled in and why it was refused.
fn refuse(visit: &mut Visit<'_, '_>, pairs: Vec<(String, String)>, refused: Refused) -> Response {
    let form = field(&pairs, "_form").to_owned();
    visit.show(Some(Entered::new(form, pairs, refused)))
}

/// The only time that a secret is shown.
fn secret_page(
    visit: &mut Visit<'_, '_>,
    name: &str,
    user: &str,
    secret: &str,
    back: &str,
) -> Page {
    let url = visit.call.external_url(visit.appliance);
    let host = url.split_once("://").map_or(url.as_str(), |(_, host)| host);
    let body = html! {
        p { "Copy the token " strong { (name) } " now: only its digest is kept, so it cannot be shown again." }
        (parts::copied("The token", secret))
        (parts::copied("Log in with docker, and paste the token as the password", &format!("docker login --username {user} {host}")))
        p { a href=(back) { "I have copied it" } }
    };
    Page::new("Token made", body)
}
