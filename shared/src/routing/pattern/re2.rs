//! Rewrites RE2 syntax to that of the regex crate where the two differ.
//!
//! - `\d \s \w \b` and their opposites mean ASCII in RE2;
//! - `\Q..\E` quotes;
//! - `\<` and `\>` are the characters;
//! - `{` that begins no repetition is the character;
//! - inside a class `[`, `&&`, `--` and `~~` are characters: RE2 has no set operations;
//! - a hyphen after `\d`, `\s` or `\w` in a class is the character;
//! - `\012` is a character in base eight.
//!
//! What both refuse passes through and is refused by the parser.

use std::{iter::Peekable, str::Chars};

/// `pattern` in the other dialect.
pub(super) fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => escape(&mut chars, &mut out),
            '[' => class(&mut chars, &mut out),
            '{' if !begins_repetition(chars.clone()) => out.push_str("\\{"),
            c => out.push(c),
        }
    }
    out
}

fn escape(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    match chars.next() {
        Some('d') => out.push_str("[0-9]"),
        Some('D') => out.push_str("[^0-9]"),
        Some('w') => out.push_str("[0-9A-Za-z_]"),
        Some('W') => out.push_str("[^0-9A-Za-z_]"),
        Some('s') => out.push_str("[\\t\\n\\f\\r ]"),
        Some('S') => out.push_str("[^\\t\\n\\f\\r ]"),
        Some('b') => out.push_str("(?-u:\\b)"),
        Some('B') => out.push_str("(?-u:\\B)"),
        Some(c @ ('<' | '>')) => out.push(c),
        Some('Q') => quote(chars, out),
        Some(c) => common_escape(c, chars, out),
        None => out.push('\\'),
    }
}

/// Escapes that mean the same inside and outside of a class.
fn common_escape(c: char, chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    match c {
        // The name or number in braces is part of the escape.
        'p' | 'P' | 'x' if chars.peek() == Some(&'{') => {
            out.extend(['\\', c]);
            for c in chars.by_ref() {
                out.push(c);
                if c == '}' {
                    break;
                }
            }
        }
        '0' => octal(0, 2, chars, out),
        '1'..='7' if chars.peek().is_some_and(|next| ('0'..='7').contains(next)) => {
            octal(c.to_digit(8).unwrap_or_default(), 2, chars, out);
        }
        c => out.extend(['\\', c]),
    }
}

/// A character by its number in base eight, of which `first` was read and up to `further` digits follow.
fn octal(first: u32, further: usize, chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    let mut value = first;
    for _ in 0..further {
        let Some(digit) = chars.peek().and_then(|c| c.to_digit(8)) else { break };
        chars.next();
        value = value * 8 + digit;
    }
    out.push_str(&format!("\\x{{{value:x}}}"));
}

/// Everything up to `\E`, or to the end, is text.
fn quote(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        if c == '\\' && chars.next_if_eq(&'E').is_some() {
            break;
        }
        text.push(c);
    }
    out.push_str(&regex_syntax::escape(&text));
}

/// `{n}`, `{n,}` or `{n,m}`, after the brace.
fn begins_repetition(rest: Peekable<Chars<'_>>) -> bool {
    let inside: String = rest.take_while(|c| c.is_ascii_digit() || *c == ',' || *c == '}').collect();
    let Some((bounds, _)) = inside.split_once('}') else { return false };
    let number = |text: &str| !text.is_empty() && !text.contains(',');
    match bounds.split_once(',') {
        None => number(bounds),
        Some((least, most)) => number(least) && (most.is_empty() || number(most)),
    }
}

/// A class after its opening bracket.
fn class(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    out.push('[');
    if chars.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut first = true;
    while let Some(c) = chars.next() {
        match c {
            ']' if first => out.push_str("\\]"),
            ']' => return out.push(']'),
            '[' if posix(chars, out) => {}
            '[' | '&' | '~' => out.extend(['\\', c]),
            '-' if first => out.push_str("\\-"),
            // The end of a range.
            '-' if chars.next_if_eq(&'-').is_some() => out.push_str("-\\-"),
            '\\' => class_escape(chars, out),
            c => out.push(c),
        }
        first = false;
    }
}

/// `[:alpha:]`, which passes through; false if it is none and only the bracket was read.
fn posix(chars: &mut Peekable<Chars<'_>>, out: &mut String) -> bool {
    let mut ahead = chars.clone();
    if ahead.next() != Some(':') {
        return false;
    }
    let name: String = ahead.take_while(|c| c.is_ascii_alphabetic() || *c == '^').collect();
    let length = name.len() + 3;
    let text: String = chars.clone().take(length).collect();
    if !text.ends_with(":]") {
        return false;
    }
    out.push('[');
    out.push_str(&text);
    // `advance_by` of a stable kind.
    chars.nth(length - 1);
    true
}

fn class_escape(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    match chars.next() {
        Some('d') => out.push_str("0-9"),
        Some('D') => out.push_str("[^0-9]"),
        Some('w') => out.push_str("0-9A-Za-z_"),
        Some('W') => out.push_str("[^0-9A-Za-z_]"),
        Some('s') => out.push_str("\\t\\n\\f\\r\\x20"),
        Some('S') => out.push_str("[^\\t\\n\\f\\r\\x20]"),
        Some(c @ ('<' | '>')) => return out.push(c),
        Some(c) => return common_escape(c, chars, out),
        None => return out.push('\\'),
    }
    // A class of characters begins no range: a hyphen after it is the character.
    if chars.peek() == Some(&'-') {
        chars.next();
        out.push_str("\\-");
    }
}
