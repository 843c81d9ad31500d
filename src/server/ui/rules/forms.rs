//! The forms that make and change rules.

use maud::{Markup, html};

use crate::admin::rules::{RepositoryRuleView, TagRuleView};
use crate::server::ui::parts::{self, Field};
use crate::server::ui::places::Place;
use crate::server::ui::visit::Visit;
use crate::store::MinimumLevel;

const LEAST: [(&str, &str); 5] = [
    ("", "Everybody who may anyway"),
    ("maintainer", "Maintainers and owners"),
    ("owner", "Owners"),
    ("admin", "Administrators of this box"),
    ("no_access", "Nobody, until this rule changes"),
];

/// Which an empty field takes away.
const KEEP: &str =
    "minimum_access_level_for_push minimum_access_level_for_delete matching_package_version";

/// Who may do what a rule is about: of a group it is filling and purging.
fn minimums(
    visit: &Visit<'_, '_>,
    form: &str,
    is_group: bool,
    [push, delete]: [Option<MinimumLevel>; 2],
) -> Markup {
    let labels = match is_group {
        true => ["Who may fill the cache with them", "Who may purge them"],
        false => ["Who may push", "Who may delete"],
    };
    let field = |name, label, least: Option<MinimumLevel>| {
        let field = Field::of(form, name, label).value(least.map_or("", MinimumLevel::as_str));
        field.select(visit, &LEAST)
    };
    let [of_push, of_delete] = labels;
    html! {
        (field("minimum_access_level_for_push", of_push, push))
        (field("minimum_access_level_for_delete", of_delete, delete))
    }
}

fn of_repository(
    visit: &Visit<'_, '_>,
    form: &str,
    place: &Place,
    rule: Option<&RepositoryRuleView>,
) -> Markup {
    let first = match place.is_group {
        true => "docker.io/library/*".to_owned(),
        false => format!("{}*", place.name),
    };
    let pattern = rule.map_or(&first, |rule| &rule.repository_path_pattern);
    let tags = rule.and_then(|rule| rule.matching_package_version.as_deref());
    let (label, help) = match place.is_group {
        true => (
            "Cached images",
            "Upstream and name, such as docker.io/library/*; * is any run of characters.",
        ),
        false => (
            "Repositories",
            "The whole path; * is any run of characters, slashes too.",
        ),
    };
    let minimums = minimums(
        visit,
        form,
        place.is_group,
        [
            rule.and_then(|rule| rule.minimum_access_level_for_push),
            rule.and_then(|rule| rule.minimum_access_level_for_delete),
        ],
    );
    html! {
        (parts::hidden("_keep", KEEP))
        (Field::of(form, "repository_path_pattern", label).help(help).value(pattern).required().input(visit, "text"))
        @if !place.is_group {
            (Field::of(form, "matching_package_version", "Only these tags").help("Such as v*. Empty: all tags.").value(tags.unwrap_or_default()).input(visit, "text"))
        }
        (minimums)
    }
}

pub(super) fn new_repository(visit: &Visit<'_, '_>, place: &Place, list: &str) -> Markup {
    const FORM: &str = "new-rule";
    let fields = html! {
        (of_repository(visit, FORM, place, None))
        button type="submit" { "Add the rule" }
    };
    html! {
        h2 { "New rule" }
        (parts::form(visit, FORM, ("POST", list), "The rule holds from the next request on.", &fields))
    }
}

pub(super) fn change_repository(
    visit: &Visit<'_, '_>,
    place: &Place,
    rule: &RepositoryRuleView,
    path: &str,
) -> Markup {
    let form = format!("PATCH{path}");
    change(
        visit,
        &form,
        path,
        &of_repository(visit, &form, place, Some(rule)),
    )
}

fn of_tag(visit: &Visit<'_, '_>, form: &str, rule: Option<&TagRuleView>) -> Markup {
    let is_immutable = rule.is_some_and(|rule| rule.immutable);
    let minimums = minimums(
        visit,
        form,
        false,
        [
            rule.and_then(|rule| rule.minimum_access_level_for_push),
            rule.and_then(|rule| rule.minimum_access_level_for_delete),
        ],
    );
    html! {
        (parts::hidden("_keep", KEEP))
        (Field::of(form, "tag_name_pattern", "Tags that match").help("A regular expression. It matches anywhere in a tag, unless it is anchored: ^v[0-9]+ is each tag that begins with v and a digit.").value(rule.map_or("", |rule| &rule.tag_name_pattern)).required().input(visit, "text"))
        (Field::of(form, "immutable", "Immutable").help("Once such a tag is there it neither moves nor goes.").value(if is_immutable { "true" } else { "false" }).tick(visit))
        (minimums)
    }
}

pub(super) fn new_tag(visit: &Visit<'_, '_>, list: &str) -> Markup {
    const FORM: &str = "new-rule";
    let fields = html! {
        (of_tag(visit, FORM, None))
        button type="submit" { "Add the rule" }
    };
    html! {
        h2 { "New rule" }
        (parts::form(visit, FORM, ("POST", list), "The rule holds from the next request on.", &fields))
    }
}

pub(super) fn change_tag(visit: &Visit<'_, '_>, rule: &TagRuleView, path: &str) -> Markup {
    let form = format!("PATCH{path}");
    change(visit, &form, path, &of_tag(visit, &form, Some(rule)))
}

fn change(visit: &Visit<'_, '_>, form: &str, path: &str, fields: &Markup) -> Markup {
    let fields = html! { (fields) button type="submit" { "Change the rule" } };
    let shown = parts::form(
        visit,
        form,
        ("PATCH", path),
        "The rule was changed.",
        &fields,
    );
    parts::folded(visit, form, "Change", &shown)
}
