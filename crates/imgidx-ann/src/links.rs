//! The links of a graph.

/// The entry points and links of a graph.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Links {
    /// Rows that every search scores first; it starts from the nearest of them.
    pub entry_points: Vec<u32>,
    /// The neighbours of each row.
    pub neighbors: RowLists,
}

/// Lists of rows in compressed form: list `i` is `members[starts[i]..starts[i + 1]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
        all
    }
}

/// A borrowed view of lists of rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListsView<'a> {
    pub starts: &'a [u32],
    pub members: &'a [u32],
}

impl<'a> ListsView<'a> {
    #[inline(always)]
    pub(crate) fn of(&self, at: usize) -> &'a [u32] {
        // A file that was truncated while in use reads as zeros, so the range may be invalid.
        self.members.get(self.starts[at] as usize..self.starts[at + 1] as usize).unwrap_or_default()
    }

    /// Whether there are exactly `lists` well-formed lists, and all rows in them are below `rows`.
    pub(crate) fn are_sound(&self, lists: usize, rows: usize) -> bool {
        self.starts.len() == lists + 1
            && self.starts.first() == Some(&0)
            && self.starts.is_sorted()
            && self.starts.last().is_some_and(|last| *last as usize == self.members.len())
            && self.members.iter().all(|row| (*row as usize) < rows)
    }
}
