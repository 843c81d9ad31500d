//! What a page is made from: who looks, at what, and what REST answers them.

use std::io::Read as _;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::session::Visitor;
use super::{find, html, layout};
use crate::auth::policy::administration;
use crate::http::{Body, Headers, Method, Request, RequestBody, Response};
use crate::server::call::{Call, Note};
use crate::server::{Appliance, api};

/// The largest form that is read.
const MAX_FORM: u64 = 64 * 1024;

/// What REST refused, or what is not there.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) message: String,
}

impl Refused {
    pub(super) fn not_found() -> Self {
        Self {
            status: 404,
            message: "There is nothing here that you may see.".to_owned(),
        }
    }

    /// For a page of which nothing would be offered.
    pub(super) fn forbidden() -> Self {
        Self {
            status: 403,
            message: "You may not do this.".to_owned(),
        }
    }
}

/// A list's page, as REST gave it.
pub(super) struct Listed<V> {
    pub(super) entries: Vec<V>,
    /// Of all pages; not told of very long lists.
    pub(super) total: Option<u64>,
    pub(super) page: u64,
    pub(super) more: bool,
}

/// A form that was refused, so that it is shown again as it was filled in.
pub(super) struct Entered {
    /// Which form of the page it was.
    pub(super) form: String,
    pub(super) pairs: Vec<(String, String)>,
    pub(super) refused: Refused,
}

pub(super) struct Visit<'a, 'r> {
    pub(super) appliance: &'a Appliance,
    pub(super) call: &'a mut Call<'r>,
    pub(super) visitor: Visitor,
    /// Of the page that is shown, which another one was asked for where a form was refused.
    pub(super) path: String,
    query: Option<String>,
    captures: Vec<(&'static str, String)>,
    entered: Option<Entered>,
    /// What the form before did, in a sentence.
    pub(super) done: Option<String>,
    /// The part of the page that its script shows anew; `None` where somebody asks for the page.
    pub(super) refreshed: Option<String>,
}

/// What REST answers.
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) body: Value,
    total: Option<u64>,
    more: bool,
}

impl<'a, 'r> Visit<'a, 'r> {
    pub(super) fn new(
        appliance: &'a Appliance,
        call: &'a mut Call<'r>,
        visitor: Visitor,
        path: String,
        query: Option<String>,
    ) -> Self {
        Self {
            appliance,
            call,
            visitor,
            path,
            query,
            captures: Vec::new(),
            entered: None,
            done: None,
            refreshed: None,
        }
    }

    /// The page of the visit's path, in its frame; with a form that was refused, if one was: then its status is that of
    /// the answer, also where the page may not be seen.
    pub(super) fn show(&mut self, entered: Option<Entered>) -> Response {
        let status = entered.as_ref().map(|entered| entered.refused.status);
        self.entered = entered;
        let shown = match find(&self.path) {
            Some((handler, captures)) => {
                self.captures = captures;
                handler(self)
            }
            None => Err(Refused::not_found()),
        };
        match shown {
            Ok(page) if self.refreshed.is_some() => html(200, &page.body),
            Ok(page) => html(status.unwrap_or(200), &layout::framed(self, &page)),
            Err(refused) => html(
                status.unwrap_or(refused.status),
                &layout::refused(self, &refused),
            ),
        }
    }

    /// What a name of the page's path stands for.
    pub(super) fn capture(&self, name: &str) -> &str {
        let mut captures = self.captures.iter();
        let found = captures.find(|(known, _)| *known == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// A parameter of the page's query; `None` where it is empty.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        let query = self.query.as_deref().unwrap_or_default();
        form_urlencoded::parse(query.as_bytes())
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.into_owned())
    }

