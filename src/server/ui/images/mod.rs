//! Images: what is kept of upstreams, for administrators, and what was pushed, for whoever may see it.

mod going;
mod kept;
mod parts;
mod pushed;
mod shown;

pub(super) use going::{next, pins, purge};
pub(super) use kept::list;
pub(super) use pushed::{repositories, repository, tag};
pub(super) use shown::show;

use maud::{Markup, html};

use super::visit::Visit;

/// The pages about images, for administrators; others have one alone.
const TABS: &[(&str, &str)] = &[
    ("/images", "From upstreams"),
    ("/repositories", "Pushed here"),
    ("/images/next", "What goes next"),
    ("/images/pins", "Pins"),
    ("/images/purge", "Purge"),
];

fn tabs(visit: &Visit<'_, '_>) -> Markup {
    html! {
        @if visit.is_administrator() {
            nav aria-label="Images" {
                ul.tabs {
                    @for (path, name) in TABS {
                        li { a href=(path) aria-current=[(visit.path == *path).then_some("page")] { (name) } }
                    }
                }
            }
        }
    }
}

/// The page of an image that is called so.
fn link(name: &str) -> String {
    format!("/images/show?image={}", super::parts::encoded(name))
}
