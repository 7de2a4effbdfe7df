//! The fields of the JSON documents: fields may be added, but never renamed.

use serde_json::Value;

use crate::common::{Sandbox, write};

/// Asserts that a document has these fields with these types; `|` separates alternatives.
fn assert_fields(value: &Value, expected: &[(&str, &str)]) {
    for (name, kind) in expected {
        let field = value.get(name).unwrap_or_else(|| panic!("`{name}` is missing in {value:#}"));
        let actual = match field {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(number) if number.is_f64() => "float",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        assert!(kind.split('|').any(|kind| kind == actual), "`{name}` is {actual} and not {kind} in {value:#}");
    }
}

#[test]
fn documents_have_the_promised_fields() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    sandbox.draw("b.png", 2);
    write(&sandbox.photo("broken.gif"), b"GIF89a");

    let added = sandbox.run(&["add", "photos", "--json"]).code(3).json();
    assert_eq!((&added["schema"], &added["new"], &added["failed"]), (&1.into(), &2.into(), &1.into()));
    let counts = ["new", "changed", "moved", "unchanged", "missing", "failed", "skipped", "peak_memory_bytes"];
    assert_fields(&added, &counts.map(|name| (name, "integer|null")));
    assert_fields(&added, &[("offline_roots", "array"), ("seconds", "float"), ("images_per_second", "float")]);

    let similar = sandbox.run(&["similar", "photos/a.png", "--json"]).code(0).json();
    assert_fields(&similar, &[("schema", "integer"), ("query", "object"), ("model", "string"), ("hits", "array")]);
    assert_fields(&similar["query"], &[("path", "string"), ("image", "string"), ("indexed", "bool")]);
    assert_eq!(similar["method"], "scan");
    let hit = &similar["hits"][0];
    assert_fields(hit, &[("score", "float"), ("path", "string"), ("image", "string"), ("paths", "array")]);
    assert_eq!(hit["image"].as_str().map(str::len), Some(64));

    let shown = sandbox.run(&["show", "photos/a.png", "--json", "--vector"]).code(0).json();
    assert_fields(&shown, &[("path", "string"), ("image", "string"), ("indexed", "bool"), ("bytes", "integer")]);
    assert_fields(
        &shown,
        &[("format", "string"), ("width", "integer"), ("height", "integer"), ("orientation", "integer")],
    );
    assert_fields(&shown, &[("truncated", "bool"), ("labels", "array"), ("embedding", "object")]);
    assert_eq!((&shown["width"], &shown["height"], &shown["format"]), (&48.into(), &40.into(), &"png".into()));
    assert_fields(&shown["labels"][0], &[("label", "string"), ("score", "float")]);
    assert!(shown["labels"].as_array().is_some_and(|labels| (1..=5).contains(&labels.len())));
    assert_fields(&shown["embedding"], &[("model", "string"), ("dim", "integer")]);
    assert_eq!(shown["embedding"]["vector"].as_array().map(Vec::len), Some(1280));

    let failures = sandbox.run(&["failures", "--json"]).code(0).json();
    let failure = &failures["failures"][0];
    assert_fields(
        failure,
        &[("path", "string"), ("stage", "string"), ("reason", "string"), ("attempts", "integer"), ("at", "string")],
    );
    assert_eq!((&failure["stage"], &failure["attempts"]), (&"decode".into(), &1.into()));
    let at = failure["at"].as_str().expect("text");
    assert!(at.len() == 24 && at.starts_with("20") && &at[10..11] == "T" && at.ends_with('Z'), "{at}");

    let status = sandbox.run(&["status", "--json"]).code(0).json();
    assert_fields(
        &status,
        &[("database", "string"), ("images", "integer"), ("files", "integer"), ("missing", "integer")],
    );
    assert_fields(&status, &[("roots", "array"), ("model", "string"), ("failures", "integer"), ("daemon", "null")]);
    assert_fields(&status["roots"][0], &[("path", "string"), ("state", "string"), ("files", "integer")]);
    let index = [("rows", "integer"), ("snapshot", "integer"), ("delta", "integer"), ("method", "string")];
    assert_fields(&status["index"], &index);
    assert_eq!((&status["images"], &status["roots"][0]["state"]), (&2.into(), &"online".into()));

    let check = sandbox.run(&["check", "--json"]).code(0).json();
    assert_eq!((&check["ok"], &check["problems"]), (&true.into(), &Value::Array(Vec::new())));

    let exported = sandbox.run(&["export", "--format", "jsonl"]).code(0);
    assert_eq!(exported.lines().len(), 2);
    for line in exported.lines() {
        let row: Value = serde_json::from_str(line).expect("JSON");
        assert_fields(&row, &[("path", "string"), ("image", "string"), ("labels", "array"), ("embedding", "object")]);
    }
    let runtime = sandbox.run(&["runtime", "--json"]).code(0).json();
    assert_fields(
        &runtime,
        &[("library", "string"), ("version", "string"), ("place", "string"), ("attempts", "array")],
    );
    let models = sandbox.run(&["model", "list", "--json"]).code(0).json();
    assert_eq!(models["models"][0]["active"], true);
}

#[test]
fn a_picture_can_be_shown_without_any_index() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    let shown = sandbox.run(&["show", "photos/a.png", "--json"]).code(0).json();
    assert_eq!((&shown["indexed"], &shown["paths"]), (&false.into(), &Value::Array(Vec::new())));
    sandbox.run(&["status"]).code(1);
}