    /// The same page with other parameters of its query; an empty value takes one away.
    pub(super) fn link(&self, changes: &[(&str, &str)]) -> String {
        let query = self.query.as_deref().unwrap_or_default();
        let mut pairs = form_urlencoded::Serializer::new(String::new());
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            if !changes.iter().any(|(changed, _)| *changed == key) {
                pairs.append_pair(&key, &value);
            }
        }
        for (key, value) in changes.iter().filter(|(_, value)| !value.is_empty()) {
            pairs.append_pair(key, value);
        }
        match pairs.finish() {
            query if query.is_empty() => self.path.clone(),
            query => format!("{}?{query}", self.path),
        }
    }

    /// This box as docker names it.
    pub(super) fn host(&self) -> String {
        self.call.external_host(self.appliance)
    }

    /// Decides only what is offered: what may be seen or done is decided by REST.
    pub(super) fn is_administrator(&self) -> bool {
        administration::is_administrator(&self.visitor.identity.principal)
    }

    /// The form that was refused, if it is this one.
    fn entered(&self, form: &str) -> Option<&Entered> {
        self.entered.as_ref().filter(|entered| entered.form == form)
    }

    /// Why the form was refused.
    pub(super) fn refusal(&self, form: &str) -> Option<&str> {
        let entered = self.entered(form)?;
        Some(&entered.refused.message)
    }

    /// Why a form was refused that the page does not show any more.
    pub(super) fn refusal_of_any(&self) -> Option<(&str, &str)> {
        let entered = self.entered.as_ref()?;
        Some((&entered.form, &entered.refused.message))
    }

    /// What was filled in, where the form was refused.
    pub(super) fn filled(&self, form: &str, name: &str) -> Option<&str> {
        let mut pairs = self.entered(form)?.pairs.iter();
        let found = pairs.rfind(|(key, _)| key == name);
        Some(found.map_or("", |(_, value)| value))
    }

    /// Whether a box with this value was ticked; `None` where the form was not refused.
    pub(super) fn ticked(&self, form: &str, name: &str, value: &str) -> Option<bool> {
        let mut pairs = self.entered(form)?.pairs.iter();
        Some(pairs.any(|(key, filled)| key == name && filled == value))
    }

    /// What REST answers to a GET of the path below `/api/v4`, with its query.
    ///
    /// # Errors
    /// What REST refuses.
    pub(super) fn get<V: DeserializeOwned>(&mut self, path: &str) -> Result<V, Refused> {
        let got = self.rest(Method::Get, path, &[])?;
        typed(got.body)
    }

    /// The same; `None` for what the visitor may not see, or what is not there.
    ///
    /// # Errors
    /// What REST refuses for another reason.
    pub(super) fn may_get<V: DeserializeOwned>(
        &mut self,
        path: &str,
    ) -> Result<Option<V>, Refused> {
        match self.get(path) {
            Ok(view) => Ok(Some(view)),
            Err(refused) if matches!(refused.status, 403 | 404) => Ok(None),
            Err(refused) => Err(refused),
        }
    }

    /// The page of a list that the visitor looks at (`?page=`).
    ///
    /// # Errors
    /// What REST refuses.
    pub(super) fn list<V: DeserializeOwned>(&mut self, path: &str) -> Result<Listed<V>, Refused> {
        let page = self.query("page").and_then(|page| page.parse().ok());
        let page: u64 = page.unwrap_or(1).max(1);
        let separator = if path.contains('?') { '&' } else { '?' };
        let got = self.rest(Method::Get, &format!("{path}{separator}page={page}"), &[])?;
        Ok(Listed {
            total: got.total,
            page,
            more: got.more,
            entries: typed(got.body)?,
        })
    }

    /// What REST answers to another method: for what changes nothing, as a dry run.
    ///
    /// # Errors
    /// What REST refuses.
    pub(super) fn ask<V: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        form: &[(&str, &str)],
    ) -> Result<V, Refused> {
        let form = form.iter();
        let form: Vec<_> = form
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        typed(self.rest(method, path, &form)?.body)
    }

    /// Asks REST in the visitor's name.
    ///
    /// # Errors
    /// What it refuses.
    pub(super) fn rest(
        &mut self,
        method: Method,
        path: &str,
        form: &[(String, String)],
    ) -> Result<Got, Refused> {
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (path, None),
        };
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(form);
        let outer = &*self.call.request;
        let forwarded = ["X-Forwarded-Proto", "X-Forwarded-Host"];
        let forwarded = forwarded.into_iter().filter_map(|name| {
            let value = outer.headers.get(name)?;
            Some((name, value))
        });
        let kind = ("Content-Type", "application/x-www-form-urlencoded");
        let mut request = Request {
            method,
            path: format!("{}{path}", api::ROOT),
            query,
            headers: forwarded.chain([kind]).collect::<Headers>(),
            host: outer.host.clone(),
            peer: outer.peer,
            scheme: outer.scheme,
            is_http_1_0: false,
            body: RequestBody::from(body.finish().into_bytes()),
        };
        let mut call = Call {
            request: &mut request,
            id: self.call.id.clone(),
            address: self.call.address,
            now: self.call.now,
            note: Note::default(),
        };
        let identity = self.visitor.identity.clone();
        let response = api::answer_to(self.appliance, &mut call, Some(identity));
        let why = call.note.why;
        let got = Got {
            status: response.status,
            total: number(&response, "X-Total"),
            more: number(&response, "X-Next-Page").is_some(),
            body: json(response.body),
        };
        if got.status < 400 {
            return Ok(got);
        }
        self.call.note.why = why;
        Err(Refused {
            status: got.status,
            message: sentence(&got.body),
        })
    }
}

