//! When the machine itself stood still: a thread on each core that goes before everybody else, and notes when it woke up late.
//! Must never decide by what became of a request whether it counts: only by when it was due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::open_loop::Sample;
use super::process;

/// The threads, until they are told to end.
pub(crate) struct Heartbeat {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<(Instant, Instant)>>>,
}

/// Stretches in which a core was not to be had, since the start of a load, in order, none of them touching another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pauses(Vec<(Duration, Duration)>);

/// From one look to the next.
const BEAT: Duration = Duration::from_micros(500);
/// A thread that goes before everybody else and wakes up later than this was kept from it by the machine.
const LATE: Duration = Duration::from_micros(300);
/// Above the load's own client.
const PRIORITY: u8 = 20;
/// What was due so shortly before a pause was on its way then.
const BEFORE: Duration = Duration::from_millis(1);

impl Heartbeat {
    /// Starts one on each core. Where real-time priority is not allowed there is none, and nothing counts as a pause.
    pub(crate) fn start(cores: &[usize]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = cores.iter().map(|core| {
            let (core, stop) = (*core, stop.clone());
            std::thread::spawn(move || {
                process::pin(&[core]);
                if process::real_time(PRIORITY) { beat(&stop) } else { vec![] }
            })
        });
        Self { threads: threads.collect(), stop }
    }

    /// What they noted.
    pub(crate) fn finish(mut self, start: Instant) -> Result<Pauses> {
        self.stop.store(true, Relaxed);
        let mut all = vec![];
        for thread in std::mem::take(&mut self.threads) {
            let noted = thread.join().map_err(|_| anyhow!("a heartbeat panicked"))?;
            all.extend(noted.into_iter().map(|(from, to)| {
                let since = |at: Instant| at.saturating_duration_since(start);
                (since(from), since(to))
            }));
        }
        Ok(Pauses::of(all))
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

fn beat(stop: &AtomicBool) -> Vec<(Instant, Instant)> {
    let (mut noted, mut last) = (vec![], Instant::now());
    while !stop.load(Relaxed) {
        std::thread::sleep(BEAT);
        let now = Instant::now();
        if now - last > BEAT + LATE {
            noted.push((last, now));
        }
        last = now;
    }
    noted
}

impl Pauses {
    /// Each with what was on its way before it, and with as much time again after it, in which what piled up is done.
    fn of(mut all: Vec<(Duration, Duration)>) -> Self {
        all.sort_unstable();
        let mut merged: Vec<(Duration, Duration)> = vec![];
        for (from, to) in all {
            let (from, to) = (from.saturating_sub(BEFORE), to + to.saturating_sub(from));
            match merged.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        Self(merged)
    }

    fn covers(&self, due: Duration) -> bool {
        let after = self.0.partition_point(|(from, _)| *from <= due);
        after > 0 && due < self.0[after - 1].1
    }

    /// What was due while there was none, and everything that failed.
    pub(crate) fn without(&self, samples: &[Sample]) -> Vec<Sample> {
        samples.iter().filter(|sample| !sample.right || !self.covers(sample.due)).copied().collect()
    }

    /// The part of this stretch that they cover.
    pub(crate) fn share(&self, from: Duration, to: Duration) -> f64 {
        let covered = self.0.iter().map(|(begin, end)| (*end).min(to).saturating_sub((*begin).max(from)));
        covered.sum::<Duration>().as_secs_f64() / to.saturating_sub(from).as_secs_f64().max(1e-9)
    }
}
