//! The page of `/metrics`: Prometheus text format 0.0.4. Writes families that the catalogue knows, each
//! once, and knows nothing of where the numbers come from.

use std::fmt::{Display, Write as _};

use super::catalog::{Metric, MetricKind};
use super::histogram::Histogram;

/// `Content-Type` of the page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page while it is written.
#[derive(Default)]
pub struct Page {
    text: String,
}

/// One metric of the page, whose samples follow.
pub struct Family<'a> {
    text: &'a mut String,
    metric: &'static Metric,
}

impl Page {
    /// Begins a metric. Call it once for each: all its samples stand together.
    pub fn family(&mut self, metric: &'static Metric) -> Family<'_> {
        let Metric { name, help, .. } = metric;
        let kind = metric.kind.as_str();
        // What the catalogue says has neither backslashes nor line ends; its test sees to that.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Family {
            text: &mut self.text,
            metric,
        }
    }

    /// A metric with one sample that has no labels.
    pub fn single(&mut self, metric: &'static Metric, value: impl Display) {
        self.family(metric).sample(&[], value);
    }

    pub fn into_text(self) -> String {
        self.text
    }
}

impl Family<'_> {
    /// One sample; `values` are those of the metric's labels, in the catalogue's order.
    pub fn sample(&mut self, values: &[&str], value: impl Display) {
        self.text.push_str(self.metric.name);
        self.labels(values, None);
        let _ = writeln!(self.text, " {value}");
    }

    /// A histogram's buckets, sum and count.
    pub fn histogram(&mut self, values: &[&str], histogram: &Histogram) {
        debug_assert!(self.metric.kind == MetricKind::Histogram);
        let read = histogram.read();
        for (bound, count) in &read.buckets {
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
            let _ = write!(self.text, "{}_bucket", self.metric.name);
            self.labels(values, Some(&bound));
            let _ = writeln!(self.text, " {count}");
        }
        let count = read.buckets.last().map_or(0, |(_, count)| *count);
        for (suffix, value) in [
            ("_sum", read.sum.to_string()),
            ("_count", count.to_string()),
        ] {
            let _ = write!(self.text, "{}{suffix}", self.metric.name);
            self.labels(values, None);
            let _ = writeln!(self.text, " {value}");
        }
    }

    fn labels(&mut self, values: &[&str], bound: Option<&str>) {
        debug_assert_eq!(values.len(), self.metric.labels.len());
        let named = self.metric.labels.iter().zip(values);
        let pairs = named
            .map(|(name, value)| (*name, *value))
            .chain(bound.map(|bound| ("le", bound)));
        let mut separator = '{';
        for (name, value) in pairs {
            let _ = write!(self.text, "{separator}{name}=\"");
            for c in value.chars() {
                match c {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::catalog::name;
    use super::*;

    #[test]
    fn samples_stand_below_their_family_with_escaped_labels() {
        let mut page = Page::default();
        page.single(&name::OFFLINE, 1);
        let mut lies = page.family(&name::UPSTREAM_LIES);
        lies.sample(&["a\"\\\nb"], 3);
        assert_eq!(
            page.into_text(),
            format!(
                "# HELP breakwater_offline {}\n# TYPE breakwater_offline gauge\nbreakwater_offline 1\n\
                 # HELP breakwater_upstream_lies_total {}\n# TYPE breakwater_upstream_lies_total counter\n\
                 breakwater_upstream_lies_total{{upstream=\"a\\\"\\\\\\nb\"}} 3\n",
                name::OFFLINE.help,
                name::UPSTREAM_LIES.help
            )
        );
    }

    #[test]
    fn buckets_are_cumulative_and_end_with_all() {
        let histogram = Histogram::default();
        for milliseconds in [1, 20, 20, 700_000] {
            histogram.note(Duration::from_millis(milliseconds));
        }
        let mut page = Page::default();
        page.family(&name::REQUEST_DURATION)
            .histogram(&["blob"], &histogram);
        let text = page.into_text();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        for expected in [
            "_bucket{route=\"blob\",le=\"0.001\"} 1",
            "_bucket{route=\"blob\",le=\"0.01\"} 1",
            "_bucket{route=\"blob\",le=\"0.025\"} 3",
            "_bucket{route=\"blob\",le=\"600\"} 3",
            "_bucket{route=\"blob\",le=\"+Inf\"} 4",
            "_count{route=\"blob\"} 4",
            "_sum{route=\"blob\"} 700.041",
        ] {
            let expected = format!("breakwater_http_request_duration_seconds{expected}");
            assert!(samples.contains(&expected.as_str()), "{expected}:\n{text}");
        }
    }
}
