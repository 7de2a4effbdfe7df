//! What the words of a search mean: stop words, everyday words, misspellings, several words, and what an answer says
//! about them.

use std::collections::BTreeMap;
use std::fs;

use imgidx::search::{LOW_THRESHOLD, MatchKind, TextAnswer};
use imgidx::{AddOptions, Searcher, TextQuery};

use crate::common::{Sandbox, corpus, write};
use crate::search::{names, set_classes, zoo};

fn answer(searcher: &Searcher, text: &str) -> TextAnswer {
    searcher.search(&TextQuery::new(text), 1000).expect("an answer")
}

fn found(sandbox: &Sandbox, text: &str) -> Vec<String> {
    names(answer(sandbox.open().searcher(), text).hits.into_iter().map(|hit| hit.path))
}

/// The real photographs under names that say nothing, and what each of them shows.
fn photos_without_names() -> Option<(Sandbox, BTreeMap<String, String>)> {
    let folder = corpus("photos")?;
    let sandbox = Sandbox::new();
    let mut shown = BTreeMap::new();
    let mut paths: Vec<_> = fs::read_dir(folder).expect("it can be read").flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for (at, path) in paths.iter().enumerate() {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let Some((_, label)) = name.split_once('_') else { continue };
        let neutral = format!("p{at}.jpg");
        fs::copy(path, sandbox.photo(&neutral)).expect("a copy");
        shown.insert(neutral, label.replace('_', " "));
    }
    sandbox.open().add([sandbox.photo("")], &AddOptions::default()).expect("it can be indexed");
    Some((sandbox, shown))
}

#[test]
fn words_find_what_photos_show_and_not_what_they_are_called() {
    let Some((sandbox, shown)) = photos_without_names() else { return };
    let dogs = found(&sandbox, "dog");
    assert!(dogs.len() > 30, "{dogs:?}");
    for text in ["a dog", "the dogs", "a photo of a dog", "puppy", "Dog's", "Hund", "犬の写真"] {
        let hits = found(&sandbox, text);
        let again = hits.iter().filter(|hit| dogs.contains(hit)).count();
        assert!(again * 10 >= dogs.len() * 9, "{text}: {again} of {}", dogs.len());
        assert_eq!(again, hits.len(), "{text} finds something else");
    }
    let on_grass = found(&sandbox, "dog on grass");
    assert!(dogs.iter().all(|dog| on_grass.contains(dog)) && on_grass.len() < 2 * dogs.len(), "{on_grass:?}");
    assert!(on_grass[..10].iter().all(|hit| dogs.contains(hit)), "{on_grass:?}");
    let labels =
        |text: &str| -> Vec<&str> { found(&sandbox, text).iter().map(|name| shown[name].as_str()).collect::<Vec<_>>() };
    assert!(labels("boat").contains(&"catamaran"), "{:?}", labels("boat"));
    assert_eq!(labels("man"), Vec::<&str>::new());
    assert!(!labels("cat").iter().any(|label| ["lion", "tiger"].contains(label)), "{:?}", labels("cat"));
    let misspelt = answer(sandbox.open().searcher(), "dgo");
    assert_eq!((misspelt.hits.len(), misspelt.suggestions[0].words[0].as_str()), (0, "dog"));
}

#[test]
fn an_unknown_word_lowers_the_score() {
    let sandbox = zoo();
    let searcher = sandbox.open().searcher().clone();
    let (one, two) = (answer(&searcher, "dog"), answer(&searcher, "dog floccinaucinihilipilification"));
    let paths = |answer: &TextAnswer| names(answer.hits.iter().map(|hit| hit.path.clone()));
    assert_eq!(paths(&one), paths(&two));
    assert!(one.hits.iter().zip(&two.hits).all(|(one, two)| one.score > two.score));
    assert!(!two.is_partial, "all words that are known match");
    assert_eq!(two.understood[1].kind, MatchKind::Unknown);
    assert_eq!(answer(&searcher, "floccinaucinihilipilification unicron").hits.len(), 0);
}

