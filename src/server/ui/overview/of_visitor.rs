//! What is theirs, for visitors who are no administrators.

use maud::html;

use crate::admin::{GroupView, ProjectView};
use crate::server::ui::parts;
use crate::server::ui::visit::Visit;
use crate::server::ui::{Page, Shown};

pub(super) fn show(visit: &mut Visit<'_, '_>) -> Shown {
    let groups = visit.list::<GroupView>("/groups?per_page=20")?;
    let projects = visit.list::<ProjectView>("/projects?per_page=20")?;
    let body = html! {
        p { a href="/start" { "Getting started" } ": how to log in, to pull through this box, and to push to it." }
        h2 { "Groups" }
        @match groups.entries.is_empty() {
            true => p.empty { "You are a member of no group yet: ask whoever runs this box to add you." },
            false => {
                (parts::table(&["Group", "Visibility"], groups.entries.iter().map(|group| html! {
                    td { a href=(format!("/groups/{}", group.id.0)) { (group.full_path) } }
                    td { (<&str>::from(group.visibility)) }
                })))
                @if groups.more { p { a href="/groups" { "All groups" } } }
            }
        }
        h2 { "Projects" }
        @match projects.entries.is_empty() {
            true => p.empty { "There is no project yet that you may see: images are pushed to projects." },
            false => {
                (parts::table(&["Project", "Pushed images"], projects.entries.iter().map(|project| html! {
                    td { a href=(format!("/projects/{}", project.id.0)) { (project.path_with_namespace) } }
                    td { a href=(format!("/repositories?project={}", project.id.0)) { "Images of " (project.path_with_namespace) } }
                })))
                @if projects.more { p { a href="/projects" { "All projects" } } }
            }
        }
    };
    Ok(Page::new("Overview", body))
}
