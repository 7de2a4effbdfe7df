//! Pictures that crash or hang their decoder process: only they fail, and all others are indexed.

use std::fs;
use std::time::{Duration, Instant};

use crate::common::{Finished, Sandbox, png, write};

/// Draws twelve good pictures and a guilty one, and indexes them. Decoders misbehave as `how` says at the guilty one.
fn add_with_guilty_picture(sandbox: &Sandbox, how: &str, arguments: &[&str]) -> Finished {
    for seed in 0..12 {
        sandbox.draw(&format!("{seed}.png"), seed);
    }
    let guilty = [png(200), vec![0; 1000]].concat();
    write(&sandbox.photo("guilty.png"), &guilty);
    let points = format!("decoder=return({how} {})", guilty.len());
    let mut command = sandbox.program();
    command.env("FAILPOINTS", points).args(["--db", "photos.db", "add", "photos"]).args(arguments);
    Finished::new(&["add"], command.output().expect("the program starts"))
}

fn reasons(sandbox: &Sandbox) -> Vec<String> {
    let failures = sandbox.open().searcher().failures().expect("failures");
    assert!(failures.iter().all(|failure| failure.path == sandbox.photo("guilty.png")), "{failures:?}");
    failures.into_iter().map(|failure| failure.reason).collect()
}

#[test]
fn whatever_a_picture_does_to_its_decoder_the_others_are_indexed_and_it_is_named() {
    for (how, reason) in [
        ("abort", "the decoder crashed (signal 6)"),
        ("stack", "the picture is nested too deeply"),
        ("memory", "decoding needs more memory than is allowed"),
        ("loop", "decoding takes longer than 1 s"),
        ("sleep", "decoding takes longer than 1 s"),
    ] {
        let sandbox = Sandbox::new();
        let start = Instant::now();
        let added = add_with_guilty_picture(&sandbox, how, &["--picture-time", "1"]).code(3);
        assert!(added.stdout.starts_with("12 new") && added.stdout.contains("1 failed"), "{how}: {}", added.stdout);
        assert!(start.elapsed() < Duration::from_secs(60), "{how} took {:?}", start.elapsed());
        let found = reasons(&sandbox);
        assert!(found.len() == 1 && found[0].starts_with(reason), "{how}: {found:?}");
        // The failure is remembered, and the picture is tried again only on request.
        let again = sandbox.run_on_index(&["add", "photos"]).code(0);
        assert!(again.stdout.contains("13 unchanged"), "{}", again.stdout);
        assert!(again.stderr.contains("1 unchanged file failed before"), "{}", again.stderr);
        let retried = sandbox.run_on_index(&["add", "photos", "--retry-failed"]).code(0);
        assert!(retried.stdout.contains(" 0 failed"), "{}", retried.stdout);
        assert_eq!(reasons(&sandbox), [""; 0], "{how}");
    }
}

#[test]
fn a_query_that_ends_its_decoder_is_an_error_that_names_it() {
    let sandbox = Sandbox::new();
    sandbox.draw("good.png", 1);
    sandbox.run_on_index(&["add", "photos"]).code(0);
    write(&sandbox.path("guilty.png"), &png(2));
    let mut command = sandbox.program();
    command.env("FAILPOINTS", format!("decoder=return(abort {})", png(2).len()));
    command.args(["--db", "photos.db", "similar", "guilty.png"]);
    let asked = Finished::new(&["similar"], command.output().expect("the program starts")).code(1);
    assert!(asked.stderr.contains("`guilty.png`") && asked.stderr.contains("crashed"), "{}", asked.stderr);
}

#[cfg(target_os = "linux")]
#[test]
fn decoders_have_no_files_and_no_network() {
    use landlock::{AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr};
    let needed = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    if needed.handle_access(AccessNet::ConnectTcp).is_err() {
        eprintln!("skipped: this kernel has no Landlock for networks (Linux 6.7 has)");
        return;
    }
    let sandbox = Sandbox::new();
    add_with_guilty_picture(&sandbox, "files", &[]).code(0);
    assert_eq!(reasons(&sandbox), [""; 0]);
}

#[test]
fn decoders_end_with_the_program_however_it_ends() {
    let sandbox = Sandbox::new();
    for seed in 0..200 {
        sandbox.draw(&format!("{seed}.png"), seed);
    }
    let mut command = sandbox.program();
    command.args(["--db", "photos.db", "add", "photos"]);
    let mut child = command.spawn().expect("the program starts");
    let decoders = || decoders_of(&sandbox.path("home"));
    let until = Instant::now() + Duration::from_secs(60);
    while decoders() == 0 {
        assert!(
            Instant::now() < until && child.try_wait().expect("it is our child").is_none(),
            "the program started no decoder"
        );
    }
    child.kill().expect("it can be killed");
    child.wait().expect("it has ended");
    while decoders() > 0 {
        assert!(Instant::now() < until, "decoders are still running");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The number of decoder processes of programs with this home.
fn decoders_of(home: &std::path::Path) -> usize {
    let home = [b"HOME=".as_slice(), home.as_os_str().as_encoded_bytes(), b"\0"].concat();
    let holds = |path: std::path::PathBuf, wanted: &[u8]| {
        fs::read(path).is_ok_and(|bytes| bytes.windows(wanted.len()).any(|window| window == wanted))
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    processes.filter(|path| holds(path.join("cmdline"), b"\0decoder\0") && holds(path.join("environ"), &home)).count()
}
