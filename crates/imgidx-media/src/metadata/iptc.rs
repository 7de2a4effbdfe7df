//! IPTC records (IPTC-NAA Information Interchange Model 4.2).

use super::{Metadata, clean, clean_list, date_time, decode_text, zone};

/// Interprets the records of the application record, number 2.
pub(super) fn metadata(records: &[u8]) -> Metadata {
    let mut found = Metadata::default();
    let (mut keywords, mut date, mut time) = (Vec::new(), None, None);
    for (number, value) in Records(records) {
        let text = decode_text(value);
        match number {
            5 => found.title = found.title.or_else(|| clean(&text)),
            25 => keywords.push(text),
            55 => date = Some(text),
            60 => time = Some(text),
            120 => found.description = found.description.or_else(|| clean(&text)),
            _ => {}
        }
    }
    found.keywords = clean_list(keywords);
    let time = time.unwrap_or_default();
    found.taken = date.and_then(|date| {
        let [year, month, day] = [date.get(..4)?, date.get(4..6)?, date.get(6..8)?].map(str::parse);
        let part = |at: usize| time.get(at..at + 2).and_then(|part| part.parse().ok()).unwrap_or(0);
        date_time([year.ok()?, month.ok()?, day.ok()?], [part(0), part(2), part(4)])
    });
    found.zone = found.taken.as_ref().and_then(|_| zone(time.get(6..)?));
    found
}

/// The number and the value of each data set of record 2.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // The marker, the record, the data set, and the length. Lengths over 32,767 are not used for texts.
            let [0x1C, record, number, high, low, rest @ ..] = self.0 else { return None };
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let (value, rest) = rest.split_at_checked(length)?;
            self.0 = rest;
            if *record == 2 {
                return Some((*number, value));
            }
        }
    }
}
