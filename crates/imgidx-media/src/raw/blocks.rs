//! Reads a file at any position, in blocks that are kept for a while.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs::File;
use std::io;

use super::ReadAt;

/// Size of a block in bytes. Directories and the values that they refer to are mostly in one or two.
const BLOCK: usize = 16 << 10;

/// Number of blocks that are kept.
const MAX_BLOCKS: usize = 8;

/// A file that is read at any position. Small reads cost one system call per block, and large ones are not copied.
pub(in super::super) struct Blocks<'a> {
    file: &'a File,
    length: u64,
    /// Numbers and contents of the blocks, the latest first.
    kept: RefCell<VecDeque<(u64, Vec<u8>)>>,
    bytes_read: Cell<u64>,
}

impl<'a> Blocks<'a> {
    /// `length` is the length of the file; nothing is read beyond it. On Windows, reading moves the file's cursor.
    pub(in super::super) fn new(file: &'a File, length: u64) -> Self {
        Self { file, length, kept: RefCell::default(), bytes_read: Cell::new(0) }
    }

    /// How many bytes have been read from the file so far.
    pub(in super::super) fn bytes_read(&self) -> u64 {
        self.bytes_read.get()
    }

    /// Fills a buffer from the file itself.
    fn read(&self, mut offset: u64, mut buffer: &mut [u8]) -> Option<()> {
        while !buffer.is_empty() {
            match read_some(self.file, buffer, offset) {
                Ok(0) => return None,
                Ok(count) => {
                    self.bytes_read.update(|total| total + count as u64);
                    offset += count as u64;
                    buffer = &mut buffer[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        Some(())
    }

    /// Moves a block to the front, and reads it if it is not kept.
    fn fetch(&self, number: u64) -> Option<()> {
        let mut kept = self.kept.borrow_mut();
        let block = match kept.iter().position(|block| block.0 == number) {
            Some(at) => kept.remove(at)?,
            None => {
                let start = number * BLOCK as u64;
                let mut block = vec![0; self.length.checked_sub(start)?.min(BLOCK as u64) as usize];
                self.read(start, &mut block)?;
                kept.truncate(MAX_BLOCKS - 1);
                (number, block)
            }
        };
        kept.push_front(block);
        Some(())
    }
}

impl ReadAt for Blocks<'_> {
    fn fill(&self, offset: u64, buffer: &mut [u8]) -> Option<()> {
        offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.length)?;
        if buffer.len() > BLOCK {
            return self.read(offset, buffer);
        }
        let mut done = 0;
        while done < buffer.len() {
            let at = offset + done as u64;
            self.fetch(at / BLOCK as u64)?;
            let kept = self.kept.borrow();
            let rest = kept.front()?.1.get((at % BLOCK as u64) as usize..)?;
            let count = rest.len().min(buffer.len() - done);
            buffer[done..][..count].copy_from_slice(rest.get(..count).filter(|rest| !rest.is_empty())?);
            done += count;
        }
        Some(())
    }

    fn length(&self) -> u64 {
        self.length
    }
}

#[cfg(unix)]
fn read_some(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_some(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_of_a_file_is_read_and_small_parts_nearby_only_once() {
        let bytes: Vec<u8> = (0..100_003_u32).map(|at| (at * 7 % 251) as u8).collect();
        let path = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(path.path(), &bytes).expect("it is written");
        let file = File::open(path.path()).expect("it opens");
        let blocks = Blocks::new(&file, bytes.len() as u64);
        for (offset, length) in [(0, 8), (16_380, 10), (99_990, 13), (50_000, 16_384), (10, 90_000), (100_003, 0)] {
            assert_eq!(blocks.read_at(offset, length), (&bytes[..]).read_at(offset, length), "{offset}, {length}");
        }
        for (offset, length) in [(100_003, 1), (99_990, 14), (u64::MAX, 2), (0, usize::MAX)] {
            assert_eq!(blocks.read_at(offset, length), None, "{offset}, {length}");
        }
        let blocks = Blocks::new(&file, bytes.len() as u64);
        for at in 0..1000 {
            blocks.read_at(at % 3 * 20_000 + at, 4).expect("it is there");
        }
        assert_eq!(blocks.bytes_read(), 3 * BLOCK as u64);
    }

    #[test]
    fn a_file_that_became_shorter_has_no_more_bytes() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(10).expect("it is made longer");
        let blocks = Blocks::new(&file, 100_000);
        assert_eq!((blocks.read_at(0, 4), blocks.read_at(0, 50_000)), (None, None));
    }
}
