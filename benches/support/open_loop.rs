//! A load at a fixed rate: each request has a time at which it is due, and its latency counts from there.
//! Must never wait with a request because another one is late: that would hide the very wait that is looked for.
//!
//! Every connection is a thread of its own with an equal share of the rate, and its requests are due whether the one
//! before was answered or not; what piled up behind a slow answer is sent at once, and counts from when it was due.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use super::answer::{Expected, Verdict};

/// Who is asked for what, and how often.
#[derive(Clone, Debug)]
pub(crate) struct OpenLoop {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    pub(crate) expected: String,
    /// Requests a second, over all connections.
    pub(crate) rate: f64,
    pub(crate) connections: u32,
    /// Priority of the client's threads, where the system allows it: a client of this machine waits for a core that a
    /// client elsewhere would have for itself.
    pub(crate) nice: i32,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// When it was due, since the start.
    pub(crate) due: Duration,
    /// From when it was due to its last byte.
    pub(crate) took: Duration,
    /// What of that is the client's own: its thread was free and woke up late.
    pub(crate) late: Duration,
    pub(crate) right: bool,
}

/// A load that runs; ends with this value.
pub(crate) struct Running {
    pub(crate) start: Instant,
    stop: Arc<AtomicBool>,
    first_error: Arc<Mutex<Option<String>>>,
    each: Duration,
    threads: Vec<JoinHandle<(Vec<Sample>, Duration)>>,
}

/// An answer takes this long, or is an error.
const LIMIT: Duration = Duration::from_secs(5);
/// What a thread that the server refuses waits before it tries again.
const PAUSE: Duration = Duration::from_millis(10);

struct Worker {
    load: OpenLoop,
    start: Instant,
    stop: Arc<AtomicBool>,
    first_error: Arc<Mutex<Option<String>>>,
    expected: Expected,
    request: Vec<u8>,
    buffer: Vec<u8>,
    socket: Option<TcpStream>,
}

impl OpenLoop {
    /// Starts it. The first requests are due a moment later, when every connection stands.
    pub(crate) fn start(&self) -> Running {
        let start = Instant::now() + Duration::from_millis(100);
        let (stop, first_error) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let threads = (0..self.connections)
            .map(|index| {
                let worker = Worker::new(self, start, (&stop, &first_error));
                std::thread::spawn(move || worker.work(index))
            })
            .collect();
        Running { start, stop, first_error, each: self.each(), threads }
    }
}

impl OpenLoop {
    /// From one request of a connection to its next.
    fn each(&self) -> Duration {
        Duration::from_secs_f64(f64::from(self.connections) / self.rate)
    }
}

impl Running {
    /// Every request in the order in which they were due, and why the first of those that failed did. One that was due
    /// and could not be sent, because those before it are late, has waited until now: at least that long.
    pub(crate) fn finish(mut self) -> Result<(Vec<Sample>, Option<String>)> {
        let end = Instant::now().saturating_duration_since(self.start);
        self.stop.store(true, Relaxed);
        let mut all = vec![];
        for thread in std::mem::take(&mut self.threads) {
            let (samples, mut due) = thread.join().map_err(|_| anyhow!("a thread of the load panicked"))?;
            all.extend(samples);
            while due < end {
                all.push(Sample { due, took: end.saturating_sub(due), late: Duration::ZERO, right: true });
                due += self.each;
            }
        }
        all.sort_by_key(|sample| sample.due);
        let error = self.first_error.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok((all, error))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

impl Worker {
    fn new(
        load: &OpenLoop,
        start: Instant,
        (stop, first_error): (&Arc<AtomicBool>, &Arc<Mutex<Option<String>>>),
    ) -> Self {
        let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", load.path, load.address);
        Self {
            load: load.clone(),
            start,
            stop: stop.clone(),
            first_error: first_error.clone(),
            expected: Expected::new(&load.expected),
            request: request.into_bytes(),
            buffer: vec![0; 16 << 10],
            socket: None,
        }
    }

    /// Works until it is told to stop; what was sent, and when the next one is due.
    fn work(mut self, index: u32) -> (Vec<Sample>, Duration) {
        // Neither is to be had everywhere, and the report shows how late the client's own threads were.
        let _ = rustix::process::setpriority_process(None, self.load.nice);
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        let each = self.load.each();
        let mut due = Duration::from_secs_f64(f64::from(index) / self.load.rate);
        let mut samples = vec![];
        let mut free = self.start;
        // A connection that is refused here is told by the first request.
        self.socket = self.connect().ok();
        while !self.stop.load(Relaxed) {
            let at = self.start + due;
            if let Some(wait) = at.checked_duration_since(Instant::now()) {
                std::thread::sleep(wait);
            }
            let sent = Instant::now();
            let called = self.call();
            let end = Instant::now();
            samples.push(Sample {
                due,
                took: end - at,
                late: sent.saturating_duration_since(at.max(free)),
                right: called.is_ok(),
            });
            free = end;
            if let Err(error) = called {
                self.socket = None;
                let mut first = self.first_error.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert(format!("{error:#}"));
                drop(first);
                std::thread::sleep(PAUSE);
            }
            due += each;
        }
        (samples, due)
    }

    fn connect(&self) -> Result<TcpStream> {
        let socket = TcpStream::connect_timeout(&self.load.address, LIMIT)
            .context("the server takes no connection")?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(LIMIT))?;
        socket.set_write_timeout(Some(LIMIT))?;
        Ok(socket)
    }

    fn call(&mut self) -> Result<()> {
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.connect()?,
        };
        socket.write_all(&self.request)?;
        let mut filled = 0;
        loop {
            let read = match socket.read(&mut self.buffer[filled..]) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    bail!("no answer within {LIMIT:?}")
                }
                other => other?,
            };
            if read == 0 {
                bail!("the server hung up on a request");
            }
            filled += read;
            match self.expected.judge(&self.buffer[..filled]) {
                Verdict::Incomplete if filled == self.buffer.len() => bail!("an answer without an end"),
                Verdict::Incomplete => {}
                Verdict::Wrong(why) => return Err(anyhow!(why)),
                Verdict::Right { closes } => {
                    self.socket = Some(socket).filter(|_| !closes);
                    return Ok(());
                }
            }
        }
    }
}
