//! Time of searches by words and of filters in large indexes, in a new process and in one that stays.
//!
//! ```sh
//! cargo bench --bench queries -- PHOTOS [--pictures=100000]
//! ```
//!
//! The pictures of `PHOTOS` are indexed. Then rows for as many generated pictures as the option states are added, each
//! with the labels and features of one of the photographs, and with metadata: a place (every tenth near one of five
//! cities), a rating, a camera and keywords. There are no vectors, because neither words nor filters need them. The
//! questions take turns. Each is asked nine times, in a new process and through the library; the medians are printed.

#[path = "common/arguments.rs"]
mod arguments;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use imgidx::store::{FoundFile, ModelRow, Store, Writer};
use imgidx::types::{Classification, ContentHash, Features, FileStat, ImageInfo, Location, Metadata};
use imgidx::{AddOptions, Filter, OpenOptions, Searcher, TextQuery};

const RUNS: usize = 9;
const DEFAULT_PICTURES: u64 = 100_000;
/// Number of generated pictures in one transaction.
const BATCH: u64 = 10_000;
const CITIES: [(f64, f64); 5] = [(48.86, 2.35), (52.52, 13.4), (40.71, -74.0), (35.68, 139.7), (-33.87, 151.2)];

/// What is copied from a real picture.
struct Model {
    info: ImageInfo,
    features: Features,
    classes: Vec<Classification>,
}

/// A question: its name, the arguments of the program, and the same through the library.
struct Question {
    name: &'static str,
    arguments: &'static [&'static str],
    ask: fn(&Searcher) -> usize,
}

fn search(searcher: &Searcher, text: &str) -> usize {
    searcher.search(&TextQuery::new(text), 10).expect("an answer").hits.len()
}

fn list(searcher: &Searcher, filter: &Filter) -> usize {
    let mut count = 0;
    let each = |_| {
        count += 1;
        Ok(())
    };
    searcher.for_each_picture(filter, each).expect("a list");
    count
}

const QUESTIONS: [Question; 6] = [
    Question { name: "search dog", arguments: &["search", "dog"], ask: |it| search(it, "dog") },
    Question {
        name: "search something to eat",
        arguments: &["search", "something to eat"],
        ask: |it| search(it, "something to eat"),
    },
    Question {
        name: "search a dog running on grass",
        arguments: &["search", "a dog running on grass"],
        ask: |it| search(it, "a dog running on grass"),
    },
    Question { name: "search word7", arguments: &["search", "word7"], ask: |it| search(it, "word7") },
    Question {
        name: "list --near 48.86,2.35,1",
        arguments: &["list", "--near", "48.86,2.35,1"],
        ask: |it| list(it, &Filter::default().near(Location { latitude: 48.86, longitude: 2.35 }, 1.0)),
    },
    Question {
        name: "list --keyword word7 --min-rating 5",
        arguments: &["list", "--keyword", "word7", "--min-rating", "5"],
        ask: |it| list(it, &Filter::default().keyword("word7").min_rating(5)),
    },
];

fn main() {
    let pictures = std::env::args().find_map(|arg| arg.strip_prefix("--pictures=").map(str::to_owned));
    let pictures = pictures.map_or(DEFAULT_PICTURES, |count| count.parse().expect("a number of pictures"));
    let directories = arguments::directories();
    assert!(!directories.is_empty(), "give a directory of photographs");
    let scratch = tempfile::tempdir().expect("a folder");
    let database = scratch.path().join("large.db");
    let mut index = OpenOptions::default().open(&database).expect("an index");
    index.add(&directories, &AddOptions::default()).expect("the photographs are indexed");
    let model = index.searcher().active_model().expect("the built-in one").id;
    let searcher = index.searcher().clone();
    drop(index);
    let made = Instant::now();
    let mut writer = Writer::open(&database).expect("no other process is writing");
    let row = writer.model(&model).expect("it can be read").expect("it was used").row;
    let models = models(&writer, row);
    for start in (0..pictures).step_by(BATCH as usize) {
        put(&mut writer, row, &models, start..pictures.min(start + BATCH));
    }
    drop(writer);
    eprintln!("made {pictures} pictures like {} in {:.0?}", models.len(), made.elapsed());

    let ask_program = |question: &Question| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imgidx"));
        command.arg("--db").arg(&database).args(question.arguments).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(command.status().expect("the program runs").success(), "{}", question.name);
    };
    let mut times = [const { (Vec::new(), Vec::new()) }; QUESTIONS.len()];
    let mut found = [0; QUESTIONS.len()];
    for run in 0..=RUNS {
        for (at, question) in QUESTIONS.iter().enumerate() {
            let program = timed(|| ask_program(question)).1;
            let (count, library) = timed(|| (question.ask)(&searcher));
            found[at] = count;
            // The first run fills the caches.
            if run > 0 {
                times[at].0.push(program);
                times[at].1.push(library);
            }
        }
    }
    println!("| question | found | new process, ms | same process, ms |\n|---|---|---|---|");
    for ((question, found), (program, library)) in QUESTIONS.iter().zip(found).zip(times) {
        println!("| {} | {found} | {:.1} | {:.1} |", question.name, median(program), median(library));
    }
}

fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    (run(), start.elapsed())
}

/// The median in milliseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e3
}

/// What is stored about the photographs.
fn models(store: &Store, row: ModelRow) -> Vec<Model> {
    let mut models = Vec::new();
    store
        .for_each_picture(&imgidx::store::Selection::default(), |picture| {
            let features = store.features(picture.image)?.expect("it was measured");
            let classes = store.classes(picture.image, row)?;
            models.extend(picture.info.map(|info| Model { info, features, classes }));
            Ok(())
        })
        .expect("a list");
    models
}

fn put(writer: &mut Writer, row: ModelRow, models: &[Model], numbers: std::ops::Range<u64>) {
    let batch = writer.batch().expect("a transaction");
    let root = batch.put_root(Path::new("/made"), true, 0, 0).expect("a root");
    for number in numbers {
        let random =
            u64::from_le_bytes(ContentHash::of(&number.to_le_bytes()).as_bytes()[..8].try_into().expect("eight"));
        let model = &models[(random % models.len() as u64) as usize];
        let image = batch.put_image(&ContentHash::of(&number.to_le_bytes()), 1, Some(&model.info)).expect("a row");
        batch.put_features(image, &model.features).expect("a row");
        batch.put_classes(image, row, &model.classes).expect("rows");
        let path = format!("{:03}/IMG_{number:07}.jpg", number / 1000).into_bytes();
        let stat = FileStat { size: 1, mtime_ns: 0, ctime_ns: 0, inode: number, device: 0 };
        batch.put_file(&FoundFile { root, path, stat, read_at_ns: 1 }, Some(image), None).expect("a row");
        batch.put_metadata(image, &metadata(random)).expect("a row");
    }
    batch.commit().expect("it is committed");
}

fn metadata(random: u64) -> Metadata {
    let share = |shift: u32| ((random >> shift) & 0xFFFF) as f64 / 65_536.0;
    let location = match random % 10 {
        0 => {
            let (latitude, longitude) = CITIES[(random / 10 % 5) as usize];
            Location::new(latitude + share(8) / 10.0, longitude + share(24) / 10.0)
        }
        _ => Location::new(share(8) * 150.0 - 60.0, share(24) * 360.0 - 180.0),
    };
    Metadata {
        make: Some("Canon".into()),
        model: Some(format!("EOS {}", random % 20)),
        location,
        rating: Some((random % 6) as i8),
        keywords: vec![format!("word{}", random % 1000), format!("word{}", random / 1000 % 1000)],
        ..Metadata::default()
    }
}
