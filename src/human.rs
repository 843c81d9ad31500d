//! Numbers as people read them, on a terminal and on the page.

use std::time::Duration;

/// `1 image`, `2 images`.
pub fn counted(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// A time for people, in its largest unit: `5 minutes`, `3 days`.
pub fn shown_span(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute")];
    let unit = units.into_iter().find(|(length, _)| seconds >= *length);
    match unit {
        Some((length, unit)) => counted(seconds.checked_div(length).unwrap_or(0), unit),
        None => counted(seconds, "second"),
    }
}

/// The algorithm and the first twelve hexadecimal digits of a digest, which is what other programs show of one.
pub fn short_digest(digest: &str) -> &str {
    let end = digest.char_indices().nth("sha256:0123456789ab".len());
    end.and_then(|(end, _)| digest.get(..end)).unwrap_or(digest)
}

/// Bytes for people: `1.5 GiB`.
pub fn shown_size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut amount = bytes as f64;
    let mut unit = "B";
    for larger in units {
        if amount < 1024.0 {
            break;
        }
        amount /= 1024.0;
        unit = larger;
    }
    if unit == "B" {
        format!("{bytes} B")
    } else {
        format!("{amount:.1} {unit}")
    }
}
