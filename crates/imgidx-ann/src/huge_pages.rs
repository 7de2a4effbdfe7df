//! Memory for arrays that are read in random order.

/// Copies an array to huge pages, where the system has them. In small pages, as those of a mapped file are, each access
/// would need a page-table lookup first, which takes as long as the read itself.
pub(super) fn copy_to_huge_pages<T: Copy>(array: &[T]) -> Vec<T> {
    let mut copy: Vec<T> = Vec::with_capacity(array.len());
    #[cfg(target_os = "linux")]
    {
        let start = copy.as_ptr().addr().next_multiple_of(rustix::param::page_size());
        let length = (copy.as_ptr().addr() + size_of_val(array)).saturating_sub(start);
        // SAFETY: this is only a hint: the result is the same without huge pages.
        unsafe { libc::madvise(std::ptr::without_provenance_mut(start), length, libc::MADV_HUGEPAGE) };
    }
    copy.extend_from_slice(array);
    copy
}
