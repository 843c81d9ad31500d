//! What pages are made of: tables, forms and their fields, times, sizes.

use maud::{Markup, html};

use super::visit::{Listed, Refused, Visit};
use crate::human::shown_size;
use crate::time::Timestamp;

/// Its first letter large, as a sentence begins, unless that is an address.
pub(super) fn capital(text: &str) -> String {
    if text.starts_with("http") {
        return text.to_owned();
    }
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

pub(super) fn time(at: Timestamp) -> Markup {
    let text = at.to_string();
    let shown = text.get(..16).unwrap_or(&text).replace('T', " ");
    html! { time datetime=(text) { (shown) " UTC" } }
}

/// The same, or a word for never.
pub(super) fn time_or(at: Option<Timestamp>, never: &str) -> Markup {
    match at {
        Some(at) => time(at),
        None => html! { span.soft { (never) } },
    }
}

/// A table with these headings; each row is its cells (`td`). What is wider than the window scrolls by itself.
pub(super) fn table(headings: &[&str], rows: impl Iterator<Item = Markup>) -> Markup {
    let rows: Vec<_> = rows.collect();
    let named = headings
        .iter()
        .copied()
        .filter(|heading| !heading.is_empty());
    let named: Vec<_> = named.collect();
    html! {
        @if rows.is_empty() {
            p.empty { "There are none." }
        } @else {
            div.scroll tabindex="0" role="region" aria-label=(format!("Table of: {}", named.join(", "))) {
                table {
                    thead { tr { @for heading in headings { th scope="col" { @if heading.is_empty() { span.unseen { "Actions" } } @else { (heading) } } } } }
                    tbody { @for row in rows { tr { (row) } } }
                }
            }
        }
    }
}

/// What takes a look at all that is cached and was asked for with `recall`: the page comes at once, and shows it when it
/// has been worked out, and `meanwhile` until then.
pub(super) fn worked_out<V>(
    id: &str,
    view: &Result<V, Refused>,
    shown: impl FnOnce(&V) -> Markup,
    meanwhile: &Markup,
) -> Markup {
    html! {
        @match view {
            Ok(view) => div id=(id) { (shown(view)) },
            Err(refused) if refused.status == 503 => div id=(id) data-refresh="2" {
                p { "It is being worked out: it stands here in some seconds. Where no script runs, load this page again." }
                (meanwhile)
            },
            Err(refused) => div id=(id) { p.refused role="alert" { (capital(&refused.message)) } },
        }
    }
}

/// Links to the pages of a list before and after this one.
pub(super) fn pager<V>(visit: &Visit<'_, '_>, listed: &Listed<V>) -> Markup {
    let page = |page: u64| visit.link(&[("page", &page.to_string())]);
    html! {
        @if listed.page > 1 || listed.more {
            nav.pager aria-label="Pages of this list" {
                @if listed.page > 1 { a rel="prev" href=(page(listed.page.saturating_sub(1))) { "Before" } }
                span { "Page " (listed.page) }
                @if listed.more { a rel="next" href=(page(listed.page.saturating_add(1))) { "After" } }
            }
        }
        @if let Some(total) = listed.total.filter(|total| *total > 0) { p.count { (total) " in all" } }
    }
}

/// A form that narrows the list of the page.
pub(super) fn search(label: &str, value: &str) -> Markup {
    html! {
        form.search role="search" {
            label for="search" { (label) }
            input #search name="search" type="search" value=(value);
            button type="submit" { "Search" }
        }
    }
}

/// A form that asks REST for `METHOD /PATH`; `name` tells the forms of one page apart, `done` is said afterwards.
pub(super) fn form(
    visit: &Visit<'_, '_>,
    name: &str,
    target: (&str, &str),
    done: &str,
    fields: &Markup,
) -> Markup {
    form_to(visit, name, target, (done, &visit.link(&[])), fields)
}

/// The same, which leads to the page `back` afterwards.
pub(super) fn form_to(
    visit: &Visit<'_, '_>,
    name: &str,
    (method, path): (&str, &str),
    (done, back): (&str, &str),
    fields: &Markup,
) -> Markup {
    html! {
        form method="post" action=(format!("/act{path}")) id=(name) {
            input type="hidden" name="_csrf" value=(visit.visitor.form_value());
            input type="hidden" name="_method" value=(method);
            input type="hidden" name="_back" value=(back);
            input type="hidden" name="_done" value=(done);
            input type="hidden" name="_form" value=(name);
            (fields)
        }
    }
}

/// A form that is nothing but its button.
pub(super) fn button(
    visit: &Visit<'_, '_>,
    method: &str,
    path: &str,
    label: &str,
    done: &str,
) -> Markup {
    let fields = html! { button.small type="submit" { (label) } };
    form(visit, &named(method, path), (method, path), done, &fields)
}

/// What tells a form apart that is the only one on its page to ask this of REST.
fn named(method: &str, path: &str) -> String {
    format!("{method}{path}")
}

/// A button for what cannot be taken back: it first shows what will happen.
pub(super) fn confirmed(
    visit: &Visit<'_, '_>,
    (method, path): (&str, &str),
    label: &str,
    what_happens: &str,
    done: &str,
) -> Markup {
    let fields = html! { p { (what_happens) } };
    confirmed_with(visit, (method, path), label, &fields, done)
}

/// The same with fields before the button.
pub(super) fn confirmed_with(
    visit: &Visit<'_, '_>,
    (method, path): (&str, &str),
    label: &str,
    fields: &Markup,
    done: &str,
) -> Markup {
    let name = named(method, path);
    let fields = html! {
        (fields)
        button.danger type="submit" { (label) }
    };
    html! {
        details.confirm open[visit.refusal(&name).is_some()] {
            summary { (label) "…" }
            (form(visit, &name, (method, path), done, &fields))
        }
    }
}

/// A form that is not shown at first.
pub(super) fn folded(visit: &Visit<'_, '_>, form: &str, label: &str, shown: &Markup) -> Markup {
    html! {
        details.more open[visit.refusal(form).is_some()] {
            summary { (label) "…" }
            (shown)
        }
    }
}

/// A field that is not shown.
pub(super) fn hidden(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

/// Links between pages that belong together: path, and what it is called.
pub(super) fn tabs(visit: &Visit<'_, '_>, label: &str, pages: &[(String, &str)]) -> Markup {
    let here = visit.link(&[("page", ""), ("ended", "")]);
    let is_one = pages.iter().any(|(path, _)| *path == here);
    let is_here = |path: &String| *path == here || !is_one && *path == visit.path;
    html! {
        nav aria-label=(label) {
            ul.tabs {
                @for (path, name) in pages {
                    li { a href=(path) aria-current=[is_here(path).then_some("page")] { (name) } }
                }
            }
        }
    }
}

/// A sentence in which what stands between backticks is code.
pub(super) fn sentence(text: &str) -> Markup {
    let text = capital(text);
    html! {
        @for (place, piece) in text.split('`').enumerate() {
            @if place % 2 == 1 { code { (piece) } } @else { (piece) }
        }
    }
}

/// A number of bytes for people; exactly in the title.
pub(super) fn size(bytes: u64) -> Markup {
    html! { span.size title=(format!("{bytes} bytes")) { (shown_size(bytes)) } }
}

/// The beginning of a digest; all of it in the title.
pub(super) fn digest(digest: &str) -> Markup {
    let shown = digest.get(..19).unwrap_or(digest);
    html! { code.size title=(digest) { (shown) } }
}

/// A value in a query.
pub(super) fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A field of the form of that name.
pub(super) struct Field<'f> {
    form: &'f str,
    name: &'f str,
    label: &'f str,
    help: &'f str,
    value: &'f str,
    is_required: bool,
}

impl<'f> Field<'f> {
    pub(super) fn of(form: &'f str, name: &'f str, label: &'f str) -> Self {
        Self {
            form,
            name,
            label,
            help: "",
            value: "",
            is_required: false,
        }
    }

    /// What stands below the field.
    pub(super) fn help(self, help: &'f str) -> Self {
        Self { help, ..self }
    }

    /// What stands in it before anybody writes.
    pub(super) fn value(self, value: &'f str) -> Self {
        Self { value, ..self }
    }

    pub(super) fn required(self) -> Self {
        Self {
            is_required: true,
            ..self
        }
    }

    fn id(&self) -> String {
        format!("{}-{}", self.form, self.name)
    }

    fn shown_help(&self) -> Markup {
        html! {
            @if !self.help.is_empty() { small id=(format!("{}-help", self.id())) { (self.help) } }
        }
    }

    fn described_by(&self) -> Option<String> {
        (!self.help.is_empty()).then(|| format!("{}-help", self.id()))
    }

    /// A line of text, or another `type` of input.
    pub(super) fn input(&self, visit: &Visit<'_, '_>, kind: &str) -> Markup {
        let value = visit.filled(self.form, self.name).unwrap_or(self.value);
        self.input_of(kind, value)
    }

    /// The same with this value, whatever was filled in.
    pub(super) fn input_of(&self, kind: &str, value: &str) -> Markup {
        let is_secret = kind == "password";
        let value = (!is_secret).then_some(value);
        html! {
            label for=(self.id()) { (self.label) }
            input id=(self.id()) name=(self.name) type=(kind) value=[value] required[self.is_required]
                autocomplete=[is_secret.then_some("new-password")] aria-describedby=[self.described_by()];
            (self.shown_help())
        }
    }

    /// One of several values, each with what is shown for it.
    pub(super) fn select(&self, visit: &Visit<'_, '_>, options: &[(&str, &str)]) -> Markup {
        let chosen = visit.filled(self.form, self.name).unwrap_or(self.value);
        html! {
            label for=(self.id()) { (self.label) }
            select id=(self.id()) name=(self.name) aria-describedby=[self.described_by()] {
                @for (value, shown) in options {
                    option value=(value) selected[*value == chosen] { (shown) }
                }
            }
            (self.shown_help())
        }
    }

    /// Yes or no; `value` is `true` where it is ticked at first.
    pub(super) fn tick(&self, visit: &Visit<'_, '_>) -> Markup {
        let is_ticked = visit.filled(self.form, self.name).unwrap_or(self.value) == "true";
        html! {
            input type="hidden" name=(self.name) value="false";
            label.tick {
                input type="checkbox" name=(self.name) value="true" checked[is_ticked];
                " " (self.label)
                @if !self.help.is_empty() { small { (self.help) } }
            }
        }
    }

    /// Any of several values (`NAME[]`), each with what it means; `value` has those that are ticked at first, with spaces
    /// in between.
    pub(super) fn ticks(&self, visit: &Visit<'_, '_>, options: &[(&str, &str)]) -> Markup {
        let name = format!("{}[]", self.name);
        let is_ticked = |value: &str| {
            let at_first = || self.value.split(' ').any(|ticked| ticked == value);
            visit
                .ticked(self.form, &name, value)
                .unwrap_or_else(at_first)
        };
        html! {
            fieldset {
                legend { (self.label) }
                @if !self.help.is_empty() { small { (self.help) } }
                @for (value, meaning) in options {
                    label.tick {
                        input type="checkbox" name=(name) value=(value) checked[is_ticked(value)];
                        " " code { (value) }
                        small { (meaning) }
                    }
                }
            }
        }
    }
}

/// A text to be copied, with a button for it where scripts run.
pub(super) fn copied(label: &str, text: &str) -> Markup {
    html! {
        div.copied {
            p { (label) }
            pre tabindex="0" { code { (text) } }
            button.small type="button" data-copy hidden { "Copy" }
        }
    }
}

/// How much of a whole is in use.
pub(super) fn meter(label: &str, part: u64, whole: u64) -> Markup {
    html! {
        meter aria-label=(label) min="0" max=(whole.max(1)) value=(part.min(whole)) {}
    }
}
