//! Text in cells of a terminal: cleaned, measured, wrapped, padded.

use std::borrow::Cow;

use unicode_width::UnicodeWidthChar;

/// `text` without what a terminal would obey: control characters, and those that turn the direction of writing, are
/// replaced by their escapes.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if obeyed(c) {
            cleaned.extend(c.escape_default());
        } else {
            cleaned.push(c);
        }
    }
    Cow::Owned(cleaned)
}

fn cells_of(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// How many cells `text` fills.
pub(crate) fn cells(text: &str) -> usize {
    text.chars().map(cells_of).sum()
}

/// `text` and as many spaces as make it `width` cells wide.
pub(crate) fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(cells(text))))
}

/// `text` if it fits in `width` cells, else its beginning and `…`.
pub(crate) fn shorten(text: &str, width: usize) -> String {
    if cells(text) <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        if cells(&short) + cells_of(c) + 1 > width {
            break;
        }
        short.push(c);
    }
    short.push('…');
    short
}

/// `text` in lines of at most `width` cells, broken between words, later lines indented by `indent`; a word that fits in
/// no line is broken where it must be. At least one line.
#[must_use]
pub fn wrap(text: &str, width: usize, indent: usize) -> Vec<String> {
    let indent = if indent + 4 > width { 0 } else { indent };
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split(' ') {
        let gap = usize::from(used > if lines.is_empty() { 0 } else { indent });
        if gap == 1 && used + gap + cells(word) > width {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            used = indent;
        } else if gap == 1 {
            line.push(' ');
            used += 1;
        }
        for c in word.chars() {
            if used + cells_of(c) > width && used > indent {
                lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
                used = indent;
            }
            line.push(c);
            used += cells_of(c);
        }
    }
    lines.push(line);
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

/// A number with its thousands apart: `12 345`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A number in at most four cells, rounded down: `999`, `1.2k`, `12k`, `1.2M`.
pub(crate) fn compact(number: u64) -> String {
    let (mut unit, mut rest) = (1_u64, ["", "k", "M", "G", "T", "P", "E"].iter());
    let mut letter = rest.next().unwrap_or(&"");
    while number / unit >= 1000
        && let Some(next) = rest.next()
    {
        unit *= 1000;
        letter = next;
    }
    match (number / unit, number % unit * 10 / unit) {
        (whole, tenth) if unit > 1 && whole < 10 && tenth > 0 => format!("{whole}.{tenth}{letter}"),
        (whole, _) => format!("{whole}{letter}"),
    }
}

/// A duration for people: `0.04 s`, `3.2 s`, `75 s`.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        short if short < 0.1 => format!("{short:.2} s"),
        middle if middle < 10.0 => format!("{middle:.1} s"),
        long => format!("{long:.0} s"),
    }
}

/// `1 state`, `2 states`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_whole_where_they_can() {
        assert_eq!(wrap("reads layers.json: [base]", 14, 2), ["reads", "  layers.json:", "  [base]"]);
        assert_eq!(wrap("", 10, 2), [""]);
        assert_eq!(wrap("abcdefghij kl", 6, 0), ["abcdef", "ghij", "kl"]);
    }

    #[test]
    fn no_line_is_too_wide() {
        let text = "stamp(layers) → s3 層層層層層層層層層 and/a/very/long/path/that/fits/nowhere  two spaces";
        for width in 4..60 {
            for indent in [0, 2] {
                for line in wrap(text, width, indent) {
                    assert!(cells(&line) <= width, "{line:?} is wider than {width}");
                }
            }
            assert!(cells(&shorten(text, width)) <= width);
        }
    }

    #[test]
    fn wrapping_loses_nothing_but_spaces() {
        let text = "W(layers) waits for reader, which holds it";
        let joined = |width| wrap(text, width, 2).concat().replace(' ', "");
        assert!((1..50).all(|width| joined(width) == text.replace(' ', "")));
    }

    #[test]
    fn a_terminal_has_nothing_to_obey() {
        assert_eq!(clean("a\u{1b}[31mb\n\u{202e}c"), "a\\u{1b}[31mb\\n\\u{202e}c");
        assert_eq!(clean("層 ✓"), "層 ✓");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1000, 12_345, 1_234_567].map(grouped).join("; "), "0; 999; 1 000; 12 345; 1 234 567");
        assert_eq!(
            [0, 999, 1000, 1234, 12_345, 1_999_999, u64::MAX].map(compact).join(" "),
            "0 999 1k 1.2k 12k 1.9M 18E"
        );
        assert_eq!([0.004, 0.34, 3.24, 75.2].map(duration).join("; "), "0.00 s; 0.3 s; 3.2 s; 75 s");
    }
}
