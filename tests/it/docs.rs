//! Checks of the documents and of the source text: every promise names tests that exist, documents and source files
//! stay short, and relative links lead to files.

use std::path::{Path, PathBuf};

/// The documents with a limit on their length, in lines.
const MAX_LINES: &[(&str, usize)] = &[("README.md", 150), ("ARCHITECTURE.md", 250)];

/// Longer lines of Markdown are hard to review in a diff.
const MAX_LINE_CHARS: usize = 300;

/// Lines of code in one Rust file, without its unit tests.
const MAX_CODE_LINES: usize = 500;

/// If fewer are found, the parser no longer understands the file.
const MIN_REFERENCES: usize = 40;

/// A file with its path below the repository.
struct TextFile {
    name: PathBuf,
    text: String,
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> TextFile {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read `{}`: {error}", path.display()));
    let name = path.strip_prefix(repository()).expect("the path is below the repository").to_owned();
    TextFile { name, text }
}

/// All files below a folder of the repository with this extension.
fn files_below(folder: &str, extension: &str) -> Vec<TextFile> {
    fn collect(folder: &Path, extension: &str, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("the folder can be read").flatten() {
            let path = entry.path();
            if path.is_dir() {
                collect(&path, extension, files);
            } else if path.extension().is_some_and(|found| found == extension) {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    collect(&repository().join(folder), extension, &mut files);
    files.sort();
    files.iter().map(|path| read(path)).collect()
}

fn documents() -> Vec<TextFile> {
    let top_level = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];
    let mut documents: Vec<TextFile> = top_level.iter().map(|name| read(&repository().join(name))).collect();
    documents.extend(files_below("docs", "md"));
    documents
}

/// The sources in which a unit test may be.
fn sources() -> Vec<TextFile> {
    [files_below("src", "rs"), files_below("crates", "rs")].into_iter().flatten().collect()
}

/// A test that `docs/guarantees.md` names.
#[derive(Debug, PartialEq)]
struct Reference<'a> {
    /// A module of `tests/it`, or a source file; the running text names unit tests without their file.
    place: Option<&'a str>,
    function: &'a str,
}

/// The cells of a table row, or `None` for other lines, the header and the line below it.
fn cells(line: &str) -> Option<Vec<&str>> {
    let row = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    let cells: Vec<&str> = row.split(" | ").map(str::trim).collect();
    let is_data = cells.last() != Some(&"Test") && !row.starts_with("---");
    is_data.then_some(cells)
}

/// The tests that a cell of the table names, as `module::function` or `path.rs::function`.
fn references_of_cell(cell: &str) -> Vec<Reference<'_>> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted
        .map(|name| match name.rsplit_once("::") {
            Some((place, function)) => Reference { place: Some(place), function },
            None => Reference { place: None, function: name },
        })
        .collect()
}

/// Unit tests that the running text names, as (`function`).
fn references_of_text(text: &str) -> Vec<Reference<'_>> {
    let quoted = text.split("(`").skip(1).filter_map(|rest| rest.split_once("`)"));
    let is_function = |name: &str| name.contains('_') && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let names = quoted.map(|(name, _)| name).filter(|name| is_function(name));
    names.map(|function| Reference { place: None, function }).collect()
}

fn references(guarantees: &str) -> Vec<Reference<'_>> {
    let rows = guarantees.lines().filter_map(cells);
    let in_table = rows.flat_map(|cells| references_of_cell(cells.last().expect("a row has cells")));
    in_table.chain(references_of_text(guarantees)).collect()
}

/// Promises without a test, and named tests that do not exist.
fn unproved_promises(guarantees: &str, integration_tests: &[TextFile], sources: &[TextFile]) -> Vec<String> {
    let rows = guarantees.lines().filter_map(cells);
    let untested = rows.filter(|cells| cells.len() < 2 || references_of_cell(cells[cells.len() - 1]).is_empty());
    let untested = untested.map(|cells| format!("no test is named for: {}", cells[0]));
    let exists = |reference: &Reference<'_>| {
        let has_function = |file: &TextFile| file.text.contains(&format!("fn {}(", reference.function));
        match reference.place {
            None => sources.iter().any(has_function),
            Some(path) if path.ends_with(".rs") => {
                sources.iter().any(|file| file.name == Path::new(path) && has_function(file))
            }
            Some(module) => {
                let path = Path::new("tests/it").join(format!("{module}.rs"));
                integration_tests.iter().any(|file| file.name == path && has_function(file))
            }
        }
    };
    let missing = references(guarantees).into_iter().filter(|reference| !exists(reference)).map(|reference| {
        format!("no such test: {}::{}", reference.place.unwrap_or("(any source file)"), reference.function)
    });
    untested.chain(missing).collect()
}

/// Documents with too many lines, and lines with too many characters.
fn oversized(documents: &[TextFile]) -> Vec<String> {
    let mut offenders = Vec::new();
    for TextFile { name, text } in documents {
        let lines = text.lines().count();
        let limit = MAX_LINES.iter().find(|(limited, _)| name == Path::new(limited)).map(|(_, limit)| *limit);
        if let Some(limit) = limit.filter(|limit| lines > *limit) {
            offenders.push(format!("{} has {lines} lines; the limit is {limit}", name.display()));
        }
        for (i, line) in text.lines().enumerate() {
            let chars = line.chars().count();
            if chars > MAX_LINE_CHARS {
                offenders.push(format!("{}:{} has {chars} characters", name.display(), i + 1));
            }
        }
    }
    offenders
}

