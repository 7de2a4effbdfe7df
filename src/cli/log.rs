//! The log of a process that stays: one line for each event, on standard error.

use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::output::{escaped, printable};

/// How urgent a line is; the numbers are those of syslog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Warning = 4,
    Info = 6,
    Debug = 7,
}

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Time, level, event, `key=value` and so on.
    Text,
    /// Without time, for a journal that has its own; the level as a prefix that it understands (sd-daemon(3)).
    Journal,
    /// One JSON document a line.
    Json,
}

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Log {
    form: Form,
    least: Level,
}

impl Log {
    pub(super) fn new(json: bool, quiet: bool, verbose: bool) -> Self {
        let form = match (json, std::env::var_os("JOURNAL_STREAM")) {
            (true, _) => Form::Json,
            (false, Some(_)) => Form::Journal,
            (false, None) => Form::Text,
        };
        let least = if verbose {
            Level::Debug
        } else if quiet {
            Level::Warning
        } else {
            Level::Info
        };
        Self { form, least }
    }

    /// Writes a line.
    pub(super) fn write(self, level: Level, event: &str, fields: &[(&str, Value)]) {
        if level as u8 > self.least as u8 {
            return;
        }
        let line = self.line(level, event, fields, SystemTime::now());
        // Nobody is left to tell if this fails.
        let _ = writeln!(std::io::stderr(), "{line}");
    }

    fn line(self, level: Level, event: &str, fields: &[(&str, Value)], at: SystemTime) -> String {
        let at = humantime::format_rfc3339_millis(at);
        let name = match level {
            Level::Warning => "warning",
            Level::Info => "info",
            Level::Debug => "debug",
        };
        match self.form {
            Form::Text => format!("{at} {name:7} {event}{}", pairs(fields)),
            Form::Journal => format!("<{}>{event}{}", level as u8, pairs(fields)),
            Form::Json => {
                let mut document = Map::from_iter([
                    ("at".to_owned(), json!(at.to_string())),
                    ("level".to_owned(), json!(name)),
                    ("event".to_owned(), json!(event)),
                ]);
                document.extend(fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
                Value::Object(document).to_string()
            }
        }
    }
}

fn pairs(fields: &[(&str, Value)]) -> String {
    let pair = |(key, value): &(&str, Value)| match value {
        // Quoted where it would not be one word, and always on one line.
        Value::String(text) if text.contains(|c: char| c.is_whitespace() || c == '"' || c.is_control()) => {
            format!(" {key}={}", printable(&json!(text).to_string()))
        }
        Value::String(text) => format!(" {key}={}", printable(text)),
        other => format!(" {key}={other}"),
    };
    fields.iter().map(pair).collect()
}

/// A path as the value of a field.
pub(super) fn path(path: &Path) -> Value {
    json!(escaped(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_in_every_form() {
        let fields = [("path", path(Path::new("/a b\n\x1b[31m"))), ("files", json!(3))];
        let line =
            |form| Log { form, least: Level::Info }.line(Level::Info, "offline", &fields, SystemTime::UNIX_EPOCH);
        assert_eq!(line(Form::Text), "1970-01-01T00:00:00.000Z info    offline path=\"/a b\\n\\u001b[31m\" files=3");
        assert_eq!(line(Form::Journal), "<6>offline path=\"/a b\\n\\u001b[31m\" files=3");
        let json: Value = serde_json::from_str(&line(Form::Json)).expect("it is JSON");
        assert_eq!((json["event"].as_str(), json["files"].as_u64()), (Some("offline"), Some(3)));
    }
}
