//! A load on a thread of its own: open (each call has a time at which it is due) or closed (the next call goes out when
//! the last one was answered). Must never wait with a call because another one is late, nor keep a queue of calls: what
//! is due is a number, and whoever is free takes the next one.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::{Either, join_all, select};
use futures_util::stream::FuturesUnordered;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::timeout;

use super::alarm::Alarm;
use super::caller::{Caller, Target};
use super::schedule::Schedule;
use super::tally::{Tally, Took};
use super::zipf::Zipf;
use crate::tasks;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who is asked for what.
    pub target: Target,
    /// Calls a second, for an open load; none for a closed one.
    pub rate: Option<f64>,
    /// Connections, all opened before the first call.
    pub connections: usize,
    /// How long calls go out.
    pub lasts: Duration,
    /// The exponent with which the n-th path is asked for less often than the first.
    pub zipf: f64,
}

/// A load that runs; it ends by itself, or when this is dropped.
#[derive(Debug)]
pub struct Running {
    stop: watch::Sender<bool>,
    gauge: Arc<Gauge>,
    end: oneshot::Receiver<io::Result<Measured>>,
}

/// What a load came to.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Its calls.
    pub tally: Tally,
    /// From its start to the last answer, or to its end where that is later.
    pub seconds: f64,
    /// CPU time of its own thread.
    pub cpu_seconds: f64,
}

/// What whoever watches can see.
#[derive(Debug, Default)]
struct Gauge {
    ended: AtomicU64,
}

/// How long calls that are under way may still take when a load is stopped early.
const SHORT_GRACE: Duration = Duration::from_secs(1);
/// A connection that fails at once rests so long before its next call.
const PAUSE: Duration = Duration::from_millis(10);
/// From which on a call that waited for a connection was not sent in time.
const IN_TIME: Duration = Duration::from_millis(1);
/// Calls that were never sent are noted one by one up to here, and in equal steps beyond.
const NOTED: u64 = 100_000;

/// Starts a load.
///
/// # Errors
/// When the operating system gives no thread.
pub fn start(plan: Plan) -> io::Result<Running> {
    let (stop, stopped) = watch::channel(false);
    let (ends, end) = oneshot::channel();
    let gauge = Arc::new(Gauge::default());
    let seen = gauge.clone();
    tasks::thread("load", move || {
        // Nobody waits any more: then it does not matter either.
        let _ = ends.send(work(&plan, stopped, &seen));
    })?;
    Ok(Running { stop, gauge, end })
}

impl Running {
    /// Sends nothing more, and waits a moment for what is under way.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Calls that have ended.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.gauge.ended.load(Relaxed)
    }

    /// Waits for its end; may be dropped and called again.
    ///
    /// # Errors
    /// What the operating system refused.
    pub async fn end(&mut self) -> io::Result<Measured> {
        (&mut self.end).await.unwrap_or_else(|_| Err(io::Error::other("the thread of the load panicked")))
    }
}

impl Measured {
    /// Adds another load of the same plan.
    pub fn merge(&mut self, other: &Self) {
        self.tally.merge(&other.tally);
        self.seconds += other.seconds;
        self.cpu_seconds += other.cpu_seconds;
    }
}

fn work(plan: &Plan, stopped: watch::Receiver<bool>, gauge: &Gauge) -> io::Result<Measured> {
    // Sockets are looked at often, so that an answer is not seen late.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(16).build()?;
    let measured = runtime.block_on(async {
        let mut callers: Vec<_> = (0..plan.connections).map(|_| Caller::new()).collect();
        // One that does not open is told by its first call.
        join_all(callers.iter_mut().map(|caller| caller.open(&plan.target))).await;
        let busy = cpu_seconds();
        let shift = Shift::new(plan, gauge)?;
        shift.run(callers, stopped).await?;
        let cpu_seconds = cpu_seconds() - busy;
        let seconds = shift.last.get().saturating_duration_since(shift.start).as_secs_f64();
        io::Result::Ok(Measured { tally: shift.tally.into_inner(), seconds, cpu_seconds })
    });
    runtime.shutdown_background();
    measured
}

/// CPU time of the calling thread.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "CPU time of one load")]
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    seconds
}

/// One load under way. All of it is polled by one task of one thread.
struct Shift<'a> {
    plan: &'a Plan,
    gauge: &'a Gauge,
    /// For an open load.
    schedule: Option<Schedule>,
    start: Instant,
    /// The number of the next call that is due.
    next: Cell<u64>,
    ending: Cell<bool>,
    /// The latest moment that counts.
    last: Cell<Instant>,
    /// Who has nothing to do waits here, and is called in turn.
    idle: Notify,
    pick: RefCell<Zipf>,
    tally: RefCell<Tally>,
    /// Of each connection, when the call that is under way was due.
    flying: RefCell<Vec<Option<Instant>>>,
}

