//! Several models at a time, with a bound on what is in memory.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use super::Shared;
use super::job::{self, Done};
use super::plan::Job;
use crate::progress::Progress;

/// Model files of this many bytes in all are worked on at a time; one that is larger is worked on alone. A model
/// takes a few times what its graph takes in the file, and its weights, which are the most of a large file,
/// nearly nothing, as they are mapped.
const BYTES_AT_A_TIME: u64 = 1 << 30;

/// Does all jobs; the results are in the order of the jobs.
pub fn run(shared: &Shared<'_>, jobs: &[Job]) -> Vec<Done> {
    let available = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = shared.args.jobs.map_or(available, usize::from).min(jobs.len());
    if threads <= 1 && jobs.len() == 1 {
        return jobs.iter().map(|job| job::run(shared, job)).collect();
    }
    let (next, gate) = (AtomicUsize::new(0), Gate::default());
    let results: Mutex<Vec<Option<Done>>> = Mutex::new(jobs.iter().map(|_| None).collect());
    let progress = Progress::on_terminal();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(index) else { break };
                    let size = std::fs::metadata(&job.model).map_or(0, |data| data.len());
                    let _pass = gate.enter(size);
                    let _shown = progress.step(index, jobs.len(), &job.model.display().to_string());
                    let done = job::run(shared, job);
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(slot) = results.get_mut(index) {
                        *slot = Some(done);
                    }
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_iter().flatten().collect()
}

/// Lets jobs through as long as they fit.
#[derive(Default)]
struct Gate {
    bytes: Mutex<u64>,
    changed: Condvar,
}

struct Entered<'a> {
    gate: &'a Gate,
    bytes: u64,
}

impl Gate {
    fn enter(&self, bytes: u64) -> Entered<'_> {
        let inside = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |inside: &mut u64| *inside > 0 && inside.saturating_add(bytes) > BYTES_AT_A_TIME;
        let mut inside = self.changed.wait_while(inside, full).unwrap_or_else(PoisonError::into_inner);
        *inside = inside.saturating_add(bytes);
        Entered { gate: self, bytes }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let mut inside = self.gate.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        *inside = inside.saturating_sub(self.bytes);
        self.gate.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_waits_and_what_never_fits_goes_alone() {
        let gate = Gate::default();
        let (most, now) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for bytes in [BYTES_AT_A_TIME / 2; 6].into_iter().chain([BYTES_AT_A_TIME * 3; 2]) {
                let (gate, most, now) = (&gate, &most, &now);
                scope.spawn(move || {
                    let _in = gate.enter(bytes);
                    let share = if bytes > BYTES_AT_A_TIME { 2 } else { 1 };
                    most.fetch_max(now.fetch_add(share, Ordering::SeqCst) + share, Ordering::SeqCst);
                    std::thread::sleep(std::time::Duration::from_millis(5));
                    now.fetch_sub(share, Ordering::SeqCst);
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 2, "{most:?}");
    }
}
