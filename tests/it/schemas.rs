//! The JSON Schemas in `docs/json`: they are those of the documents, and the program's output has their fields.
//!
//! `IMGIDX_WRITE_SCHEMAS=1 cargo nextest run schemas` writes them.

use std::collections::HashMap;
use std::path::Path;

use imgidx::documents::schemas;
use serde_json::Value;

use crate::common::{Sandbox, write};

#[test]
fn the_schemas_in_the_documentation_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json");
    let must_write = std::env::var_os("IMGIDX_WRITE_SCHEMAS").is_some_and(|value| value == "1");
    let mut names = vec!["README.md".to_owned()];
    for (name, schema) in schemas() {
        let name = format!("{name}.schema.json");
        let path = folder.join(&name);
        let text = serde_json::to_string_pretty(&schema).expect("a schema is plain data") + "\n";
        if must_write {
            write(&path, text.as_bytes());
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "`{name}` is outdated; IMGIDX_WRITE_SCHEMAS=1 writes it");
        names.push(name);
    }
    for entry in std::fs::read_dir(folder).expect("the folder exists").flatten() {
        let name = entry.file_name().into_string().expect("UTF-8");
        assert!(names.contains(&name), "no document has the schema `{name}`");
    }
}

/// Collects required fields that are missing and fields that the schema does not know, at any depth.
fn find_problems(value: &Value, schema: &Value, root: &Value, place: &str, problems: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#'));
        let target = target.unwrap_or_else(|| panic!("`{reference}` leads nowhere"));
        find_problems(value, target, root, place, problems);
    } else if let Some(alternatives) = schema["anyOf"].as_array() {
        let other = alternatives.iter().find(|alternative| alternative["type"] != "null");
        if let (false, Some(other)) = (value.is_null(), other) {
            find_problems(value, other, root, place, problems);
        }
    } else if let Some(fields) = value.as_object() {
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let missing = required.filter(|name| !fields.contains_key(*name));
        problems.extend(missing.map(|name| format!("{place}.{name} is missing")));
        for (name, field) in fields {
            match schema["properties"].get(name) {
                Some(known) => find_problems(field, known, root, &format!("{place}.{name}"), problems),
                None if schema.get("additionalProperties").is_some() => {}
                None => problems.push(format!("{place}.{name} is unknown")),
            }
        }
    } else {
        for item in value.as_array().into_iter().flatten() {
            find_problems(item, &schema["items"], root, &format!("{place}[]"), problems);
        }
    }
}

#[test]
fn the_output_of_the_program_has_the_fields_of_its_schemas() {
    let sandbox = Sandbox::new();
    for (name, seed) in [("a.png", 1), ("copy.png", 1), ("b.png", 2)] {
        sandbox.draw(name, seed);
    }
    write(&sandbox.photo("broken.gif"), b"GIF89a");
    let is_inside = |x: u32, y: u32| (16..48).contains(&x) && (20..40).contains(&y);
    let logo =
        image::RgbImage::from_fn(64, 64, |x, y| image::Rgb(if is_inside(x, y) { [200, 30, 30] } else { [255; 3] }));
    logo.save(sandbox.path("logo.png")).expect("it can be written");
    let schemas: HashMap<_, _> = schemas().into_iter().map(|(name, schema)| (name, schema.to_value())).collect();
    let check = |name: &str, text: &str| {
        let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"));
        let mut problems = Vec::new();
        find_problems(&value, &schemas[name], &schemas[name], name, &mut problems);
        assert!(problems.is_empty(), "{problems:#?} in {value:#}");
    };
    let documents: &[(&str, &[&str], i32)] = &[
        ("add", &["add", "photos"], 3),
        ("similar", &["similar", "photos/a.png"], 0),
        ("search", &["search", "--min-width", "1"], 0),
        ("dupes", &["dupes"], 0),
        ("dupes-redundant", &["dupes", "--redundant"], 0),
        ("dupes-trash", &["dupes", "trash", "--dry-run"], 0),
        ("dupes-link", &["dupes", "link", "--dry-run"], 0),
        ("show", &["show", "photos/a.png"], 0),
        ("show", &["show", "photos/a.png", "--vector"], 0),
        ("status", &["status"], 0),
        ("failures", &["failures"], 0),
        ("check", &["check"], 0),
        ("backup", &["backup", "backup.db"], 0),
        ("prune", &["prune", "--dry-run"], 0),
        ("runtime", &["runtime"], 0),
        ("model-list", &["model", "list"], 0),
        ("trace", &["trace", "logo.png", "--tier", "fast"], 0),
        ("trace-predict", &["trace", "logo.png", "--predict"], 0),
    ];
    for (name, arguments, code) in documents {
        let finished = sandbox.run(&[arguments, &["--json"][..]].concat()).code(*code);
        check(name, &finished.stdout);
    }
    sandbox.draw("new.png", 3);
    let lines: &[(&str, &[&str], usize)] = &[
        ("list", &["list"], 3),
        ("export", &["export", "--vector"], 3),
        ("add-dry-run", &["add", "--dry-run", "photos"], 1),
    ];
    for (name, arguments, count) in lines {
        let finished = sandbox.run(&[arguments, &["--json"][..]].concat()).code(0);
        assert_eq!(finished.lines().len(), *count, "{name}: {}", finished.stdout);
        finished.lines().into_iter().for_each(|line| check(name, line));
    }
    let failed = sandbox.run(&["show", "photos/none.png", "--json"]).code(1);
    check("error", failed.stderr.lines().last().expect("an error"));
}
