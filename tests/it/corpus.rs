//! Real pictures, where they are there: how good the answers are, and that nothing hostile gets through.

use std::time::{Duration, Instant};

use imgidx::{AddOptions, Filter, Query};

use crate::kit::{Sandbox, corpus};

#[test]
fn the_built_in_model_names_what_photos_show() {
    let Some(folder) = corpus("photos") else { return };
    let sandbox = Sandbox::new();
    let mut index = sandbox.open();
    let report = index.add([&folder], &AddOptions::default()).expect("it can be indexed");
    assert_eq!((report.new, report.failed), (305, 0));
    let mut right = 0;
    index
        .for_each_picture(&Filter::default(), |row| {
            let (_, classes) = index.stored_embedding(&row)?.expect("it was embedded");
            assert!(classes.len() <= 5 && classes.iter().all(|class| class.score >= 0.05), "{classes:?}");
            let name = row.path.file_stem().and_then(|name| name.to_str()).expect("UTF-8");
            let expected = name.split_once('_').expect("nXXXXXXXX_label").1.replace('_', " ");
            right += u32::from(classes.first().is_some_and(|class| class.label.eq_ignore_ascii_case(&expected)));
            Ok(())
        })
        .expect("a list");
    assert!(right * 100 >= 305 * 87, "{right} of 305 are right");

    let terrier = folder.join("n02094433_Yorkshire_terrier.JPEG");
    let hits = index.similar(&Query::image(&terrier), 10).expect("an answer").hits;
    let names: Vec<_> = hits.iter().map(|hit| hit.path.file_name().expect("a name").to_string_lossy()).collect();
    assert!(names[0].contains("terrier") && names[1].contains("terrier"), "{names:?}");
    assert!(hits.is_sorted_by(|a, b| a.score >= b.score));
}

#[test]
fn clothes_of_one_kind_are_found_together() {
    let Some(folder) = corpus("clothing") else { return };
    let sandbox = Sandbox::new();
    let mut index = sandbox.open();
    index.add([&folder], &AddOptions::default()).expect("it can be indexed");
    let mut pictures = Vec::new();
    index
        .for_each_picture(&Filter::default(), |row| {
            let kind = row.path.parent().and_then(|folder| folder.file_name()).expect("a folder").to_owned();
            let (vector, _) = index.stored_embedding(&row)?.expect("it was embedded");
            pictures.push((kind, vector));
            Ok(())
        })
        .expect("a list");
    let precision: f64 = pictures
        .iter()
        .enumerate()
        .map(|(i, (kind, vector))| {
            let others = pictures.iter().enumerate().filter(|(j, _)| *j != i);
            let mut scores: Vec<_> = others.map(|(_, (other, v))| (vector.cosine(v), other == kind)).collect();
            scores.sort_by(|a, b| b.0.total_cmp(&a.0));
            scores[..10].iter().filter(|score| score.1).count() as f64 / 10.0
        })
        .sum::<f64>()
        / pictures.len() as f64;
    assert!(precision >= 0.66, "P@10 is {precision:.3} on {} pictures", pictures.len());
}

#[test]
fn hostile_files_are_indexed_skipped_or_refused_with_a_reason() {
    let Some(folder) = corpus("hostile") else { return };
    let sandbox = Sandbox::new();
    let mut index = sandbox.open();
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    let mut done = 0;
    let mut watch = |progress: imgidx::Progress| {
        if progress.done != done {
            (done, last) = (progress.done, Instant::now());
        }
        longest = longest.max(last.elapsed());
    };
    let report = index.add_with_progress([&folder], &AddOptions::default(), &mut watch).expect("it can be indexed");
    assert!(report.new >= 500, "{report:?}");
    assert!(longest < Duration::from_secs(10), "one file took {longest:?}");
    let failures = index.failures().expect("failures");
    assert_eq!(failures.len() as u64, report.failed);
    for failure in failures {
        assert!(failure.reason.len() > 6, "{}: {:?}", failure.path.display(), failure.reason);
    }
    let again = index.add([&folder], &AddOptions::default()).expect("it can be indexed");
    assert_eq!((again.new, again.changed, again.failed, again.embedded), (0, 0, 0, 0));
    assert_eq!(again.unchanged + again.skipped, report.new + report.failed + report.skipped);
}
