//! `imgidx similar`

use std::io::Read;
use std::path::PathBuf;

use imgidx::search::{Derived, QueriedImage};
use imgidx::types::Stage;
use imgidx::{Answer, Error, Hit, Index, Query, QueryImage, Result};
use serde_json::{Map, Value, json};

use super::hits::{HitArgs, HitRow};
use super::output::{Done, Failure, Out, count, insert_path};
use super::sheet::{Section, Sheet, Tile};
use super::{Global, ask};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Pictures, indexed or not; `-` is standard input; of several, what is like all of them is found
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Unlike this picture; may be given several times
    #[arg(long, value_name = "IMAGE")]
    minus: Vec<PathBuf>,
    /// How many to find
    #[arg(short = 'k', long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// Only of at least this score, -1 to 1; what is a good one varies from query to query
    #[arg(long, value_name = "SCORE", allow_negative_numbers = true)]
    threshold: Option<f32>,
    /// Compare with every stored vector itself: slower, and the exact answer beyond doubt
    #[arg(long)]
    exact: bool,
    #[command(flatten)]
    hits: HitArgs,
}

/// The most that is read from standard input.
const MAX_STDIN: u64 = 512 << 20;

pub(super) fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    if args.threshold.is_some_and(|threshold| !(-1.0..=1.0).contains(&threshold)) {
        return Err(Failure::Usage("--threshold has to be a number from -1 to 1".into()));
    }
    if args.images.iter().chain(&args.minus).filter(|path| path.as_os_str() == "-").count() > 1 {
        return Err(Failure::Usage("standard input can be given once only".into()));
    }
    let (index, answer) = answer(global, &args)?;
    if answer.pending > 0 {
        let pictures = count(answer.pending, "indexed picture");
        let text = format!("{pictures} could not be compared: the model `{}` has not seen them", answer.model);
        global.note(&format!("{text}; `imgidx add` on their directories makes it complete"));
    }
    args.hits.filters.note_unmeasured(global, || global.open_existing(None))?;
    if let Some(file) = &args.hits.html {
        sheet(&answer).write(file, &global.options(None))?;
        global.note(&format!("wrote `{}`", file.display()));
    }
    let mut out = Out::new();
    if global.json {
        out.document(document(&answer, args.minus.len()))?;
    } else {
        args.hits.print(&mut out, answer.hits.iter().map(row))?;
    }
    out.finish()?;
    if answer.hits.is_empty() && !global.json {
        global.note("nothing similar was found");
    }
    if let Some(index) = index.filter(|_| answer.derived != Derived::Current) {
        upkeep(global, &index, answer.derived);
    }
    Ok(Done::All)
}

/// Asks the daemon, or the index, which is returned then.
fn answer(global: &Global, args: &Args) -> Result<(Option<Index>, Answer)> {
    let is_file = |path: &PathBuf| path.as_os_str() != "-";
    if args.hits.model.is_none() && args.images.iter().chain(&args.minus).all(is_file) {
        let (images, filter) = ((args.images.as_slice(), args.minus.as_slice()), args.hits.filters.filter(global)?);
        if let Some(answer) = ask::similar(global, images, args.top, args.threshold, args.exact, filter) {
            return Ok((None, answer));
        }
    }
    let index = global.open_existing(args.hits.model.as_deref())?;
    let answer = index.similar(&query(global, args)?, args.top)?;
    Ok((Some(index), answer))
}

fn sheet(answer: &Answer) -> Sheet<'_> {
    let asked = answer.query.iter().map(|image| Tile {
        path: &image.path,
        score: None,
        copies: 0,
        note: String::new(),
        is_best: false,
    });
    let hits = answer.hits.iter().map(|hit| Tile {
        path: &hit.path,
        score: Some(hit.score),
        copies: hit.paths.len() - 1,
        note: String::new(),
        is_best: false,
    });
    Sheet {
        title: "Similar pictures".into(),
        summary: format!("{} by the model {}", count(answer.hits.len() as u64, "neighbour"), answer.model),
        sections: vec![
            Section { heading: None, asked: true, tiles: asked.collect() },
            Section { heading: None, asked: false, tiles: hits.collect() },
        ],
    }
}

/// Makes the next query fast again, now that this one is answered.
fn upkeep(global: &Global, index: &Index, found: Derived) {
    match (index.maintain(), found) {
        (Ok(Some(vectors)), Derived::Lost) => {
            let vectors = count(vectors, "vector");
            global.note(&format!("the file of codes was gone or damaged, and is made again, of {vectors}"));
        }
        // Where nothing can be written, the next query is as slow as this one and as right.
        (Err(error), _) => global.note(&format!("the file of codes could not be made again: {error}")),
        (Ok(_), _) => {}
    }
}

fn query(global: &Global, args: &Args) -> Result<Query> {
    let mut query = Query::default().filter(args.hits.filters.filter(global)?).exact(args.exact);
    for path in &args.images {
        query = query.and(image(path)?);
    }
    for path in &args.minus {
        query = query.minus(image(path)?);
    }
    Ok(match args.threshold {
        Some(threshold) => query.threshold(threshold),
        None => query,
    })
}

fn image(path: &PathBuf) -> Result<QueryImage> {
    if path.as_os_str() != "-" {
        return Ok(path.into());
    }
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(MAX_STDIN + 1).read_to_end(&mut bytes);
    let name = PathBuf::from("-");
    match read {
        Err(source) => Err(Error::Io { action: "read", path: "standard input".into(), source }),
        Ok(_) if bytes.len() as u64 > MAX_STDIN => {
            Err(Error::Picture { path: name, stage: Stage::Read, reason: "more than 512 MiB".into() })
        }
        Ok(_) => Ok(QueryImage::Bytes { name, bytes }),
    }
}

fn document(answer: &Answer, minus: usize) -> Map<String, Value> {
    let plus = answer.query.len() - minus;
    let queries: Vec<Value> = answer
        .query
        .iter()
        .enumerate()
        .map(|(i, image)| {
            let mut fields = queried(image);
            fields.insert("minus".into(), json!(i >= plus));
            fields.into()
        })
        .collect();
    Map::from_iter([
        ("query".to_owned(), answer.query.first().map_or(Value::Null, |image| queried(image).into())),
        ("queries".to_owned(), queries.into()),
        ("model".to_owned(), json!(answer.model)),
        ("method".to_owned(), json!(answer.method)),
        ("pending".to_owned(), json!(answer.pending)),
        ("hits".to_owned(), answer.hits.iter().map(|hit| Value::from(row(hit).fields())).collect()),
    ])
}

fn queried(image: &QueriedImage) -> Map<String, Value> {
    let mut fields = Map::new();
    insert_path(&mut fields, "path", &image.path);
    fields.insert("image".into(), json!(image.image.to_string()));
    fields.insert("indexed".into(), json!(image.indexed));
    fields
}

fn row(hit: &Hit) -> HitRow<'_> {
    HitRow { score: hit.score, image: hit.image, path: &hit.path, paths: &hit.paths }
}
