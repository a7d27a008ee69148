//! A sign of life for long steps, on a terminal alone.

use std::io::IsTerminal;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::terminal::escape;

/// How long a step runs in silence.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often the line is drawn anew.
const TICK: Duration = Duration::from_millis(120);

/// Shows the step that runs, once it has run for a second, when standard error is a terminal.
#[derive(Debug, Clone)]
pub struct Progress {
    shown: bool,
    patience: Duration,
}

impl Progress {
    /// Shows when standard error is a terminal.
    pub fn on_terminal() -> Self {
        Self { shown: std::io::stderr().is_terminal(), patience: PATIENCE }
    }

    /// Never shows.
    pub fn hidden() -> Self {
        Self { shown: false, patience: PATIENCE }
    }

    /// Step `index` (from 0) of `total` begins. It ends when the answer is dropped.
    pub fn step(&self, index: usize, total: usize, name: &str) -> Step {
        if !self.shown {
            return Step { waiting: None };
        }
        self.step_on(index, total, name, ProgressDrawTarget::stderr)
    }

    fn step_on(
        &self,
        index: usize,
        total: usize,
        name: &str,
        target: impl FnOnce() -> ProgressDrawTarget + Send + 'static,
    ) -> Step {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.set_prefix(format!("[{}/{total}]", index.saturating_add(1)));
        bar.set_message(escape(name).into_owned());
        let over = Arc::new((Mutex::new(false), Condvar::new()));
        let (signal, patience) = (Arc::clone(&over), self.patience);
        // Without a thread to spare there is no sign of life, which is no reason to fail.
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(move || {
            show_after(patience, &signal, &bar, target);
        });
        Step { waiting: thread.ok().map(|thread| Waiting { over, thread }) }
    }
}

/// Waits until the step is over; shows the bar from when patience ends until then.
fn show_after(
    patience: Duration,
    signal: &(Mutex<bool>, Condvar),
    bar: &ProgressBar,
    target: impl FnOnce() -> ProgressDrawTarget,
) {
    let (over, changed) = signal;
    let guard = over.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = changed.wait_timeout_while(guard, patience, |over| !*over);
    let (mut guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
    if !timeout.timed_out() {
        return;
    }
    bar.set_draw_target(target());
    while !*guard {
        bar.tick();
        guard = changed.wait_timeout(guard, TICK).unwrap_or_else(PoisonError::into_inner).0;
    }
    bar.finish_and_clear();
}

/// A step that runs. The line, if it was shown, is gone when this is dropped.
#[derive(Debug)]
#[must_use = "the step ends when this is dropped"]
pub struct Step {
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    over: Arc<(Mutex<bool>, Condvar)>,
    thread: JoinHandle<()>,
}

impl Drop for Step {
    fn drop(&mut self) {
        let Some(Waiting { over, thread }) = self.waiting.take() else { return };
        *over.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        over.1.notify_all();
        // Joined, so that nothing is drawn over what is printed next.
        let _ = thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::TermLike;
    use std::io;

    #[derive(Debug, Clone, Default)]
    struct Screen(Arc<Mutex<String>>);

    impl Screen {
        fn text(&self) -> String {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }

        fn add(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
            Ok(())
        }
    }

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            80
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
            self.add(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.add(text)
        }
        fn clear_line(&self) -> io::Result<()> {
            self.add("<clear>")
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn step_on(screen: &Screen, patience: Duration) -> Step {
        let screen = screen.clone();
        let progress = Progress { shown: true, patience };
        progress.step_on(1, 4, "fold\u{1b}constants", move || ProgressDrawTarget::term_like(Box::new(screen)))
    }

    #[test]
    fn a_long_step_is_shown_and_cleared() {
        let screen = Screen::default();
        let step = step_on(&screen, Duration::ZERO);
        for _ in 0..200 {
            if screen.text().contains("[2/4]") {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(screen.text().contains("[2/4] fold\\u{1b}constants"), "{:?}", screen.text());
        drop(step);
        assert!(screen.text().contains("<clear>"), "{:?}", screen.text());
    }

    #[test]
    fn a_short_step_is_not_shown_and_does_not_wait() {
        let screen = Screen::default();
        let start = std::time::Instant::now();
        drop(step_on(&screen, Duration::from_secs(600)));
        assert!(start.elapsed() < Duration::from_secs(60));
        assert_eq!(screen.text(), "");
        drop(Progress::hidden().step(0, 1, "x"));
    }
}
