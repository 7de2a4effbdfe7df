//! Models of users: described by their spec alone, never mixed, and refused with a reason.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use imgidx::model::{Catalog, Device, Embedder, Runtime};
use imgidx::{AddOptions, Query};
use serde_json::{Value, json};

use crate::common::{Sandbox, png, runtime, write};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn load(sandbox: &Sandbox) -> (Catalog, Runtime) {
    runtime();
    let options = sandbox.options().runtime_options().expect("the folder is given");
    (Catalog::new(&sandbox.path("data")), Runtime::load(&options).expect("it is there"))
}

/// A copy of a model's folder with a changed spec.
fn copy(sandbox: &Sandbox, name: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
    let target = sandbox.path(format!("model-{name}"));
    fs::create_dir_all(&target).expect("a folder");
    for entry in fs::read_dir(data(name)).expect("a folder").flatten() {
        fs::copy(entry.path(), target.join(entry.file_name())).expect("it can be copied");
    }
    let file = target.join("spec.json");
    let text = fs::read_to_string(&file).expect("a spec");
    let mut spec = serde_json::from_str(&text).expect("JSON");
    change(&mut spec);
    fs::write(&file, spec.to_string()).expect("it can be written");
    target
}

#[test]
fn graphs_of_every_kind_work_by_their_description_alone() {
    let sandbox = Sandbox::new();
    let (catalog, runtime) = load(&sandbox);
    let pictures: Vec<PathBuf> = (1..6).map(|seed| sandbox.draw(&format!("{seed}.png"), seed)).collect();
    for (folder, name, dimension, classes) in [
        ("clip", "clip", 24, 0),
        ("dino", "tiny-dino", 8, 0),
        ("resnet", "tiny-resnet", 5, 3),
        ("bytes", "mean-color", 3, 0),
    ] {
        let entry = catalog.add(&data(folder), None, &runtime).unwrap_or_else(|error| panic!("{folder}: {error}"));
        assert_eq!((entry.spec.name.as_str(), entry.spec.outputs.dimension), (name, dimension));
        let index = sandbox.options().model(name).open(sandbox.database()).expect("it opens");
        let mut index = index;
        let report = index.add([sandbox.photos()], &imgidx::AddOptions::default()).expect("it can be indexed");
        assert_eq!((report.embedded, report.failed), (5, 0), "{name}");
        let answer = index.searcher().similar(&Query::image(&pictures[0]), 10).expect("an answer");
        assert_eq!((answer.model.as_str(), answer.hits.len()), (name, 4));
        let shown = index.searcher().examine(&(&pictures[0]).into()).expect("it is indexed");
        assert_eq!(shown.embedding.dimension(), dimension, "{name}");
        // Classes below a probability of 0.05 are not stored.
        assert!(shown.classes.len() <= classes && shown.classes.is_empty() == (classes == 0), "{name}");
    }
}

#[test]
fn the_spec_decides_what_the_graph_sees() {
    // The model's vector is the mean colour, so that it shows which pixels were fed in.
    let sandbox = Sandbox::new();
    let (catalog, runtime) = load(&sandbox);
    catalog.add(&data("bytes"), None, &runtime).expect("the model is valid");
    let model = catalog.load(&catalog.entry("mean-color").expect("it is there")).expect("it loads");
    let mut embedder = Embedder::new(&model, &runtime, Device::Cpu, 1).expect("it opens");
    // Red left and right, blue in the middle: the crop for 20 × 12 shows only the middle.
    let wide = image::RgbImage::from_fn(200, 24, |x, _| {
        image::Rgb(if (60..140).contains(&x) { [0, 0, 200] } else { [200, 0, 0] })
    });
    let prepared = Embedder::prepare(model.spec(), &imgidx::media::Picture::from_rgb(wide));
    assert_eq!(prepared.dimensions(), (20, 12));
    let results = embedder.embed(&[prepared.clone(), image::RgbImage::new(20, 12), prepared]).expect("it runs");
    assert_eq!(results[0].as_ref().expect("a vector").embedding.as_slice(), [0.0, 0.0, 1.0]);
    assert!(results[1].is_err(), "a black picture has no mean colour");
    assert_eq!(results[0], results[2]);
}

