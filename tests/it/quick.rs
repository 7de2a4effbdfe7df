//! A first pass over HEIC files by the thumbnails in them: provisional, and replaced by the next pass.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use image::DynamicImage;
use imgidx::media::{DecodeLimits, Decoder, Filter as Scaling, Fit, Format};
use imgidx::store::{FoundFile, Writer};
use imgidx::types::{ContentHash, Embedding, FileStat};
use imgidx::{AddOptions, IndexReport, Query, SearcherOptions};
use serde_json::Value;

#[cfg(unix)]
use crate::common::Daemon;
use crate::common::{Sandbox, write};

/// One of the small pictures of the crate that decodes. That of `thumbnail.heic` has 640 × 480 pixels, and a thumbnail of
/// 320 × 240.
fn small_picture(name: &str) -> Vec<u8> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/imgidx-media/tests/data");
    fs::read(data.join(name)).expect("it is in the repository")
}

/// A photograph with a thumbnail, and a picture without.
fn album() -> Sandbox {
    let sandbox = Sandbox::new();
    write(&sandbox.photo("phone.heic"), &small_picture("thumbnail.heic"));
    sandbox.draw("plain.png", 1);
    sandbox
}

fn add_quickly(sandbox: &Sandbox) -> IndexReport {
    sandbox.add_with(&AddOptions { quick: true, ..one_by_one() })
}

fn add_whole(sandbox: &Sandbox) -> IndexReport {
    sandbox.add_with(&one_by_one())
}

/// The pictures of a batch have an effect on the last bits of each other's numbers.
fn one_by_one() -> AddOptions {
    AddOptions { batch_size: NonZeroUsize::new(1), ..AddOptions::default() }
}

fn counts(report: &IndexReport) -> [u64; 4] {
    [report.new, report.unchanged, report.embedded, report.provisional]
}

fn status(sandbox: &Sandbox) -> Value {
    sandbox.run_on_index(&["status", "--json"]).code(0).json()
}

/// What is known of a photograph, without where it is.
fn shown(sandbox: &Sandbox, path: &str) -> Value {
    let mut json = sandbox.run_on_index(&["show", "--json", "--vector", path]).code(0).json();
    for place in ["path", "paths"] {
        json.as_object_mut().expect("a document").remove(place);
    }
    json
}

/// Ids of the vectors of all HEIC files.
fn vector_ids(sandbox: &Sandbox) -> Vec<i64> {
    let database = rusqlite::Connection::open(sandbox.database()).expect("the database opens");
    let sql = "SELECT DISTINCT e.id FROM embedding e JOIN file f ON f.image = e.image WHERE f.path LIKE '%.heic'";
    let mut statement = database.prepare(sql).expect("the tables exist");
    let ids = statement.query_map([], |row| row.get(0)).expect("rows");
    ids.map(|id| id.expect("a row")).collect()
}

