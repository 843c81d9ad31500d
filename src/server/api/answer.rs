//! Answers in GitLab's forms: objects, pages with their header fields, and what a failure says.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::ask::Ask;
use crate::admin::Operation;
use crate::error::{Error, Kind};
use crate::http::Response;
use crate::server::error;
use crate::store::{Page, Window};

pub(super) type Answer = Result<Response, Failure>;

/// How many entries a page has where the caller does not say, and how many it may have.
const PAGE: (u64, u64) = (20, 100);
/// How far behind the beginning of its list a page may start, because skipped rows take time too. GitLab has the same
/// bound.
const MAX_OFFSET: u64 = 100_000;

pub(super) enum Failure {
    Known(u16, Box<Told>),
    /// 405, with the methods that there are.
    NoSuchMethod(String),
    /// An error of a room below.
    Of(Error),
}

/// What a failure says.
#[derive(Default, Serialize, JsonSchema)]
#[schemars(rename = "Failure")]
pub(super) struct Told {
    /// A sentence, or sentences by field
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schemars(extend("oneOf" = [{ "type": "string" }, { "type": "object" }]))]
    message: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    error_description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    scope: Option<String>,
}

/// The body of a success that has nothing else to tell.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    message: String,
}

impl Message {
    pub(super) fn new(text: &str) -> Self {
        Self {
            message: text.to_owned(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Of(error)
    }
}

impl Failure {
    fn known(status: u16, told: Told) -> Self {
        Self::Known(status, Box::new(told))
    }

    /// `{"message": …}`.
    pub(super) fn message(status: u16, message: impl Into<Value>) -> Self {
        let told = Told {
            message: message.into(),
            ..Told::default()
        };
        Self::known(status, told)
    }

    /// `{"error": …}`.
    pub(super) fn error(status: u16, text: &str) -> Self {
        let told = Told {
            error: Some(text.to_owned()),
            ..Told::default()
        };
        Self::known(status, told)
    }

    /// Fields that are missing or of the wrong type.
    pub(super) fn parameters(text: &str) -> Self {
        Self::error(400, text)
    }

    /// A field whose value is not acceptable.
    pub(super) fn invalid(field: &str, why: impl Into<String>) -> Self {
        Self::message(400, json!({ field: [why.into()] }))
    }

    pub(super) fn unauthorized() -> Self {
        Self::message(401, "401 Unauthorized")
    }

    /// For a token that is not valid any more (RFC 6750, section 3.1).
    pub(super) fn invalid_token(description: &str) -> Self {
        let told = Told {
            error: Some("invalid_token".to_owned()),
            error_description: Some(description.to_owned()),
            ..Told::default()
        };
        Self::known(401, told)
    }

    /// For a token that lacks the scope (RFC 6750, section 3.1).
    pub(super) fn insufficient_scope(scopes: &str) -> Self {
        let why = "The request requires higher privileges than provided by the access token.";
        let told = Told {
            error: Some("insufficient_scope".to_owned()),
            error_description: Some(why.to_owned()),
            scope: Some(scopes.to_owned()),
            ..Told::default()
        };
        Self::known(403, told)
    }

    pub(super) fn forbidden() -> Self {
        Self::message(403, "403 Forbidden")
    }

    pub(super) fn forbidden_because(why: &str) -> Self {
        Self::message(403, format!("403 Forbidden - {why}"))
    }

    /// For what does not exist and for what the caller may not see: both get the same bytes.
    pub(super) fn not_found(noun: &str) -> Self {
        Self::message(404, format!("404 {noun} Not Found"))
    }

    /// The same failure; a 404 names this noun.
    pub(super) fn about(self, noun: &str) -> Self {
        match self {
            Self::Known(404, _) => Self::not_found(noun),
            other => other,
        }
    }

    pub(super) fn no_such_path() -> Self {
        Self::error(404, "404 Not Found")
    }

    /// What the log has as the reason.
    pub(super) fn why(&self) -> String {
        match self {
            Self::Known(_, told) => {
                let said = [&told.error, &told.error_description];
                let message = match &told.message {
                    Value::Null => None,
                    Value::String(text) => Some(text.clone()),
                    fields => Some(fields.to_string()),
                };
                let said = said.into_iter().flatten().cloned().chain(message);
                said.collect::<Vec<_>>().join(": ")
            }
            Self::NoSuchMethod(_) => "the path has no such method".to_owned(),
            Self::Of(error) => error.logged_why(),
        }
    }

    /// A method that the path does not have.
    pub(super) fn no_such_method(allowed: String) -> Self {
        Self::NoSuchMethod(allowed)
    }

    pub(super) fn response(&self, request_id: &str) -> Response {
        match self {
            Self::Known(status, told) => error::json_body(Response::new(*status), &json!(told)),
            Self::NoSuchMethod(allowed) => {
                let body = json!({ "error": "405 Not Allowed" });
                error::json_body(Response::new(405).header("Allow", allowed.as_str()), &body)
            }
            Self::Of(error) => of_error(error, request_id),
        }
    }
}

fn of_error(error: &Error, request_id: &str) -> Response {
    let known = error.subject().and_then(|subject| match error.kind() {
        Kind::NotFound => Some(Failure::not_found(subject)),
        Kind::Usage | Kind::BadRequest | Kind::NameInvalid | Kind::Conflict => {
            Some(Failure::invalid(subject, error.to_string()))
        }
        _ => None,
    });
    if let Some(failure) = known {
        return failure.response(request_id);
    }
    let told = error::told(error, request_id);
    // Wrong usage of a command is a bad request here.
    let (status, message) = match error.kind() {
        Kind::Usage | Kind::NameInvalid | Kind::BadRequest => {
            (400, format!("400 Bad request - {error}"))
        }
        Kind::NotFound => (404, "404 Not found".to_owned()),
        _ => (told.status, told.message),
    };
    let response = error::json_body(Response::new(status), &json!({ "message": message }));
    match told.retry_after {
        Some(seconds) => response.header("Retry-After", seconds.to_string()),
        None => response,
    }
}

pub(super) fn object(status: u16, value: &Value) -> Answer {
    Ok(error::json_body(Response::new(status), value))
}

pub(super) fn nothing() -> Answer {
    Ok(Response::new(204))
}

/// For what is done after the answer, or what GitLab answers in that way.
pub(super) fn accepted() -> Answer {
    object(202, &json!(Message::new("202 Accepted")))
}

/// The page that the caller asks for: `read` gets it from the database, `view` shows each entry of it. With GitLab's
/// header fields for pagination: of more than 10,000 entries it does not tell how many there are.
pub(super) fn page<T, V: Serialize>(
    ask: &Ask<'_, '_>,
    read: impl FnOnce(Window) -> Result<Page<T>, Error>,
    view: impl Fn(T) -> Result<V, Failure>,
) -> Answer {
    let position = Position::of(ask)?;
    let found = read(position.window()?)?.try_map(view)?;
    Ok(paged(ask, position, &found.map(|view| json!(view))))
}

/// What the operation gives.
pub(super) fn one<O: Operation>(ask: &mut Ask<'_, '_>) -> Answer {
    object(ask.status(), &json!(ask.perform(ask.request::<O>()?)?))
}

/// The page that the operation gives.
pub(super) fn page_of<V: Serialize, O: Operation<View = Page<V>>>(ask: &mut Ask<'_, '_>) -> Answer {
    let request = ask.request::<O>()?;
    show_page(ask, request)
}

/// The page that the request gives.
pub(super) fn show_page<V: Serialize, O: Operation<View = Page<V>>>(
    ask: &Ask<'_, '_>,
    request: O,
) -> Answer {
    let found = ask.perform(request)?;
    let entries = found.map(|view| json!(view));
    Ok(paged(ask, Position::of(ask)?, &entries))
}

/// Nothing, when the operation is done.
pub(super) fn none<O: Operation>(ask: &mut Ask<'_, '_>) -> Answer {
    ask.perform(ask.request::<O>()?)?;
    nothing()
}

/// Where the page that is asked for lies in its list.
#[derive(Clone, Copy)]
pub(super) struct Position {
    page: u64,
    per_page: u64,
}

impl Position {
    pub(super) fn of(ask: &Ask<'_, '_>) -> Result<Self, Failure> {
        Ok(Self {
            page: number(ask, "page", 1)?,
            per_page: number(ask, "per_page", PAGE.0)?.min(PAGE.1),
        })
    }

    pub(super) fn window(self) -> Result<Window, Failure> {
        let count = self.per_page;
        let offset = self.page.saturating_sub(1).saturating_mul(count);
        match offset > MAX_OFFSET {
            true => Err(Failure::error(405, &beyond_offset())),
            false => Ok(Window { offset, count }),
        }
    }
}

fn paged(ask: &Ask<'_, '_>, position: Position, found: &Page<Value>) -> Response {
    let Position { page, per_page } = position;
    let pages = found.total.map(|total| total.div_ceil(per_page).max(1));
    let next = page.checked_add(1).filter(|_| found.more);
    let previous = page.checked_sub(1).filter(|&previous| previous > 0);
    let links = [
        (previous, "prev"),
        (next, "next"),
        (Some(1), "first"),
        (pages, "last"),
    ];
    let links: Vec<_> = links
        .into_iter()
        .filter_map(|(page, rel)| Some(format!("<{}>; rel=\"{rel}\"", link(ask, page?, per_page))))
        .collect();
    let shown = |page: Option<u64>| page.map(|page| page.to_string()).unwrap_or_default();
    let mut response = Response::new(200)
        .header("X-Page", page.to_string())
        .header("X-Per-Page", per_page.to_string())
        .header("X-Next-Page", shown(next))
        .header("X-Prev-Page", shown(previous))
        .header("Link", links.join(", "));
    if let (Some(total), Some(pages)) = (found.total, pages) {
        response = response
            .header("X-Total", total.to_string())
            .header("X-Total-Pages", pages.to_string());
    }
    error::json_body(response, &json!(found.entries))
}

/// A number above zero from the query.
fn number(ask: &Ask<'_, '_>, name: &str, default: u64) -> Result<u64, Failure> {
    let text = ask.call.query(name);
    let number = match text.as_deref() {
        None | Some("") => return Ok(default),
        Some(text) => text
            .parse::<i64>()
            .map_err(|_| Failure::parameters(&format!("{name} is invalid")))?,
    };
    u64::try_from(number)
        .ok()
        .filter(|&number| number > 0)
        .ok_or_else(|| Failure::parameters(&format!("{name} does not have a valid value")))
}

fn beyond_offset() -> String {
    format!(
        "Offset pagination has a maximum allowed offset of {MAX_OFFSET}: narrow the list by its filters."
    )
}

/// The URL of another page of the same list. Secrets in the query are left out.
fn link(ask: &Ask<'_, '_>, page: u64, per_page: u64) -> String {
    let own = [
        "page",
        "per_page",
        "private_token",
        "access_token",
        "job_token",
    ];
    let query = ask.call.request.query.as_deref().unwrap_or_default();
    let kept = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| !own.contains(&&**key));
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    pairs
        .extend_pairs(kept)
        .append_pair("page", &page.to_string())
        .append_pair("per_page", &per_page.to_string());
    let (url, path) = (ask.call.external_url(ask.appliance), &ask.call.request.path);
    format!("{url}{path}?{}", pairs.finish())
}
