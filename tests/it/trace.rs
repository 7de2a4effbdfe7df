//! `imgidx trace`: SVGs of pictures, stored traces, and estimates.

use std::fs;
use std::path::{Path, PathBuf};

use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use imgidx::trace::{CANDIDATES, Tier, TraceOptions};
use imgidx::vector::{is_unchanged_trace, render};
use serde_json::Value;

use crate::common::{Sandbox, corpus};

/// A disc in front of a square, with soft edges; each seed gives a different colour.
fn logo(side: u32, seed: u8) -> RgbImage {
    let large = 4 * side;
    let sharp = RgbImage::from_fn(large, large, |x, y| {
        let (x, y) = (x as f32 / large as f32, y as f32 / large as f32);
        let (dx, dy) = (x - 0.65, y - 0.4);
        Rgb(match () {
            () if dx.hypot(dy) < 0.2 => [20, 90, 200 - seed],
            () if (0.15..0.75).contains(&x) && (0.3..0.9).contains(&y) => [250, 180, 30],
            () => [255; 3],
        })
    });
    image::imageops::resize(&sharp, side, side, image::imageops::FilterType::Triangle)
}

fn save(sandbox: &Sandbox, name: &str, picture: impl Into<DynamicImage>) -> PathBuf {
    let path = sandbox.photo(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    picture.into().save(&path).expect("a picture");
    path
}

fn svg(path: &Path) -> String {
    fs::read_to_string(path).expect("an SVG")
}

/// A copy of a real photograph, if the folder of real pictures exists.
fn photo(sandbox: &Sandbox) -> Option<PathBuf> {
    let mut all: Vec<PathBuf> =
        fs::read_dir(corpus("photos")?).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
    all.sort();
    let to = sandbox.photo("a photo.jpg");
    fs::copy(&all[0], &to).expect("it can be copied");
    Some(to)
}

#[test]
fn a_logo_becomes_an_svg_of_its_size_and_a_second_trace_is_free() {
    let sandbox = Sandbox::new();
    save(&sandbox, "logo.png", logo(96, 0));
    let traced = || sandbox.run_on_index(&["--json", "trace", "photos/logo.png"]).code(0).json()["traces"][0].take();
    let first = traced();
    let made = svg(&sandbox.path("logo.svg"));
    assert!(made.starts_with("<svg") && made.contains("width=\"96\" height=\"96\""), "{made}");
    assert!(is_unchanged_trace(made.as_bytes()), "{made}");
    assert_eq!((first["tier"].as_str(), first["stored"].as_bool()), (Some("balanced"), Some(false)));
    assert_eq!((first["tried"].as_u64(), first["bytes"].as_u64()), (Some(6), Some(made.len() as u64)));
    assert!(first["ssimulacra2"].as_f64() > Some(80.0) && first["ssim"].as_f64() > Some(0.98), "{first}");
    let shown = render(&made, 96, 96, [255; 3]).expect("it can be drawn");
    assert_eq!((shown.get_pixel(62, 38).0, shown.get_pixel(20, 80).0), ([20, 90, 200], [250, 180, 30]));

    fs::remove_file(sandbox.path("logo.svg")).expect("it is there");
    // Traces are stored by content, so that another name does not matter.
    fs::rename(sandbox.photo("logo.png"), sandbox.photo("other")).expect("it can be renamed");
    let second = sandbox.run_on_index(&["--json", "trace", "photos/other", "-o", "logo.svg"]).code(0).json();
    assert_eq!((second["traces"][0]["stored"].as_bool(), second["stored"].as_u64()), (Some(true), Some(1)));
    assert_eq!(svg(&sandbox.path("logo.svg")), made);
    for field in ["score", "parameters", "facts", "milliseconds", "tried", "image", "type"] {
        assert_eq!(second["traces"][0][field], first[field], "{field}");
    }
    sandbox.run_on_index(&["check"]).code(0);
}

#[test]
fn a_higher_tier_is_never_worth_less_and_is_given_for_a_lower_one() {
    let sandbox = Sandbox::new();
    save(&sandbox, "logo.png", logo(64, 0));
    let score = |database: &str, tier: &str| {
        let traced =
            sandbox.run(&["--db", database, "--json", "trace", "photos/logo.png", "--tier", tier]).code(0).json();
        (traced["traces"][0]["score"].as_f64().expect("a score"), traced["traces"][0]["tier"].to_string())
    };
    let alone: Vec<f64> =
        ["fast", "balanced", "quality"].iter().map(|tier| score(&format!("{tier}.db"), tier).0).collect();
    assert!(alone.is_sorted(), "{alone:?}");
    let one_after_another: Vec<f64> =
        ["fast", "balanced", "quality"].iter().map(|tier| score("one.db", tier).0).collect();
    assert!(one_after_another.is_sorted(), "{one_after_another:?}");
    assert_eq!(score("one.db", "fast"), (one_after_another[2], "\"quality\"".to_owned()));
}

#[test]
fn without_time_there_is_a_coarse_drawing_and_with_more_time_a_better_one() {
    let sandbox = Sandbox::new();
    save(&sandbox, "logo.png", logo(64, 0));
    let traced = |time: &str| {
        let args = ["--json", "trace", "photos/logo.png", "--tier", "quality", "--threads", "1", "--time-limit", time];
        sandbox.run_on_index(&args).code(0).json()["traces"][0].take()
    };
    let hurried = traced("0");
    assert_eq!((hurried["tried"].as_u64(), hurried["complete"].as_bool()), (Some(1), Some(false)));
    assert_eq!(hurried["coarse"], true);
    assert!(svg(&sandbox.path("logo.svg")).contains("width=\"64\" height=\"64\""));
    // A coarse drawing is not stored.
    assert_eq!(traced("0")["stored"], false);
    let patient = traced("60");
    assert_eq!((patient["stored"].as_bool(), patient["complete"].as_bool()), (Some(false), Some(true)));
    assert!(patient["score"].as_f64() > hurried["score"].as_f64(), "{hurried} {patient}");
    assert_eq!(patient["coarse"], false);
    assert_eq!(traced("0")["stored"], true);
}

#[test]
fn noise_has_no_drawing_in_time_and_the_hint_is_to_give_more() {
    let sandbox = Sandbox::new();
    let noise = |x: u32, y: u32| x.wrapping_mul(2_654_435_761).rotate_left(13) ^ y.wrapping_mul(2_246_822_519);
    save(
        &sandbox,
        "noise.png",
        RgbImage::from_fn(256, 256, |x, y| {
            let value = noise(x, y).wrapping_mul(3_266_489_917).rotate_left(15).wrapping_mul(668_265_263);
            Rgb([value as u8, (value >> 8) as u8, (value >> 16) as u8])
        }),
    );
    for tier in ["fast", "quality"] {
        let args = ["trace", "photos/noise.png", "--force", "--time-limit", "0.1", "--tier", tier];
        let failed = sandbox.run_on_index(&args).code(1).stderr;
        assert!(failed.contains("cannot trace `photos/noise.png` within 0.1 s"), "{failed}");
        assert!(failed.contains("hint: a longer --time-limit may help"), "{failed}");
        assert!(!sandbox.path("noise.svg").exists());
    }
}

#[test]
fn drawings_saved_as_jpeg_are_traced_and_leave_no_specks() {
    let sandbox = Sandbox::new();
    for (side, quality) in [(64, 60), (128, 60), (128, 90), (256, 75)] {
        let name = format!("{side} {quality}.jpg");
        let mut bytes = Vec::new();
        let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality);
        logo(side, 0).write_with_encoder(encoder).expect("it encodes");
        fs::write(sandbox.photo(&name), bytes).expect("a file");
    }
    for _ in 0..2 {
        // The second round finds stored traces.
        let traced = sandbox.run_on_index(&["--json", "trace", "photos", "-o", "svgs"]).code(0).json();
        let shapes: Vec<u64> =
            traced["traces"].as_array().expect("rows").iter().filter_map(|row| row["shapes"].as_u64()).collect();
        assert!(traced["photos"] == 0 && shapes.len() == 4, "{traced}");
        assert!(shapes.iter().all(|shapes| *shapes <= 6), "{shapes:?}");
    }
}

