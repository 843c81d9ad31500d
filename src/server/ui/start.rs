//! Getting started: the lines of each client, with the address of this box filled in.

use maud::html;

use super::parts;
use super::visit::Visit;
use super::{Page, Shown};
use crate::admin::{ClientSetup, GroupView};

/// The clients, by REST's word and by what people call them.
const CLIENTS: &[(&str, &str)] = &[
    ("docker", "docker"),
    ("containerd", "containerd, kubelet"),
    ("podman", "podman, skopeo, CRI-O"),
    ("buildkit", "BuildKit"),
    ("gitlab-ci", "GitLab CI"),
];

pub(super) fn show(visit: &mut Visit<'_, '_>) -> Shown {
    let asked = visit.query("client");
    let mut clients = CLIENTS.iter();
    let client = clients
        .find(|(word, _)| Some(*word) == asked.as_deref())
        .map_or("docker", |(word, _)| word);
    let groups: Vec<GroupView> = visit.get("/groups?per_page=50")?;
    let group = visit
        .query("group")
        .filter(|path| groups.iter().any(|group| group.full_path == *path));
    let group = group.or_else(|| groups.first().map(|group| group.full_path.clone()));
    let query = parts::encoded(group.as_deref().unwrap_or("GROUP"));
    let setup: ClientSetup = visit.get(&format!("/client_setups/{client}?group={query}"))?;
    let host = visit.host();
    let name = visit.visitor.name();
    let body = html! {
        nav aria-label="Clients" {
            ul.tabs {
                @for (word, shown) in CLIENTS {
                    li { a href=(visit.link(&[("client", word)])) aria-current=[(*word == client).then_some("page")] { (shown) } }
                }
            }
        }
        h2 { @if client == "gitlab-ci" { "In GitLab" } @else { "As a mirror: on the machine of the client, as root" } }
        @for note in &setup.notes { p.note { (parts::capital(note)) } }
        @for file in &setup.files {
            (parts::copied(&format!("Into {}", file.path), &file.text))
        }
        @if !setup.restart.is_empty() { (parts::copied("Then", &setup.restart)) }
        h2 { "Whether it works" }
        p { "On the machine of the client this says whether it can pull through the box, and if not, why. It needs no login and pulls nothing." }
        (parts::copied("Check", &setup.check))
        p { "A client pulls as a mirror without a login from networks that the box trusts; see " code { "breakwater help networks" } "." }
        @if let Some(group) = &group {
            h2 { "By the path of a group, with a login" }
            @if groups.len() > 1 {
                form.search {
                    input type="hidden" name="client" value=(client);
                    div {
                        label for="group" { "Group" }
                        select #group name="group" {
                            @for one in &groups { option value=(one.full_path) selected[one.full_path == *group] { (one.full_path) } }
                        }
                    }
                    button type="submit" { "Show" }
                }
            }
            p { "The password is a token with the scope " code { "read_virtual_registry" } ", or " code { "write_virtual_registry" } " if it is to fill the cache." }
            (parts::copied("Log in", &format!("docker login --username {name} {host}")))
            (parts::copied("Pull", &format!("docker pull {host}/{group}/dependency_proxy/containers/alpine:latest")))
        }
    };
    Ok(Page::new("Getting started", body))
}
