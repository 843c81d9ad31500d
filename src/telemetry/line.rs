//! One event, one line: JSON for machines, text for people; no control character in either.

use std::fmt::{self, Write as _};
use std::io::Write;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer};

use crate::context;

/// A pipe that is said to be writable takes so much without waiting (pipe(7)).
const AT_ONCE: usize = 4096;

/// What a line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Text,
}

/// Writes each event as one line, in one write, so that lines of several threads do not mix.
pub(super) struct LineLayer<W> {
    format: Format,
    writer: W,
}

impl<W> LineLayer<W> {
    pub(super) fn new(format: Format, writer: W) -> Self {
        Self { format, writer }
    }
}

impl<S: Subscriber, W: for<'a> MakeWriter<'a> + 'static> Layer<S> for LineLayer<W> {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut fields = Fields::default();
        // Fields without a value are there all the same, so that a record has always the same shape.
        for field in event.metadata().fields() {
            if field.name() != "message" {
                fields.values.push((field.name(), Value::Null));
            }
        }
        event.record(&mut fields);
        let level = event.metadata().level().as_str();
        let time = jiff::Timestamp::now();
        let mut line = match self.format {
            Format::Json => fields.json(&format!("{time:.6}"), level, event.metadata().target()),
            Format::Text => fields.text(&format!("{time:.3}"), level),
        };
        line.push('\n');
        let may_wait = || line.len() > AT_ONCE || !is_writable(std::io::stderr());
        if !context::has_waited() && may_wait() {
            context::waits();
        }
        // A log that cannot be written is no reason to stop serving.
        let _ = self.writer.make_writer().write_all(line.as_bytes());
    }
}

/// Whether a line would be taken at once: whoever reads it may be busy.
fn is_writable(file: impl AsFd) -> bool {
    let mut file = [PollFd::new(&file, PollFlags::OUT)];
    poll(&mut file, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

#[derive(Default)]
struct Fields {
    message: Option<String>,
    values: Vec<(&'static str, Value)>,
}

impl Fields {
    fn set(&mut self, field: &Field, value: Value) {
        let name = field.name();
        match (
            self.values.iter_mut().find(|(known, _)| *known == name),
            value,
        ) {
            (_, value) if name == "message" => {
                self.message = Some(match value {
                    Value::String(text) => text,
                    other => other.to_string(),
                });
            }
            (Some((_, known)), value) => *known = value,
            (None, value) => self.values.push((name, value)),
        }
    }

    /// `{"time":…,"level":…,"target":…,"message":…,…}`; a record without message is one of requests,
    /// whose fields are promised, and has no target either.
    fn json(&self, time: &str, level: &str, target: &str) -> String {
        let mut line = String::from("{");
        let mut put = |name: &str, value: &Value| {
            let comma = if line.len() > 1 { "," } else { "" };
            let _ = write!(line, "{comma}{}:{value}", Value::from(name));
        };
        put("time", &Value::from(time));
        put("level", &Value::from(level));
        if let Some(message) = &self.message {
            put("target", &Value::from(target));
            put("message", &Value::from(message.as_str()));
        }
        for (name, value) in &self.values {
            put(name, value);
        }
        line.push('}');
        escape_json(&line)
    }

    /// `2026-11-23T05:43:12.123Z INFO message name=value name="some words"`
    fn text(&self, time: &str, level: &str) -> String {
        let mut line = format!("{time} {level:<5}");
        if let Some(message) = &self.message {
            let _ = write!(line, " {}", escape_text(message));
        }
        for (name, value) in &self.values {
            let _ = match value {
                Value::Null => continue,
                Value::String(text) if is_word(text) => write!(line, " {name}={text}"),
                Value::String(text) => write!(line, " {name}={text:?}"),
                other => write!(line, " {name}={other}"),
            };
        }
        // What is left after `{:?}` are characters that it holds to be printable.
        escape_text(&line)
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, Value::from(format!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, Value::from(value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, Value::from(value));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, Value::from(value));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, Value::from(value));
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, Value::from(value));
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.set(field, Value::from(value.to_string()));
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'=' | b'\\'))
}