#[test]
fn a_picture_of_which_a_model_makes_nothing_fails_with_that_model_only() {
    let sandbox = Sandbox::new();
    let (catalog, runtime) = load(&sandbox);
    catalog.add(&data("bytes"), None, &runtime).expect("the model is valid");
    image::RgbImage::new(30, 30).save(sandbox.photo("black.png")).expect("a picture");
    sandbox.open().use_model("mean-color").expect("it is there");
    assert_eq!(sandbox.add().failed, 1);
    let failures = sandbox.open().searcher().failures().expect("failures");
    assert_eq!((failures[0].stage.as_str(), failures.len()), ("embed", 1));
    sandbox.open().use_model("efficientnet-lite0").expect("it is there");
    assert_eq!(sandbox.add().failed, 0);
}

#[test]
fn vectors_of_two_models_never_mix() {
    let sandbox = Sandbox::new();
    let (catalog, runtime) = load(&sandbox);
    catalog.add(&data("dino"), None, &runtime).expect("the model is valid");
    let query = sandbox.draw("a.png", 1);
    sandbox.draw("b.png", 2);
    sandbox.add();
    let before = sandbox.open().searcher().similar(&Query::image(&query), 5).expect("an answer");
    let unseen = sandbox.options().model("tiny-dino").open(sandbox.database()).expect("it opens");
    let answer = unseen.searcher().similar(&Query::image(&query), 5).expect("an answer");
    assert_eq!((answer.hits.len(), answer.pending), (0, 2), "a model that was never used has no vectors");
    assert_eq!(unseen.searcher().status().expect("a status").index.pending, 2);
    let mut index = sandbox.open();
    assert_eq!(index.use_model("tiny-dino").expect("it is there"), 2);
    let answer = index.searcher().similar(&Query::image(&query), 5).expect("an answer");
    assert_eq!((answer.hits.len(), answer.pending), (0, 2), "the answer does not say that the index is incomplete");
    let report = sandbox.add();
    assert_eq!((report.unchanged, report.embedded), (2, 2));
    let answer = sandbox.open().searcher().similar(&Query::image(&query), 5).expect("an answer");
    assert_eq!((answer.hits.len(), answer.pending), (1, 0));
    assert_ne!(answer.hits[0].score, before.hits[0].score);
    sandbox.open().use_model("efficientnet-lite0").expect("it is there");
    assert_eq!(sandbox.open().searcher().similar(&Query::image(&query), 5).expect("an answer"), before);
    assert_eq!(sandbox.add().embedded, 0, "vectors of the first model were lost");
}

#[test]
fn a_spec_that_does_not_fit_its_graph_is_refused_with_the_reason() {
    let sandbox = Sandbox::new();
    let (catalog, runtime) = load(&sandbox);
    type SpecChange = Box<dyn FnOnce(&mut Value)>;
    let cases: Vec<(&str, SpecChange, &str)> = vec![
        (
            "resnet",
            Box::new(|s| s["outputs"]["embedding"] = json!("nope")),
            "no output `nope`; it has `features`, `logits`",
        ),
        ("resnet", Box::new(|s| s["outputs"]["dimension"] = json!(7)), "5 components, but its spec says 7"),
        ("resnet", Box::new(|s| s["input"]["name"] = json!("nope")), "no input `nope`; it has `pixels`"),
        ("resnet", Box::new(|s| s["input"]["width"] = json!(99)), "its input has the shape"),
        ("resnet", Box::new(|s| s["input"]["dtype"] = json!("u8")), "takes f32, but its spec says u8"),
        ("resnet", Box::new(|s| s["digest"] = json!("00")), "not the one in its spec"),
        ("resnet", Box::new(|s| s["labels"] = json!("missing.txt")), "missing.txt"),
        ("bytes", Box::new(|s| s["input"]["layout"] = json!("NCHW")), "its input has the shape"),
        ("dino", Box::new(|s| s["outputs"]["pooling"] = Value::Null), "32 components, but its spec says 8"),
        ("dino", Box::new(|s| s["colour"] = json!("blue")), "unknown field `colour`"),
    ];
    for (name, change, expected) in cases {
        let folder = copy(&sandbox, name, change);
        let error = catalog.add(&folder, None, &runtime).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
    let folder = copy(&sandbox, "bytes", |_| {});
    fs::write(folder.join("model.onnx"), "no graph").expect("it can be written");
    let error = catalog.add(&folder, None, &runtime).expect_err("no graph");
    assert!(error.hint().is_some() && error.to_string().contains("mean-color"), "{error}");
    fs::write(folder.join("labels.txt"), "").expect("it can be written");
    assert!(catalog.add(&sandbox.photos(), None, &runtime).expect_err("nothing there").to_string().contains("neither"));
    let listed: Vec<_> = catalog.list().into_iter().flatten().map(|entry| entry.spec.name).collect();
    assert_eq!(listed, ["efficientnet-lite0"], "a refused model is listed");
}

#[test]
fn labels_that_do_not_match_the_classes_are_found_when_the_model_is_added() {
    let sandbox = Sandbox::new();
    let (catalog, runtime) = load(&sandbox);
    let folder = copy(&sandbox, "resnet", |_| {});
    fs::write(folder.join("labels.txt"), "one\ntwo\n").expect("it can be written");
    let error = catalog.add(&folder, None, &runtime).expect_err("two labels for three classes").to_string();
    assert!(error.contains("3 classes and 2 labels"), "{error}");
}

#[test]
fn models_are_added_chosen_and_removed_by_command() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    sandbox.run(&["add", "photos"]).code(0);
    let clip = data("clip");
    let clip = clip.to_str().expect("UTF-8");
    sandbox.run(&["model", "add", clip, "--name", "mine"]).code(0);
    sandbox.run(&["model", "add", clip, "--name", "mine"]).code(1);
    let used = sandbox.run(&["model", "use", "mine"]).code(0);
    assert!(used.stderr.contains("1 picture has no vector"), "{}", used.stderr);
    let answer = sandbox.run(&["similar", "photos/a.png"]).code(0);
    assert!(answer.stderr.contains("could not be compared"), "{}", answer.stderr);
    let report = sandbox.run(&["add", "photos", "--json"]).code(0).json();
    assert_eq!((&report["embedded"], &report["unchanged"]), (&1.into(), &1.into()));
    sandbox.run(&["model", "remove", "mine"]).code(1);
    sandbox.run(&["model", "use", "efficientnet-lite0"]).code(0);
    sandbox.run(&["model", "remove", "mine"]).code(0);
    sandbox.run(&["model", "remove", "efficientnet-lite0"]).code(1);
    assert_eq!(sandbox.run(&["model", "list"]).code(0).lines().len(), 1);
}

