//! The progress bar, on a terminal only.

use std::io::IsTerminal;
use std::time::Instant;

use imgidx::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shows how far an `add` has come: done and found files, pictures in a second, the time left, failures.
pub struct Bar {
    bar: ProgressBar,
    start: Instant,
}

impl Bar {
    /// A bar on standard error; invisible if that is no terminal or nothing is to be shown.
    pub fn new(quiet: bool) -> Self {
        let visible = !quiet && std::io::stderr().is_terminal();
        let target = if visible { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        bar.set_style(style("{spinner} {pos} of {len}+ files  {msg}"));
        Self { bar, start: Instant::now() }
    }

    pub fn update(&self, progress: Progress) {
        self.bar.set_length(progress.found);
        self.bar.set_position(progress.done);
        if !progress.scanning {
            self.bar.set_style(style("{wide_bar:.cyan/blue} {pos}/{len} files  {msg}  ETA {eta}"));
        }
        let rate = progress.embedded as f64 / self.start.elapsed().as_secs_f64().max(0.001);
        let failed = if progress.failed > 0 { format!("  {} failed", progress.failed) } else { String::new() };
        self.bar.set_message(format!("{rate:.0} images/s{failed}"));
    }

    /// Prints a line above the bar.
    pub fn above(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is well-formed").progress_chars("█▉▊▋▌▍▎▏ ")
}
