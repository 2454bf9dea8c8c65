//! How a report for a terminal is drawn.

use anstyle::{AnsiColor, Effects};

/// How wide a report may be, and whether it may be coloured. The caller knows whether it writes to a terminal and
/// what `NO_COLOR` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether to colour: ANSI escape codes, no others.
    pub color: bool,
    /// The width in character cells that no line exceeds. Less than [`Style::WIDTH_MIN`] counts as that.
    pub width: usize,
}

impl Style {
    /// The narrowest report that is drawn.
    pub const WIDTH_MIN: usize = 40;

    /// No colour and 100 columns: what a pipe gets.
    pub const PLAIN: Style = Style { color: false, width: 100 };

    pub(crate) fn cells(self) -> usize {
        self.width.max(Self::WIDTH_MIN)
    }

    /// `text` in a tone, or as it is where there is no colour. Blank text needs no tone.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let style = tone.style();
        if !self.color || style.is_plain() || text.trim().is_empty() {
            return text.to_owned();
        }
        let end = text.trim_end_matches(' ');
        format!("{style}{end}{style:#}{}", &text[end.len()..])
    }
}

/// What a piece of text is, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// What needs no colour.
    Plain,
    /// Numbers and rules: there for whoever looks for them.
    Faint,
    /// The name of a column, a scenario.
    Heading,
    /// A call and what it returned.
    Call,
    /// It holds.
    Good,
    /// Waiting; a verdict that is no answer.
    Doubt,
    /// It is violated, as everybody knew.
    Bad,
    /// What was not expected; where it goes wrong.
    Alarm,
}

impl Tone {
    fn style(self) -> anstyle::Style {
        match self {
            Tone::Plain => anstyle::Style::new(),
            Tone::Faint => anstyle::Style::new().effects(Effects::DIMMED),
            Tone::Heading => anstyle::Style::new().effects(Effects::BOLD),
            Tone::Call => AnsiColor::Cyan.on_default(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Doubt => AnsiColor::Yellow.on_default(),
            Tone::Bad => AnsiColor::Red.on_default(),
            Tone::Alarm => AnsiColor::Red.on_default().effects(Effects::BOLD.insert(Effects::INVERT)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_ends_before_the_padding() {
        let style = Style { color: true, width: 80 };
        assert_eq!(style.paint(Tone::Good, "proved  "), "\u{1b}[32mproved\u{1b}[0m  ");
        assert_eq!(style.paint(Tone::Good, "  "), "  ");
        assert_eq!(Style::PLAIN.paint(Tone::Alarm, "proved"), "proved");
    }
}