#[test]
fn an_estimate_creates_no_index() {
    let sandbox = Sandbox::new();
    save(&sandbox, "logo.png", logo(33, 0));
    let estimate = sandbox.run_on_index(&["trace", "--predict", "photos/logo.png"]).code(0).stdout;
    assert!(estimate.starts_with("estimated "), "{estimate}");
    assert!(!sandbox.database().exists());
}

#[test]
fn photographs_are_refused_where_they_are_named_and_left_out_in_folders() {
    let sandbox = Sandbox::new();
    save(&sandbox, "logos/logo.png", logo(64, 0));
    fs::write(sandbox.photo("logos/notes.txt"), "no picture").expect("a file");
    fs::write(sandbox.photo("logos/drawn.svg"), "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>")
        .expect("a file");
    let refused = sandbox.run_on_index(&["trace", "photos/logos/drawn.svg"]).code(1).stderr;
    assert!(refused.contains("`photos/logos/drawn.svg` is already an SVG"), "{refused}");
    let refused = sandbox.run_on_index(&["trace", "photos/logos/notes.txt"]).code(1).stderr;
    assert!(refused.contains("notes.txt") && refused.contains("not a picture"), "{refused}");
    sandbox.run_on_index(&["trace", "photos", "-o", "svgs"]).code(0);
    assert_eq!(fs::read_dir(sandbox.path("svgs/logos")).expect("a folder").count(), 1);

    let Some(photo) = photo(&sandbox) else { return };
    let refused = sandbox.run_on_index(&["trace", "photos/a photo.jpg"]).code(1).stderr;
    assert!(
        refused.contains("`photos/a photo.jpg` looks like a photograph") && refused.contains("--force"),
        "{refused}"
    );
    let folder = sandbox.run_on_index(&["trace", "photos", "-o", "svgs"]).code(0);
    assert!(folder.stderr.contains("1 photograph left out"), "{}", folder.stderr);
    assert!(!sandbox.path("svgs/a photo.svg").exists());
    sandbox.run_on_index(&["trace", photo.to_str().expect("UTF-8"), "--force", "--tier", "fast"]).code(0);
    assert!(sandbox.path("a photo.svg").exists());
    // A stored trace does not make it less of a photograph.
    let refused = sandbox.run_on_index(&["trace", "photos/a photo.jpg", "--tier", "fast"]).code(1).stderr;
    assert!(refused.contains("looks like a photograph"), "{refused}");
    let refused = sandbox.run_on_index(&["trace", "photos", "photos/a photo.jpg", "-o", "svgs"]).code(3).stderr;
    assert!(refused.contains("looks like a photograph"), "{refused}");
}

