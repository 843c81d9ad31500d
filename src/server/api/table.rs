//! The routing table: for each method and path who may use it, its fields, the shape of its answer, and its handler.
//! Requests are checked by it, and the OpenAPI document is made from it. The file of each resource adds its rows.

use std::sync::LazyLock;

use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::answer::{self, Answer, Failure, Message, Told};
use super::ask::Ask;
use super::parameters::{self, Parameter};
use crate::admin::Operation;
use crate::http::Method;
use crate::schema;
use crate::store::{Level, Page};

#[derive(Clone, Copy)]
pub(super) struct Endpoint {
    /// `GET` answers HEAD too.
    pub(super) method: &'static str,
    /// Below `/api/v4`; `:name` stands for one segment. `:id` of groups and projects is a number or an encoded
    /// path; the others are numbers, unless [`TEXT_CAPTURES`] has them.
    pub(super) path: &'static str,
    /// Which scopes the token must have.
    pub(super) scope: Scope,
    pub(super) role: Role,
    /// The fields of its body or query; others are ignored.
    pub(super) parameters: &'static [Parameter],
    /// The status and shape of success.
    pub(super) gives: (u16, Shape),
    /// One line for the document.
    pub(super) summary: &'static str,
    /// Called when all of that is checked.
    pub(super) handler: fn(&mut Ask<'_, '_>) -> Answer,
}

/// Which scopes a token must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// No token at all is needed.
    Open,
    /// Any token that is valid, whatever its scopes: for what concerns the token itself.
    Valid,
    /// `read_api` or `api`.
    Read,
    /// `api`.
    Write,
    /// As `Write`; who comes with a token that was revoked already uses a secret that should be gone, so its successors
    /// end too.
    SelfRotation,
    /// As `Read`, or a job token.
    ReadOrJob,
    /// As `Write`, or a job token.
    WriteOrJob,
}

/// Who may use an endpoint. Hidden places are answered like missing ones before any level is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Everybody who has the scope; the operation decides what each of them may see and do.
    Anyone,
    /// Administrators of the box.
    Administrator,
    /// Who may see the group `:id` and has the level there, if one is named.
    Group(Option<Level>),
    /// Who may see the project `:id` and has the level there, if one is named.
    Project(Option<Level>),
}

/// A request without fields.
#[derive(JsonSchema)]
pub(super) struct Nothing {}

/// What success looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Nothing,
    /// One object of this schema.
    One(&'static str),
    /// A page of an array.
    Page(&'static str),
    /// A whole array.
    All(&'static str),
}

/// Captures that are no numbers.
pub(super) const TEXT_CAPTURES: &[&str] = &["name", "cidr", "tag_name"];

/// The endpoints, and the schemas of the views that they answer with.
#[derive(Default)]
pub(super) struct Table {
    endpoints: Vec<Endpoint>,
    /// By the names that [`Shape`]s have.
    pub(super) schemas: Map<String, Value>,
}

/// An endpoint that performs `O`: its fields come from the request's type, and the shape of its answer from the view.
/// Reading takes the scope `Read`, everything else `Write`; whoever wants it otherwise changes the row that is given
/// back.
impl Table {
    /// It answers with one view.
    pub(super) fn one<O: Operation<View: JsonSchema>>(
        &mut self,
        path: &str,
        role: Role,
        summary: &str,
    ) -> &mut Endpoint {
        let shape = Shape::One(self.view::<O::View>());
        self.row::<O>(path, role, summary, shape, answer::one::<O>)
    }

    /// It answers with a page of views.
    pub(super) fn page<V: Serialize + JsonSchema, O: Operation<View = Page<V>>>(
        &mut self,
        path: &str,
        role: Role,
        summary: &str,
    ) -> &mut Endpoint {
        let shape = Shape::Page(self.view::<V>());
        self.row::<O>(path, role, summary, shape, answer::page_of::<V, O>)
    }

    /// It answers with all views at once.
    pub(super) fn all<V: JsonSchema, O: Operation<View = Vec<V>>>(
        &mut self,
        path: &str,
        role: Role,
        summary: &str,
    ) -> &mut Endpoint {
        let shape = Shape::All(self.view::<V>());
        self.row::<O>(path, role, summary, shape, answer::one::<O>)
    }

    /// It answers with nothing.
    pub(super) fn nothing<O: Operation>(
        &mut self,
        path: &str,
        role: Role,
        summary: &str,
    ) -> &mut Endpoint {
        self.row::<O>(path, role, summary, Shape::Nothing, answer::none::<O>)
    }

    /// A row whose handler does it, with fields that come from the request's type.
    pub(super) fn row<R: JsonSchema>(
        &mut self,
        path: &str,
        role: Role,
        summary: &str,
        shape: Shape,
        handler: fn(&mut Ask<'_, '_>) -> Answer,
    ) -> &mut Endpoint {
        let (method, path) = path.split_once(' ').unwrap_or(("GET", path));
        let status = match (method, shape) {
            (_, Shape::Nothing) => 204,
            ("POST", _) => 201,
            _ => 200,
        };
        let endpoint = Endpoint {
            method: method.to_owned().leak(),
            path: path.to_owned().leak(),
            scope: match method {
                "GET" => Scope::Read,
                _ => Scope::Write,
            },
            role,
            parameters: parameters::of_request(&schema::of_request::<R>()),
            gives: (status, shape),
            summary: summary.to_owned().leak(),
            handler,
        };
        self.endpoints.push_mut(endpoint)
    }

    /// The name of a view, whose schema the document then has.
    pub(super) fn view<V: JsonSchema>(&mut self) -> &'static str {
        self.shape::<V>(&V::schema_name())
    }

    /// The same for a type that the document knows by another name.
    pub(super) fn shape<V: JsonSchema>(&mut self, name: &str) -> &'static str {
        self.schemas.insert(name.to_owned(), schema::of_view::<V>());
        name.to_owned().leak()
    }
}

