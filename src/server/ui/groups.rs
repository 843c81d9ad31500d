//! Groups.

use maud::html;

use super::parts::{self, Field};
use super::visit::Visit;
use super::{Page, Shown};
use crate::admin::{GroupView, MemberView};

pub(super) fn list(visit: &mut Visit<'_, '_>) -> Shown {
    let search = visit.query("search").unwrap_or_default();
    let query: String = form_urlencoded::byte_serialize(search.as_bytes()).collect();
    let groups = visit.list::<GroupView>(&format!("/groups?search={query}"))?;
    let body = html! {
        form.search role="search" {
            label for="search" { "Name" }
            input #search name="search" type="search" value=(search);
            button type="submit" { "Search" }
        }
        (parts::table(&["Group", "Visibility"], groups.entries.iter().map(|group| html! {
            td { a href=(format!("/groups/{}", group.id.0)) { (group.full_path) } }
            td { (<&str>::from(group.visibility)) }
        })))
        (parts::pager(visit, &groups))
        @if visit.is_administrator() {
            h2 { "New group" }
            (parts::form(visit, "add", ("POST", "/groups"), "The group was made.", &html! {
                (Field { form: "add", name: "path", label: "Name", help: "Small letters, digits, and - _ . in between", value: "", is_required: true }.input(visit, "text"))
                (Field { form: "add", name: "visibility", label: "Who may read it", help: "", value: "private", is_required: false }.select(visit, &[("private", "Members"), ("public", "Everybody who is let in")]))
                button type="submit" { "Make the group" }
            }))
        }
    };
    Ok(Page::new("Groups", body))
}

pub(super) fn show(visit: &mut Visit<'_, '_>) -> Shown {
    let id = visit.capture("id").to_owned();
    let group: GroupView = visit.get(&format!("/groups/{id}"))?;
    let members = visit.list::<MemberView>(&format!("/groups/{id}/members/all"))?;
    let body = html! {
        (parts::table(&["Member", "Level"], members.entries.iter().map(|member| html! {
            td { (member.username) }
            td { (<&str>::from(member.access_level)) }
        })))
        (parts::pager(visit, &members))
    };
    Ok(Page::new(group.full_path, body))
}