#[test]
fn what_somebody_has_drawn_is_not_replaced() {
    let sandbox = Sandbox::new();
    save(&sandbox, "logo.png", logo(64, 0));
    fs::write(sandbox.path("logo.svg"), "<svg>mine</svg>").expect("a file");
    let refused = sandbox.run_on_index(&["trace", "photos/logo.png"]).code(1).stderr;
    assert!(refused.contains("`logo.svg` already exists") && refused.contains("--overwrite"), "{refused}");
    assert_eq!(svg(&sandbox.path("logo.svg")), "<svg>mine</svg>");
    sandbox.run_on_index(&["trace", "photos/logo.png", "--overwrite"]).code(0);
    // An SVG that imgidx wrote is replaced, unless it was edited.
    sandbox.run_on_index(&["trace", "photos/logo.png", "--tier", "quality"]).code(0);
    let changed = svg(&sandbox.path("logo.svg")).replacen("<path", "<path id=\"mine\"", 1);
    fs::write(sandbox.path("logo.svg"), &changed).expect("a file");
    sandbox.run_on_index(&["trace", "photos/logo.png"]).code(1);
    assert_eq!(svg(&sandbox.path("logo.svg")), changed);
    sandbox.run_on_index(&["trace", "photos/logo.png", "--overwrite"]).code(0);
    let page = &["trace", "photos/logo.png", "--preview-html", "photos/logo.png"];
    assert!(sandbox.run_on_index(page).code(1).stderr.contains("`photos/logo.png` is a picture"));
    assert!(image::open(sandbox.photo("logo.png")).is_ok());
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        sandbox.run_on_index(&["trace", "photos/logo.png", "-o", "/dev/null"]).code(0);
        assert!(fs::metadata("/dev/null").expect("it is there").file_type().is_char_device());
    }
    let printed = sandbox.run_on_index(&["trace", "photos/logo.png", "-o", "-"]).code(0).stdout;
    assert_eq!(printed, svg(&sandbox.path("logo.svg")));
}

