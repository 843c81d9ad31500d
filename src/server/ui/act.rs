//! What forms do: each names a REST endpoint (`/act/PATH`), which is asked in the name of whoever is signed in.
//!
//! Fields whose names begin with `_` are for this file: `_csrf`; `_method`, where it is not POST; `_back`, the page to
//! come back to; `_next`, the page to go to instead when it is done; `_done`, the sentence to say there; `_form`, which
//! form of the page it is. In `_next` and `_done`, `{name}` stands for that field of the answer. Fields that were left
//! empty are left out, but for those that `_keep` names; those that `_sizes` names hold sizes, such as 50 GB.

use serde_json::Value;

use super::Page;
use super::html as page;
use super::layout;
use super::session::{self, is_local};
use super::tokens;
use super::visit::{Entered, Refused, Visit, field, form};
use super::webhooks;
use crate::config::Size;
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
        "PATCH" => Method::Patch,
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
    let mut visit = Visit::new(appliance, call, visitor, path, query);
    let asked = fields(&pairs).and_then(|fields| visit.rest(method, &endpoint, &fields));
    match asked {
        Ok(got) if got.body.get("ok") == Some(&Value::Bool(false)) => {
            let told = ["message", "remedy"].map(|name| got.body.get(name).and_then(Value::as_str));
            let told: Vec<_> = told.into_iter().flatten().collect();
            let refused = Refused {
                status: 200,
                message: told.join(": "),
            };
            refuse(&mut visit, pairs, refused)
        }
        Ok(got) => match made(&mut visit, &endpoint, &got.body, &back) {
            Some(shown) => page(200, &layout::framed(&visit, &shown)),
            None => {
                let next = said(field(&pairs, "_next"), &got.body);
                let next = if is_local(&next) { next } else { back };
                session::back_to(&visit, &next, &said(field(&pairs, "_done"), &got.body))
            }
        },
        Err(refused) => refuse(&mut visit, pairs, refused),
    }
}

/// The only page that shows the secret of what was made, if it has one.
fn made(visit: &mut Visit<'_, '_>, endpoint: &str, answer: &Value, back: &str) -> Option<Page> {
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    match (text("token"), text("secret")) {
        (Some(token), _) => Some(tokens::made(visit, endpoint, answer, token, back)),
        (None, Some(secret)) => Some(webhooks::made(secret, back)),
        (None, None) => None,
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

/// What REST is given.
fn fields(pairs: &[(String, String)]) -> Result<Vec<(String, String)>, Refused> {
    let names = |of: &str| field(pairs, of).split(' ').collect::<Vec<_>>();
    let (kept, sizes) = (names("_keep"), names("_sizes"));
    let given = pairs.iter().filter(|(key, value)| {
        !key.starts_with('_') && (!value.is_empty() || kept.contains(&key.as_str()))
    });
    let given = given.map(|(key, value)| {
        if !sizes.contains(&key.as_str()) {
            return Ok((key.clone(), value.clone()));
        }
        match Size::parse(value) {
            Ok(Size::Bytes(bytes)) => Ok((key.clone(), bytes.to_string())),
            _ => Err(Refused {
                status: 400,
                message: format!("{key} is no size: write 50GB, 200GiB, or 0 for no limit."),
            }),
        }
    });
    given.collect()
}

/// Shows the page again, with the form as it was filled in and why it was refused.
fn refuse(visit: &mut Visit<'_, '_>, pairs: Vec<(String, String)>, refused: Refused) -> Response {
    let form = field(&pairs, "_form").to_owned();
    // The log and the audit tell why the form was refused, not what the page found out for itself.
    let why = visit.call.note.why.take();
    let response = visit.show(Some(Entered {
        form,
        pairs,
        refused,
    }));
    visit.call.note.why = why;
    response
}
