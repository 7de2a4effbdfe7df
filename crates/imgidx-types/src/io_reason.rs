//! The operating system's reason for a failed operation, in readable form.

use std::io;

/// The message of an I/O error, without the error number that Rust appends.
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
    fn the_error_number_is_left_out() {
        let error = io::Error::from_raw_os_error(2);
        assert!(error.to_string().contains("os error 2"));
        assert!(!io_reason(&error).contains("os error"), "{}", io_reason(&error));
        assert_eq!(io_reason(&io::Error::other("no reason")), "no reason");
    }
}
