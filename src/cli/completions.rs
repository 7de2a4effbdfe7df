//! `imgidx completions` and `imgidx man`

use std::io::Write;
use std::path::{Path, PathBuf};

use clap_complete::Shell;
use clap_mangen::Man;
use imgidx::{Error, Result};

use super::output::{Done, Failure};

const EXAMPLES: &str = examples![
    "Bash, for all new shells" =>
        "mkdir -p ~/.local/share/bash-completion/completions\n    imgidx completions bash > ~/.local/share/bash-completion/completions/imgidx",
    "Zsh, with ~/.zfunc in $fpath" => "mkdir -p ~/.zfunc\n    imgidx completions zsh > ~/.zfunc/_imgidx",
    "Fish" =>
        "mkdir -p ~/.config/fish/completions\n    imgidx completions fish > ~/.config/fish/completions/imgidx.fish",
    "Bash, in this shell only" => "source <(imgidx completions bash)",
];

const MAN_EXAMPLES: &str = examples![
    "Read the manual page" => "imgidx man | man -l -",
    "Install the pages of all commands" => "imgidx man --out ~/.local/share/man/man1",
];

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Shell to complete commands in
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, clap::Args)]
#[command(after_help = MAN_EXAMPLES)]
pub(super) struct ManArgs {
    /// Write one page per command to this directory, instead of printing one
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: Args, command: &mut clap::Command) -> Result<Done, Failure> {
    // Write to memory first: the generator panics if it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "imgidx", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(Done::All)
}

pub(super) fn run_man(args: ManArgs, command: clap::Command) -> Result<Done, Failure> {
    match args.out {
        Some(folder) => {
            let mut command = command.disable_help_subcommand(true);
            command.build();
            let written = std::fs::create_dir_all(&folder).and_then(|()| write_pages(command, &folder));
            written.map_err(Error::io("write manual pages to", folder))?;
        }
        None => std::io::stdout().write_all(page(&Man::new(command))?.as_bytes())?,
    }
    Ok(Done::All)
}

/// Writes the pages of a command and of all commands below it.
fn write_pages(command: clap::Command, folder: &Path) -> std::io::Result<()> {
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        write_pages(subcommand.clone(), folder)?;
    }
    let man = Man::new(command);
    std::fs::write(folder.join(man.get_filename()), page(&man)?)
}

/// The text of a page, as clap_mangen writes it, with two corrections: what follows the options is one section named
/// EXTRA, and tildes and backquotes would be shown as typographic characters, which no shell accepts.
fn page(man: &Man) -> std::io::Result<String> {
    let mut page = Vec::new();
    man.render(&mut page)?;
    let page = String::from_utf8_lossy(&page);
    Ok(page
        .replace("\n.SH EXTRA\nExamples:\n", "\n.SH EXAMPLES\n")
        .replace("\nExit status:\n", "\n.SH \"EXIT STATUS\"\n")
        .replace('~', "\\(ti")
        .replace('`', "\\(ga"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn examples_and_exit_status_are_sections_of_the_manual_page() {
        let text = page(&Man::new(Cli::command())).expect("it is written to memory");
        for part in [".SH EXAMPLES\n", ".SH \"EXIT STATUS\"\n", "imgidx add \\(ti/Pictures"] {
            assert!(text.contains(part), "`{part}` is missing in: {text}");
        }
        assert!(!text.contains(".SH EXTRA") && !text.contains('\x1b'), "{text}");
    }

    #[test]
    fn every_command_has_examples_and_the_exit_status() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Examples:\n"), "`{}` has no examples", command.get_name());
            assert!(help.contains("\n\nExit status:\n  0  "), "`{}` has no exit status", command.get_name());
            command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()).for_each(check);
        }
        check(&Cli::command());
    }
}