#[test]
fn pictures_that_match_all_words_are_found_and_otherwise_those_that_match_the_most() {
    let sandbox = zoo();
    let picture = sandbox.draw("6.png", 60);
    sandbox.add();
    set_classes(&sandbox, &picture, &[("beagle", 0.5), ("seashore", 0.3)]);
    // The beach is below the bar, so no picture shows both for certain.
    let some = answer(sandbox.open().searcher(), "dog beach");
    assert!(some.is_partial);
    assert_eq!(names(some.hits.iter().map(|hit| &hit.path)), ["1.png", "2.png", "6.png"]);
    set_classes(&sandbox, &picture, &[("beagle", 0.7), ("seashore", 0.6)]);
    let all = answer(sandbox.open().searcher(), "dog beach");
    assert!(!all.is_partial);
    assert_eq!(names(all.hits.iter().map(|hit| &hit.path)), ["6.png"]);
    assert_eq!(all.less_certain, 2, "the dogs without a beach");
    let threshold = TextQuery::new("dog beach").threshold(LOW_THRESHOLD);
    let low = sandbox.open().searcher().search(&threshold, 100).expect("an answer");
    assert_eq!(names(low.hits.iter().map(|hit| &hit.path))[0], "6.png", "pictures with all words come first");
    assert_eq!(low.hits.len() as u64, all.hits.len() as u64 + all.less_certain);
}

#[test]
fn an_answer_says_how_it_understood_the_words() {
    let sandbox = zoo();
    let finished = sandbox.run_on_index(&["search", "dog", "floccinaucinihilipilification", "magenta"]).code(0);
    let note = "dog: 2 by label; floccinaucinihilipilification: unknown word; magenta: 4 by colour";
    assert!(finished.stderr.contains(note), "{}", finished.stderr);
    let quiet = sandbox.run_on_index(&["-q", "search", "dog", "floccinaucinihilipilification", "magenta"]).code(0);
    assert_eq!(quiet.stderr, "");
    let plain = sandbox.run_on_index(&["search", "dog"]).code(0);
    assert!(!plain.stderr.contains("by label"), "{}", plain.stderr);
    let json = sandbox.run_on_index(&["search", "dog floccinaucinihilipilification 3", "--json"]).code(0).json();
    let understood = serde_json::json!([
        {"term": "dog", "as": "label", "matches": 2},
        {"term": "floccinaucinihilipilification", "as": "unknown", "matches": 0},
        {"term": "3", "as": "path", "matches": 1},
    ]);
    assert_eq!((&json["understood"], &json["query"]), (&understood, &"dog floccinaucinihilipilification 3".into()));
    let misspelt = sandbox.run_on_index(&["search", "dgo"]).code(0);
    assert!(misspelt.stderr.contains("hint: did you mean `dog`"), "{}", misspelt.stderr);
    let json = sandbox.run_on_index(&["search", "dgo", "--json"]).code(0).json();
    assert_eq!((&json["suggestions"][0]["term"], &json["suggestions"][0]["words"][0]), (&"dgo".into(), &"dog".into()));
}

#[test]
fn hits_say_why_they_were_found() {
    let sandbox = zoo();
    let lines = sandbox.run_on_index(&["search", "dog", "-v"]).code(0);
    let columns: Vec<&str> = lines.lines()[1].split('\t').collect();
    assert_eq!((columns.len(), columns[2]), (3, "Norwich terrier 0.30, cairn 0.30"));
    let json = sandbox.run_on_index(&["search", "dog", "--json"]).code(0).json();
    let hit = &json["hits"][1];
    assert_eq!(hit["labels"][0]["label"], "Norwich terrier");
    assert_eq!((&hit["why"][0]["term"], &hit["why"][0]["as"]), (&"dog".into(), &"label".into()));
    assert_eq!(hit["why"][0]["score"], hit["score"]);
    let by_path = sandbox.run_on_index(&["search", "3", "-v"]).code(0);
    assert!(by_path.lines()[0].ends_with("3.png\t3 in the path"), "{}", by_path.stdout);
}

