//! Prints the best label and the first components of every indexed picture's vector.
//!
//! ```sh
//! cargo run --release --example export_vectors -- photos.db
//! ```

use imgidx::{Filter, OpenOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = std::env::args_os().nth(1).ok_or("usage: export_vectors DATABASE")?;
    let index = OpenOptions::default().open_existing(database)?;
    index.for_each_picture(&Filter::default(), |picture| {
        if let Some((embedding, classes)) = index.stored_embedding(&picture)? {
            let label = classes.first().map_or("-", |class| class.label.as_str());
            println!("{}  {label}  {:?}…", picture.path.display(), &embedding.as_slice()[..4]);
        }
        Ok(())
    })?;
    Ok(())
}
