//! Speed and memory: settings that `tune` finds and `add` uses, the limit on memory, profiles, and the history of runs.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::common::{Sandbox, write};

fn drawn(count: u8) -> Sandbox {
    let sandbox = Sandbox::new();
    for seed in 1..=count {
        sandbox.draw(&format!("{seed}.png"), seed);
    }
    sandbox
}

/// The file of tuned settings, wherever the data directory is.
fn tuning_file(sandbox: &Sandbox) -> PathBuf {
    fn find(folder: &std::path::Path) -> Option<PathBuf> {
        fs::read_dir(folder)
            .ok()?
            .flatten()
            .map(|entry| entry.path())
            .find_map(|path| if path.is_dir() { find(&path) } else { path.ends_with("tuning.json").then_some(path) })
    }
    find(&sandbox.path("home")).expect("tuning.json is below the home directory")
}

#[test]
fn a_setting_is_found_once_and_add_goes_by_it() {
    let sandbox = drawn(4);
    let found = sandbox.run(&["tune", "photos", "--json"]).code(0).json();
    let trials = found["trials"].as_array().expect("trials");
    assert!(trials.len() > 6 && trials.contains(&found["best"]), "{found:#}");
    assert_eq!((&found["pictures"], &found["drawn"]), (&json!(4), &json!(false)));
    let again = sandbox.run(&["tune", "--json"]).code(0).json();
    assert_eq!(again["remembered"]["workers"], found["best"]["workers"]);
    assert_eq!(again["trials"], Value::Null, "settings were measured again");

    // No machine would choose these values by itself.
    let file = tuning_file(&sandbox);
    let mut remembered: Value = serde_json::from_slice(&fs::read(&file).expect("a file")).expect("JSON");
    remembered["tuned"][0]["workers"] = 3.into();
    remembered["tuned"][0]["batch_size"] = 5.into();
    write(&file, remembered.to_string().as_bytes());
    let added = sandbox.run(&["add", "photos", "--json"]).code(0).json();
    assert_eq!((&added["workers"], &added["batch_size"], &added["device"]), (&json!(3), &json!(5), &json!("cpu")));
    sandbox.draw("5.png", 5);
    let output = sandbox.run(&["add", "photos", "--threads", "1", "--batch-size", "2", "--json"]).code(0).json();
    assert_eq!((&output["workers"], &output["batch_size"]), (&json!(1), &json!(2)), "options take precedence");

    remembered["tuned"][0]["machine"] = "another".into();
    write(&file, remembered.to_string().as_bytes());
    sandbox.draw("6.png", 6);
    let elsewhere = sandbox.run(&["add", "photos", "--json"]).code(0).json();
    assert_ne!(elsewhere["batch_size"], json!(5), "settings of another machine were used");
}

#[test]
fn generated_pictures_are_measured_where_there_are_none() {
    let sandbox = Sandbox::new();
    let output = sandbox.run(&["tune", "--pictures", "2"]).code(0);
    assert!(output.stderr.contains("generated pictures"), "{}", output.stderr);
    assert!(output.lines().last().is_some_and(|line| line.starts_with("best: ")), "{}", output.stdout);
}

#[test]
fn a_profile_tells_every_stage_of_every_thread() {
    let sandbox = drawn(3);
    let output = sandbox.run(&["add", "photos", "--profile", "trace.json", "--threads", "2"]).code(0);
    for stage in ["read", "hash", "decode", "features", "scale", "embed", "record", "commit", "walk"] {
        assert!(output.stderr.lines().any(|line| line.starts_with(stage)), "{stage} is missing in\n{}", output.stderr);
    }
    let trace: Value = serde_json::from_slice(&fs::read(sandbox.path("trace.json")).expect("a file")).expect("JSON");
    let events = trace.as_array().expect("events");
    let named = |name: &str| events.iter().filter(|event| event["name"] == name).count();
    assert_eq!((named("decode"), named("features")), (3, 3));
    let threads: Vec<&str> =
        events.iter().filter(|it| it["name"] == "thread_name").filter_map(|it| it["args"]["name"].as_str()).collect();
    assert!(threads.contains(&"planner") && threads.contains(&"writer"), "{threads:?}");
    assert!(threads.iter().any(|name| name.starts_with("worker")), "{threads:?}");
    sandbox.run(&["add", "photos", "--profile", "no/such/folder/trace.json"]).code(1);
}