fn number(response: &Response, name: &str) -> Option<u64> {
    response.get(name)?.parse().ok()
}

fn json(body: Body) -> Value {
    match body {
        Body::Bytes(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
        _ => Value::Null,
    }
}

fn typed<V: DeserializeOwned>(body: Value) -> Result<V, Refused> {
    serde_json::from_value(body).map_err(|error| {
        tracing::error!("an answer of the REST API is not what the page takes it for: {error}");
        Refused {
            status: 500,
            message: "This page cannot be shown: the log of the box says why.".to_owned(),
        }
    })
}

/// What a failure of REST says, as one sentence for people.
fn sentence(body: &Value) -> String {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let told = match body.get("message") {
        Some(Value::Object(fields)) => {
            let fields = fields.iter().map(|(field, sentences)| {
                let sentences = sentences.as_array().into_iter().flatten();
                let sentences: Vec<_> = sentences.filter_map(Value::as_str).collect();
                format!("{field}: {}", sentences.join(", "))
            });
            fields.collect::<Vec<_>>().join("; ")
        }
        _ => match text("error_description").or(text("message")) {
            Some(text) => text.to_owned(),
            None => text("error").unwrap_or("It was refused.").to_owned(),
        },
    };
    // GitLab's clients want the status in the words.
    match told.as_str() {
        "403 Forbidden" => "You may not do this.".to_owned(),
        text if text.starts_with("404 ") => "There is nothing here that you may see.".to_owned(),
        text => {
            let text = text.strip_prefix("400 Bad request - ").unwrap_or(text);
            let text = text.strip_prefix("403 Forbidden - ").unwrap_or(text);
            text.to_owned()
        }
    }
}

/// The fields of a form that was posted.
///
/// # Errors
/// 400 for one that did not arrive, 413 for a large one.
pub(super) fn form(call: &mut Call<'_>) -> Result<Vec<(String, String)>, Refused> {
    let mut bytes = Vec::new();
    let read = (&mut call.request.body)
        .take(MAX_FORM.saturating_add(1))
        .read_to_end(&mut bytes);
    let refused = |status, message: &str| Refused {
        status,
        message: message.to_owned(),
    };
    read.map_err(|_| refused(400, "The form did not arrive."))?;
    if bytes.len() as u64 > MAX_FORM {
        return Err(refused(413, "The form is too large."));
    }
    Ok(form_urlencoded::parse(&bytes).into_owned().collect())
}

/// The last value of a field.
pub(super) fn field<'f>(pairs: &'f [(String, String)], name: &str) -> &'f str {
    let found = pairs.iter().rfind(|(key, _)| key == name);
    found.map_or("", |(_, value)| value)
}