impl<'a> Shift<'a> {
    fn new(plan: &'a Plan, gauge: &'a Gauge) -> io::Result<Self> {
        let start = Instant::now();
        let tally = Tally::new().map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self {
            plan,
            gauge,
            schedule: plan.rate.map(|rate| Schedule::new(rate, plan.lasts)),
            start,
            next: Cell::new(0),
            ending: Cell::new(false),
            last: Cell::new(start),
            idle: Notify::new(),
            pick: RefCell::new(Zipf::new(plan.target.paths.len(), plan.zipf, 1)),
            tally: RefCell::new(tally),
            flying: RefCell::new(vec![None; plan.connections]),
        })
    }

    async fn run(&self, callers: Vec<Caller>, mut stopped: watch::Receiver<bool>) -> io::Result<()> {
        let mut workers: FuturesUnordered<_> =
            callers.into_iter().enumerate().map(|(index, caller)| self.work(index, caller)).collect();
        let all = async { while workers.next().await.is_some() {} };
        let mut all = std::pin::pin!(all);
        let alarm = Alarm::new()?;
        let ended = {
            let ends = std::pin::pin!(self.ends(&alarm, &mut stopped));
            match select(ends, &mut all).await {
                Either::Left((grace, _)) => Some(grace?),
                Either::Right(((), _)) => None,
            }
        };
        let Some(grace) = ended else {
            // All was sent and answered before the time was over, which belongs to it all the same.
            self.last.set(self.last.get().max(self.start + self.plan.lasts));
            return Ok(());
        };
        self.end();
        if timeout(grace, all).await.is_err() {
            self.cut();
        }
        Ok(())
    }

    /// Calls whoever is free when something is due, until nothing more is to be sent; how long what is then under way
    /// may take.
    async fn ends(&self, alarm: &Alarm, stopped: &mut watch::Receiver<bool>) -> io::Result<Duration> {
        let sends = std::pin::pin!(self.send_all(alarm));
        // A sender that is gone wants nothing any more either.
        let stops = std::pin::pin!(stopped.wait_for(|stopped| *stopped));
        match select(sends, stops).await {
            Either::Left((sent, _)) => sent.map(|()| self.plan.target.patience),
            Either::Right(_) => Ok(SHORT_GRACE.min(self.plan.target.patience)),
        }
    }

    async fn send_all(&self, alarm: &Alarm) -> io::Result<()> {
        let Some(schedule) = self.schedule else {
            return alarm.wait(self.plan.lasts).await;
        };
        loop {
            let elapsed = self.start.elapsed();
            if elapsed >= self.plan.lasts {
                return Ok(());
            }
            let due = schedule.due_by(elapsed);
            for _ in 0..due.saturating_sub(self.next.get()).min(self.plan.connections as u64) {
                self.idle.notify_one();
            }
            let until = if due < schedule.total() { schedule.due(due) } else { self.plan.lasts };
            alarm.wait(until.min(self.plan.lasts).saturating_sub(self.start.elapsed())).await?;
        }
    }

    /// Nothing more goes out; what was due by now and did not has waited until now.
    fn end(&self) {
        self.ending.set(true);
        self.idle.notify_waiters();
        let now = Instant::now();
        self.last.set(self.last.get().max(now));
        let Some(schedule) = self.schedule else { return };
        let elapsed = now - self.start;
        let (from, to) = (self.next.get(), schedule.due_by(elapsed));
        let unsent = to.saturating_sub(from);
        let step = unsent.div_ceil(NOTED).max(1);
        let mut tally = self.tally.borrow_mut();
        tally.unsent += unsent;
        let mut number = from;
        while number < to {
            let waited = elapsed.saturating_sub(schedule.due(number));
            tally.latency.record_many(waited, step.min(to - number));
            number += step;
        }
    }

    /// What is still under way is not waited for.
    fn cut(&self) {
        let now = Instant::now();
        let mut tally = self.tally.borrow_mut();
        for due in self.flying.borrow_mut().iter_mut().filter_map(Option::take) {
            tally.cut(now.saturating_duration_since(due));
        }
    }

    /// One connection: takes what is due, one call after the other.
    async fn work(&self, index: usize, mut caller: Caller) {
        let mut free = self.start;
        while let Some(due) = self.next_due().await {
            let sent = Instant::now();
            self.fly(index, Some(due));
            let path = self.pick.borrow_mut().pick();
            let called = caller.call(&self.plan.target, path).await;
            let end = Instant::now();
            self.fly(index, None);
            let failed = called.is_err();
            {
                let mut tally = self.tally.borrow_mut();
                tally.late.record(sent.saturating_duration_since(due.max(free)));
                if free.saturating_duration_since(due) > IN_TIME {
                    tally.delayed += 1;
                }
                tally.reconnects += std::mem::take(&mut caller.reconnects);
                match called {
                    Ok(answer) => {
                        let first_byte = answer.head_at.saturating_duration_since(sent);
                        let whole = answer.end_at.saturating_duration_since(due);
                        tally.answer(&answer, Took { first_byte, whole });
                    }
                    Err(error) => tally.error(&error, end.saturating_duration_since(due)),
                }
            }
            self.last.set(self.last.get().max(end));
            self.gauge.ended.fetch_add(1, Relaxed);
            if failed && !self.ending.get() {
                tokio::time::sleep(PAUSE).await;
            }
            free = Instant::now();
        }
    }

    fn fly(&self, index: usize, due: Option<Instant>) {
        if let Some(flying) = self.flying.borrow_mut().get_mut(index) {
            *flying = due;
        }
    }

    /// Waits for the next call that is due, and says since when; nothing once nothing more is sent.
    async fn next_due(&self) -> Option<Instant> {
        loop {
            if self.ending.get() {
                return None;
            }
            let now = Instant::now();
            let Some(schedule) = self.schedule else { return Some(now) };
            let number = self.next.get();
            if number >= schedule.total() {
                return None;
            }
            let due = self.start + schedule.due(number);
            if due <= now {
                self.next.set(number + 1);
                return Some(due);
            }
            self.idle.notified().await;
        }
    }
}
