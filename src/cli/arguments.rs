//! Arguments: parsing them, the values that several commands accept, and errors in them.

use std::ffi::OsStr;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PathBufValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Command, CommandFactory, FromArgMatches};

use super::Cli;
use super::color::When;
use super::output::{Failure, Style};

/// Parses the arguments of the program. Ends it if they are wrong, or ask for help.
pub(super) fn parse() -> Cli {
    let is_set = |name: &OsStr| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let parsed = try_parse(is_set).or_else(|error| match error.kind() {
        // A variable is an argument to clap, which prints the help only if there is none at all.
        ErrorKind::MissingSubcommand => try_parse(|_| false),
        _ => Err(error),
    });
    parsed.unwrap_or_else(|error| end(&error))
}

/// Prints an error in the arguments, or the help or version that they ask for, and ends the program.
fn end(error: &clap::Error) -> ! {
    // The arguments are not known, so they cannot say whether the error is to be a document.
    let is_json = std::env::args_os().take_while(|argument| argument != "--").any(|argument| argument == "--json");
    // The text for a terminal would list all commands, also the hidden one.
    let is_too_long = error.kind() == ErrorKind::MissingSubcommand;
    if is_too_long || (is_json && error.use_stderr()) {
        let failure = failure(error);
        Style::new(When::Auto, is_json).error(&failure);
        std::process::exit(failure.exit_status().into());
    }
    error.exit()
}

/// Parses the arguments, and the environment variables that count.
fn try_parse(counts: impl Fn(&OsStr) -> bool) -> Result<Cli, clap::Error> {
    let without_others = |argument: Arg| {
        let is_other = argument.get_env().is_some_and(|name| !counts(name));
        if is_other { without_variable(argument) } else { argument }
    };
    let mut command = Cli::command().mut_args(without_others);
    let mut matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// The argument without its environment variable, which its help still names.
fn without_variable(argument: Arg) -> Arg {
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let name = argument.get_env().map(|name| format!(" [env: {}]", name.display())).unwrap_or_default();
    argument.env(None::<&'static str>).help(help + &name)
}

/// A message and a hint in place of the text for a terminal, whose paragraphs are the error, tips and the usage.
fn failure(error: &clap::Error) -> Failure {
    let is_missing = [ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand, ErrorKind::MissingSubcommand];
    if is_missing.contains(&error.kind()) {
        let hint = Some("--help lists the commands".into());
        return Failure::Arguments { message: "a command is missing".into(), hint };
    }
    let text = error.render().to_string();
    let on_one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut paragraphs = text.split("\n\n");
    let message = on_one_line(paragraphs.next().unwrap_or_default().trim_start_matches("error: "));
    let tips: Vec<String> =
        paragraphs.filter_map(|text| text.trim_start().strip_prefix("tip: ")).map(on_one_line).collect();
    let hint = if tips.is_empty() { "--help shows the arguments".to_owned() } else { tips.join("; ") };
    Failure::Arguments { message, hint: Some(hint) }
}

/// A parser of an option whose value is the name of one of these, in capitals or not.
pub(super) fn one_of<T, const N: usize>(all: [T; N], name: fn(T) -> &'static str) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    OneOf { all, name, aliases: &[] }
}

/// Like [`one_of`], with other names for some of the values.
pub(super) fn one_of_or<T, const N: usize>(
    all: [T; N],
    name: fn(T) -> &'static str,
    aliases: &'static [(&'static str, &'static str)],
) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    OneOf { all, name, aliases }
}

#[derive(Clone)]
struct OneOf<T, const N: usize> {
    all: [T; N],
    name: fn(T) -> &'static str,
    /// Other names, each with the name that it stands for.
    aliases: &'static [(&'static str, &'static str)],
}

impl<T: Copy + Send + Sync + 'static, const N: usize> TypedValueParser for OneOf<T, N> {
    type Value = T;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<T, clap::Error> {
        let text = value.to_string_lossy().to_ascii_lowercase();
        let text = self.aliases.iter().find(|(alias, _)| *alias == text).map_or(text.as_str(), |(_, name)| name);
        match self.all.into_iter().find(|known| (self.name)(*known) == text) {
            Some(known) => Ok(known),
            None => Err(PossibleValuesParser::new(self.all.map(self.name))
                .parse_ref(command, argument, value)
                .expect_err("no name is equal to it")),
        }
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.all.into_iter().map(|known| PossibleValue::new((self.name)(known)))))
    }
}

/// A parser of the file of a contact sheet: any path but `-`.
pub(super) fn sheet_file() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match path.as_os_str() == "-" {
        true => Err("a contact sheet cannot be written to standard output; name a file"),
        false => Ok(path),
    })
}

/// Parses a number of pictures: 1 or more.
pub(super) fn parse_top(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("`{text}` is not a whole number of at least 1"))
}

/// Parses a width or a height.
pub(super) fn parse_pixels(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("`{text}` is not a whole number of pixels"))
}

/// A parser of an option whose value is a number in this range.
pub(super) fn number_in<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + PartialOrd + Display + Clone,
{
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("`{text}` is not a number from {} to {}", range.start(), range.end()))
    }
}

/// Parses a number of bytes: `800M`, `2G`, `1.5GiB`, `1048576`.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err(format!("unknown unit `{unit}`; use K, M or G")),
    };
    let number: f64 = number.parse().map_err(|_| format!("`{text}` is not a size such as 800M or 2G"))?;
    let bytes = number * f64::from(1_u32 << shift);
    if !(1.0..=1e15).contains(&bytes) {
        return Err(format!("`{text}` is not between 1 byte and 1 PB"));
    }
    Ok(bytes as u64)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("512"), Ok(512));
        assert_eq!(parse_size("1.5K"), Ok(1536));
        assert_eq!(parse_size("2GiB"), Ok(2 << 30));
        for bad in ["", "G", "-1G", "5 parsecs", "0"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_accepted_in_capitals_and_under_their_aliases() {
        let parser = one_of_or(["jpeg", "png"], |name| name, &[("jpg", "jpeg")]);
        let command = Command::new("imgidx");
        for (given, expected) in [("JPEG", "jpeg"), ("jpg", "jpeg"), ("JPG", "jpeg"), ("Png", "png")] {
            assert_eq!(parser.parse_ref(&command, None, given.as_ref()).expect("a name"), expected);
        }
        assert!(parser.parse_ref(&command, None, "gif".as_ref()).is_err());
    }

    #[test]
    fn errors_in_arguments_have_a_message_on_one_line_and_a_hint() {
        let told = |arguments: &[&str]| {
            let failure = failure(&Cli::try_parse_from(arguments).expect_err("they are wrong"));
            (failure.to_string(), failure.hint().expect("a hint"))
        };
        assert_eq!(told(&["imgidx", "add"]).0, "the following required arguments were not provided: <PATH>...");
        let (message, hint) = told(&["imgidx", "list", "--tipe", "photo"]);
        assert_eq!(message, "unexpected argument '--tipe' found");
        assert_eq!(hint, "a similar argument exists: '--type'");
        let (message, hint) = told(&["imgidx", "list", "--min-width", "big"]);
        assert!(message.ends_with("`big` is not a whole number of pixels"), "{message}");
        assert_eq!(hint, "--help shows the arguments");
        assert_eq!(told(&["imgidx"]).0, "a command is missing");
        assert_eq!(told(&["imgidx", "--quiet"]).0, "a command is missing");
    }
}