#[test]
fn several_pictures_need_a_folder_and_come_in_their_order() {
    let sandbox = Sandbox::new();
    for (seed, name) in ["b.png", "a.png", "sub/c.png"].iter().enumerate() {
        save(&sandbox, name, logo(48, seed as u8));
    }
    fs::write(sandbox.photo("broken.png"), b"\x89PNG\r\n\x1A\nbroken").expect("a file");
    sandbox.run_on_index(&["trace", "photos"]).code(2);
    sandbox.run_on_index(&["trace", "photos/a.png", "photos/b.png", "-o", "photos/a.png"]).code(2);
    let output = sandbox.run_on_index(&["trace", "photos", "-o", "out/svgs", "--tier", "fast"]).code(3);
    let files: Vec<&str> = output.stdout.lines().map(|line| line.rsplit("  ").next().expect("a path")).collect();
    assert_eq!(files, ["out/svgs/a.svg", "out/svgs/b.svg", "out/svgs/sub/c.svg"]);
    assert!(
        output.stderr.contains("broken.png") && output.stderr.contains("3 pictures traced, 1 failed"),
        "{}",
        output.stderr
    );
    let output = sandbox.run_on_index(&["--json", "trace", "photos", "-o", "out/svgs"]).code(3).json();
    assert_eq!(output["failed"][0]["path"], "photos/broken.png");
    assert_eq!(output["traces"].as_array().map(Vec::len), Some(3));
}

#[test]
fn what_is_transparent_stays_so() {
    let sandbox = Sandbox::new();
    let ring = |x: u32, y: u32| (12.0..28.0).contains(&f32::hypot(x as f32 - 31.5, y as f32 - 31.5));
    let picture = RgbaImage::from_fn(64, 64, |x, y| Rgba(if ring(x, y) { [255, 255, 255, 255] } else { [0; 4] }));
    save(&sandbox, "ring.png", picture);
    sandbox.run_on_index(&["trace", "photos/ring.png"]).code(0);
    let shown = render(&svg(&sandbox.path("ring.svg")), 64, 64, [0, 120, 0]).expect("it can be drawn");
    for (x, y) in [(1, 1), (31, 31), (62, 2)] {
        assert_eq!(shown.get_pixel(x, y).0, [0, 120, 0], "{x} {y}");
    }
    for (x, y) in [(12, 31), (31, 12), (51, 31)] {
        assert_eq!(shown.get_pixel(x, y).0, [255; 3], "{x} {y}");
    }
}

