//! Progress bars, which are shown on terminals only.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use imgidx::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;

use super::output::human_bytes;

/// The period over which the current speed is measured.
const SPEED_WINDOW: Duration = Duration::from_secs(3);

/// The template of a bar before any file is found.
const LOOKING: &str = "{spinner} looking for files";

/// The template of a bar while more files are being found.
const OF_UNKNOWN_NUMBER: &str = "{spinner} {pos} of {len}+ files  {msg}";

/// The template of a bar over a known number of files.
pub(super) const OF_KNOWN_NUMBER: &str = "{wide_bar:.cyan/blue} {pos}/{len} files  {msg}  ETA {eta}";

/// Progress of an `add`: files done and found, pictures per second, time left, memory, failures.
pub(super) struct Bar {
    pub bar: ProgressBar,
    verbose: bool,
    speed: Mutex<Speed>,
}

impl Bar {
    /// A bar on standard error; hidden with `--quiet` and without a terminal.
    pub(super) fn new(quiet: bool, verbose: bool) -> Self {
        let bar = bar(quiet, LOOKING);
        Self { bar, verbose, speed: Mutex::new(Speed::new(Instant::now())) }
    }

    pub(super) fn update(&self, progress: Progress) {
        let template = match (progress.scanning, progress.found) {
            (true, 0) => LOOKING,
            (true, _) => OF_UNKNOWN_NUMBER,
            (false, _) => OF_KNOWN_NUMBER,
        };
        let (now, average) = self.speed.lock().take(Instant::now(), progress.embedded);
        let message = message(&progress, now, average, self.verbose);
        // These draw nothing, unlike `set_message`.
        let bar = self.bar.clone().with_style(style(template)).with_message(message);
        bar.update(|state| {
            state.set_len(progress.found);
            state.set_pos(progress.done);
        });
    }
}

/// A bar on standard error; hidden with `--quiet` and without a terminal.
pub(super) fn bar(quiet: bool, template: &str) -> ProgressBar {
    let visible = !quiet && std::io::stderr().is_terminal();
    let target = if visible { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(0), target);
    bar.set_style(style(template));
    bar
}

fn message(progress: &Progress, now: f64, average: f64, verbose: bool) -> String {
    let mut text = format!("{now:.0} images/s (average {average:.0})");
    if let Some(memory) = progress.memory {
        text += &format!("  {}", human_bytes(memory));
    }
    if progress.failed > 0 {
        text += &format!("  {} failed", progress.failed);
    }
    if verbose {
        let waiting = &progress.waiting;
        text += &format!(
            "  {} workers, batches of {}, waiting: {} paths, {} pictures, {} results",
            progress.workers, progress.batch_size, waiting.paths, waiting.pictures, waiting.results
        );
    }
    text
}

/// The current and the average speed.
struct Speed {
    start: Instant,
    recent: VecDeque<(Instant, u64)>,
}

impl Speed {
    fn new(start: Instant) -> Self {
        Self { start, recent: VecDeque::from([(start, 0)]) }
    }

    /// Records how many are done, and returns the speed per second, over [`SPEED_WINDOW`] and since the start.
    fn take(&mut self, now: Instant, done: u64) -> (f64, f64) {
        self.recent.push_back((now, done));
        while self.recent.len() > 2 && now.duration_since(self.recent[1].0) >= SPEED_WINDOW {
            self.recent.pop_front();
        }
        let since = |(then, before): (Instant, u64)| {
            done.saturating_sub(before) as f64 / now.duration_since(then).as_secs_f64().max(0.001)
        };
        (since(self.recent[0]), since((self.start, 0)))
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is well-formed").progress_chars("█▉▊▋▌▍▎▏ ")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use indicatif::TermLike;

    use super::*;

    /// A terminal that keeps what is written to it.
    #[derive(Debug, Clone, Default)]
    struct Screen(Arc<Mutex<Vec<String>>>);

    impl Screen {
        /// The bars that were drawn since the last call.
        fn drawn(&self) -> Vec<String> {
            let written = std::mem::take(&mut *self.0.lock());
            written.iter().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect()
        }
    }

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            120
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().push(text.to_owned());
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_update_draws_the_bar_once() {
        let screen = Screen::default();
        let bar = Bar::new(true, false);
        bar.bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(screen.clone())));
        for (scanning, found, part) in [
            (true, 0_u64, "looking for files"),
            (true, 8, "3 of 8+ files"),
            (false, 8, "3/8 files"),
            (false, 8, "3/8 files"),
        ] {
            bar.update(Progress { scanning, found, done: found.min(3), ..Progress::default() });
            let drawn = screen.drawn();
            assert!(matches!(drawn.as_slice(), [one] if one.contains(part)), "{part}: {drawn:?}");
        }
    }

    #[test]
    fn the_current_speed_covers_the_last_seconds_only() {
        let start = Instant::now();
        let mut speed = Speed::new(start);
        for second in 1..=10 {
            speed.take(start + Duration::from_secs(second), 100 * second);
        }
        let (mut now, mut average) = (0.0, 0.0);
        for second in 11..=20 {
            (now, average) = speed.take(start + Duration::from_secs(second), 1000);
        }
        assert_eq!((now, average), (0.0, 50.0));
    }

    #[test]
    fn the_line_shows_queues_only_with_verbose() {
        let progress = Progress { failed: 2, memory: Some(5 << 20), workers: 4, batch_size: 8, ..Progress::default() };
        assert_eq!(message(&progress, 9.6, 8.0, false), "10 images/s (average 8)  5.0 MiB  2 failed");
        assert!(
            message(&progress, 9.6, 8.0, true)
                .ends_with("4 workers, batches of 8, waiting: 0 paths, 0 pictures, 0 results")
        );
    }
}
