//! Output: results on standard output, messages on standard error.

use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::path::Path;

use imgidx::Error;
use imgidx::documents::{Document, ErrorDetails, ErrorDocument};
use imgidx::types::path_to_bytes;
use serde::Serialize;

use super::color::When;

/// How a command succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// Everything was done.
    All,
    /// The command ran to its end, but some files failed.
    SomeFailed,
}

impl Done {
    /// How a run ended, given the number of files that failed.
    pub(super) fn of(interrupted: bool, failed: u64) -> Result<Self, Failure> {
        match (interrupted, failed) {
            (true, _) => Err(Error::Interrupted.into()),
            (false, 0) => Ok(Self::All),
            (false, _) => Ok(Self::SomeFailed),
        }
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// An error of the library.
    #[error(transparent)]
    Error(Error),
    /// The index is damaged, and the details are printed already.
    #[error("{0}")]
    Damaged(String),
    /// The arguments do not fit together.
    #[error("{0}")]
    Usage(String),
    /// The arguments do not fit together, and the hint says which ones do.
    #[error("{message}")]
    UsageHint { message: String, hint: String },
    /// The arguments cannot be parsed.
    #[error("{message}")]
    Arguments { message: String, hint: Option<String> },
    /// The command would remove something, and there is no terminal on which to ask.
    #[error("`imgidx {0}` needs confirmation, and there is no terminal to ask on")]
    Unconfirmed(&'static str),
    /// A request was refused, by the daemon or by the command itself.
    #[error("{message}")]
    Refused { message: String, hint: Option<String> },
    /// The reader of standard output is gone.
    #[error("the output was closed")]
    ClosedPipe,
}

impl Failure {
    /// What kind of failure it is, as JSON documents name it.
    fn kind(&self) -> &'static str {
        match self {
            Self::Error(error) => error.kind(),
            Self::Damaged(_) => "damaged",
            Self::Usage(_) | Self::UsageHint { .. } | Self::Arguments { .. } | Self::Unconfirmed(_) => "usage",
            Self::Refused { .. } => "refused",
            Self::ClosedPipe => "closed_pipe",
        }
    }

    /// The exit status of the command.
    pub(super) fn exit_status(&self) -> u8 {
        match self {
            // The reader of the output has stopped reading, as `head` does: not a failure.
            Self::ClosedPipe => 0,
            Self::Usage(_) | Self::UsageHint { .. } | Self::Arguments { .. } | Self::Unconfirmed(_) => 2,
            _ => 1,
        }
    }

    /// What can be done about it, where there is something to do.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Error(error) => error.hint(),
            Self::Refused { hint, .. } | Self::Arguments { hint, .. } => hint.clone(),
            Self::UsageHint { hint, .. } => Some(hint.clone()),
            Self::Unconfirmed(_) => Some("--yes removes without asking; --dry-run shows what would be removed".into()),
            _ => None,
        }
    }
}

#[cfg(unix)]
impl From<imgidx::daemon::ErrorReply> for Failure {
    fn from(reply: imgidx::daemon::ErrorReply) -> Self {
        Self::Refused { message: reply.message, hint: reply.hint }
    }
}

impl From<imgidx::model::Error> for Failure {
    fn from(error: imgidx::model::Error) -> Self {
        Self::Error(error.into())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            error => Self::Error(error),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Error::io("write to", "standard output")(error).into()
    }
}

/// Whether messages are coloured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    color: bool,
    /// Whether errors are JSON documents.
    json: bool,
}

impl Style {
    pub(super) fn new(when: When, json: bool) -> Self {
        let color = match when {
            When::Always => true,
            When::Never => false,
            When::Auto => io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        };
        Self { color, json }
    }

    /// Prints an error and, if there is one, a hint.
    pub(super) fn error(self, failure: &Failure) {
        let hint = failure.hint();
        if self.json {
            let error = ErrorDetails { kind: failure.kind(), message: failure.to_string(), hint };
            let document = serde_json::to_string(&ErrorDocument { error }).expect("an error is plain data");
            write_error_line(&document);
            return;
        }
        self.line("error", "1;31", &failure.to_string());
        if let Some(hint) = hint {
            self.hint(&hint);
        }
    }

    pub(super) fn note(self, text: &str) {
        self.line("note", "1;33", text);
    }

    pub(super) fn hint(self, text: &str) {
        self.line("hint", "1;36", text);
    }

    fn line(self, head: &str, color: &str, text: &str) {
        let head = if self.color { format!("\x1b[{color}m{head}:\x1b[0m") } else { format!("{head}:") };
        write_error_line(&format!("{head} {}", printable(text)));
    }
}

