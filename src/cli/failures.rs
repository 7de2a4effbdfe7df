//! `imgidx failures`

use imgidx::Result;
use imgidx::store::FailureRow;
use serde_json::{Map, Value, json};

use super::Global;
use super::output::{Done, Failure, Out, insert_path, printable};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print paths only, separated by zero bytes
    #[arg(short = '0', long)]
    null: bool,
}

pub fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    let failures = global.open_existing(None)?.failures()?;
    let mut out = Out::new();
    if global.json {
        out.document(Map::from_iter([("failures".to_owned(), failures.iter().map(document).collect())]))?;
    } else {
        for failure in &failures {
            if args.null {
                out.path("", &failure.path, '\0')?;
                continue;
            }
            out.path(&format!("{}\t", failure.stage), &failure.path, '\t')?;
            out.line(printable(&failure.reason).replace(['\n', '\t'], " "))?;
        }
    }
    Ok(out.finish().map(|()| Done::All)?)
}

fn document(failure: &FailureRow) -> Value {
    let mut fields = Map::new();
    insert_path(&mut fields, "path", &failure.path);
    fields.insert("stage".into(), json!(failure.stage));
    fields.insert("reason".into(), json!(failure.reason));
    fields.insert("attempts".into(), json!(failure.attempts));
    fields.insert("at".into(), json!(timestamp(failure.at)));
    fields.into()
}

/// A moment in milliseconds since 1970 as RFC 3339 has it, in UTC.
///
/// Days to date as in Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
pub fn timestamp(milliseconds: i64) -> String {
    let (days, rest) = (milliseconds.div_euclid(86_400_000), milliseconds.rem_euclid(86_400_000));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, millisecond) = (rest / 1000 % 60, rest % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
}

#[cfg(test)]
mod tests {
    use super::timestamp;

    #[test]
    fn moments_are_told_in_utc() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(timestamp(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(timestamp(-1), "1969-12-31T23:59:59.999Z");
    }
}
