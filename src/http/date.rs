//! The value of the field `Date`.

use std::time::{SystemTime, UNIX_EPOCH};

/// The value of `Date`, rendered once a second.
#[derive(Default)]
pub(super) struct DateCache {
    second: u64,
    text: String,
}

impl DateCache {
    /// The time now, as RFC 9110 section 5.6.7 writes it.
    pub(super) fn now(&mut self) -> &str {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let second = since.as_secs();
        if second != self.second || self.text.is_empty() {
            self.text = render(second);
            self.second = second;
        }
        &self.text
    }
}

fn render(second: u64) -> String {
    i64::try_from(second)
        .ok()
        .and_then(|second| jiff::Timestamp::from_second(second).ok())
        .and_then(|time| {
            let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
            printer.timestamp_to_rfc9110_string(&time).ok()
        })
        // Only for a clock that stands in the year 10000.
        .unwrap_or_else(|| "Thu, 01 Jan 1970 00:00:00 GMT".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_the_rfc_has_it() {
        assert_eq!(render(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(DateCache::default().now().len(), 29);
    }
}
