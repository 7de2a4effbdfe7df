//! Prints what picture files say of themselves, as a line of JSON for each file:
//! `cargo run -p imgidx-media --example metadata -- FILE...`

use std::path::Path;

use imgidx_media::{Packets, read_named_picture};

fn main() {
    for path in std::env::args().skip(1) {
        let metadata = read_named_picture(Path::new(&path)).map(|it| Packets::find(&it.bytes, it.format).metadata());
        match metadata {
            Ok(metadata) => println!("{}", serde_json::json!({ "path": path, "metadata": metadata })),
            Err(reason) => println!("{}", serde_json::json!({ "path": path, "error": reason })),
        }
    }
}
