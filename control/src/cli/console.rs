//! Where the command line writes: data to stdout, messages to stderr, colour only where a person looks.
//!
//! Owns the decision about colour (`NO_COLOR`, `TERM=dumb`, not a terminal). Must not know what is written.

use super::Failure;
use std::io::{IsTerminal, Write};

/// The two output streams of a command.
#[derive(Clone, Copy)]
pub struct Console {
    colour_out: bool,
    colour_err: bool,
}

/// What a piece of text means; the console decides how that looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// A heading or the subject of a line.
    Bold,
    /// Accepted, ready.
    Good,
    /// A warning.
    Warn,
    /// An error.
    Bad,
    /// Less important than its surroundings.
    Dim,
}

impl Console {
    /// Colours as the environment of this process asks.
    pub fn of_this_process() -> Console {
        let allowed = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|value| value != "dumb");
        Console {
            colour_out: allowed && std::io::stdout().is_terminal(),
            colour_err: allowed && std::io::stderr().is_terminal(),
        }
    }

    /// Without colours, for tests.
    #[cfg(test)]
    pub fn plain() -> Console {
        Console { colour_out: false, colour_err: false }
    }

    /// Paints text that is meant for stdout.
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        colour(self.colour_out, paint, text)
    }

    /// Writes to stdout.
    pub fn data(&self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    /// One line on stderr. A closed stderr is no reason to stop.
    pub fn say(&self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// One line on stderr that begins with a coloured word.
    pub fn note(&self, paint: Paint, word: &str, text: &str) {
        self.say(&format!("{} {text}", colour(self.colour_err, paint, word)));
    }

    /// One line `error: ...` on stderr.
    pub fn error(&self, text: &str) {
        self.note(Paint::Bad, "error:", text);
    }
}

fn colour(on: bool, paint: Paint, text: &str) -> String {
    if !on {
        return text.to_owned();
    }
    let code = match paint {
        Paint::Bold => "1",
        Paint::Good => "32",
        Paint::Warn => "33",
        Paint::Bad => "1;31",
        Paint::Dim => "2",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_only_when_it_is_on() {
        assert_eq!(colour(false, Paint::Bad, "x"), "x");
        assert_eq!(colour(true, Paint::Bad, "x"), "\x1b[1;31mx\x1b[0m");
        assert_eq!(Console::plain().paint(Paint::Good, "ok"), "ok");
    }
}
