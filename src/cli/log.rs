//! The log of a long-running process: one line per event, on standard error.

use std::path::Path;
use std::time::SystemTime;

use imgidx::types::escape_path;
use serde_json::{Map, Value, json};

use super::output::{printable, write_error_line};

/// The severity of a line, with the numbers of syslog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Warning = 4,
    Info = 6,
    Debug = 7,
}

/// The format of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Time, level and event, then fields as `key=value`.
    Text,
    /// For the systemd journal, which adds the time; the level is a prefix as in sd-daemon(3).
    Journal,
    /// One JSON document per line.
    Json,
}

/// A log in one format.
#[derive(Debug, Clone, Copy)]
pub(super) struct Log {
    form: Form,
    /// The least urgent level that is written.
    max_level: Level,
}

impl Log {
    pub(super) fn new(json: bool, quiet: bool, verbose: bool) -> Self {
        let form = match (json, std::env::var_os("JOURNAL_STREAM")) {
            (true, _) => Form::Json,
            (false, Some(_)) => Form::Journal,
            (false, None) => Form::Text,
        };
        let max_level = if verbose {
            Level::Debug
        } else if quiet {
            Level::Warning
        } else {
            Level::Info
        };
        Self { form, max_level }
    }

    /// Writes a line.
    pub(super) fn write(self, level: Level, event: &str, fields: &[(&str, Value)]) {
        if level as u8 > self.max_level as u8 {
            return;
        }
        let line = self.line(level, event, fields, SystemTime::now());
        write_error_line(&line);
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
        // Quoted unless it is one word, and always on one line.
        Value::String(text) if text.contains(|c: char| c.is_whitespace() || c == '"' || c.is_control()) => {
            format!(" {key}={}", printable(&json!(text).to_string()))
        }
        Value::String(text) => format!(" {key}={}", printable(text)),
        other => format!(" {key}={other}"),
    };
    fields.iter().map(pair).collect()
}

/// A path as a field value.
pub(super) fn path(path: &Path) -> Value {
    json!(escape_path(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_in_every_form() {
        let fields = [("path", path(Path::new("/a b\n\x1b[31m"))), ("files", json!(3))];
        let line =
            |form| Log { form, max_level: Level::Info }.line(Level::Info, "offline", &fields, SystemTime::UNIX_EPOCH);
        assert_eq!(line(Form::Text), "1970-01-01T00:00:00.000Z info    offline path=\"/a b\\n\\u001b[31m\" files=3");
        assert_eq!(line(Form::Journal), "<6>offline path=\"/a b\\n\\u001b[31m\" files=3");
        let json: Value = serde_json::from_str(&line(Form::Json)).expect("it is JSON");
        assert_eq!((json["event"].as_str(), json["files"].as_u64()), (Some("offline"), Some(3)));
    }
}
