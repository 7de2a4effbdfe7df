//! `imgidx runtime`

use imgidx::Result;
use imgidx::documents::RuntimeInUse;
use imgidx::model::{Device, Runtime, fetch_runtime};

use super::Global;
use super::output::{Done, Failure, Out};

const EXAMPLES: &str = examples![
    "Show which ONNX Runtime is used" => "imgidx runtime",
    "Install one in imgidx's data directory" => "imgidx runtime install",
    "Try a specific library" => "imgidx --runtime /opt/onnxruntime/lib/libonnxruntime.so runtime",
];

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Download ONNX Runtime to imgidx's data directory, even if there is another one
    #[command(after_help = examples!["Install ONNX Runtime" => "imgidx runtime install"])]
    Install,
}

pub(super) fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    let options = global.options(None).runtime_options()?;
    if let Some(Command::Install) = args.command {
        let library = fetch_runtime(&options)?;
        global.note(&format!("installed `{}`", library.display()));
    }
    let runtime = Runtime::load(&options)?;
    let document = RuntimeInUse::new(&runtime, auto(&runtime));
    let print = |out: &mut Out| {
        let RuntimeInUse { version, place, devices, auto, attempts, .. } = &document;
        let devices: Vec<&str> = devices.iter().map(|device| device.as_str()).collect();
        out.line(format_args!("version  {version}"))?;
        out.path("library  ", runtime.library(), '\n')?;
        out.line(format_args!("found    {place}"))?;
        out.line(format_args!("devices  {}", devices.join(", ")))?;
        out.line(format_args!("auto     {auto}"))?;
        attempts.iter().enumerate().try_for_each(|(i, attempt)| {
            out.line(format_args!("{}{attempt}", if i == 0 { "tried    " } else { "         " }))
        })
    };
    global.print(|| &document, print)
}

/// The device that `--device auto` means before `tune` has measured any.
fn auto(runtime: &Runtime) -> String {
    let candidates = Device::candidates(&runtime.devices(), false);
    let others = candidates[0];
    if others == Device::Cpu {
        return "cpu".into();
    }
    format!("cpu for the built-in model, {others} for others; `imgidx tune` measures which is faster")
}
