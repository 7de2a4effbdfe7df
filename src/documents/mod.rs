//! The JSON documents of the command line, as serde structs.
//!
//! Most commands with `--json` print one document, with the number of its schema as its first field: [`Document`].
//! Commands that list many files print one line of JSON for each. Where an answer of the library has the right form, it
//! is the document itself. [`schemas`] describes all of them; `docs/json` has the result.
//!
//! Fields may be added, but never renamed. Digests are in hexadecimal, times in ISO 8601. Paths are text in which each
//! byte that is not part of UTF-8 is `\xNN`; see [`PathField`](crate::types::PathField).

mod add;
mod check;
mod daemon;
mod dupes;
mod error;
mod failures;
mod list;
mod maintenance;
mod models;
mod search;
mod show;
mod similar;
mod status;
mod trace;
mod tune;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::{Value, json};

pub use self::add::{Added, PlannedStep};
pub use self::check::Checked;
pub use self::daemon::Daemon;
pub use self::dupes::{
    ActedOn, Dismissed, DupeFile, Dupes, DupesGroup, LeftAsItIs, Redundancy, RedundantFiles, WithheldReason,
};
pub use self::error::{ErrorDetails, ErrorDocument};
pub use self::failures::Failures;
pub use self::list::{Exported, Listed};
pub use self::maintenance::{BackedUp, Forgotten, Pruned};
pub use self::models::{Model, Models, RuntimeInUse};
pub use self::search::{FoundPicture, Search};
pub use self::show::{EmbeddingOf, Measured, Shown};
pub use self::similar::{QueriedPicture, QueryPart, Similar, SimilarPicture};
pub use self::status::{IndexStatus, LabelCount, Run};
pub use self::trace::{EstimatedTrace, Estimates, KnownTrace, NotTraced, Trace, TracedPicture, Traces};
pub use self::tune::Remembered;
use crate::index::TuneReport;

/// The number of the schemas. It is increased only if a field is renamed, removed or changes its meaning.
pub const SCHEMA: u32 = 1;

/// A document with the number of its schema.
#[derive(Debug, Clone, Serialize)]
pub struct Document<T> {
    schema: u32,
    #[serde(flatten)]
    content: T,
}

impl<T> Document<T> {
    /// Adds the number of the schema.
    pub fn new(content: T) -> Self {
        Self { schema: SCHEMA, content }
    }
}

/// The JSON Schemas of all documents and lines, with their names: those of the commands and, after a hyphen, of the
/// variants.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("add", document::<Added>()),
        ("add-dry-run", line::<PlannedStep>()),
        ("backup", document::<BackedUp>()),
        ("check", document::<Checked>()),
        ("daemon-status", document::<Daemon>()),
        ("dupes", document::<Dupes>()),
        ("dupes-dismiss", document::<Dismissed>()),
        ("dupes-link", document::<ActedOn>()),
        ("dupes-redundant", document::<RedundantFiles>()),
        ("dupes-trash", document::<ActedOn>()),
        ("error", line::<ErrorDocument>()),
        ("export", line::<Exported>()),
        ("failures", document::<Failures>()),
        ("forget", document::<Forgotten>()),
        ("list", line::<Listed>()),
        ("model", document::<Model>()),
        ("model-list", document::<Models>()),
        ("prune", document::<Pruned>()),
        ("runtime", document::<RuntimeInUse>()),
        ("search", document::<Search>()),
        ("show", document::<Shown>()),
        ("similar", document::<Similar>()),
        ("status", document::<IndexStatus>()),
        ("trace", document::<Traces>()),
        ("trace-predict", document::<Estimates>()),
        ("tune", document::<TuneReport>()),
        ("tune-remembered", document::<Remembered>()),
    ]
}

/// The schema of a [`Document`].
fn document<T: JsonSchema>() -> Schema {
    let mut schema = line::<T>();
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.shift_insert(0, "schema".into(), json!({"description": "Number of this schema.", "const": SCHEMA}));
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.insert(0, "schema".into());
    }
    schema
}

/// The schema of a document without a number.
fn line<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    settings.with_transform(RecursiveTransform(remove_links)).into_generator().into_root_schema_for::<T>()
}

/// Descriptions are documentation of the library, whose links lead nowhere in a schema.
fn remove_links(schema: &mut Schema) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = without_links(description);
    }
}

/// Replaces ``[`name`]`` and ``[`name`](target)`` by the name.
fn without_links(text: &str) -> String {
    let (mut plain, mut rest) = (String::new(), text);
    while let Some((before, link)) = rest.split_once("[`")
        && let Some((name, after)) = link.split_once("`]")
    {
        plain.extend([before, "`", name, "`"]);
        let target = after.strip_prefix('(').and_then(|target| target.split_once(')'));
        rest = target.map_or(after, |(_, after)| after);
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_have_no_links() {
        assert_eq!(without_links("[`A`](crate::A), [`B::C`] (or `d`) and [`e"), "`A`, `B::C` (or `d`) and [`e");
    }

    /// Calls `each` with the properties of every object in a schema.
    fn for_each_object(schema: &Value, each: &mut dyn FnMut(&serde_json::Map<String, Value>)) {
        if let Some(Value::Object(properties)) = schema.get("properties") {
            each(properties);
        }
        match schema {
            Value::Object(parts) => parts.values().for_each(|part| for_each_object(part, each)),
            Value::Array(parts) => parts.iter().for_each(|part| for_each_object(part, each)),
            _ => {}
        }
    }

    #[test]
    fn a_file_or_directory_is_always_named_path() {
        for (name, schema) in schemas() {
            for_each_object(schema.as_value(), &mut |properties| {
                for other in
                    ["file", "root", "library", "folder"].iter().filter(|other| properties.contains_key(**other))
                {
                    assert!(properties.contains_key("path"), "`{other}` in `{name}` has no `path` beside it");
                }
            });
        }
    }

    #[test]
    fn the_number_of_the_schema_comes_first() {
        let dismissed = Document::new(Dismissed { pairs: 3, undo: false });
        let json = serde_json::to_string(&dismissed).expect("it is plain data");
        assert_eq!(json, r#"{"schema":1,"pairs":3,"undo":false}"#);
        let schema = document::<Dismissed>();
        assert_eq!(schema.get("required"), Some(&json!(["schema", "pairs", "undo"])));
    }
}