fn without_code_spans(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// The targets of inline links and of link definitions, outside of code.
fn link_targets(markdown: &str) -> Vec<String> {
    let mut targets: Vec<String> = Vec::new();
    let mut is_code = false;
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        let line = without_code_spans(line);
        let inline = line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
        let defined = line.strip_prefix('[').and_then(|rest| Some(rest.split_once("]: ")?.1));
        // A title may follow the target.
        targets.extend(inline.chain(defined).filter_map(|target| target.split_whitespace().next()).map(str::to_owned));
    }
    targets
}

/// Relative links to files that do not exist.
fn broken_links(documents: &[TextFile], exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut offenders = Vec::new();
    for TextFile { name, text } in documents {
        for target in link_targets(text) {
            let path = target.trim_start_matches('<').trim_end_matches('>').split('#').next().unwrap_or_default();
            let is_external = ["http://", "https://", "mailto:"].iter().any(|scheme| path.starts_with(scheme));
            let folder = name.parent().expect("a file is in a folder");
            if !is_external && !path.is_empty() && !exists(&folder.join(path)) {
                offenders.push(format!("{} links to `{target}`", name.display()));
            }
        }
    }
    offenders
}

/// Lines before the unit tests that are neither blank nor comments.
fn code_lines(source: &str) -> usize {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let is_test_module = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].contains("mod tests");
    let end = lines.windows(2).position(is_test_module).unwrap_or(lines.len());
    lines[..end].iter().filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

fn long_sources(sources: &[TextFile]) -> Vec<String> {
    let counted = sources.iter().map(|file| (file, code_lines(&file.text)));
    let long = counted.filter(|(_, lines)| *lines > MAX_CODE_LINES);
    long.map(|(file, lines)| format!("{} has {lines} lines of code", file.name.display())).collect()
}

#[test]
fn every_promise_names_tests_that_exist() {
    let guarantees = read(&repository().join("docs/guarantees.md")).text;
    let found = references(&guarantees).len();
    assert!(found >= MIN_REFERENCES, "only {found} tests are named");
    let offenders = unproved_promises(&guarantees, &files_below("tests/it", "rs"), &sources());
    assert!(offenders.is_empty(), "{offenders:#?}");
}

#[test]
fn documents_and_their_lines_are_short() {
    let offenders = oversized(&documents());
    assert!(offenders.is_empty(), "{offenders:#?}");
}

#[test]
fn relative_links_lead_to_files() {
    let offenders = broken_links(&documents(), |path| repository().join(path).exists());
    assert!(offenders.is_empty(), "{offenders:#?}");
}

#[test]
fn source_files_are_short() {
    let offenders = long_sources(&sources());
    assert!(offenders.is_empty(), "{offenders:#?}");
}

fn file(name: &str, text: &str) -> TextFile {
    TextFile { name: name.into(), text: text.to_owned() }
}

#[test]
fn the_check_of_promises_finds_missing_tests() {
    let guarantees = "| Promise | Test |
|---|---|
| Kept \\* | `a::kept`, `src/b.rs::kept_too` |
| Renamed | `a::renamed` |
| Moved | `c::kept`, `src/c.rs::kept_too` |
| Unproved | by hand |

A unit test proves it (`kept_too`), and `--flag` (`x`) too, or not (`lost_unit_test`).";
    let tests = [file("tests/it/a.rs", "fn kept() {}\nfn renamed_since() {}")];
    let sources = [file("src/b.rs", "fn kept_too() {}")];
    assert_eq!(references(guarantees).len(), 7);
    assert_eq!(
        unproved_promises(guarantees, &tests, &sources),
        [
            "no test is named for: Unproved",
            "no such test: a::renamed",
            "no such test: c::kept",
            "no such test: src/c.rs::kept_too",
            "no such test: (any source file)::lost_unit_test",
        ]
    );
}

#[test]
fn the_check_of_lengths_finds_long_documents_and_lines() {
    let documents = [
        file("README.md", &"a line\n".repeat(151)),
        file("ARCHITECTURE.md", &"a line\n".repeat(250)),
        file("docs/long.md", &format!("{}\n{}\n", "ü".repeat(300), "ü".repeat(301))),
    ];
    assert_eq!(
        oversized(&documents),
        ["README.md has 151 lines; the limit is 150", "docs/long.md:2 has 301 characters"]
    );
}

#[test]
fn the_check_of_links_finds_broken_ones() {
    let text = "[here](#part) [web](https://example.org/x.md) [mail](mailto:a@example.org) [good](good.md#part)
[bad](bad.md \"a title\") ![picture](<img/bad.png>)
[defined]: ../bad.md#part
```sh
[code](bad.md)
```
`[code](bad.md)` [last `code`](bad/)";
    let exists = |path: &Path| path == Path::new("docs/good.md");
    assert_eq!(
        broken_links(&[file("docs/a.md", text)], exists),
        [
            "docs/a.md links to `bad.md`",
            "docs/a.md links to `<img/bad.png>`",
            "docs/a.md links to `../bad.md#part`",
            "docs/a.md links to `bad/`",
        ]
    );
}

#[test]
fn the_check_of_sources_finds_long_files() {
    let around = "//! Module docs.\n\n    // A comment.\n";
    let tests = format!("#[cfg(test)]\npub(super) mod tests {{\n{}}}\n", "    code();\n".repeat(1000));
    let sources = [500, 501].map(|count| {
        file(&format!("src/{count}.rs"), &format!("{around}{}{around}{tests}", "code();\n".repeat(count)))
    });
    assert_eq!(long_sources(&sources), ["src/501.rs has 501 lines of code"]);
}
