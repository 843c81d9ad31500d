//! What stands around every page.

use std::sync::LazyLock;

use maud::{DOCTYPE, Markup, html};

use super::visit::{Refused, Visit};
use super::{Page, SCRIPT, STYLE, html as page, parts};
use crate::auth::secret::digest;
use crate::error::Error;
use crate::http::Response;
use crate::server::call::Call;
use crate::server::error;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Changes with the style and the script, which browsers keep for ever.
static STAMP: LazyLock<String> = LazyLock::new(|| {
    let bytes = digest(&[STYLE, SCRIPT].concat());
    let bytes = bytes.iter().take(6);
    bytes.map(|byte| format!("{byte:02x}")).collect()
});

/// Where the parts of the page are, and whether they are for administrators alone.
const NAVIGATION: &[(&str, &str, bool)] = &[
    ("/", "Overview", false),
    ("/images", "Images", false),
    ("/groups", "Groups", false),
    ("/projects", "Projects", false),
    ("/users", "Users", true),
    ("/tokens", "Tokens", false),
    ("/rules", "Rules", false),
    ("/upstreams", "Upstreams", true),
    ("/flags", "Flags", true),
    ("/webhooks", "Webhooks", true),
    ("/audit", "Audit", false),
    ("/start", "Getting started", false),
];

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) " · Breakwater" }
            link rel="stylesheet" href=(format!("/assets/style.css?{}", *STAMP));
            link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
            script src=(format!("/assets/script.js?{}", *STAMP)) defer {}
        }
    }
}

/// The page for somebody who is signed in.
pub(super) fn framed(visit: &Visit<'_, '_>, page: &Page) -> Markup {
    let is_administrator = visit.is_administrator();
    let shown = NAVIGATION
        .iter()
        .filter(|(.., administrators)| is_administrator || !administrators);
    let is_here = |path: &str| match path {
        "/" => visit.path == "/",
        // What was pushed has paths of its own.
        "/images" => ["/images", "/repositories"]
            .iter()
            .any(|path| visit.path.starts_with(path)),
        path => visit
            .path
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&page.title))
            body {
                a.skip href="#content" { "Skip to the content" }
                header {
                    a.brand href="/" { "Breakwater" }
                    nav aria-label="Parts of the page" {
                        ul {
                            @for (path, name, _) in shown {
                                li { a href=(path) aria-current=[is_here(path).then_some("page")] { (name) } }
                            }
                        }
                    }
                    div.account {
                        a href="/account" { (visit.visitor.name()) }
                        form method="post" action="/sign-out" {
                            input type="hidden" name="_csrf" value=(visit.visitor.form_value());
                            button.plain type="submit" { "Sign out" }
                        }
                    }
                }
                main #content tabindex="-1" {
                    @if let Some(done) = &visit.done {
                        p.done role="status" { (done) }
                    }
                    @if let Some((_, message)) = visit.refusal_of_any() {
                        p.refused role="alert" { (message) }
                    }
                    h1 { (page.title) }
                    (page.body)
                }
                footer { "Breakwater " (VERSION) }
            }
        }
    }
}

/// In the place of a page that somebody who is signed in may not see.
pub(super) fn refused(visit: &Visit<'_, '_>, refused: &Refused) -> Markup {
    let title = match refused.status {
        404 => "Nothing here",
        403 => "Not allowed",
        _ => "This went wrong",
    };
    let body = html! {
        p { (refused.message) }
        p { a href="/" { "To the first page" } }
    };
    framed(visit, &Page::new(title, body))
}

/// A page for somebody who is not signed in.
pub(super) fn bare(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body.bare {
                main #content {
                    p.brand { "Breakwater" }
                    h1 { (title) }
                    (body)
                }
            }
        }
    }
}

/// One sentence, and the way back.
pub(super) fn alone(status: u16, sentence: &str) -> Response {
    let body = html! {
        p.refused role="alert" { (sentence) }
        p { a href="/" { "To the first page" } }
    };
    page(status, &bare("This was not done", &body))
}

pub(super) fn failed(error: &Error, call: &mut Call<'_>) -> Response {
    call.note.why = Some(error.logged_why());
    let told = error::told(error, &call.id);
    let response = alone(told.status, &parts::capital(&told.message));
    match told.retry_after {
        Some(seconds) => response.header("Retry-After", seconds.to_string()),
        None => response,
    }
}
