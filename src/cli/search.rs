//! `imgidx search`

use imgidx::documents::Search;
use imgidx::model::Vocabulary;
use imgidx::search::{LOW_THRESHOLD, MatchKind, TextHit, Understood};
use imgidx::{Result, TextAnswer, TextQuery};

use super::hits::{HitArgs, HitLine};
use super::output::{Done, Failure, count};
use super::sheet::{Section, Sheet, Tile};
use super::{Global, ask, number_in, parse_top};

const EXAMPLES: &str = examples![
    "Find pictures of dogs" => "imgidx search dog",
    "Find dogs in directories named 2019" => "imgidx search dog 2019",
    "Find by meaning, without naming what is shown" => "imgidx search something to eat",
    "Show why each picture was found" => "imgidx search dog beach -v",
    "Find photos of beaches taken in the summer of 2019" =>
        "imgidx search beach --type photo --after 2019-06 --before 2019-09",
    "View the results on a page" => "imgidx search logo --html logos.html",
];

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Words to search for: what pictures show (dog, animal, something to eat), colours, or words in the path; if no
    /// picture matches all of them, those that match the most are found
    #[arg(value_name = "TEXT")]
    text: Vec<String>,
    /// Maximum number of pictures [default: all]
    #[arg(short = 'k', long, value_name = "N", value_parser = parse_top, allow_negative_numbers = true)]
    top: Option<usize>,
    /// Minimum score, 0 to 1
    #[arg(long, value_name = "SCORE", value_parser = number_in(0.0..=1.0_f32), allow_negative_numbers = true)]
    threshold: Option<f32>,
    /// Leave out the pictures that a search for this text finds (repeatable)
    #[arg(long, value_name = "TEXT")]
    minus: Vec<String>,
    /// Language to look names up in before English, such as de or fr; names in other languages are found without it
    #[arg(long, value_name = "CODE", value_parser = parse_language)]
    language: Option<String>,
    /// Match words only by names, kinds, colours and paths, not by meaning
    #[arg(long)]
    exact_words: bool,
    #[command(flatten)]
    hits: HitArgs,
}

/// Maximum number of pictures on a sheet, unless `--top` sets one.
const ON_SHEET: usize = 200;

pub(super) fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    let text = args.text.join(" ");
    let filter = args.hits.filters.filter()?;
    if text.trim().is_empty() && filter.is_empty() {
        return Err(Failure::Usage("give words to search for, or a filter such as --type or --with-color".into()));
    }
    let mut query = TextQuery::new(text.clone()).filter(filter);
    if let Some(threshold) = args.threshold {
        query = query.threshold(threshold);
    }
    for text in &args.minus {
        query = query.minus(text);
    }
    if let Some(language) = &args.language {
        query = query.language(language);
    }
    if args.exact_words {
        query = query.exact_words();
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
    tell_understood(global, &answer);
    args.hits.filters.note_gaps(global)?;
    if let Some(file) = &args.hits.html {
        let shown = &answer.hits[..answer.hits.len().min(args.top.unwrap_or(ON_SHEET))];
        sheet(&text, &answer, shown).write(file, args.hits.overwrite, &global.options(None))?;
        let part =
            if shown.len() < answer.hits.len() { format!(" with the best {}", shown.len()) } else { String::new() };
        global.note(&format!("wrote `{}`{part}", file.display()));
    }
    let rows = answer.hits.iter().map(|hit| line(hit, global.verbose));
    global.print(|| Search::new(&text, &answer), |out| args.hits.print(out, rows))?;
    if answer.hits.is_empty() && !global.json {
        global.note("nothing was found");
    }
    if answer.less_certain > 0 && args.threshold.is_none() {
        let pictures = count(answer.less_certain, "less certain picture");
        global.hint(&format!("--threshold {LOW_THRESHOLD} also finds {pictures}"));
    }
    Ok(Done::All)
}

/// A language in which names are known.
fn parse_language(code: &str) -> Result<String, String> {
    let known = Vocabulary::get().languages();
    match code == "en" || known.contains(&code) {
        true => Ok(code.to_owned()),
        false => Err(format!("expected one of: en, {}", known.join(", "))),
    }
}

