//! Arrays copied to anonymous memory, in huge pages where the system has them.

use std::io;
use std::marker::PhantomData;

use bytemuck::{AnyBitPattern, NoUninit};
use memmap2::{Mmap, MmapMut};

/// A copy of an array that is read in random order. In a mapped file, whose pages are small, each access would need a
/// page-table lookup first, which takes as long as the read itself.
#[derive(Debug)]
pub(super) struct LargeArray<T> {
    memory: Memory,
    len: usize,
    of: PhantomData<T>,
}

#[derive(Debug)]
enum Memory {
    Mapped(Mmap),
    /// The fallback if the system refuses the mapping. Words keep the alignment.
    Heap(Vec<u64>),
}

impl<T: NoUninit + AnyBitPattern> LargeArray<T> {
    pub(crate) fn copy(array: &[T]) -> Self {
        let bytes: &[u8] = bytemuck::cast_slice(array);
        let memory = map_copy(bytes).map_or_else(|_| Memory::Heap(heap_copy(bytes)), Memory::Mapped);
        Self { memory, len: array.len(), of: PhantomData }
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        let bytes: &[u8] = match &self.memory {
            Memory::Mapped(map) => map,
            Memory::Heap(words) => bytemuck::cast_slice(words),
        };
        bytemuck::cast_slice(&bytes[..self.len * size_of::<T>()])
    }
}

fn map_copy(bytes: &[u8]) -> io::Result<Mmap> {
    let mut map = MmapMut::map_anon(bytes.len().max(1))?;
    // Only a hint: the result is the same without huge pages.
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    map[..bytes.len()].copy_from_slice(bytes);
    map.make_read_only()
}

fn heap_copy(bytes: &[u8]) -> Vec<u64> {
    let mut words = vec![0; bytes.len().div_ceil(8)];
    bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_equal_in_mapped_memory_and_on_the_heap() {
        let array: Vec<u32> = (0..1001).collect();
        let on_heap = Memory::Heap(heap_copy(bytemuck::cast_slice(&array)));
        let on_heap = LargeArray::<u32> { memory: on_heap, len: array.len(), of: PhantomData };
        assert_eq!(LargeArray::copy(&array).as_slice(), array);
        assert_eq!(on_heap.as_slice(), array);
        assert!(LargeArray::<u64>::copy(&[]).as_slice().is_empty());
    }
}
