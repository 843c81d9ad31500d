//! The operator's page: HTML that is made here, without a build step, and works without scripts.
//!
//! It is an adapter of the REST API. Whatever a page shows it asks `api` for, as the one who is signed in, and every form
//! names the REST endpoint that it is about; so nobody sees or does more here than there, and no right is judged in this
//! room.
//!
//! - here: which path is which page, and the headers of every answer.
//! - `session`: signing in and out, and who somebody is by the cookie.
//! - `visit`: what a page is made from. `act`: what forms do.
//! - `layout`, `parts`: what pages are made of. The other files: one for each part of the page.

mod act;
mod audit;
mod flags;
mod groups;
mod images;
mod layout;
mod members;
mod overview;
mod parts;
mod places;
mod projects;
mod rules;
mod session;
mod start;
mod tokens;
mod upstreams;
mod users;
mod visit;
mod webhooks;

use maud::Markup;

use super::Appliance;
use super::call::Call;
use crate::http::{Body, Method, Response};
use visit::{Refused, Visit};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
const ICON: &str = include_str!("icon.svg");

/// Nothing is loaded from elsewhere, nothing in the text of a page is a script or a style, and no other site may frame
/// it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// A page without its frame.
struct Page {
    title: String,
    body: Markup,
}

impl Page {
    fn new(title: impl Into<String>, body: Markup) -> Self {
        Self {
            title: title.into(),
            body,
        }
    }
}

type Shown = Result<Page, Refused>;
type Handler = fn(&mut Visit<'_, '_>) -> Shown;

/// The pages; `:name` stands for one segment.
const PAGES: &[(&str, Handler)] = &[
    ("/", overview::show),
    ("/groups", groups::list),
    ("/groups/:id", groups::show),
    ("/groups/:id/webhooks", webhooks::of_group),
    ("/groups/:id/upstreams", upstreams::of_group),
    ("/webhooks", webhooks::of_box),
    ("/upstreams", upstreams::of_box),
    ("/flags", flags::list),
    ("/audit", audit::list),
    ("/start", start::show),
    ("/groups/:id/members", members::of_group),
    ("/groups/:id/tokens", tokens::of_group),
    ("/groups/:id/rules", rules::of_group),
    ("/groups/:id/settings", groups::settings),
    ("/projects", projects::list),
    ("/projects/:id", projects::show),
    ("/projects/:id/members", members::of_project),
    ("/projects/:id/tokens", tokens::of_project),
    ("/projects/:id/rules", rules::of_project),
    ("/projects/:id/settings", projects::settings),
    ("/users", users::list),
    ("/users/:id", users::show),
    ("/tokens", tokens::own),
    ("/rules", rules::list),
    ("/account", users::account),
    ("/sessions", session::list),
    ("/images", images::list),
    ("/images/show", images::show),
    ("/images/next", images::next),
    ("/images/pins", images::pins),
    ("/images/purge", images::purge),
    ("/repositories", images::repositories),
    ("/repositories/:id", images::repository),
    ("/repositories/:id/tags/:tag", images::tag),
];

/// Whether a path is one of the page's.
pub(super) fn has(path: &str) -> bool {
    let own = ["sign-in", "sign-out", "act", "assets"];
    let first = |path: &str| path.split('/').nth(1).unwrap_or_default().to_owned();
    match first(path) {
        asked if asked.is_empty() => path == "/",
        asked => {
            own.contains(&asked.as_str()) || PAGES.iter().any(|(path, _)| first(path) == asked)
        }
    }
}

/// The page of a path, and what its names stand for.
fn find(path: &str) -> Option<(Handler, Vec<(&'static str, String)>)> {
    let segments: Vec<_> = path.split('/').skip(1).collect();
    PAGES.iter().find_map(|(pattern, handler)| {
        let parts: Vec<_> = pattern.split('/').skip(1).collect();
        if parts.len() != segments.len() {
            return None;
        }
        let mut captures = Vec::new();
        for (part, segment) in parts.into_iter().zip(&segments) {
            match part.strip_prefix(':') {
                Some(name) => captures.push((name, (*segment).to_owned())),
                None if part == *segment => {}
                None => return None,
            }
        }
        Some((*handler, captures))
    })
}

pub(super) fn answer(appliance: &Appliance, call: &mut Call<'_>) -> Response {
    let path = call.request.path.clone();
    if let Some(asset) = asset(&path) {
        return secured(asset);
    }
    let response = match (call.request.method.clone(), path.as_str()) {
        (Method::Get | Method::Head, "/sign-in") => session::show(appliance, call),
        (Method::Post, "/sign-in") => session::sign_in(appliance, call),
        (Method::Post, "/sign-out") => session::sign_out(appliance, call),
        (Method::Get | Method::Head, _) => show(appliance, call),
        (Method::Post, _) => match path.strip_prefix("/act") {
            Some(endpoint) if endpoint.starts_with('/') => act::act(appliance, call, endpoint),
            _ => layout::alone(404, "There is no such form."),
        },
        _ => Response::new(405).header("Allow", "GET, HEAD, POST"),
    };
    secured(response.header("Cache-Control", "no-store"))
}

/// A page for whoever is signed in; for the script that shows a part of it anew, little more than that part.
fn show(appliance: &Appliance, call: &mut Call<'_>) -> Response {
    let refreshed = session::refreshed(call);
    match session::visitor(appliance, call) {
        Ok(Some(visitor)) => {
            let (path, query) = (call.request.path.clone(), call.request.query.clone());
            // What a form did is for the page that it leads to.
            let done = match refreshed {
                Some(_) => None,
                None => session::take_done(call),
            };
            let mut visit = Visit::new(appliance, call, visitor, path, query);
            visit.refreshed = refreshed;
            visit.done = done.clone();
            let response = visit.show(None);
            match done {
                Some(_) => response.header("Set-Cookie", session::forget_done()),
                None => response,
            }
        }
        // The script then loads the page again, which leads to the form.
        Ok(None) if refreshed.is_some() => layout::alone(401, "You are not signed in any more."),
        Ok(None) => session::to_sign_in(call),
        Err(error) => layout::failed(&error, call),
    }
}

fn asset(path: &str) -> Option<Response> {
    let (kind, text) = match path.strip_prefix("/assets/")? {
        "style.css" => ("text/css; charset=utf-8", STYLE),
        "script.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return None,
    };
    // The pages name them with a stamp of what they hold, but for the icon, which browsers may keep for a day.
    let kept = match path {
        "/assets/icon.svg" => "public, max-age=86400",
        _ => "public, max-age=31536000, immutable",
    };
    let response = Response::new(200)
        .header("Content-Type", kind)
        .header("Cache-Control", kept);
    Some(response.body(Body::Bytes(text.as_bytes().into())))
}

fn secured(response: Response) -> Response {
    response
        .header("Content-Security-Policy", POLICY)
        .header("X-Frame-Options", "DENY")
        .header("X-Content-Type-Options", "nosniff")
        .header("Referrer-Policy", "same-origin")
        .header("Cross-Origin-Opener-Policy", "same-origin")
        .header("Cross-Origin-Resource-Policy", "same-origin")
}

fn html(status: u16, markup: &Markup) -> Response {
    Response::new(status)
        .header("Content-Type", "text/html; charset=utf-8")
        .body(Body::Bytes(markup.0.as_bytes().into()))
}
