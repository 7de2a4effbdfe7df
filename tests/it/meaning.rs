//! Search by meaning: texts that name no label, texts that are near nothing, colours in a text, texts to leave out, and
//! names in other languages.

use imgidx::search::{MatchKind, TextAnswer};
use imgidx::{Searcher, TextQuery};

use crate::common::Sandbox;
use crate::search::{names, set_classes, zoo};

fn ask(searcher: &Searcher, query: &TextQuery) -> TextAnswer {
    searcher.search(query, 1000).expect("an answer")
}

fn found(searcher: &Searcher, query: &TextQuery) -> Vec<String> {
    names(ask(searcher, query).hits.into_iter().map(|hit| hit.path))
}

/// Pictures whose names say nothing, with these labels.
fn labelled(labels: &[&[(&str, f32)]]) -> Sandbox {
    let sandbox = Sandbox::new();
    let pictures: Vec<_> = (1..).zip(labels).map(|(at, _)| sandbox.draw(&format!("{at}.png"), 10 * at)).collect();
    sandbox.add();
    for (picture, labels) in pictures.iter().zip(labels) {
        set_classes(&sandbox, picture, labels);
    }
    sandbox
}

#[test]
fn a_text_finds_what_it_means_and_says_why() {
    let sandbox =
        labelled(&[&[("pizza", 0.9)], &[("beagle", 0.9)], &[("soccer ball", 0.8)], &[("acoustic guitar", 0.9)]]);
    let searcher = sandbox.open().searcher().clone();
    for (text, name) in [
        ("something to eat", "1.png"),
        ("playing sports", "3.png"),
        ("musical performance", "4.png"),
        ("Italian meal", "1.png"),
    ] {
        assert_eq!(found(&searcher, &TextQuery::new(text))[0], name, "{text}");
    }
    let answer = ask(&searcher, &TextQuery::new("something to eat"));
    let meaning = answer.understood.iter().find(|one| one.kind == MatchKind::Meaning).expect("it is said");
    assert_eq!((meaning.matches, meaning.nearest[0].label.as_str()), (1, "pizza"));
    let hit = &answer.hits[0];
    assert_eq!((hit.why[0].kind, hit.labels[0].label.as_str()), (MatchKind::Meaning, "pizza"));
    assert!(hit.why[0].score <= 0.9 && hit.why[0].score > 0.4, "{:?}", hit.why);
    assert_eq!(found(&searcher, &TextQuery::new("something to eat").exact_words()), [""; 0]);
}

#[test]
fn a_text_about_nothing_that_can_be_seen_finds_nothing_and_says_so() {
    let sandbox = labelled(&[&[("pizza", 0.9)], &[("beagle", 0.9)], &[("military uniform", 0.9)]]);
    for text in ["going to the doctor", "quarterly tax report", "happiness", "asdf qwer"] {
        let finished = sandbox.run_on_index(&["search", text]).code(0);
        assert_eq!(finished.stdout, "", "{text}");
        assert!(finished.stderr.contains("nothing close in meaning"), "{text}: {}", finished.stderr);
    }
}

#[test]
fn names_stay_exact_and_meaning_adds_nothing_to_them() {
    let sandbox = zoo();
    let searcher = sandbox.open().searcher().clone();
    for text in ["dog", "crane", "hot dog"] {
        let (both, exact) = (TextQuery::new(text), TextQuery::new(text).exact_words());
        let (both, exact) = (ask(&searcher, &both), ask(&searcher, &exact));
        assert_eq!((&both.hits, &both.understood), (&exact.hits, &exact.understood), "{text}");
    }
}

#[test]
fn texts_to_leave_out_leave_out_what_they_find() {
    let sandbox = labelled(&[&[("beagle", 0.9)], &[("beagle", 0.5), ("seashore", 0.45)], &[("pizza", 0.9)]]);
    let searcher = sandbox.open().searcher().clone();
    assert_eq!(found(&searcher, &TextQuery::new("dog")), ["1.png", "2.png"]);
    assert_eq!(found(&searcher, &TextQuery::new("dog").minus("beach")), ["1.png"]);
    assert_eq!(found(&searcher, &TextQuery::new("dog").minus("beach").minus("beagle")), [""; 0]);
    let printed = sandbox.run_on_index(&["search", "--min-width", "1", "--minus", "something to eat"]).code(0);
    assert_eq!(printed.lines().len(), 2, "{}", printed.stdout);
    // No picture shows both, so none is left out for showing one of them.
    assert_eq!(found(&searcher, &TextQuery::new("dog").minus("beagle pizza")), ["1.png", "2.png"]);
}

#[test]
fn names_in_other_languages_are_known_and_english_comes_first() {
    let sandbox = labelled(&[&[("beagle", 0.9)], &[("cowboy boot", 0.9)], &[("speedboat", 0.9)], &[("tabby", 0.9)]]);
    let searcher = sandbox.open().searcher().clone();
    for text in ["Hund", "perro", "chien", "犬", "собака", "Welpe"] {
        assert_eq!(found(&searcher, &TextQuery::new(text)), ["1.png"], "{text}");
    }
    assert_eq!(found(&searcher, &TextQuery::new("boot")), ["2.png"]);
    assert_eq!(found(&searcher, &TextQuery::new("Boot").language("de")), ["3.png"]);
    assert_eq!(found(&searcher, &TextQuery::new("chat")), ["4.png"]);
    let noted = sandbox.run_on_index(&["search", "Hund"]).code(0);
    assert!(noted.stderr.contains("hund (dog): 1 by label"), "{}", noted.stderr);
    let refused = sandbox.run_on_index(&["search", "Hund", "--language", "xx"]).code(2);
    assert!(refused.stderr.contains("en, de, es"), "{}", refused.stderr);
}

#[test]
fn a_colour_in_a_text_counts_beside_what_is_named() {
    let sandbox = Sandbox::new();
    let paint = |name: &str, color: [u8; 3]| {
        let path = sandbox.photo(name);
        image::RgbImage::from_pixel(64, 48, image::Rgb(color)).save(&path).expect("it is written");
        path
    };
    let (red, blue, wall) =
        (paint("1.png", [200, 20, 20]), paint("2.png", [20, 40, 200]), paint("3.png", [190, 30, 25]));
    sandbox.add();
    set_classes(&sandbox, &red, &[("sports car", 0.9)]);
    set_classes(&sandbox, &blue, &[("sports car", 0.9)]);
    set_classes(&sandbox, &wall, &[("brick wall", 0.9)]);
    let searcher = sandbox.open().searcher().clone();
    assert_eq!(found(&searcher, &TextQuery::new("red car")), ["1.png"]);
    assert_eq!(found(&searcher, &TextQuery::new("blue car")), ["2.png"]);
    let mut reds = found(&searcher, &TextQuery::new("red"));
    reds.sort();
    assert_eq!(reds, ["1.png", "3.png"]);
    assert_eq!(found(&searcher, &TextQuery::new("red elephant")), [""; 0], "a colour alone is not what was meant");
}
