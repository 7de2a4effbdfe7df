//! `imgidx show`

use std::path::PathBuf;

use imgidx::documents::Shown;
use imgidx::search::Examined;
use imgidx::types::{DecodedFrom, Features, Metadata, TypeGuess};
use imgidx::{Error, QueryImage, Result};

use super::Global;
use super::output::{Done, Failure, Out, count, human_bytes};

const EXAMPLES: &str = examples![
    "Show what is known about a picture" => "imgidx show photo.jpg",
    "Print it as JSON, with the vector" => "imgidx show --json --vector photo.jpg",
];

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Picture to show, indexed or not
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Include the vector, with --json
    #[arg(long)]
    vector: bool,
    /// Model to use [default: the active model of the index]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
}

pub(super) fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    if args.vector && !global.json {
        return Err(Failure::Usage("--vector is only for --json".into()));
    }
    let scratch;
    let index = match global.open_searcher(args.model.as_deref()) {
        // A picture can be shown without any index.
        Err(Error::NoIndex { .. }) => {
            scratch = global.open_empty(args.model.as_deref())?;
            scratch.1.searcher().clone()
        }
        other => other?,
    };
    let picture = index.examine(&QueryImage::from(&args.file))?;
    let paths = index.paths_of(&picture.hash)?;
    let model = index.active_model()?.name;
    global.print(
        || Shown::new(&picture, &model, &paths, args.vector),
        |out| Ok::<_, Failure>(print(out, &picture, &paths, index.has_classes()?)?),
    )
}

fn print(out: &mut Out, picture: &Examined, paths: &[PathBuf], has_classes: bool) -> std::io::Result<()> {
    let info = &picture.info;
    out.path("path         ", &picture.path, '\n')?;
    let truncated = if info.truncated { ", truncated" } else { "" };
    let alpha = if info.has_alpha { ", transparent" } else { "" };
    out.line(format_args!("picture      {} × {} {}{alpha}{truncated}", info.width, info.height, info.format))?;
    if info.orientation != 1 {
        out.line(format_args!("orientation  {} (width and height are of the upright picture)", info.orientation))?;
    }
    print_metadata(out, &picture.metadata)?;
    out.line(format_args!("size         {}", human_bytes(picture.bytes)))?;
    out.line(format_args!("content      {}", picture.hash))?;
    out.line(format_args!("indexed      {}", if picture.row.is_some() { "yes" } else { "no" }))?;
    if info.decoded_from == DecodedFrom::Thumbnail {
        out.line("provisional  indexed by the thumbnail in the file; the next `imgidx add` reads the whole picture")?;
    }
    match &picture.features {
        Some(features) => print_features(out, features)?,
        None => out.line("type         not measured yet; run `imgidx add`")?,
    }
    for (i, class) in picture.classes.iter().enumerate() {
        let head = if i == 0 { "looks like  " } else { "            " };
        out.line(format_args!("{head} {:5.1} %  {}", class.score * 100.0, class.label))?;
    }
    if picture.classes.is_empty() {
        out.line(match has_classes {
            true => "looks like   nothing the model knows",
            false => "looks like   not known: the model gives vectors only",
        })?;
    }
    let this = std::fs::canonicalize(&picture.path).ok();
    for (i, path) in paths.iter().filter(|path| Some(*path) != this.as_ref()).enumerate() {
        out.path(if i == 0 { "also at      " } else { "             " }, path, '\n')?;
    }
    for (i, path) in picture.companions.iter().enumerate() {
        out.path(if i == 0 { "belongs to   " } else { "             " }, path, '\n')?;
    }
    Ok(())
}