#[test]
fn an_index_made_with_a_model_that_is_not_on_this_machine_can_be_used() {
    let sandbox = Sandbox::new();
    let (catalog, runtime) = load(&sandbox);
    catalog.add(&data("dino"), None, &runtime).expect("the model is valid");
    let (a, b) = (sandbox.draw("a.png", 1), sandbox.draw("b.png", 2));
    let mut index = sandbox.open();
    index.use_model("tiny-dino").expect("it is there");
    sandbox.add();
    fs::remove_dir_all(sandbox.path("data/models")).expect("the folder of models exists");
    let mut index = sandbox.open();
    assert_eq!(index.searcher().similar(&Query::image(&a), 5).expect("an answer").hits.len(), 1);
    assert_eq!(index.searcher().status().expect("a status").model, "tiny-dino");
    fs::remove_file(&b).expect("it is there");
    index.prune(&Default::default()).expect("it can be pruned");
    assert_eq!(index.check(false).expect("it can be checked"), []);
    let error = index.add([sandbox.photos()], &imgidx::AddOptions::default()).expect_err("it cannot embed");
    assert!(error.to_string().contains("there is no model named `tiny-dino`"), "{error}");
}

#[test]
fn indexing_and_queries_share_one_loaded_model_and_either_unloads_it_when_it_is_idle() {
    let sandbox = Sandbox::new();
    sandbox.draw("indexed.png", 1);
    let query = sandbox.path("query.png");
    write(&query, &png(2));
    let index = sandbox.open();
    let (updater, searcher) = (index.updater(Device::Auto).expect("the model is there"), index.searcher());
    let ask = || searcher.similar(&Query::image(&query), 1).expect("it answers");
    updater.add([sandbox.photos()], &AddOptions::default(), |_| {}).expect("it can be indexed");
    assert!(!ask().query[0].indexed);
    let hour = Duration::from_secs(3600);
    assert!(updater.unload_after(hour).is_some_and(|rest| rest <= hour));
    assert!(updater.is_loaded() && searcher.is_model_loaded());
    assert_eq!(searcher.unload_model_after(Duration::ZERO), None);
    assert!(!updater.is_loaded() && !searcher.is_model_loaded());
    ask();
    assert!(updater.is_loaded() && searcher.is_model_loaded());
    assert_eq!(updater.unload_after(Duration::ZERO), None);
    assert!(!updater.is_loaded() && !searcher.is_model_loaded());
}