/// Writes a line to standard error with one call, so that lines of several processes on one pipe do not mix.
pub(super) fn write_error_line(line: &str) {
    // If standard error is closed, there is nowhere to report it.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Standard output, for results.
pub(super) struct Out {
    writer: BufWriter<Stdout>,
    terminal: bool,
}

impl Out {
    pub(super) fn new() -> Self {
        let stdout = io::stdout();
        Self { terminal: stdout.is_terminal(), writer: BufWriter::new(stdout) }
    }

    /// Writes a line of text; on a terminal, without control characters.
    pub(super) fn line(&mut self, text: impl fmt::Display) -> io::Result<()> {
        if self.terminal {
            return writeln!(self.writer, "{}", printable(&text.to_string()));
        }
        writeln!(self.writer, "{text}")
    }

    /// Writes a colour after some text, with a patch of it on a terminal that announces 24-bit colours in `COLORTERM`.
    pub(super) fn color(&mut self, before: &str, [r, g, b]: [u8; 3], after: fmt::Arguments<'_>) -> io::Result<()> {
        let has_true_color =
            || std::env::var("COLORTERM").is_ok_and(|kind| matches!(kind.as_str(), "truecolor" | "24bit"));
        self.writer.write_all(before.as_bytes())?;
        if self.terminal && std::env::var_os("NO_COLOR").is_none() && has_true_color() {
            write!(self.writer, "\x1b[48;2;{r};{g};{b}m    \x1b[0m ")?;
        }
        writeln!(self.writer, "#{r:02x}{g:02x}{b:02x}{after}")
    }

    /// Writes text, then a path byte for byte; on a terminal, without control characters.
    pub(super) fn path(&mut self, before: &str, path: &Path, end: char) -> io::Result<()> {
        self.writer.write_all(before.as_bytes())?;
        if self.terminal {
            self.writer.write_all(printable_name(&path.to_string_lossy()).as_bytes())?;
        } else {
            self.writer.write_all(&path_to_bytes(path))?;
        }
        write!(self.writer, "{end}")
    }

    /// Writes one JSON document, indented for a reader.
    pub(super) fn document<T: Serialize>(&mut self, content: T) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut self.writer, &Document::new(content))?;
        writeln!(self.writer)
    }

    /// Writes one JSON document on a line of its own.
    pub(super) fn json_line<T: Serialize>(&mut self, document: &T) -> io::Result<()> {
        serde_json::to_writer(&mut self.writer, document)?;
        writeln!(self.writer)
    }

    /// Writes out what is buffered, to show it now.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    /// Writes out what is buffered, and ends the output.
    pub(super) fn finish(mut self) -> Result<Done, Failure> {
        self.writer.flush()?;
        Ok(Done::All)
    }
}

/// Replaces what a terminal would act on: control characters except newline and tab, marks that change the direction of
/// text (bidirectional controls), and the invisible separators of lines and paragraphs.
pub(super) fn printable(text: &str) -> String {
    let is_unsafe = |c: char| {
        let is_bidi_control =
            matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
        (c.is_control() && c != '\n' && c != '\t') || is_bidi_control || matches!(c, '\u{2028}' | '\u{2029}')
    };
    text.chars().map(|c| if is_unsafe(c) { '\u{FFFD}' } else { c }).collect()
}

/// Like [`printable`], but on one line: a name that spans lines would look like several files.
fn printable_name(name: &str) -> String {
    printable(name).replace(['\n', '\t'], "\u{FFFD}")
}

/// A number of bytes in the largest unit that fits, such as `1.5 KiB`.
pub(super) fn human_bytes(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut size = bytes as f64 / 1024.0;
    for unit in ["KiB", "MiB", "GiB"] {
        if size < 1024.0 {
            return format!("{size:.1} {unit}");
        }
        size /= 1024.0;
    }
    format!("{size:.1} TiB")
}

/// A number and a noun: `1 file`, `2 files`.
pub(super) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Whether a question can be asked: standard input and standard error are terminals.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a yes-or-no question on a terminal. Without a terminal the answer is yes: giving the command is the answer.
pub(super) fn confirm(question: &str) -> io::Result<bool> {
    if !can_ask() {
        return Ok(true);
    }
    io::stderr().write_all(format!("{question} [y/N] ").as_bytes())?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_commanded_by_a_file_name() {
        assert_eq!(printable("a\x1b[31mb\u{202E}c\r"), "a\u{FFFD}[31mb\u{FFFD}c\u{FFFD}");
        assert_eq!(printable_name("a\n/b\u{9b}m\u{200F}"), "a\u{FFFD}/b\u{FFFD}m\u{FFFD}");
    }

    #[test]
    fn sizes_have_the_largest_unit_that_fits() {
        assert_eq!(human_bytes(1023), "1023 bytes");
        assert_eq!(human_bytes(1536), "1.5 KiB");
        assert_eq!(human_bytes(5 << 40), "5.0 TiB");
    }
}