/// Notes what the answer may lack.
fn tell(global: &Global, answer: &TextAnswer) {
    if !answer.has_labels && !answer.terms.is_empty() {
        global.note(&format!("the model `{}` gives no labels, so only paths and colours were searched", answer.model));
    } else if answer.pending > 0 && !answer.terms.is_empty() {
        let pictures = count(answer.pending, "indexed picture");
        let text = format!("the model `{}` has not processed {pictures} yet", answer.model);
        global.note(&format!("{text}; run `imgidx add` on the indexed directories"));
    }
}

/// Notes how the words were understood, and what can be done about those that were not.
fn tell_understood(global: &Global, answer: &TextAnswer) {
    let is_clear = |one: &Understood| {
        matches!(one.kind, MatchKind::Label | MatchKind::Path | MatchKind::Metadata) && one.english.is_none()
    };
    if answer.terms.len() > 1 || !answer.understood.iter().all(is_clear) {
        let terms = answer.understood.chunk_by(|one, next| one.term == next.term).map(describe);
        global.note(&terms.collect::<Vec<_>>().join("; "));
    }
    if answer.is_partial {
        global.note("no picture matches all the words; these match the most");
    }
    for suggestion in &answer.suggestions {
        let words: Vec<String> = suggestion.words.iter().map(|word| format!("`{word}`")).collect();
        global.hint(&format!("did you mean {}?", words.join(" or ")));
    }
}

/// How a term was understood: `dog: 36 by label, 2 by path`.
fn describe(ways: &[Understood]) -> String {
    let way = |one: &Understood| match one.kind {
        MatchKind::Label if one.matches == 0 => "none".to_owned(),
        MatchKind::Label => format!("{} by label", one.matches),
        MatchKind::Path => format!("{} by path", one.matches),
        MatchKind::Metadata => format!("{} by metadata", one.matches),
        MatchKind::Colour if one.matches == 0 => "no picture has this colour".to_owned(),
        MatchKind::Colour => format!("{} by colour", one.matches),
        MatchKind::Meaning if one.matches == 0 => "nothing close in meaning".to_owned(),
        MatchKind::Meaning => {
            let nearest = one.nearest.iter().map(|label| label.label.as_str()).collect::<Vec<_>>().join(", ");
            format!("{} by meaning (nearest: {nearest})", one.matches)
        }
        MatchKind::Unknown => "unknown word".to_owned(),
    };
    let english = ways[0].english.as_ref().map_or(String::new(), |english| format!(" ({english})"));
    format!("{}{english}: {}", ways[0].term, ways.iter().map(way).collect::<Vec<_>>().join(", "))
}

/// The line of a hit; with `is_verbose`, with its labels and the terms that it matches.
fn line(hit: &TextHit, is_verbose: bool) -> HitLine<'_> {
    let labels = hit.labels.iter().map(|label| format!("{} {:.2}", label.label, label.score));
    let written = hit.why.iter().filter_map(|why| match why.kind {
        MatchKind::Path => Some(format!("{} in the path", why.term)),
        MatchKind::Metadata => Some(format!("{} in the metadata", why.term)),
        _ => None,
    });
    let note = is_verbose.then(|| labels.chain(written).collect::<Vec<_>>().join(", "));
    HitLine { score: hit.score, path: &hit.path, paths: &hit.paths, companions: &hit.companions, note }
}

fn sheet<'a>(text: &str, answer: &TextAnswer, shown: &'a [TextHit]) -> Sheet<'a> {
    let tiles = shown.iter().map(|hit| Tile {
        score: hit.score,
        copies: hit.paths.len() - 1,
        note: hit.labels.iter().map(|label| label.label.as_str()).collect::<Vec<_>>().join(", "),
        ..Tile::new(&hit.path)
    });
    Sheet {
        title: if text.is_empty() { "Pictures".into() } else { text.to_owned() },
        summary: format!("{} by the model {}", count(answer.hits.len() as u64, "picture"), answer.model),
        sections: vec![Section { heading: None, asked: false, tiles: tiles.collect() }],
    }
}
