//! The file format of the table of words: rows of 4 bits, and class vectors of 8 bits.
//!
//! All numbers are little-endian. The magic `imgwords`; the version 1, the numbers of tokens T, dimensions D and
//! classes C, and the length of the text, as u32; the text: tokens in the order of their bytes, each followed by a
//! newline, those that continue a word with `##` before them; T steps in bfloat16; T rows of D / 2 bytes, the even
//! dimension in the lower half of a byte, in two's complement; C rows of D signed bytes, of any length.

const MAGIC: &[u8] = b"imgwords";
const VERSION: usize = 1;
const HEADER: usize = 28;

/// A parsed table.
#[derive(Debug)]
pub(super) struct Table<'a> {
    pub(super) dimensions: usize,
    pub(super) classes: usize,
    tokens: Vec<&'a str>,
    steps: &'a [u8],
    rows: &'a [u8],
    class_rows: &'a [u8],
}

impl<'a> Table<'a> {
    /// Parses a table; `None` if it is not one, or cut off.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let number = |at: usize| Some(u32::from_le_bytes(*rest.get(4 * at..)?.first_chunk()?) as usize);
        if number(0)? != VERSION {
            return None;
        }
        let (count, dimensions, classes) = (number(1)?, number(2)?, number(3)?);
        let (text, rest) = bytes.get(HEADER..)?.split_at_checked(number(4)?)?;
        let tokens: Vec<&str> = std::str::from_utf8(text).ok()?.split_terminator('\n').collect();
        let (steps, rest) = rest.split_at_checked(2 * count)?;
        let (rows, class_rows) = rest.split_at_checked(count * dimensions / 2)?;
        let is_whole = tokens.len() == count && dimensions % 2 == 0 && class_rows.len() == classes * dimensions;
        is_whole.then_some(Self { dimensions, classes, tokens, steps, rows, class_rows })
    }

    /// The row of a token.
    pub(super) fn find(&self, token: &str) -> Option<usize> {
        self.tokens.binary_search(&token).ok()
    }

    /// Adds the row of a token to a vector.
    pub(super) fn add_row(&self, token: usize, sum: &mut [f32]) {
        let [low, high] = [self.steps[2 * token], self.steps[2 * token + 1]];
        let step = f32::from_bits(u32::from_le_bytes([0, 0, low, high]));
        let row = &self.rows[token * self.dimensions / 2..][..self.dimensions / 2];
        for (pair, byte) in sum.as_chunks_mut::<2>().0.iter_mut().zip(row) {
            let (even, odd) = ((byte << 4).cast_signed() >> 4, byte.cast_signed() >> 4);
            pair[0] += f32::from(even) * step;
            pair[1] += f32::from(odd) * step;
        }
    }

    /// Adds the direction of a class, with unit length, to a vector.
    pub(super) fn add_class(&self, class: usize, sum: &mut [f32]) {
        let length = self.class_length(class);
        sum.iter_mut().zip(self.class_row(class)).for_each(|(sum, value)| *sum += f32::from(value) / length);
    }

    /// The cosine of a class with a vector of unit length.
    pub(super) fn cosine(&self, class: usize, vector: &[f32]) -> f32 {
        let dot: f32 = vector.iter().zip(self.class_row(class)).map(|(a, b)| a * f32::from(b)).sum();
        dot / self.class_length(class)
    }

    fn class_row(&self, class: usize) -> impl Iterator<Item = i8> {
        self.class_rows[class * self.dimensions..][..self.dimensions].iter().map(|byte| byte.cast_signed())
    }

    fn class_length(&self, class: usize) -> f32 {
        let square: i32 = self.class_row(class).map(|value| i32::from(value).pow(2)).sum();
        (square.max(1) as f32).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_cut_off_or_of_another_version_is_refused() {
        let whole = super::super::BYTES;
        assert!(Table::parse(whole).is_some());
        for end in [0, 7, 20, HEADER, 1000, whole.len() / 2, whole.len() - 1] {
            assert!(Table::parse(&whole[..end]).is_none(), "{end}");
        }
        let mut other = whole.to_vec();
        other[8] = 2;
        assert!(Table::parse(&other).is_none());
    }
}
