//! A template's text as tokens.

use super::{Error, Position};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Between the tags.
    Text,
    ExpressionOpen,
    ExpressionClose,
    StatementOpen,
    StatementClose,
    /// A word; may hold `.`, `/` and `-`, which makes paths one token.
    Word,
    Number,
    /// With its quotes.
    String,
    /// One or two characters.
    Symbol,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind,
    pub(super) text: &'t str,
    /// Byte where it begins.
    pub(super) at: usize,
}

/// How a tag ends.
#[derive(Clone, Copy)]
enum Close {
    Expression,
    Statement,
    Line,
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    tokens: Vec<Token<'t>>,
}

/// All tokens, the last of them [`Kind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, Error> {
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new() };
    while lexer.at < text.len() {
        lexer.outside()?;
    }
    lexer.push(Kind::End, text.len(), text.len());
    Ok(lexer.tokens)
}

/// Line and column of a byte.
pub(super) fn position(text: &str, at: usize) -> Position {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count().saturating_add(1);
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count().saturating_add(1);
    Position {
        line: u32::try_from(line).unwrap_or(u32::MAX),
        column: u32::try_from(column).unwrap_or(u32::MAX),
    }
}

impl<'t> Lexer<'t> {
    fn slice(&self, from: usize, to: usize) -> &'t str {
        self.text.get(from..to).unwrap_or_default()
    }

    fn rest(&self) -> &'t str {
        self.slice(self.at, self.text.len())
    }

    fn push(&mut self, kind: Kind, from: usize, to: usize) {
        let text = self.slice(from, to);
        self.tokens.push(Token { kind, text, at: from });
    }

    fn error<T>(&self, at: usize, message: impl Into<String>) -> Result<T, Error> {
        Err(Error { position: Some(position(self.text, at)), message: message.into() })
    }

    /// Text up to the next tag, and that tag.
    fn outside(&mut self) -> Result<(), Error> {
        let start = self.at;
        let mut open = start;
        let tag = loop {
            let Some(found) = self.text.get(open..).and_then(|rest| rest.find(['{', '#'])) else {
                self.push(Kind::Text, start, self.text.len());
                self.at = self.text.len();
                return Ok(());
            };
            open = open.saturating_add(found);
            let tag = self.text.get(open..).unwrap_or_default();
            let line_start = open == 0 || self.text.as_bytes().get(open.wrapping_sub(1)) == Some(&b'\n');
            if tag.starts_with("{{") || tag.starts_with("{%") || tag.starts_with("{#") {
                break self.slice(open, open.saturating_add(2));
            }
            if line_start && tag.starts_with("##") {
                break "##";
            }
            open = open.saturating_add(1);
        };
        let mut inside = open.saturating_add(2);
        let mark = if tag == "##" { None } else { self.text.as_bytes().get(inside).copied() };
        let mut text = self.slice(start, open);
        if let Some(b'-' | b'+') = mark {
            inside = inside.saturating_add(1);
            if mark == Some(b'-') {
                text = without_last_blank(text);
            }
        }
        if !text.is_empty() {
            self.tokens.push(Token { kind: Kind::Text, text, at: start });
        }
        self.at = inside;
        match tag {
            "{{" => self.tag(Kind::ExpressionOpen, Kind::ExpressionClose, open, Close::Expression),
            "{%" => self.tag(Kind::StatementOpen, Kind::StatementClose, open, Close::Statement),
            "##" => self.tag(Kind::StatementOpen, Kind::StatementClose, open, Close::Line),
            _ => self.comment(open),
        }
    }

    fn comment(&mut self, open: usize) -> Result<(), Error> {
        let Some(end) = self.rest().find("#}") else {
            return self.error(open, "this comment is not closed by `#}`");
        };
        let trim = self.slice(self.at, self.at.saturating_add(end)).ends_with('-');
        self.at = self.at.saturating_add(end).saturating_add(2);
        if trim {
            self.skip_blank_and_newline();
        }
        Ok(())
    }

    fn tag(&mut self, opens: Kind, closes: Kind, open: usize, close: Close) -> Result<(), Error> {
        let inside = self.at;
        self.push(opens, open, inside);
        loop {
            let rest = self.rest();
            if rest.is_empty() && matches!(close, Close::Line) {
                self.push(closes, self.at, self.at);
                return Ok(());
            }
            let (end, trimmed) = match close {
                Close::Expression => ("}}", "-}}"),
                Close::Statement => ("%}", "-%}"),
                Close::Line => ("\n", "\n"),
            };
            for (mark, trim) in [(trimmed, true), (end, false)] {
                if rest.starts_with(mark) {
                    let to = self.at.saturating_add(mark.len());
                    self.push(closes, self.at, to);
                    self.at = to;
                    if trim && !matches!(close, Close::Line) {
                        self.skip_blank_and_newline();
                    }
                    return Ok(());
                }
            }
            match rest.chars().next() {
                None => {
                    let mark = if matches!(close, Close::Expression) { "}}" } else { "%}" };
                    return self.error(open, format!("this tag is not closed by `{mark}`"));
                }
                Some(' ' | '\t' | '\r' | '\n') => self.at = self.at.saturating_add(1),
                Some(first) => self.token(first)?,
            }
        }
    }

    fn token(&mut self, first: char) -> Result<(), Error> {
        let start = self.at;
        let rest = self.rest();
        let (kind, length) = match first {
            'a'..='z' | 'A'..='Z' | '_' => {
                let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '_' | '-');
                (Kind::Word, rest.find(|c| !word(c)).unwrap_or(rest.len()))
            }
            '0'..='9' => (Kind::Number, number(rest)),
            '-' if !self.after_operand() && rest.chars().nth(1).is_some_and(|c| c.is_ascii_digit()) => {
                (Kind::Number, number(rest))
            }
            '"' => match string(rest) {
                Some(length) => (Kind::String, length),
                None => return self.error(start, "this text is not closed by `\"`"),
            },
            '\'' => return self.error(start, "texts stand in double quotes"),
            _ => {
                let two = ["==", "!=", "<=", ">="];
                match two.iter().any(|symbol| rest.starts_with(symbol)) {
                    true => (Kind::Symbol, 2),
                    false if "()[]{},:.+-*/%^<>=".contains(first) => (Kind::Symbol, 1),
                    false => return self.error(start, format!("unexpected `{first}`")),
                }
            }
        };
        let end = start.saturating_add(length);
        self.push(kind, start, end);
        self.at = end;
        Ok(())
    }

    /// A hyphen after a value is minus, elsewhere it begins a number.
    fn after_operand(&self) -> bool {
        self.tokens.last().is_some_and(|token| match token.kind {
            Kind::Word => !matches!(token.text, "and" | "or" | "not" | "in" | "if"),
            Kind::Number | Kind::String => true,
            Kind::Symbol => matches!(token.text, ")" | "]" | "}"),
            _ => false,
        })
    }

    fn skip_blank_and_newline(&mut self) {
        let rest = self.rest();
        let rest = rest.trim_start_matches([' ', '\t']);
        let rest = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n')).unwrap_or(rest);
        self.at = self.text.len().saturating_sub(rest.len());
    }
}

/// Without the blanks of its last line, if there is nothing else in that line.
fn without_last_blank(text: &str) -> &str {
    let trimmed = text.trim_end_matches([' ', '\t']);
    if trimmed.is_empty() || trimmed.ends_with(['\n', '\r']) { trimmed } else { text }
}

fn number(rest: &str) -> usize {
    let mut previous = ' ';
    rest.char_indices()
        .find(|(at, c)| {
            let sign = matches!(c, '+' | '-') && (*at == 0 || matches!(previous, 'e' | 'E'));
            previous = *c;
            !(c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E') || sign)
        })
        .map_or(rest.len(), |(at, _)| at)
}

/// Length of a text with both its quotes.
fn string(rest: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at.saturating_add(1)),
            _ => {}
        }
    }
    None
}
