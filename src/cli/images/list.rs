//! Lists of images: one a line; `#` begins a comment at the line's beginning or after a space.

use super::Selection;

pub(super) fn read(text: &str, shown: &str, selection: &mut Selection) {
    // A list that came from Windows may begin with a mark of its encoding.
    let text = text.trim_start_matches('\u{feff}');
    for (number, line) in (1_usize..).zip(text.lines()) {
        let comment = line.char_indices().find(|(at, c)| {
            *c == '#'
                && line
                    .get(..*at)
                    .is_none_or(|before| before.is_empty() || before.ends_with(char::is_whitespace))
        });
        let line = comment
            .and_then(|(at, _)| line.get(..at))
            .unwrap_or(line)
            .trim();
        if !line.is_empty() {
            selection.add(line, Some(format!("{shown}:{number}")), None);
        }
    }
}
