//! Lists of rows, such as the links of a graph.

use super::huge_pages::copy_to_huge_pages;

/// Lists of rows in compressed form: list `i` is `members[starts[i]..starts[i + 1]]`.
#[derive(Debug, Default)]
pub(super) struct RowLists {
    pub starts: Vec<u32>,
    pub members: Vec<u32>,
}

impl RowLists {
    /// One list for each of `rows` rows. `lists` holds the lists that are not empty, in ascending order of rows.
    pub(crate) fn new(rows: usize, lists: impl IntoIterator<Item = (u32, Vec<u32>)>) -> Self {
        let mut all = Self::default();
        let mut lists = lists.into_iter().peekable();
        for row in 0..rows as u32 {
            all.starts.push(all.members.len() as u32);
            if let Some((_, members)) = lists.next_if(|(of, _)| *of == row) {
                all.members.extend(members);
            }
        }
        all.starts.push(all.members.len() as u32);
        Self { starts: copy_to_huge_pages(&all.starts), members: copy_to_huge_pages(&all.members) }
    }

    #[inline(always)]
    pub(crate) fn of(&self, at: usize) -> &[u32] {
        &self.members[self.starts[at] as usize..self.starts[at + 1] as usize]
    }

    /// Whether the lists are well-formed, and all rows in them are below `rows`.
    pub(crate) fn are_sound(&self, rows: usize) -> bool {
        self.starts.first() == Some(&0)
            && self.starts.is_sorted()
            && self.starts.last().is_some_and(|last| *last as usize == self.members.len())
            && self.members.iter().all(|row| (*row as usize) < rows)
    }
}