#[test]
fn strange_pictures_have_svgs_that_can_be_drawn() {
    let sandbox = Sandbox::new();
    let noise = |x: u32, y: u32| (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503).rotate_left(7)) as u8;
    let pictures: Vec<(&str, DynamicImage)> = vec![
        ("point.png", RgbImage::from_pixel(1, 1, Rgb([200, 30, 30])).into()),
        ("clear.png", RgbaImage::new(40, 30).into()),
        ("clear point.png", RgbaImage::new(1, 1).into()),
        ("small.png", RgbImage::from_fn(3, 2, |x, _| Rgb([90 * x as u8; 3])).into()),
        ("row.png", RgbImage::from_fn(3000, 1, |x, _| Rgb([if x < 900 { 0 } else { 255 }; 3])).into()),
        ("column.png", RgbImage::from_pixel(1, 3000, Rgb([9, 90, 9])).into()),
        ("white.png", GrayImage::from_pixel(50, 50, Luma([255])).into()),
        ("chess.png", GrayImage::from_fn(40, 40, |x, y| Luma([255 * ((x + y) % 2) as u8])).into()),
        ("noise.png", GrayImage::from_fn(40, 40, |x, y| Luma([noise(x, y)])).into()),
        ("fade.png", RgbaImage::from_fn(64, 64, |x, _| Rgba([10, 200, 90, 4 * x as u8])).into()),
        ("ramp.gif", RgbaImage::from_fn(64, 64, |x, y| Rgba([4 * x as u8, 4 * y as u8, 0, 255])).into()),
    ];
    let count = pictures.len();
    for (name, picture) in pictures {
        save(&sandbox, name, picture);
    }
    let output = sandbox.run_on_index(&["--json", "trace", "photos", "-o", "svgs", "--force"]).code(0).json();
    assert_eq!(output["traces"].as_array().map(Vec::len), Some(count));
    for traced in output["traces"].as_array().expect("rows") {
        let file = sandbox.path(traced["svg"].as_str().expect("a path"));
        assert!(render(&svg(&file), 50, 50, [255; 3]).is_some(), "{traced}");
        assert!(traced["score"].as_f64().is_some_and(f64::is_finite), "{traced}");
    }
}

#[test]
fn the_page_shows_each_picture_its_trace_and_the_difference() {
    let sandbox = Sandbox::new();
    save(&sandbox, "<b onload='x'>.png", logo(48, 0));
    save(&sandbox, "second.png", logo(48, 1));
    for _ in 0..2 {
        // The second round uses the stored traces.
        sandbox.run_on_index(&["trace", "photos", "-o", "svgs", "--preview-html", "page.html"]).code(0);
        let page = svg(&sandbox.path("page.html"));
        assert_eq!(page.matches("data:image/png;base64,").count(), 4);
        assert_eq!(page.matches("data:image/svg+xml;base64,").count(), 2);
        assert!(page.contains("&lt;b onload=&#39;x&#39;&gt;") && !page.contains("<b onload"), "{page}");
        assert!(page.ends_with("</html>\n"));
    }
}

#[test]
fn an_estimate_is_told_as_one_with_the_stored_trace() {
    let sandbox = Sandbox::new();
    save(&sandbox, "logo.png", logo(33, 77));
    let estimate = || {
        sandbox.run_on_index(&["--json", "trace", "--predict", "photos/logo.png"]).code(0).json()["estimates"][0].take()
    };
    let before = estimate();
    assert_eq!(before["traced"], Value::Null);
    let line = sandbox.run_on_index(&["trace", "--predict", "photos/logo.png"]).code(0).stdout;
    assert!(line.starts_with("estimated ") && line.contains(" ± "), "{line}");
    let traced = sandbox.run_on_index(&["--json", "trace", "photos/logo.png"]).code(0).json();
    let after = estimate();
    assert_eq!(after["traced"]["score"], traced["traces"][0]["score"]);
    assert_eq!(after["estimate"], before["estimate"]);
}

