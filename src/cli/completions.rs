//! `imgidx completions` and `imgidx man`

use std::io::Write;
use std::path::PathBuf;

use clap_complete::Shell;
use imgidx::{Error, Result};

use super::output::{Done, Failure};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// Write a page for each command into this directory instead
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: Args, command: &mut clap::Command) -> Result<Done, Failure> {
    // Into memory first: the generator panics when it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "imgidx", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(Done::All)
}

pub(super) fn run_man(args: ManArgs, command: clap::Command) -> Result<Done, Failure> {
    match args.out {
        Some(folder) => {
            let failed = |source| Error::Io { action: "write the manual into", path: folder.clone(), source };
            std::fs::create_dir_all(&folder).map_err(failed)?;
            clap_mangen::generate_to(command, &folder).map_err(failed)?;
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            std::io::stdout().write_all(&page)?;
        }
    }
    Ok(Done::All)
}
