//! Times as text.

use std::time::SystemTime;

use jiff::Timestamp;

/// A time in UTC to the second, as specified by RFC 3339, such as `2026-11-28T10:16:00Z`.
pub fn rfc3339(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::MAX);
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::rfc3339;

    #[test]
    fn a_time_has_no_fraction_and_no_more_than_four_digits_for_the_year() {
        let after = |seconds| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds));
        assert_eq!(after(1_795_860_960.75), "2026-11-28T10:16:00Z");
        assert!(after(1e12).starts_with("9999-12-"));
    }
}