/// The table, made once: names that are derived from types live as long as those that are written here.
pub(super) static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table::default();
    table.view::<Told>();
    table.view::<Message>();
    super::dependency_proxy::endpoints(&mut table);
    super::about::endpoints(&mut table);
    super::groups::endpoints(&mut table);
    super::members::endpoints(&mut table);
    super::networks::endpoints(&mut table);
    super::bans::endpoints(&mut table);
    super::features::endpoints(&mut table);
    super::upstreams::endpoints(&mut table);
    super::status::endpoints(&mut table);
    super::cache::endpoints(&mut table);
    super::bulk_deletion::endpoints(&mut table);
    super::tokens::endpoints(&mut table);
    super::protection::endpoints(&mut table);
    super::projects::endpoints(&mut table);
    super::users::endpoints(&mut table);
    super::sessions::endpoints(&mut table);
    super::clients::endpoints(&mut table);
    super::repositories::endpoints(&mut table);
    super::tags::endpoints(&mut table);
    super::audit_events::endpoints(&mut table);
    super::webhooks::endpoints(&mut table);
    table
});

/// All endpoints, resource by resource.
pub(super) fn all() -> impl Iterator<Item = &'static Endpoint> {
    TABLE.endpoints.iter()
}

/// Paths of requests that read: of each endpoint, without and with each of its fields.
#[cfg(test)]
pub(in crate::server) fn reading_requests() -> Vec<String> {
    use super::parameters::Type;
    let reading = all().filter(|endpoint| endpoint.method == "GET");
    let path = |endpoint: &Endpoint| {
        let place = match endpoint.role {
            Role::Project(_) => "/acme%2Fapp",
            Role::Group(_) => "/acme",
            _ => "/1",
        };
        let path = endpoint.path.replacen("/:id", place, 1);
        let path = path.replace(":tag_name", "latest");
        let path = path.replace("client_setups/:name", "client_setups/docker");
        let parts = path
            .split('/')
            .map(|part| if part.starts_with(':') { "1" } else { part });
        format!("/api/v4{}", parts.collect::<Vec<_>>().join("/"))
    };
    let value = |parameter: &Parameter| match parameter.kind {
        _ if parameter.name == "ip_address" => "127.0.0.1",
        Type::Integer | Type::Count | Type::IdOrText => "1",
        Type::Boolean => "true",
        Type::OneOf(words) => words.first().copied().unwrap_or_default(),
        Type::Level => "40",
        // A text that is also a moment.
        Type::Text | Type::TextList | Type::Moment | Type::Object(_) => "2026-01-01",
    };
    let mut requests = Vec::new();
    for endpoint in reading {
        let path = path(endpoint);
        let shown = |field: &Parameter| format!("{}={}", field.name, value(field));
        let (needed, others): (Vec<_>, Vec<_>) = endpoint
            .parameters
            .iter()
            .partition(|field| field.is_required);
        let needed: String = needed.into_iter().map(|field| shown(field) + "&").collect();
        requests.extend([
            format!("{path}?{needed}"),
            format!("{path}?{needed}page=2&per_page=1"),
        ]);
        requests.extend(
            others
                .iter()
                .map(|field| format!("{path}?{needed}{}", shown(field))),
        );
    }
    requests
}

