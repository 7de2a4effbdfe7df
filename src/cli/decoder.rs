//! `imgidx decoder`, which this program starts to decode pictures in another process.

use super::output::{Done, Failure};

pub(super) fn run() -> Result<Done, Failure> {
    // Panics in threads of a decoder are no news either: what comes of them is told as the picture's failure.
    std::panic::set_hook(Box::new(|_| {}));
    imgidx::sandbox::serve()?;
    Ok(Done::All)
}