/// Prints what the picture says of itself, as far as it says anything.
fn print_metadata(out: &mut Out, metadata: &Metadata) -> std::io::Result<()> {
    let zone = metadata.zone.as_ref().map_or_else(String::new, |zone| format!(" {zone}"));
    let location = metadata.location.map(|at| format!("{:.5}, {:.5}", at.latitude, at.longitude));
    let rating = metadata.rating.map(|rating| match rating {
        -1 => "rejected".to_owned(),
        stars => format!("{stars} of 5"),
    });
    let list = |texts: &[String]| (!texts.is_empty()).then(|| texts.join(", "));
    let lines = [
        ("taken", metadata.taken.as_ref().map(|taken| format!("{taken}{zone}"))),
        ("camera", metadata.camera()),
        ("lens", metadata.lens.clone()),
        ("exposure", exposure(metadata)),
        ("location", location),
        ("rating", rating),
        ("title", metadata.title.clone()),
        ("description", metadata.description.clone()),
        ("keywords", list(&metadata.keywords)),
        ("people", list(&metadata.people)),
    ];
    for (name, text) in lines {
        if let Some(text) = text {
            out.line(format_args!("{name:<12} {}", text.replace('\n', " ")))?;
        }
    }
    Ok(())
}

/// Focal length, aperture, exposure time and sensitivity, as photographers write them.
fn exposure(metadata: &Metadata) -> Option<String> {
    let time = |seconds: f64| match seconds {
        ..0.3 => format!("1/{:.0} s", 1.0 / seconds),
        seconds => format!("{} s", (seconds * 10.0).round() / 10.0),
    };
    let parts = [
        metadata.focal_length.map(|length| format!("{} mm", (length * 10.0).round() / 10.0)),
        metadata.aperture.map(|number| format!("f/{}", (number * 10.0).round() / 10.0)),
        metadata.exposure_time.map(time),
        metadata.iso.map(|iso| format!("ISO {iso}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn print_features(out: &mut Out, features: &Features) -> std::io::Result<()> {
    let quick = &features.quick;
    if let Some(TypeGuess { label, confidence }) = features.kind {
        out.line(format_args!("type         {} ({:.0} % sure)", label.as_str(), confidence * 100.0))?;
    }
    for (i, color) in quick.dominant_colors.iter().enumerate() {
        let rgb = color.lab.to_srgb();
        let head = if i == 0 { "colours      " } else { "             " };
        out.color(head, rgb, format_args!(" {:5.1} %", color.share * 100.0))?;
    }
    let palette = match quick.palette_size {
        0 => "no flat colours".to_owned(),
        size => format!("{size} flat"),
    };
    out.line(format_args!(
        "             {} at 4 bits per channel, {palette}",
        count(quick.unique_colors.into(), "colour")
    ))?;
    let percent = |share: f32| format!("{:.1} %", share * 100.0);
    let (flat, smooth) = (percent(quick.flat_fraction), percent(quick.smooth_fraction));
    let (edges, gradients) = (percent(quick.edge_fraction), percent(quick.gradient_fraction));
    out.line(format_args!("surface      {flat} flat, {smooth} smooth ({gradients} gradients), {edges} edges"))?;
    if let Some(tones) = &features.tones {
        let (brightness, contrast) = (percent(tones.brightness), percent(tones.contrast));
        out.line(format_args!(
            "tones        brightness {brightness}, contrast {contrast}, entropy {:.2} bits",
            tones.entropy
        ))?;
        let (shapes, fill) = (count(tones.shapes.into(), "shape"), percent(tones.fill_ratio));
        let glyphs = if tones.glyphs > 1 { format!(", {} of them in a line", tones.glyphs) } else { String::new() };
        out.line(format_args!("shapes       {shapes} on {fill} of the picture{glyphs}"))?;
    }
    if let Some(detail) = &features.detail {
        let edges = percent(detail.edge_density);
        out.line(format_args!(
            "detail       complexity {:.2}, edges {edges}, corners {:.1} ‰, gradient {:.3}, sharpness {:.0}",
            detail.complexity_score, detail.corner_density, detail.gradient_strength, detail.sharpness
        ))?;
    }
    out.line(format_args!("hashes       dHash {:016x}, pHash {:016x}", quick.dhash, quick.phash))
}
