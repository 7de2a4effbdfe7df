//! `imgidx similar`

use std::collections::HashSet;
use std::io::Read;
use std::path::PathBuf;

use imgidx::documents::Similar;
use imgidx::search::Derived;
use imgidx::types::Stage;
use imgidx::{Answer, Error, Query, QueryImage, Result, Searcher};

use super::hits::{HitArgs, HitLine};
use super::output::{Done, Failure, count};
use super::sheet::{Section, Sheet, Tile};
use super::{Global, ask, number_in, parse_top};

const EXAMPLES: &str = examples![
    "Find the ten pictures most like a photo" => "imgidx similar photo.jpg",
    "Find large pictures like one and unlike another" => "imgidx similar beach.jpg --minus crowd.jpg --min-width 1920",
    "View the pictures most like the one on standard input" => "imgidx similar - --html similar.html < photo.jpg",
];

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Pictures to compare with, indexed or not; `-` is standard input; results resemble all of them together
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Find pictures unlike this one (repeatable)
    #[arg(long, value_name = "IMAGE")]
    minus: Vec<PathBuf>,
    /// Maximum number of pictures
    #[arg(short = 'k', long, value_name = "N", default_value_t = 10, value_parser = parse_top, allow_negative_numbers = true)]
    top: usize,
    /// Minimum score, -1 to 1; which scores are good depends on the query
    #[arg(long, value_name = "SCORE", value_parser = number_in(-1.0..=1.0_f32), allow_negative_numbers = true)]
    threshold: Option<f32>,
    /// Compare with every stored vector, which is slower and always exact
    #[arg(long)]
    exact: bool,
    #[command(flatten)]
    hits: HitArgs,
}

/// Maximum number of paths to list of a picture that is already indexed.
const MAX_PATHS_TOLD: usize = 3;

/// Maximum number of bytes read from standard input.
const MAX_STDIN: u64 = 512 << 20;

pub(super) fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    if args.images.iter().chain(&args.minus).filter(|path| path.as_os_str() == "-").count() > 1 {
        return Err(Failure::Usage("standard input can be given only once".into()));
    }
    let (index, answer) = answer(global, &args)?;
    if answer.pending > 0 {
        let pictures = count(answer.pending, "indexed picture");
        let them = if answer.pending == 1 { "it" } else { "them" };
        let text =
            format!("{pictures} could not be compared: the model `{}` has not processed {them} yet", answer.model);
        global.note(&format!("{text}; run `imgidx add` on the indexed directories"));
    }
    tell_indexed(global, &answer);
    args.hits.filters.note_gaps(global)?;
    if let Some(file) = &args.hits.html {
        sheet(&answer).write(file, args.hits.overwrite, &global.options(None))?;
        global.note(&format!("wrote `{}`", file.display()));
    }
    let rows = answer.hits.iter().map(HitLine::from);
    global.print(|| Similar::new(&answer, args.minus.len()), |out| args.hits.print(out, rows))?;
    if answer.hits.is_empty() && !global.json {
        global.note("nothing similar was found");
    }
    if let Some(index) = index.filter(|_| answer.derived != Derived::Current) {
        upkeep(global, &index, answer.derived);
    }
    Ok(Done::All)
}

/// Notes which pictures of the query the index has already, under any path.
fn tell_indexed(global: &Global, answer: &Answer) {
    // The JSON document has these paths.
    if global.json {
        return;
    }
    let mut noted = HashSet::new();
    for picture in answer.query.iter().filter(|picture| noted.insert(picture.image)) {
        for path in picture.paths.iter().take(MAX_PATHS_TOLD) {
            global.note(&format!("already indexed: {}", path.display()));
        }
        if let more @ 1.. = picture.paths.len().saturating_sub(MAX_PATHS_TOLD) {
            global.note(&format!("already indexed: {}", count(more as u64, "more file")));
        }
    }
}

/// Asks the daemon or else the index, which is then returned too.
fn answer(global: &Global, args: &Args) -> Result<(Option<Searcher>, Answer)> {
    let query = query(args)?;
    if args.hits.model.is_none()
        && let Some(answer) = ask::similar(global, &query, args.top)
    {
        return Ok((None, answer));
    }
    let searcher = global.open_searcher(args.hits.model.as_deref())?;
    let answer = searcher.similar(&query, args.top)?;
    Ok((Some(searcher), answer))
}

fn sheet(answer: &Answer) -> Sheet<'_> {
    let asked = answer.query.iter().map(|image| Tile::new(&image.path));
    let hits = answer.hits.iter().map(|hit| Tile {
        score: Some(hit.score),
        copies: hit.paths.len() - 1,
        ..Tile::new(&hit.path)
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

/// Rebuilds derived files, now that this query is answered, to make the next one fast again.
fn upkeep(global: &Global, index: &Searcher, found: Derived) {
    match (index.maintain(), found) {
        (Ok(Some(vectors)), Derived::Lost) => {
            let vectors = count(vectors, "vector");
            global.note(&format!("the quantized vectors were missing or damaged and have been rebuilt from {vectors}"));
        }
        // If nothing can be written, the next query is as slow as this one, and as correct.
        (Err(error), _) => global.note(&format!("the quantized vectors could not be rebuilt: {error}")),
        (Ok(_), _) => {}
    }
}

fn query(args: &Args) -> Result<Query> {
    let mut query = Query::default().filter(args.hits.filters.filter()?).exact(args.exact);
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
        Err(error) => Err(Error::io("read", "standard input")(error)),
        Ok(_) if bytes.len() as u64 > MAX_STDIN => {
            Err(Error::Picture { path: name, stage: Stage::Read, reason: "more than 512 MiB".into() })
        }
        Ok(0) => Err(Error::Picture { path: name, stage: Stage::Read, reason: "standard input is empty".into() }),
        Ok(_) => Ok(QueryImage::Bytes { name, bytes }),
    }
}
