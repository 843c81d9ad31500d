//! Users, and one's own account.

use maud::{Markup, html};

use super::parts::{self, Field};
use super::visit::Visit;
use super::{Page, Shown, tokens};
use crate::admin::{UserState, UserView};

/// `/users`
pub(super) fn list(visit: &mut Visit<'_, '_>) -> Shown {
    let search = visit.query("search").unwrap_or_default();
    let query = parts::encoded(&search);
    let users = visit.list::<UserView>(&format!("/users?search={query}"))?;
    let rows = users.entries.iter().map(|user| {
        html! {
            td { a href=(format!("/users/{}", user.id.0)) { (user.username) } (badges(user)) }
            td { (kind(user)) }
            td { (parts::time(user.created_at)) }
        }
    });
    let body = html! {
        p { "A person signs in with a password, and makes personal tokens. A service account has no password, only tokens: it is for what no person does." }
        (parts::search("Part of the name", &search))
        (parts::table(&["User", "Kind", "Made"], rows))
        (parts::pager(visit, &users))
        @if visit.is_administrator() { (new(visit)) }
    };
    Ok(Page::new("Users", body))
}

fn badges(user: &UserView) -> Markup {
    html! {
        @if user.state == UserState::Blocked { " " span.badge.bad { "blocked" } }
        @if user.is_admin == Some(true) { " " span.badge { "administrator" } }
    }
}

fn kind(user: &UserView) -> &'static str {
    match user.bot {
        true => "Service account",
        false => "Person",
    }
}

fn new(visit: &Visit<'_, '_>) -> Markup {
    const FORM: &str = "new-user";
    const SERVICE: &str = "new-service-account";
    let field = |form, label, name, help| Field::of(form, name, label).help(help).required();
    let about_names = "Letters, digits, _ . and -, as it is typed at docker login.";
    let person = html! {
        (parts::hidden("_next", "/users/{id}"))
        (field(FORM, "User name", "username", about_names).input(visit, "text"))
        (field(FORM, "Password", "password", "8 to 256 bytes.").input(visit, "password"))
        (Field::of(FORM, "admin", "Administrator of this box").help("May do everything on this box.").value("false").tick(visit))
        button type="submit" { "Make the user" }
    };
    let service = html! {
        (parts::hidden("_next", "/users/{id}"))
        (parts::hidden("service", "true"))
        (field(SERVICE, "User name", "username", about_names).input(visit, "text"))
        button type="submit" { "Make the service account" }
    };
    html! {
        h2 { "New user" }
        (parts::form(visit, FORM, ("POST", "/users"), "The user was made.", &person))
        h2 { "New service account" }
        (parts::form(visit, SERVICE, ("POST", "/users"), "The service account was made.", &service))
    }
}

/// `/users/:id`
pub(super) fn show(visit: &mut Visit<'_, '_>) -> Shown {
    let path = format!("/users/{}", visit.capture("id"));
    let user: UserView = visit.get(&path)?;
    let path = format!("/users/{}", user.id.0);
    let administration = match visit.is_administrator() {
        true => Some(administration(visit, &user, &path)?),
        false => None,
    };
    let body = html! {
        dl {
            dt { "Kind" } dd { (kind(&user)) (badges(&user)) }
            dt { "Made" } dd { (parts::time(user.created_at)) }
        }
        @if let Some(administration) = administration { (administration) }
    };
    Ok(Page::new(user.username, body))
}

fn administration(
    visit: &mut Visit<'_, '_>,
    user: &UserView,
    path: &str,
) -> Result<Markup, super::visit::Refused> {
    let tokens = tokens::personal(visit, user)?;
    let own = visit.visitor.identity.principal.user();
    let is_own = own.is_some_and(|own| own.id == user.id);
    let (block, unblock) = (format!("{path}/block"), format!("{path}/unblock"));
    let name = &user.username;
    let blocked = format!(
        "{name} is let in nowhere from the next request on: not with the password, not with a token, not on this page. Memberships and tokens stay, and count again when {name} is unblocked."
    );
    let removed = format!(
        "{name} goes for good, with memberships and tokens: whatever logs in with one of them is refused from its next request on. What {name} pushed stays."
    );
    let removal = html! { (parts::hidden("_next", "/users")) p { (removed) } };
    Ok(html! {
        h2 { "Personal tokens" }
        (tokens)
        (tokens::new_for_user(visit, user))
        @if !user.bot { h2 { "Password" } (password(visit, path, is_own)) }
        @if !is_own {
            h2 { "Blocking and removal" }
            @match user.state {
                UserState::Active => (parts::confirmed(visit, ("POST", &block), "Block", &blocked, "The user is blocked.")),
                UserState::Blocked => (parts::button(visit, "POST", &unblock, "Unblock", "The user is let in again.")),
            }
            (parts::confirmed_with(visit, ("DELETE", path), "Remove the user", &removal, "The user was removed."))
        }
    })
}

fn password(visit: &Visit<'_, '_>, path: &str, is_own: bool) -> Markup {
    const FORM: &str = "password";
    let help = match is_own {
        true => "8 to 256 bytes. You are signed out, and sign in with the new one.",
        false => "8 to 256 bytes. The user is signed out everywhere; tokens stay valid.",
    };
    let field = Field::of(FORM, "password", "New password")
        .help(help)
        .required();
    let fields = html! {
        (field.input(visit, "password"))
        button type="submit" { "Change the password" }
    };
    parts::form(
        visit,
        FORM,
        ("PUT", path),
        "The password was changed.",
        &fields,
    )
}

/// `/account`
pub(super) fn account(visit: &mut Visit<'_, '_>) -> Shown {
    let user: Option<UserView> = visit.may_get("/user")?;
    let is_administrator = visit.is_administrator();
    let body = html! {
        @match &user {
            Some(user) => {
                dl {
                    dt { "User name" } dd { (user.username) (badges(user)) }
                    dt { "Kind" } dd { (kind(user)) }
                    dt { "Made" } dd { (parts::time(user.created_at)) }
                }
            }
            None => p { "You are signed in with " (visit.visitor.name()) ", behind which there is no user." },
        }
        ul {
            li { a href="/tokens" { "Your personal tokens" } ", for docker, CI jobs and scripts" }
            li { a href="/sessions" { "Your sessions" } ", the browsers that you are signed in with" }
        }
        @if let Some(user) = user.filter(|user| !user.bot) {
            h2 { "Password" }
            @if is_administrator { (password(visit, &format!("/users/{}", user.id.0), true)) }
            @else {
                p { "An administrator of this box changes your password, on the page of your user or with this command:" }
                (parts::copied("On the box", &format!("breakwater user passwd {}", user.username)))
            }
        }
    };
    Ok(Page::new("Your account", body))
}
