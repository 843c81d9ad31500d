//! Asks whether somebody may do something with an image, and why.

use maud::{Markup, html};

use crate::admin::AccessView;
use crate::server::ui::parts::{Field, capital};
use crate::server::ui::visit::Visit;

const ACTIONS: [(&str, &str); 3] = [("push", "Push"), ("delete", "Delete"), ("pull", "Pull")];

/// The form, and the answer to what it asked.
pub(super) fn tester(visit: &mut Visit<'_, '_>) -> Markup {
    const FORM: &str = "test";
    let [user, token, repository, tag, action] =
        ["user", "token", "repository", "tag", "action"].map(|name| visit.query(name));
    let is_asked = action.is_some();
    let mut asked = form_urlencoded::Serializer::new(String::new());
    for (name, value) in [
        ("user", &user),
        ("token", &token),
        ("repository", &repository),
        ("tag", &tag),
        ("action", &action),
    ] {
        if let Some(value) = value {
            asked.append_pair(name, value);
        }
    }
    let answer =
        is_asked.then(|| visit.get::<AccessView>(&format!("/protection_check?{}", asked.finish())));
    let field = |name, label, help, value: &Option<String>| {
        let value = value.as_deref().unwrap_or_default();
        let field = Field::of(FORM, name, label).help(help).value(value);
        match name {
            "action" => field.select(visit, &ACTIONS),
            "token" => field.input(visit, "number"),
            "repository" => field.required().input(visit, "text"),
            _ => field.input(visit, "text"),
        }
    };
    html! {
        h2 #test { "May somebody do something, and why?" }
        p { "Name a user, or a token by its number. A user is judged as with the password; a token by its scopes too." }
        @match &answer {
            Some(Ok(access)) => (told(access)),
            Some(Err(refused)) => p.refused role="alert" { (capital(&refused.message)) },
            None => {}
        }
        form method="get" action="/rules#test" {
            (field("user", "User name", "", &user))
            (field("token", "Or the number of a token", "As the lists of tokens show it.", &token))
            (field("repository", "Repository", "The whole path, with its group and project.", &repository))
            (field("tag", "Tag", "Empty: the repository as a whole.", &tag))
            (field("action", "Wants to", "", &action))
            button type="submit" { "Ask" }
        }
    }
}

fn told(access: &AccessView) -> Markup {
    let what = match &access.tag {
        Some(tag) => format!("{}:{tag}", access.repository),
        None => access.repository.clone(),
    };
    let action = access.action.as_str();
    html! {
        div.card role="status" {
            p {
                @if access.allowed { span.badge.good { "allowed" } } @else { span.badge.bad { "refused" } }
                " " strong {
                    (access.who) " " @if access.allowed { "may" } @else { "may not" } " " (action) " " (what)
                }
            }
            p { (capital(&access.why)) "." }
            @match (access.rule_id, &access.remedy) {
                (Some(rule), _) => p.soft { "Rule " (rule) " decides: it stands on the page of its project, under Rules." },
                (None, Some(remedy)) => p.soft { (capital(remedy)) "." },
                (None, None) => {}
            }
        }
    }
}
