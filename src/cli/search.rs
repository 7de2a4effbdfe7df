//! `imgidx search`

use imgidx::documents::Search;
use imgidx::search::TextHit;
use imgidx::{Result, TextAnswer, TextQuery};

use super::hits::HitArgs;
use super::output::{Done, Failure, count};
use super::sheet::{Section, Sheet, Tile};
use super::{Global, ask};

const EXAMPLES: &str = examples![
    "Find pictures of dogs" => "imgidx search dog",
    "Find photos of beaches taken in the summer of 2019" =>
        "imgidx search beach --type photo --after 2019-06 --before 2019-09",
    "Look at the results on a page" => "imgidx search logo --html logos.html",
];

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Words to find: labels, synonyms, kinds or words in the path; all of them must match
    #[arg(value_name = "TEXT")]
    text: Vec<String>,
    /// Maximum number of pictures [default: all]
    #[arg(short = 'k', long, value_name = "N")]
    top: Option<usize>,
    /// Minimum score, 0 to 1
    #[arg(long, value_name = "SCORE")]
    threshold: Option<f32>,
    #[command(flatten)]
    hits: HitArgs,
}

/// Maximum number of pictures on a sheet, unless `--top` sets one.
const ON_SHEET: usize = 200;

pub(super) fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    if args.threshold.is_some_and(|threshold| !(0.0..=1.0).contains(&threshold)) {
        return Err(Failure::Usage("--threshold must be a number from 0 to 1".into()));
    }
    let text = args.text.join(" ");
    let filter = args.hits.filters.filter()?;
    if text.trim().is_empty() && filter.is_empty() {
        return Err(Failure::Usage("give words or a filter, such as --type or --with-color".into()));
    }
    let mut query = TextQuery::new(text.clone()).filter(filter);
    if let Some(threshold) = args.threshold {
        query = query.threshold(threshold);
    }
    let asked = if args.hits.model.is_none() { ask::search(global, &query, args.top) } else { None };
    let answer = match asked {
        Some(answer) => answer,
        None => {
            let index = global.open_searcher(args.hits.model.as_deref())?;
            index.search(&query, args.top.unwrap_or(usize::MAX))?
        }
    };
    tell(global, &answer);
    args.hits.filters.note_unmeasured(global)?;
    if let Some(file) = &args.hits.html {
        let shown = &answer.hits[..answer.hits.len().min(args.top.unwrap_or(ON_SHEET))];
        sheet(&text, &answer, shown).write(file, &global.options(None))?;
        let part =
            if shown.len() < answer.hits.len() { format!(" with the best {}", shown.len()) } else { String::new() };
        global.note(&format!("wrote `{}`{part}", file.display()));
    }
    let rows = answer.hits.iter().map(|hit| (hit.score, &hit.path, &hit.paths));
    global.print(|| Search::new(&text, &answer), |out| args.hits.print(out, rows))?;
    if answer.hits.is_empty() && !global.json {
        global.note("nothing was found");
    }
    Ok(Done::All)
}

/// Notes what the answer may lack.
fn tell(global: &Global, answer: &TextAnswer) {
    if !answer.has_labels && !answer.terms.is_empty() {
        global.note(&format!("the model `{}` gives no labels: only words in paths were searched", answer.model));
    } else if answer.pending > 0 && !answer.terms.is_empty() {
        let pictures = count(answer.pending, "indexed picture");
        let text = format!("the model `{}` has not processed {pictures}", answer.model);
        global.note(&format!("{text}; run `imgidx add` on their directories"));
    }
}

fn sheet<'a>(text: &str, answer: &TextAnswer, shown: &'a [TextHit]) -> Sheet<'a> {
    let tiles = shown.iter().map(|hit| Tile {
        score: Some(hit.score),
        copies: hit.paths.len() - 1,
        note: hit.labels.join(", "),
        ..Tile::new(&hit.path)
    });
    Sheet {
        title: if text.is_empty() { "Pictures".into() } else { text.to_owned() },
        summary: format!("{} by the model {}", count(answer.hits.len() as u64, "picture"), answer.model),
        sections: vec![Section { heading: None, asked: false, tiles: tiles.collect() }],
    }
}
