//! What the system says of a failed operation, for people.

use std::io;

/// The system's reason, without the error number that Rust appends to it.
pub fn io_reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_the_error_is_left_out() {
        let error = io::Error::from_raw_os_error(2);
        assert!(error.to_string().contains("os error 2"));
        assert!(!io_reason(&error).contains("os error"), "{}", io_reason(&error));
        assert_eq!(io_reason(&io::Error::other("no reason")), "no reason");
    }
}
