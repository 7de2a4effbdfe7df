//! Selections: which of a model's vectors are of pictures that are wanted.

use rusqlite::ToSql;

use super::Store;
use super::batch::ModelRow;
use super::sqlite_error::At;
use crate::error::Result;
use crate::types::{RootId, VectorId};

/// A part of a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subtree {
    /// The root.
    pub root: RootId,
    /// A folder or file in it, relative to it; empty: all of it.
    pub path: Vec<u8>,
}

/// What pictures must be to be selected. All of it has to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Some present file lies in one of these; `None`: anywhere.
    pub under: Option<Vec<Subtree>>,
    /// The format is one of these; empty: any.
    pub formats: Vec<String>,
    /// Least width and height in pixels, upright.
    pub min_width: u32,
    /// Least height in pixels, upright.
    pub min_height: u32,
}

impl Store {
    /// The ids of a model's vectors of all selected pictures, in their order.
    pub fn select_vectors(&self, model: ModelRow, selection: &Selection) -> Result<Vec<VectorId>> {
        let mut parameters: Vec<Box<dyn ToSql>> = vec![Box::new(model.0)];
        let mut conditions = vec!["e.model = ?1".to_owned()];
        let mut bind = |value: Box<dyn ToSql>| {
            parameters.push(value);
            format!("?{}", parameters.len())
        };
        if let Some(under) = &selection.under {
            let places = under.iter().map(|subtree| in_subtree(subtree, &mut bind)).collect::<Vec<_>>();
            let places = if places.is_empty() { "SELECT NULL".to_owned() } else { places.join(" UNION ALL ") };
            conditions.push(format!("e.image IN ({places})"));
        }
        if !selection.formats.is_empty() {
            let names = selection.formats.iter().map(|name| bind(Box::new(name.clone()))).collect::<Vec<_>>();
            conditions.push(format!("i.format IN ({})", names.join(", ")));
        }
        for (column, least) in [("width", selection.min_width), ("height", selection.min_height)] {
            if least > 0 {
                conditions.push(format!("i.{column} >= {}", bind(Box::new(least))));
            }
        }
        let image = if conditions.iter().any(|condition| condition.starts_with("i.")) {
            "JOIN image i ON i.id = e.image"
        } else {
            ""
        };
        // The `+` keeps SQLite from going through all vectors in the wanted order, where it could begin with the
        // contents of a folder: of a million vectors that took 7 s instead of half a millisecond.
        let sql = format!("SELECT e.id FROM embedding e {image} WHERE {} ORDER BY +e.id", conditions.join(" AND "));
        self.connection
            .prepare_cached(&sql)
            .and_then(|mut statement| {
                let values = rusqlite::params_from_iter(parameters.iter());
                statement.query_map(values, |row| row.get(0).map(VectorId))?.collect()
            })
            .at(&self.path)
    }
}

/// A query for the contents of a subtree's present files.
fn in_subtree(subtree: &Subtree, bind: &mut dyn FnMut(Box<dyn ToSql>) -> String) -> String {
    let root = bind(Box::new(subtree.root.0));
    let files = format!("SELECT image FROM file WHERE image IS NOT NULL AND missing_since IS NULL AND root = {root}");
    if subtree.path.is_empty() {
        return files;
    }
    // What begins with `path/` lies between that and `path0`, since `0` is the byte after `/`.
    let with = |last: u8| [subtree.path.as_slice(), &[last]].concat();
    let (itself, from, to) =
        (bind(Box::new(subtree.path.clone())), bind(Box::new(with(b'/'))), bind(Box::new(with(b'0'))));
    format!("{files} AND path = {itself} UNION ALL {files} AND path > {from} AND path < {to}")
}