/// Names of the pictures that are similar to another one.
fn found(sandbox: &Sandbox) -> Vec<String> {
    let json = sandbox.run_on_index(&["similar", "photos/plain.png", "--json"]).code(0).json();
    let hits = json["hits"].as_array().expect("hits").iter();
    hits.map(|hit| hit["path"].as_str().expect("a path").rsplit('/').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_quick_pass_finds_pictures_by_their_thumbnails_and_the_next_one_replaces_them() {
    let sandbox = album();
    let finished = sandbox.run_on_index(&["add", "--quick", "photos"]).code(0);
    let note = "1 picture indexed by thumbnails only; the next `imgidx add` without --quick reads it whole";
    assert!(finished.stderr.contains(note), "{}", finished.stderr);
    assert!(finished.stdout.starts_with("2 new,"), "{}", finished.stdout);
    let quick = shown(&sandbox, "photos/phone.heic");
    assert_eq!(
        (&quick["decoded_from"], &quick["width"], &quick["height"], &quick["taken"]),
        (&"thumbnail".into(), &640.into(), &480.into(), &"2024-05-12T23:59:01".into())
    );
    assert_eq!((&status(&sandbox)["provisional"], found(&sandbox)), (&1.into(), vec!["phone.heic".to_owned()]));
    let text = sandbox.run_on_index(&["show", "photos/phone.heic"]).code(0).stdout;
    assert!(text.contains("\nprovisional  indexed by the thumbnail in the file; the next `imgidx add`"), "{text}");
    let text = sandbox.run_on_index(&["status"]).code(0).stdout;
    assert!(text.contains("1 picture indexed by thumbnails; run `imgidx add` without --quick"), "{text}");

    let first = vector_ids(&sandbox);
    assert_eq!(counts(&add_quickly(&sandbox)), [0, 2, 0, 0]);
    assert_eq!(vector_ids(&sandbox), first);

    let plan = sandbox.run_on_index(&["add", "--dry-run", "photos"]).code(0).stdout;
    assert!(plan.starts_with("provisional\t") && plan.lines().count() == 1, "{plan}");
    assert_eq!(sandbox.run_on_index(&["add", "--dry-run", "--quick", "photos"]).code(0).stdout, "");
    assert_eq!(counts(&add_whole(&sandbox)), [0, 2, 1, 0]);
    let second = vector_ids(&sandbox);
    assert!(first.len() == 1 && second.len() == 1 && second > first, "{first:?} {second:?}");
    assert_eq!(status(&sandbox)["provisional"], 0);
    // Nothing is left of the thumbnail: all is as if the whole picture had been read at once.
    let whole = album();
    add_whole(&whole);
    let (replaced, whole) = (shown(&sandbox, "photos/phone.heic"), shown(&whole, "photos/phone.heic"));
    assert_eq!((&replaced, &whole["decoded_from"]), (&whole, &"whole".into()));
    assert_ne!(quick["embedding"]["vector"], whole["embedding"]["vector"]);
    assert_ne!(quick["features"], whole["features"]);
    assert_eq!(counts(&add_whole(&sandbox)), [0, 2, 0, 0]);
}

#[test]
fn files_without_thumbnails_are_whole_at_once() {
    let sandbox = Sandbox::new();
    for name in ["plain.heic", "plain.avif", "plain.jxl"] {
        write(&sandbox.photo(name), &small_picture(name));
    }
    assert_eq!(counts(&add_quickly(&sandbox)), [3, 0, 3, 0]);
    assert_eq!(shown(&sandbox, "photos/plain.heic")["decoded_from"], "whole");
    assert_eq!(counts(&add_whole(&sandbox)), [0, 3, 0, 0]);
}

#[test]
fn a_replaced_vector_is_in_no_answer_of_derived_files_that_were_built_before() {
    /// Enough for quantized vectors and a graph.
    const OTHERS: u64 = 1500;
    let sandbox = album();
    add_quickly(&sandbox);
    let index = sandbox.open();
    let id = index.searcher().active_model().expect("the built-in one").id;
    let mut writer = Writer::open(&sandbox.database()).expect("no other process is writing");
    let model = writer.model(&id).expect("it can be read").expect("it was used");
    let batch = writer.batch().expect("a transaction");
    let root = batch.put_root(Path::new("/made"), true, 0, 0).expect("a root");
    for number in 0..OTHERS {
        let wave = |i: usize| ((number * 31 + 7) as f32 * (i + 1) as f32).sin();
        let vector = Embedding::normalized((0..model.dimension).map(wave).collect()).expect("it has a direction");
        let image = batch.put_image(&ContentHash::of(&number.to_le_bytes()), 1, None).expect("a row");
        batch.put_embedding(image, model.row, &vector).expect("a row");
        let stat = FileStat { size: 1, mtime_ns: 0, ctime_ns: 0, inode: number, device: 0 };
        let file = FoundFile { root, path: number.to_string().into_bytes(), stat, read_at_ns: 1 };
        batch.put_file(&file, Some(image), None).expect("a row");
    }
    batch.commit().expect("it is committed");
    drop(writer);
    index.searcher().maintain().expect("it can be written");
    let options = SearcherOptions { graph_from: 100, ..SearcherOptions::default() };
    let resident = index.searcher().resident(options).expect("it starts");
    resident.wait_until_settled();
    // Near the vector of the thumbnail, and nearer to that of the whole picture.
    let vector_of = |sandbox: &Sandbox| -> Embedding {
        let numbers = shown(sandbox, "photos/phone.heic")["embedding"]["vector"].as_array().expect("it").clone();
        let numbers = numbers.iter().map(|number| number.as_f64().expect("a number") as f32).collect();
        Embedding::normalized(numbers).expect("it has a direction")
    };
    let thumbnail = vector_of(&sandbox);
    let hash = ContentHash::of(&small_picture("thumbnail.heic"));
    let scores = || {
        let one_shot = sandbox.open().searcher().similar_to(&thumbnail, &Query::default(), 10).expect("it answers");
        let resident = resident.similar_to(&thumbnail, &Query::default(), 10).expect("it answers");
        [one_shot, resident].map(|answer| {
            let own = answer.hits.into_iter().filter(|hit| hit.image == hash);
            own.map(|hit| hit.score).collect::<Vec<f32>>()
        })
    };
    for before in scores() {
        assert!(before.len() == 1 && before[0] > 0.999, "{before:?}");
    }
    assert_eq!(counts(&add_whole(&sandbox))[2], 1);
    let expected = thumbnail.cosine(&vector_of(&sandbox));
    assert!(expected < 0.999, "{expected}");
    for after in scores() {
        assert!(after.len() == 1 && (after[0] - expected).abs() < 1e-3, "{after:?}, not {expected}");
    }
}

#[test]
fn a_thumbnail_does_not_stand_in_for_a_picture_that_cannot_be_decoded() {
    let sandbox = album();
    let mut heic = small_picture("thumbnail.heic");
    // The first entry of the `iloc` box: number, place of the data, base, number of pieces, and the piece.
    let entry = heic.windows(4).position(|kind| kind == b"iloc").expect("the box") + 4 + 4 + 2 + 2;
    assert_eq!(heic[entry..entry + 2], [0, 1], "the main picture");
    let number = |at: usize| u32::from_be_bytes(heic[at..at + 4].try_into().expect("four bytes")) as usize;
    let (start, length) = (number(entry + 4) + number(entry + 10), number(entry + 14));
    heic[start..start + length].fill(0);
    write(&sandbox.photo("phone.heic"), &heic);
    assert_eq!(counts(&add_quickly(&sandbox)), [2, 0, 2, 1]);
    assert_eq!(found(&sandbox), ["phone.heic"]);

    let report = add_whole(&sandbox);
    assert_eq!((report.failed, report.embedded), (1, 0));
    assert_eq!((vector_ids(&sandbox), found(&sandbox)), (vec![], vec![]));
    assert_eq!(status(&sandbox)["provisional"], 0);
    sandbox.run_on_index(&["check"]).code(0);
    // It is remembered as a failure like any other, by the quick pass too.
    for report in [add_whole(&sandbox), add_quickly(&sandbox)] {
        assert_eq!((report.unchanged, report.known_failures, report.embedded), (2, 1, 0));
    }
}

#[test]
fn what_is_known_of_a_whole_picture_is_not_replaced_by_its_thumbnail() {
    let sandbox = album();
    add_whole(&sandbox);
    let whole = shown(&sandbox, "photos/phone.heic");
    // As if another model had not processed it yet.
    sandbox.tamper().execute("DELETE FROM embedding", []).expect("it can be written");
    assert_eq!(counts(&add_quickly(&sandbox)), [0, 2, 2, 0]);
    assert_eq!(shown(&sandbox, "photos/phone.heic"), whole);
}

#[test]
fn the_vectors_of_all_models_are_replaced() {
    let sandbox = album();
    add_quickly(&sandbox);
    sandbox
        .tamper()
        .execute_batch(
            "INSERT INTO model (digest, name, dimension, added_at) VALUES (zeroblob(32), 'other', 1280, 1);
             INSERT INTO embedding (image, model, vector, checksum)
             SELECT image, (SELECT id FROM model WHERE name = 'other'), vector, checksum FROM embedding;",
        )
        .expect("it can be written");
    assert_eq!(counts(&add_whole(&sandbox))[2], 1);
    let database = sandbox.tamper();
    let names = "SELECT count(*) FROM embedding WHERE model = (SELECT id FROM model WHERE name = 'other')";
    // Only that of the picture that was whole from the start.
    assert_eq!(database.query_row(names, [], |row| row.get::<_, i64>(0)), Ok(1));
}

#[test]
fn copies_and_renamed_files_are_read_whole_once() {
    let sandbox = album();
    write(&sandbox.photo("copy.heic"), &small_picture("thumbnail.heic"));
    assert_eq!(counts(&add_quickly(&sandbox)), [3, 0, 2, 1]);
    fs::rename(sandbox.photo("phone.heic"), sandbox.photo("moved.heic")).expect("it can be renamed");
    let report = add_quickly(&sandbox);
    assert_eq!((report.moved, report.unchanged, report.embedded), (1, 2, 0));
    fs::rename(sandbox.photo("moved.heic"), sandbox.photo("again.heic")).expect("it can be renamed");
    let report = add_whole(&sandbox);
    assert_eq!((report.moved, report.unchanged, report.new, report.embedded), (1, 2, 0, 1));
    assert_eq!((vector_ids(&sandbox).len(), &status(&sandbox)["provisional"]), (1, &0.into()));
}

/// The files that `dupes` offers and withholds, with the tier or the reason, and the number of groups.
fn redundant(sandbox: &Sandbox) -> (Vec<String>, usize) {
    let json = sandbox.run_on_index(&["dupes", "--redundant", "--tier", "near", "--json"]).code(0).json();
    let named = |list: &str, field: &str| -> Vec<String> {
        let files = json[list].as_array().expect("a list").iter();
        let name = |file: &Value| file["path"].as_str().expect("a path").rsplit('/').next().map(str::to_owned);
        files
            .map(|file| format!("{} {}", name(file).unwrap_or_default(), file[field].as_str().unwrap_or("?")))
            .collect()
    };
    let mut files = [named("redundant", "tier"), named("withheld", "kind")].concat();
    files.sort();
    let groups = sandbox.run_on_index(&["dupes", "--tier", "near", "--json"]).code(0).json();
    (files, groups["groups"].as_array().map_or(0, Vec::len))
}

#[test]
fn a_provisional_picture_is_neither_offered_for_removal_nor_kept_instead_of_another() {
    let sandbox = Sandbox::new();
    let heic = small_picture("thumbnail.heic");
    let decoder = Decoder::open(&heic, Format::Heic, DecodeLimits::default()).expect("a header");
    let picture = decoder.decode().expect("a picture").resized(Fit::Inside, 640, 480, Scaling::Bicubic);
    write(&sandbox.photo("phone.heic"), &heic);
    // A smaller copy, which would be offered because of the larger one.
    let smaller = DynamicImage::from(picture).resize(400, 300, image::imageops::FilterType::CatmullRom);
    smaller.save(sandbox.photo("smaller.png")).expect("a picture");
    add_quickly(&sandbox);
    let (files, groups) = redundant(&sandbox);
    assert_eq!((files, groups), (vec!["phone.heic provisional".to_owned(), "smaller.png only_copy".to_owned()], 1));
    // A file with the same bytes is a copy, whatever was decoded of it.
    write(&sandbox.photo("same.heic"), &heic);
    add_quickly(&sandbox);
    let expected = ["phone.heic provisional", "same.heic exact"];
    assert_eq!(redundant(&sandbox).0, expected);
    fs::remove_file(sandbox.photo("same.heic")).expect("it can be removed");
    add_whole(&sandbox);
    assert_eq!(redundant(&sandbox).0, ["smaller.png near"]);
}

#[cfg(unix)]
#[test]
fn a_daemon_adds_quickly_on_request_and_replaces_what_it_stored() {
    let sandbox = album();
    fs::rename(sandbox.photo("phone.heic"), sandbox.path("phone.heic")).expect("it can be moved");
    add_whole(&sandbox);
    let mut daemon = Daemon::start(&sandbox, &[]);
    daemon.sync();
    fs::create_dir(sandbox.path("more")).expect("a folder");
    fs::rename(sandbox.path("phone.heic"), sandbox.path("more/phone.heic")).expect("it can be moved");
    let report = sandbox.run_on_index(&["add", "--quick", "--json", "more"]).code(0).json();
    assert_eq!((&report["embedded"], &report["provisional"]), (&1.into(), &1.into()), "{report}");
    daemon.wait_for("the whole picture is read", |_| status(&sandbox)["provisional"] == 0);
    assert_eq!(shown(&sandbox, "more/phone.heic")["decoded_from"], "whole");
    daemon.stop();
}