#[test]
fn what_is_below_the_bar_is_counted() {
    let sandbox = zoo();
    let shy = sandbox.draw("6.png", 60);
    sandbox.add();
    set_classes(&sandbox, &shy, &[("beagle", 0.25)]);
    let finished = sandbox.run_on_index(&["search", "dog"]).code(0);
    assert!(finished.stderr.contains("hint: --threshold 0.2 also finds 1 less certain picture"), "{}", finished.stderr);
    let json = sandbox.run_on_index(&["search", "dog", "--json"]).code(0).json();
    let low = sandbox.run_on_index(&["search", "dog", "--threshold", "0.2"]).code(0);
    assert_eq!((&json["less_certain"], low.lines().len()), (&1.into(), 3));
    assert!(!low.stderr.contains("less certain"), "{}", low.stderr);
}

#[test]
fn without_words_there_is_no_made_up_score() {
    let sandbox = zoo();
    let lines = sandbox.run_on_index(&["search", "--min-width", "10"]).code(0);
    assert!(lines.lines().iter().all(|line| line.starts_with("-\t")), "{}", lines.stdout);
    let json = sandbox.run_on_index(&["search", "--min-width", "10", "--json"]).code(0).json();
    assert_eq!(json["hits"][0]["score"], serde_json::Value::Null);
}

#[test]
fn files_that_failed_are_not_found_by_their_path() {
    let sandbox = Sandbox::new();
    sandbox.draw("holiday/a.png", 1);
    write(&sandbox.photo("holiday/broken.gif"), b"GIF89a");
    sandbox.add();
    assert_eq!(found(&sandbox, "holiday"), ["a.png"]);
    assert_eq!(found(&sandbox, "photos"), ["a.png"]);
    assert_eq!(found(&sandbox, "broken"), Vec::<String>::new());
}

#[test]
fn the_name_of_a_root_is_matched_like_the_paths_below_it() {
    let sandbox = Sandbox::new();
    for (root, seed) in [("Wedding Pictures", 1), ("Café", 2)] {
        let path = sandbox.path(root);
        write(&path.join(format!("{seed}.png")), &crate::common::png(seed));
        sandbox.open().add([path], &AddOptions::default()).expect("it can be indexed");
    }
    assert_eq!(found(&sandbox, "picture"), ["1.png"]);
    assert_eq!(found(&sandbox, "weddings"), ["1.png"]);
    assert_eq!(found(&sandbox, "cafe"), ["2.png"]);
    assert_eq!(found(&sandbox, "CAFÉ"), ["2.png"]);
}

#[test]
fn a_picture_that_is_indexed_already_is_told() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    sandbox.draw("b.png", 2);
    sandbox.add();
    write(&sandbox.path("elsewhere.png"), &crate::common::png(1));
    let copy = sandbox.run_on_index(&["similar", "elsewhere.png"]).code(0);
    assert!(copy.stderr.contains("already indexed: ") && copy.stderr.contains("a.png"), "{}", copy.stderr);
    assert_eq!(names(copy.lines()), ["b.png"], "the results are the same as before");
    write(&sandbox.path("new.png"), &crate::common::png(3));
    let new = sandbox.run_on_index(&["similar", "new.png"]).code(0);
    assert!(!new.stderr.contains("already indexed"), "{}", new.stderr);
    let json = sandbox.run_on_index(&["similar", "elsewhere.png", "--json"]).code(0).json();
    assert_eq!(json["query"]["paths"].as_array().map(Vec::len), Some(1));
    assert_eq!(json["queries"][0]["paths"], json["query"]["paths"]);
}