#[test]
fn the_last_hundred_runs_are_remembered() {
    let sandbox = drawn(2);
    sandbox.run(&["add", "photos"]).code(0);
    sandbox.run(&["add", "photos"]).code(0);
    let runs = sandbox.run(&["status", "--json"]).code(0).json()["runs"].clone();
    let embedded: Vec<&Value> = runs.as_array().expect("runs").iter().map(|run| &run["embedded"]).collect();
    assert_eq!(embedded, [&json!(0), &json!(2)], "the latest one first");
    assert!(runs[1]["started"].as_str().is_some_and(|time| time.starts_with("20") && time.ends_with('Z')));
    assert_eq!(runs[1]["device"], "cpu");
    let mut index = sandbox.open();
    for _ in 0..110 {
        index.add([sandbox.photos()], &imgidx::AddOptions::default()).expect("it can be indexed");
    }
    assert_eq!(index.searcher().runs(1000).expect("runs").len(), 100);
    let output = sandbox.run(&["status"]).code(0);
    assert!(output.stdout.contains("last add  20"), "{}", output.stdout);
}

/// The peak memory in MiB of an `add` with `--memory 256M`.
fn peak_within_256_mib(sandbox: &Sandbox, threads: &str, expected: u64) -> u64 {
    let added = sandbox.run(&["add", "photos", "--memory", "256M", "--threads", threads, "--json"]).code(0).json();
    assert_eq!(added["embedded"], json!(expected), "{added:#}");
    added["peak_memory_bytes"].as_u64().unwrap_or(0) >> 20
}

#[test]
fn pictures_that_are_decoded_whole_wait_for_room() {
    let sandbox = Sandbox::new();
    for shade in 0..8_u8 {
        // Decoding takes 7 bytes a pixel, 34 MB in all; the budget has room for one at a time.
        let picture = image::RgbaImage::from_pixel(2400, 2000, image::Rgba([shade, 0, 0, 255]));
        picture.save(sandbox.photo(format!("{shade}.gif"))).expect("a picture");
    }
    let peak = peak_within_256_mib(&sandbox, "8", 8);
    assert!(peak <= 190, "{peak} MiB");
}

#[test]
fn pictures_of_fifty_megapixels_take_no_more_memory_than_is_allowed() {
    let sandbox = Sandbox::new();
    for shade in 0..3_u8 {
        let picture = image::RgbImage::from_pixel(8660, 5774, image::Rgb([shade, 90, 200]));
        picture.save(sandbox.photo(format!("{shade}.png"))).expect("a picture");
        if shade == 0 {
            picture.save(sandbox.photo("large.jpg")).expect("a picture");
        }
    }
    let peak = peak_within_256_mib(&sandbox, "2", 4);
    assert!(peak <= 160, "{peak} MiB");
}

#[test]
fn a_device_that_is_not_there_is_an_error_that_tells_what_is() {
    let sandbox = drawn(1);
    let refused = sandbox.run(&["add", "photos", "--device", "tensorrt"]).code(1);
    assert!(refused.stderr.contains("does not offer the device `tensorrt`; it offers cpu"));
    let unknown = sandbox.run(&["add", "photos", "--device", "gpu"]).code(2);
    assert!(unknown.stderr.contains("cuda, tensorrt"), "{}", unknown.stderr);
    let output = sandbox.run(&["runtime", "--json"]).code(0).json();
    assert_eq!((&output["devices"][0], &output["auto"]), (&json!("cpu"), &json!("cpu")));
}
