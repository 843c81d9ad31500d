//! Charts: SVG that is drawn here, with the same numbers as a table below it.

use maud::{Markup, html};

use crate::server::ui::parts;

/// In units of the drawing, which scales to the width of the page.
const WIDTH: u64 = 360;
const HEIGHT: u64 = 110;
/// So many times stand below the bars at most.
const LABELS: u64 = 5;
/// Below the bars, for the times.
const FOOT: u64 = 22;
/// Above them, for the largest number.
const HEAD: u64 = 18;

/// A bar: of its whole, how much is meant.
pub(super) struct Bar {
    /// When it begins, for people.
    pub(super) label: String,
    /// Below some of the bars.
    pub(super) short: String,
    pub(super) part: u64,
    pub(super) whole: u64,
}

/// What a chart is about.
pub(super) struct Chart<'c> {
    /// The chart's id on the page.
    pub(super) id: &'c str,
    pub(super) title: &'c str,
    /// In one sentence what the numbers say in all.
    pub(super) sentence: &'c str,
    /// What the whole bars are, and the parts of them.
    pub(super) names: (&'c str, &'c str),
    pub(super) shown: fn(u64) -> String,
}

impl Chart<'_> {
    pub(super) fn draw(&self, bars: &[Bar]) -> Markup {
        let largest = bars.iter().map(|bar| bar.whole).max().unwrap_or_default();
        let (title, desc) = (format!("{}-title", self.id), format!("{}-desc", self.id));
        let (whole, part) = self.names;
        html! {
            figure.card {
                h3 { (self.title) }
                p { (self.sentence) }
                @if largest > 0 {
                    svg.chart role="img" aria-labelledby=(format!("{title} {desc}")) viewBox=(format!("0 0 {WIDTH} {}", HEIGHT.saturating_add(HEAD).saturating_add(FOOT))) {
                        title id=(title) { (self.title) }
                        desc id=(desc) { (self.sentence) " The table below has all numbers." }
                        (scale(&(self.shown)(largest)))
                        @for (place, bar) in (0_u64..).zip(bars) { (drawn(bar, place, bars.len() as u64, largest)) }
                    }
                    p.legend aria-hidden="true" {
                        span.key { } " " (part) " "
                        span.key.second { } " " (whole)
                    }
                    details.more {
                        summary { "The numbers of: " (self.title) }
                        (parts::table(&["From", whole, part, "Share"], bars.iter().map(|bar| html! {
                            td { (bar.label) }
                            td.number { ((self.shown)(bar.whole)) }
                            td.number { ((self.shown)(bar.part)) }
                            td.number { (percent(bar.part, bar.whole)) }
                        })))
                    }
                }
            }
        }
    }
}

/// Empty where there is nothing to be a part of.
pub(super) fn percent(part: u64, whole: u64) -> String {
    let percent = part.saturating_mul(100).checked_div(whole);
    percent.map_or_else(String::new, |percent| format!("{percent} %"))
}

/// The largest number, and the lines that bars stand between.
fn scale(largest: &str) -> Markup {
    let bottom = HEIGHT.saturating_add(HEAD);
    html! {
        text x="0" y="11" { (largest) }
        line.axis x1="0" y1=(HEAD) x2=(WIDTH) y2=(HEAD) {}
        line.axis x1="0" y1=(bottom) x2=(WIDTH) y2=(bottom) {}
    }
}

/// The bar at a place of so many.
fn drawn(bar: &Bar, place: u64, count: u64, largest: u64) -> Markup {
    let room = WIDTH.checked_div(count).unwrap_or(WIDTH);
    let left = place.saturating_mul(WIDTH).checked_div(count).unwrap_or(0);
    let wide = room.saturating_sub(2).max(1);
    let bottom = HEIGHT.saturating_add(HEAD);
    let height = |number: u64| {
        let scaled = u128::from(number).saturating_mul(u128::from(HEIGHT));
        let scaled = scaled.checked_div(u128::from(largest)).unwrap_or(0);
        let scaled = u64::try_from(scaled).unwrap_or(HEIGHT).min(HEIGHT);
        // What is there is seen.
        scaled.max(u64::from(number > 0))
    };
    let rectangle = |class: &str, number: u64| {
        let height = height(number);
        let top = bottom.saturating_sub(height);
        html! { rect class=(class) x=(left) y=(top) width=(wide) height=(height) {} }
    };
    // So many labels fit, whatever the number of bars.
    let every = count.div_ceil(LABELS).max(1);
    let is_labelled = place.checked_rem(every) == Some(0);
    html! {
        @if bar.whole > 0 { (rectangle("bar second", bar.whole)) (rectangle("bar", bar.part)) }
        @if is_labelled { text x=(left) y=(bottom.saturating_add(15)) { (bar.short) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_is_as_high_as_its_largest_bar_and_tells_its_numbers() {
        let bar = |part, whole| Bar {
            label: "2026-01-01 <b>".to_owned(),
            short: "01".to_owned(),
            part,
            whole,
        };
        let chart = Chart {
            id: "hits",
            title: "Hits",
            sentence: "Half of them.",
            names: ("Served", "From the cache"),
            shown: |number| number.to_string(),
        };
        let text = chart.draw(&[bar(5, 10), bar(0, 0), bar(1, u64::MAX)]).0;
        assert!(
            text.contains(r#"y="18" width="118" height="110""#),
            "{text}"
        );
        assert!(
            text.contains("&lt;b&gt;") && !text.contains("<b>"),
            "{text}"
        );
        assert!(
            text.contains("aria-labelledby=\"hits-title hits-desc\""),
            "{text}"
        );
        assert!(text.contains("50 %"), "{text}");
        let empty = chart.draw(&[bar(0, 0)]).0;
        assert!(!empty.contains("<svg"), "{empty}");
    }
}