/// Control characters, and those that reorder or break lines in terminals and editors.
pub(crate) fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// `\u{1b}` for every unprintable character.
pub(crate) fn escape_text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unprintable(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// serde_json escapes U+0000 to U+001F in strings; this does the other unprintable characters, which stand in strings
/// alone. A line's end is the layout's.
pub(crate) fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unprintable(c) && c != '\n' {
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::super::RequestRecord;
    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, log: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let layer = LineLayer::new(format, move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }

    fn record<'a>(path: &'a str, cache: Option<&'a str>) -> RequestRecord<'a> {
        RequestRecord {
            request_id: "r1",
            remote_ip: "10.0.0.1".parse().unwrap(),
            principal: Some("user:alice"),
            method: "GET",
            path,
            status: 200,
            bytes: 5,
            seconds: 0.25,
            cache,
            upstream: None,
            why: None,
        }
    }

    #[test]
    fn a_request_has_exactly_the_promised_fields() {
        let line = logged(Format::Json, || record("/v2/", Some("hit")).log());
        let names: Vec<_> = line
            .trim_matches(['{', '}', '\n'])
            .split(",\"")
            .map(|pair| pair.split(':').next().unwrap().trim_matches('"'))
            .collect();
        assert_eq!(
            names,
            [
                "time",
                "level",
                "request_id",
                "remote_ip",
                "principal",
                "method",
                "path",
                "status",
                "bytes",
                "seconds",
                "cache",
                "upstream",
                "why"
            ]
        );
        let record: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(record["status"], 200);
        assert_eq!(record["remote_ip"], "10.0.0.1");
        assert_eq!(record["seconds"], 0.25);
        assert_eq!(record["cache"], "hit");
        assert_eq!(record["upstream"], Value::Null);
        assert!(
            record["time"]
                .as_str()
                .unwrap()
                .parse::<jiff::Timestamp>()
                .is_ok()
        );
    }

    #[test]
    fn nothing_from_outside_forges_a_line_or_drives_a_terminal() {
        let evil = "/v2/\n2026 INFO forged\r\u{1b}[2J\u{7f}\u{9b}31m\u{202e}\u{2028}\0";
        for format in [Format::Json, Format::Text] {
            let line = logged(format, || {
                record(evil, None).log();
                tracing::warn!(name = %evil, other = ?evil, "a message with {evil}");
            });
            assert_eq!(line.matches('\n').count(), 2, "{format:?}: {line:?}");
            let inside = line.trim_end().replace('\n', "");
            assert!(!inside.chars().any(is_unprintable), "{format:?}: {line:?}");
        }
        let line = logged(Format::Json, || record(evil, None).log());
        let parsed: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            parsed["path"], evil,
            "the escaped field still says what came"
        );
    }

    #[test]
    fn json_has_no_unprintable_characters_and_keeps_its_layout() {
        let value = serde_json::json!({ "a": "\u{9b}2J\u{202e}\n\u{7f}" });
        let text = serde_json::to_string_pretty(&value).unwrap();
        let escaped = escape_json(&text);
        assert_eq!(escaped, "{\n  \"a\": \"\\u009b2J\\u202e\\n\\u007f\"\n}");
        let read: Value = serde_json::from_str(&escaped).unwrap();
        assert_eq!(read, value);
    }

    #[test]
    fn text_is_for_people() {
        let line = logged(Format::Text, || {
            tracing::info!(
                port = 5000,
                name = "two words",
                empty = Option::<&str>::None,
                "started"
            );
        });
        assert!(
            line.ends_with(" INFO  started port=5000 name=\"two words\"\n"),
            "{line}"
        );
    }
}
