//! Simulates misbehaving decoders, so that tests can check how they are contained.
#![allow(dead_code, reason = "only where fail points are compiled in")]

/// Misbehaves if the file has the given length. `how` is a behaviour and that length, separated by a space.
pub(super) fn simulate(how: Option<&str>, length: u64) {
    let Some((how, target)) = how.and_then(|how| how.split_once(' ')) else { return };
    if target.parse() != Ok(length) {
        return;
    }
    match how {
        "abort" => std::process::abort(),
        "loop" => loop {
            std::hint::black_box(length);
        },
        "sleep" => std::thread::sleep(std::time::Duration::from_secs(3600)),
        "stack" => _ = std::hint::black_box(recurse(length)),
        "memory" => _ = std::hint::black_box(vec![1_u8; 1 << 40]),
        "files" => {
            let open = std::fs::File::open("/etc/passwd");
            assert!(open.is_err(), "files can be read");
            let connected = std::net::TcpStream::connect(("127.0.0.1", 1));
            let kind = connected.expect_err("the connection is refused").kind();
            assert_eq!(kind, std::io::ErrorKind::PermissionDenied, "the network can be used");
        }
        _ => {}
    }
}

#[expect(unconditional_recursion, reason = "it is meant to exhaust the stack")]
fn recurse(depth: u64) -> u64 {
    let array = std::hint::black_box([depth; 64]);
    array[7] + recurse(depth + 1)
}