#[test]
fn pictures_are_traced_while_another_process_adds() {
    let sandbox = Sandbox::new();
    save(&sandbox, "logo.png", logo(48, 0));
    sandbox.run_on_index(&["add", "photos"]).code(0);
    let _writer = imgidx::store::Writer::open(&sandbox.database()).expect("it opens");
    sandbox.run_on_index(&["--direct", "trace", "photos/logo.png"]).code(0);
    let traced = sandbox.run_on_index(&["--json", "--direct", "trace", "photos/logo.png"]).code(0).json();
    assert_eq!(traced["traces"][0]["stored"], true);
}

#[test]
fn an_index_that_cannot_be_written_to_keeps_nobody_from_tracing() {
    let sandbox = Sandbox::new();
    let picture = save(&sandbox, "logo.png", logo(48, 0));
    let broken = sandbox.tamper();
    broken
        .execute_batch("CREATE TRIGGER no BEFORE INSERT ON trace BEGIN SELECT RAISE(FAIL, 'no'); END")
        .expect("a trigger");
    drop(broken);
    let output = sandbox.run_on_index(&["trace", picture.to_str().expect("UTF-8")]).code(0);
    assert!(output.stderr.contains("cannot store traces"), "{}", output.stderr);
    assert!(sandbox.path("logo.svg").exists());
}

#[test]
fn traces_outlast_a_repair() {
    let sandbox = Sandbox::new();
    for seed in 0..3 {
        save(&sandbox, &format!("logos/{seed}.png"), logo(48, seed));
    }
    let trace = || sandbox.run_on_index(&["--json", "trace", "photos/logos", "-o", "svgs"]).code(0).json();
    let first = trace();
    (0..60).for_each(|seed| drop(sandbox.draw(&format!("{seed}.png"), seed)));
    sandbox.run_on_index(&["add", "photos"]).code(0);
    // The last page holds rows that were added last.
    let mut bytes = fs::read(sandbox.database()).expect("it is there");
    let at = bytes.len() - 5000;
    bytes[at] ^= 1;
    fs::write(sandbox.database(), &bytes).expect("it can be written");
    let repaired = sandbox.run_on_index(&["check", "--repair"]).code(0);
    assert!(repaired.stdout.contains("does not match its checksum (repaired)"), "{}", repaired.stdout);
    let second = trace();
    assert_eq!(second["stored"], 3);
    assert_eq!(second["traces"][1]["score"], first["traces"][1]["score"]);
}

#[test]
fn the_library_traces_too() {
    let sandbox = Sandbox::new();
    let picture = save(&sandbox, "logo.png", logo(48, 0));
    let (mut found, options) = (Vec::new(), TraceOptions { pixels: true, ..TraceOptions::of(Tier::Fast) });
    let report = sandbox.open().trace([&picture], &options, |step| {
        found.push(step);
        Ok(())
    });
    let report = report.expect("the picture can be traced");
    assert_eq!((report.traced, report.stored, report.failed, found.len()), (1, 0, 0, 1));
    let traced = found.remove(0).result.expect("the picture is not left out").expect("it is a drawing");
    assert!(CANDIDATES.contains(&traced.parameters) && traced.tried == 1);
    assert_eq!(traced.compared.expect("the pixels were requested").pixels.dimensions(), (48, 48));
}