/// The decoded segments that `:name`s stand for.
pub(super) type Captures = Vec<(&'static str, String)>;

/// The endpoint of a path below `/api/v4`, still encoded. Slashes that repeat or end it count for nothing:
/// GitLab's client library for Python asks for `/features//NAME`.
///
/// # Errors
/// 404 for a path that means nothing; 405 for a method that it does not have.
pub(super) fn find(method: &Method, path: &str) -> Result<(&'static Endpoint, Captures), Failure> {
    let segments: Option<Vec<String>> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| {
            let decoded = percent_decode_str(segment).decode_utf8().ok()?;
            Some(decoded.into_owned())
        })
        .collect();
    let segments = segments.ok_or_else(Failure::no_such_path)?;
    let mut matching: Vec<_> = all()
        .filter_map(|endpoint| Some((endpoint, captures(endpoint.path, &segments)?)))
        .collect();
    // `self` before `:id`.
    matching.sort_by_key(|(_, captures)| captures.len());
    let word = match method {
        Method::Head => "GET",
        other => other.as_str(),
    };
    let mut allowed: Vec<&str> = matching
        .iter()
        .map(|(endpoint, _)| endpoint.method)
        .collect();
    match matching
        .into_iter()
        .find(|(endpoint, _)| endpoint.method == word)
    {
        Some(found) => Ok(found),
        None if allowed.is_empty() => Err(Failure::no_such_path()),
        None => {
            allowed.sort_unstable();
            allowed.dedup();
            Err(Failure::no_such_method(allowed.join(", ")))
        }
    }
}

/// What `pattern` captures of the segments; `None` where it is another path.
fn captures(pattern: &'static str, segments: &[String]) -> Option<Captures> {
    let parts = || pattern.split('/').skip(1);
    if parts().count() != segments.len() {
        return None;
    }
    let mut captures = Captures::new();
    for (part, segment) in parts().zip(segments) {
        match part.strip_prefix(':') {
            Some(name) => captures.push((name, segment.clone())),
            None if part == segment => {}
            None => return None,
        }
    }
    Some(captures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_finds_its_endpoint() {
        let cases: &[(Method, &str, Result<(&str, &[&str]), u16>)] = &[
            (Method::Get, "/user", Ok(("/user", &[]))),
            (Method::Head, "/user/", Ok(("/user", &[]))),
            (Method::Get, "/groups/7", Ok(("/groups/:id", &["7"]))),
            (Method::Get, "/groups/a%2Fb", Ok(("/groups/:id", &["a/b"]))),
            (Method::Get, "/groups/a/b", Err(404)),
            (
                Method::Get,
                "/personal_access_tokens/self",
                Ok(("/personal_access_tokens/self", &[])),
            ),
            (
                Method::Get,
                "/personal_access_tokens/5",
                Ok(("/personal_access_tokens/:id", &["5"])),
            ),
            (Method::Put, "/user", Err(405)),
            (Method::Other("BREW".into()), "/user", Err(405)),
            (Method::Get, "/nothing", Err(404)),
            (Method::Get, "/groups/%ff", Err(404)),
            (Method::Get, "//groups//7/", Ok(("/groups/:id", &["7"]))),
            (Method::Get, "", Err(404)),
        ];
        for (method, path, expected) in cases {
            let found = find(method, path);
            match (found, expected) {
                (Ok((endpoint, captures)), Ok((pattern, values))) => {
                    assert_eq!(endpoint.path, *pattern, "{path}");
                    let captured: Vec<_> = captures.iter().map(|(_, v)| v.as_str()).collect();
                    assert_eq!(captured, *values, "{path}");
                }
                (Err(failure), Err(status)) => {
                    assert_eq!(failure.response("x").status, *status, "{method:?} {path}");
                }
                (found, _) => panic!("{method:?} {path}: {:?}", found.map(|(e, _)| e.path).ok()),
            }
        }
    }

    #[test]
    fn no_two_endpoints_are_the_same_and_changes_take_more_than_reading() {
        let mut seen = std::collections::HashSet::new();
        for endpoint in all() {
            let (method, path) = (endpoint.method, endpoint.path);
            assert!(seen.insert((method, path)), "{method} {path} twice");
            let reads = method == "GET";
            assert!(
                reads
                    || matches!(
                        endpoint.scope,
                        Scope::Write | Scope::SelfRotation | Scope::WriteOrJob | Scope::Valid
                    ),
                "{method} {path} changes something with {:?}",
                endpoint.scope
            );
            assert!(
                endpoint.scope != Scope::Valid || path.contains("/self"),
                "{method} {path} asks for no scope"
            );
            let placed = matches!(endpoint.role, Role::Group(_) | Role::Project(_));
            assert_eq!(
                placed,
                path.starts_with("/groups/:id") || path.starts_with("/projects/:id"),
                "{path}"
            );
        }
    }
}
