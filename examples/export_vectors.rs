//! Prints the best label and the first components of the vector of every indexed picture.
//!
//! ```sh
//! cargo run --release --example export_vectors -- photos.db
//! ```

use imgidx::{Filter, Searcher};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = std::env::args_os().nth(1).ok_or("usage: export_vectors DATABASE")?;
    let searcher = Searcher::open(database)?;
    searcher.for_each_picture(&Filter::default(), |picture| {
        if let Some((embedding, classes)) = searcher.stored_embedding(&picture)? {
            let label = classes.first().map_or("-", |class| class.label.as_str());
            println!("{}  {label}  {:?}…", picture.path.display(), &embedding.as_slice()[..4]);
        }
        Ok(())
    })?;
    Ok(())
}
