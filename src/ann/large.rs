//! Arrays in memory of their own, in large pages where the system has them.

use std::io;
use std::marker::PhantomData;

use bytemuck::{AnyBitPattern, NoUninit};
use memmap2::{Mmap, MmapMut};

/// A copy of an array that is read at random: in a mapped file, whose pages are small, each access would have to look
/// up its page first, which takes as long as reading it.
#[derive(Debug)]
pub(super) struct LargeArray<T> {
    map: Mmap,
    len: usize,
    of: PhantomData<T>,
}

impl<T: NoUninit + AnyBitPattern> LargeArray<T> {
    pub fn copy(array: &[T]) -> io::Result<Self> {
        let bytes: &[u8] = bytemuck::cast_slice(array);
        let mut map = MmapMut::map_anon(bytes.len().max(1))?;
        // A wish: without large pages it is as right.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        map[..bytes.len()].copy_from_slice(bytes);
        Ok(Self { map: map.make_read_only()?, len: array.len(), of: PhantomData })
    }

    pub fn as_slice(&self) -> &[T] {
        bytemuck::cast_slice(&self.map[..self.len * size_of::<T>()])
    }
}
