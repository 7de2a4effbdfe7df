//! `imgidx decoder`, which imgidx starts to decode pictures in a process of their own.

use super::output::{Done, Failure};

pub(super) fn run() -> Result<Done, Failure> {
    // A panic in any thread of a decoder becomes the failure of its picture: nothing to print.
    std::panic::set_hook(Box::new(|_| {}));
    imgidx::sandbox::serve()?;
    Ok(Done::All)
}
