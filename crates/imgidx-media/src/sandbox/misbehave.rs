//! What decoders must not do, for tests that see what comes of it.
#![allow(dead_code, reason = "only where fail points are compiled in")]

/// Does it with files of one length: `how` is a word and the length.
pub(super) fn like(how: Option<&str>, length: u64) {
    let Some((how, of)) = how.and_then(|how| how.split_once(' ')) else { return };
    if of.parse() != Ok(length) {
        return;
    }
    match how {
        "abort" => std::process::abort(),
        "loop" => loop {
            std::hint::black_box(length);
        },
        "sleep" => std::thread::sleep(std::time::Duration::from_secs(3600)),
        "stack" => _ = std::hint::black_box(nest(length)),
        "memory" => _ = std::hint::black_box(vec![1_u8; 1 << 40]),
        "files" => {
            let open = std::fs::File::open("/etc/passwd");
            assert!(open.is_err(), "files can be read");
            let connected = std::net::TcpStream::connect(("127.0.0.1", 1));
            let kind = connected.expect_err("nobody listens").kind();
            assert_eq!(kind, std::io::ErrorKind::PermissionDenied, "the network can be used");
        }
        _ => {}
    }
}

#[expect(unconditional_recursion, reason = "it is what it is for")]
fn nest(depth: u64) -> u64 {
    let array = std::hint::black_box([depth; 64]);
    array[7] + nest(depth + 1)
}
