//! Feature flags: of the box, and what groups have of their own.

use maud::{Markup, html};

use super::parts::{self, Field};
use super::visit::Visit;
use super::{Page, Shown};
use crate::admin::{ConsequencesView, FeatureView, GateValue, GroupView};
use crate::auth::features::Flag;
use crate::human::counted;

pub(super) fn list(visit: &mut Visit<'_, '_>) -> Shown {
    let features: Vec<FeatureView> = visit.get("/features")?;
    let mut sections = Vec::new();
    // It looks at all tokens, so it is found out of the flag that it was asked of.
    let asked = visit.query("change");
    for feature in &features {
        let groups = groups(visit, feature)?;
        let would = match asked.as_ref() == Some(&feature.name) {
            true => {
                let other = !feature.is_enabled();
                let path = format!("/features/{}/consequences?value={other}", feature.name);
                Some(visit.get::<ConsequencesView>(&path)?)
            }
            false => None,
        };
        sections.push(section(visit, feature, &groups, would.as_ref()));
    }
    let body = html! {
        p { "They decide how strictly tokens are judged that pull through the dependency proxy. A group's own value also holds for the groups below it." }
        @for section in &sections { (section) }
    };
    Ok(Page::new("Flags", body))
}

/// The groups that have a value of their own, with it.
fn groups(
    visit: &mut Visit<'_, '_>,
    feature: &FeatureView,
) -> Result<Vec<(String, bool)>, super::visit::Refused> {
    let mut groups = Vec::new();
    for gate in &feature.gates {
        let GateValue::Actors(actors) = &gate.value else {
            continue;
        };
        for actor in actors.iter().take(100) {
            let id = actor.trim_start_matches("Group:");
            if let Some(group) = visit.may_get::<GroupView>(&format!("/groups/{id}"))? {
                groups.push((group.full_path, gate.key == "actors"));
            }
        }
    }
    Ok(groups)
}

/// What it does, on and off.
fn meaning(name: &str) -> (&'static str, &'static str, &'static str) {
    match Flag::parse(name) {
        Some(Flag::EnforceAbilitiesCheck) => (
            "Tokens need the right scopes",
            "A token or password that lacks abilities is refused.",
            "It is let in all the same, and reported in the log. Deploy tokens are judged in any case.",
        ),
        Some(Flag::SplitAbilities) => (
            "Reading and filling are judged apart",
            "Reading the cache and filling it take two scopes: a token that may only read gets what is kept, and what is not is passed through.",
            "The older rule: a token needs a whole pair, read_registry with write_registry or read_virtual_registry with write_virtual_registry, or api.",
        ),
        None => ("Another flag", "", ""),
    }
}

/// What turning the flag would do to the tokens that are in use.
fn consequences(would: &ConsequencesView) -> Markup {
    let turned = if would.value { "on" } else { "off" };
    html! {
        @if would.total == 0 {
            p { "Turned " (turned) " for the box, it would refuse no token that was used within 30 days." }
        } @else {
            p.warning { "Turned " (turned) " for the box, it would refuse " (counted(would.total as u64, "token")) " that " (if would.total == 1 { "was" } else { "were" }) " used within 30 days:" }
            (parts::table(&["Token", "Kind", "Of", "Lacks", "Last used"], would.tokens.iter().map(|token| html! {
                td { (token.name) " (" (token.id.0) ")" }
                td { (token.kind.as_str()) }
                td { (token.owner) }
                td { code { (token.lacks) } }
                td { (parts::time(token.last_used_at)) }
            })))
        }
    }
}

fn section(
    visit: &Visit<'_, '_>,
    feature: &FeatureView,
    groups: &[(String, bool)],
    would: Option<&ConsequencesView>,
) -> Markup {
    let (title, on, off) = meaning(&feature.name);
    let is_on = feature.is_enabled();
    let path = format!("/features/{}", feature.name);
    let form = |name: &str| format!("{name}-{}", feature.name);
    let (turn, group) = (form("turn"), form("group"));
    let badge = |on: bool| match on {
        true => html! { span.badge.good { "on" } },
        false => html! { span.badge.warn { "off" } },
    };
    html! {
        section.card {
            h2 { (title) " " (badge(is_on)) }
            p { code { (feature.name) } }
            dl {
                dt { "On" } dd { (on) }
                dt { "Off" } dd { (off) }
            }
            @match would {
                Some(would) => (consequences(would)),
                None => p {
                    a href=(visit.link(&[("change", &feature.name)])) {
                        "Which tokens would be refused with it " @if is_on { "off" } @else { "on" } "?"
                    }
                },
            }
            (parts::form(visit, &turn, ("POST", &path), "The flag was changed.", &html! {
                input type="hidden" name="value" value=(if is_on { "false" } else { "true" });
                button type="submit" { @if is_on { "Turn it off for the box" } @else { "Turn it on for the box" } }
            }))
            @if !groups.is_empty() {
                (parts::table(&["Group", "Own value", ""], groups.iter().map(|(group, on)| html! {
                    td { (group) }
                    td { (badge(*on)) }
                    td { (parts::form(visit, &format!("{path}-{group}"), ("DELETE", &path), "The group follows the value above it again.", &html! {
                        input type="hidden" name="group[]" value=(group);
                        button.small type="submit" { "Take away" }
                    })) }
                })))
            }
            details.more {
                summary { "Another value for a group" }
                (parts::form(visit, &group, ("POST", &path), "The group's value was set.", &html! {
                    (Field::of(&group, "group[]", "Group").help("Its whole path, such as acme/team").required().input(visit, "text"))
                    (Field::of(&group, "value", "Value").value("true").required().select(visit, &[("true", "on"), ("false", "off")]))
                    button type="submit" { "Set it" }
                }))
            }
        }
    }
}