/// Renders every `every`-th SVG of a folder, once transparent and once on white, into the folder of pictures.
fn draw_all(sandbox: &Sandbox, from: &Path, side: u32, every: usize) {
    let mut all: Vec<PathBuf> =
        fs::read_dir(from).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
    all.retain(|path| path.extension().is_some_and(|extension| extension == "svg"));
    all.sort();
    for path in all.into_iter().step_by(every) {
        let Ok(tree) =
            resvg::usvg::Tree::from_data(&fs::read(&path).expect("a file"), &resvg::usvg::Options::default())
        else {
            continue;
        };
        let scale = side as f32 / tree.size().width().max(tree.size().height());
        let pixels = |length: f32| ((length * scale).round() as u32).max(1);
        let (width, height) = (pixels(tree.size().width()), pixels(tree.size().height()));
        let mut canvas = resvg::tiny_skia::Pixmap::new(width, height).expect("it has pixels");
        resvg::render(&tree, resvg::tiny_skia::Transform::from_scale(scale, scale), &mut canvas.as_mut());
        let flat = canvas.pixels().iter().flat_map(|pixel| {
            let pixel = pixel.demultiply();
            [pixel.red(), pixel.green(), pixel.blue(), pixel.alpha()]
        });
        let clear = RgbaImage::from_raw(width, height, flat.collect()).expect("four bytes for each pixel");
        let mut white = RgbaImage::from_pixel(width, height, Rgba([255; 4]));
        image::imageops::overlay(&mut white, &clear, 0, 0);
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        save(sandbox, &format!("clear/{name}.png"), clear);
        save(sandbox, &format!("white/{name}.png"), DynamicImage::from(white).into_rgb8());
    }
}

#[test]
fn real_logos_of_every_size_have_svgs_that_look_like_them() {
    let Some(folder) = corpus("logos") else { return };
    for (side, every) in [(64, 3), (256, 12), (1024, 48)] {
        let sandbox = Sandbox::new();
        draw_all(&sandbox, &folder, side, every);
        let output = sandbox
            .run_on_index(&["--json", "trace", "photos", "-o", "svgs", "--force", "--tier", "fast"])
            .code(0)
            .json();
        let traces = output["traces"].as_array().expect("rows");
        assert!(traces.len() >= 2 * (185 / every), "{side}");
        for traced in traces {
            let file = sandbox.path(traced["svg"].as_str().expect("a path"));
            assert!(render(&svg(&file), 64, 64, [255; 3]).is_some(), "{traced}");
        }
        let mut similarities: Vec<f64> =
            traces.iter().map(|traced| traced["ssim"].as_f64().expect("a number")).collect();
        similarities.sort_by(f64::total_cmp);
        assert!(similarities[similarities.len() / 2] > 0.96 && similarities[0] > 0.5, "{side}: {similarities:?}");
    }
}

#[test]
fn a_picture_is_never_replaced_by_its_trace() {
    let sandbox = Sandbox::new();
    let path = save(&sandbox, "logo.png", logo(64, 0));
    // A picture with the name that its trace would get.
    fs::copy(&path, sandbox.photo("named.svg")).expect("a copy");
    #[cfg(unix)]
    std::os::unix::fs::symlink(&path, sandbox.photo("link.svg")).expect("a link");
    fs::hard_link(&path, sandbox.photo("name.svg")).expect("a link");
    let before = fs::read(&path).expect("it is there");
    let refused = |arguments: &[&str]| {
        let output = sandbox.run_on_index(&[&["trace", "--overwrite"], arguments].concat()).code(1);
        assert!(output.stderr.contains("pictures are never replaced"), "{arguments:?}: {}", output.stderr);
        for file in ["logo.png", "named.svg"] {
            assert_eq!(fs::read(sandbox.photo(file)).expect("it is there"), before, "{arguments:?}: {file}");
        }
    };
    refused(&["photos/logo.png", "-o", "photos/logo.png"]);
    // No hint may lead to another refusal.
    let output = sandbox.run_on_index(&["trace", "photos/logo.png", "-o", "photos/logo.png"]).code(1);
    assert!(output.stderr.contains("pictures are never replaced"), "{}", output.stderr);
    assert!(output.stderr.contains("hint: name another file") && !output.stderr.contains("--overwrite"));
    refused(&["photos/named.svg", "-o", "photos"]);
    refused(&["photos/logo.png", "-o", "photos/name.svg"]);
    #[cfg(unix)]
    refused(&["photos/logo.png", "-o", "photos/link.svg"]);
    refused(&["photos/logo.png", "-o", "new.svg", "--preview-html", "photos/logo.png"]);
}
