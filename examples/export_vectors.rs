//! Prints the best label and the first components of the vector of every indexed picture.
//!
//! ```sh
//! cargo run --release --example export_vectors -- photos.db
//! ```

use imgidx::{Filter, OpenOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = std::env::args_os().nth(1).ok_or("usage: export_vectors DATABASE")?;
    let index = OpenOptions::default().open_existing(database)?;
    index.searcher().for_each_picture(&Filter::default(), |picture| {
        if let Some((embedding, classes)) = index.searcher().stored_embedding(&picture)? {
            let label = classes.first().map_or("-", |class| class.label.as_str());
            println!("{}  {label}  {:?}…", picture.path.display(), &embedding.as_slice()[..4]);
        }
        Ok(())
    })?;
    Ok(())
}
