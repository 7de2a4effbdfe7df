//! Real pictures, where they are available: the quality of the answers, and hostile files.

use std::time::{Duration, Instant};

use imgidx::{AddOptions, Filter, Query};

use crate::common::{Random, Sandbox, corpus, rounds, write};

#[test]
fn the_built_in_model_names_what_photos_show() {
    let Some(folder) = corpus("photos") else { return };
    let sandbox = Sandbox::new();
    let mut index = sandbox.open();
    let report = index.add([&folder], &AddOptions::default()).expect("it can be indexed");
    assert_eq!((report.new, report.failed), (305, 0));
    let mut right = 0;
    index
        .searcher()
        .for_each_picture(&Filter::default(), |row| {
            let (_, classes) = index.searcher().stored_embedding(&row)?.expect("it was embedded");
            assert!(classes.len() <= 5 && classes.iter().all(|class| class.score >= 0.05), "{classes:?}");
            let name = row.path.file_stem().and_then(|name| name.to_str()).expect("UTF-8");
            let expected = name.split_once('_').expect("nXXXXXXXX_label").1.replace('_', " ");
            right += u32::from(classes.first().is_some_and(|class| class.label.eq_ignore_ascii_case(&expected)));
            Ok(())
        })
        .expect("a list");
    assert!(right * 100 >= 305 * 87, "{right} of 305 are right");

    let terrier = folder.join("n02094433_Yorkshire_terrier.JPEG");
    let hits = index.searcher().similar(&Query::image(&terrier), 10).expect("an answer").hits;
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
        .searcher()
        .for_each_picture(&Filter::default(), |row| {
            let kind = row.path.parent().and_then(|folder| folder.file_name()).expect("a folder").to_owned();
            let (vector, _) = index.searcher().stored_embedding(&row)?.expect("it was embedded");
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
    let failures = index.searcher().failures().expect("failures");
    assert_eq!(failures.len() as u64, report.failed);
    for failure in failures {
        assert!(failure.reason.len() > 6, "{}: {:?}", failure.path.display(), failure.reason);
    }
    let again = index.add([&folder], &AddOptions::default()).expect("it can be indexed");
    assert_eq!((again.new, again.changed, again.failed, again.embedded), (0, 0, 0, 0));
    assert_eq!(again.unchanged + again.skipped, report.new + report.failed + report.skipped);
}

/// One of the files with bits flipped, with its end cut off, or with a part of another file in it.
fn mutated(random: &mut Random, files: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = random.pick(files).expect("there are files").clone();
    match random.below(3) {
        0 => {
            for _ in 0..=random.below(20) {
                let (at, bit) = (random.below(bytes.len()), random.below(8));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
        }
        1 => bytes.truncate(random.below(bytes.len() + 1)),
        _ => {
            let other = random.pick(files).expect("there are files");
            let (from, to) = (random.below(other.len() + 1), random.below(bytes.len() + 1));
            let length = random.below(4096).min(other.len() - from).min(bytes.len() - to);
            bytes[to..to + length].copy_from_slice(&other[from..from + length]);
        }
    }
    bytes
}

#[test]
fn mutations_of_hostile_files_end_nothing_and_keep_nobody_from_being_indexed() {
    let Some(folder) = corpus("hostile") else { return };
    let sandbox = Sandbox::new();
    let mut files = Vec::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path if entry.metadata().is_ok_and(|metadata| metadata.len() < 1 << 20) => files.push(path),
                _ => {}
            }
        }
    }
    files.sort();
    let contents: Vec<Vec<u8>> = files.iter().map(|path| std::fs::read(path).expect("a file")).collect();
    let mut random = Random::new(17);
    let count = rounds(150);
    for number in 0..count {
        let mutation = mutated(&mut random, &contents);
        let extension = random.pick(&files).and_then(|path| path.extension()).unwrap_or_default();
        let name = format!("{number:05}.{}", extension.to_string_lossy());
        write(&sandbox.photo("mutated").join(name), &mutation);
    }
    for seed in 0..20 {
        sandbox.draw(&format!("good/{seed}.png"), seed);
    }
    let added = sandbox.run_on_index(&["add", "photos", "--json"]);
    assert!(added.code == 0 || added.code == 3, "{}", added.stderr);
    let report = added.json();
    assert!(report["peak_memory_bytes"].as_u64().is_none_or(|peak| peak < 700 << 20), "{report}");
    assert_eq!(sandbox.run_on_index(&["list", "--under", "photos/good"]).lines().len(), 20, "every good one");
    let failures = sandbox.run_on_index(&["failures", "--json"]).code(0).json();
    let failures = failures["failures"].as_array().expect("a list");
    let reasons: Vec<&str> = failures.iter().map(|failure| failure["reason"].as_str().expect("text")).collect();
    assert!(reasons.iter().all(|reason| reason.len() > 6), "{reasons:?}");
    let of = |words: &str| reasons.iter().filter(|reason| reason.contains(words)).count();
    eprintln!(
        "{count} mutations: {} failures, {} crashed, {} took too long, {} too much memory; {report}",
        reasons.len(),
        of("crashed"),
        of("longer than"),
        of("more memory")
    );
    sandbox.run_on_index(&["check"]).code(0);
}
