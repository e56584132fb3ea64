//! A load at a fixed rate: each request has a time at which it is due, and its latency counts from there.
//! Must never wait with a request because another one is late: that would hide the very wait that is looked for.
//!
//! One thread has all connections, which take turns at being due; what is due on one that still waits for an answer is sent
//! as soon as that is there, and counts from when it was due. The thread has real-time priority where that is allowed: a
//! client elsewhere would wait for nobody's core, and a crowd of threads that all wake up after a pause would be measured
//! instead of the server.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::event::epoll;

use super::answer::{Expected, Verdict};
use super::process;

/// Who is asked for what, and how often.
#[derive(Clone, Debug)]
pub(crate) struct OpenLoop {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    pub(crate) expected: String,
    /// Requests a second, over all connections.
    pub(crate) rate: f64,
    pub(crate) connections: u32,
    pub(crate) priority: Priority,
}

/// What the client's thread asks the system for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priority {
    /// To go before everybody else.
    RealTime,
    /// To be treated so nicely.
    Nice(i32),
    /// To go when nobody else wants to.
    Idle,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// When it was due, since the start.
    pub(crate) due: Duration,
    /// From when it was due to its last byte.
    pub(crate) took: Duration,
    /// What of that is the client's own: its connection was free and its thread woke up late.
    pub(crate) late: Duration,
    pub(crate) right: bool,
}

/// A load that runs; ends with this value.
pub(crate) struct Running {
    pub(crate) start: Instant,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Client>>>,
}

/// An answer takes this long, or is an error.
const LIMIT: Duration = Duration::from_secs(5);
/// The thread looks this often for what it is not told of: the end, and answers that never come.
const LOOK: Duration = Duration::from_millis(20);
/// What is less than the kernel's own work for the client, and more than anything else's.
const REAL_TIME: u8 = 10;
/// Where that is not allowed.
const NICE: i32 = -10;
const LAST: i32 = 19;

impl Priority {
    /// Asks for it; tells what was given.
    pub(crate) fn take(self) -> String {
        let nice = match self {
            Self::RealTime if process::real_time(REAL_TIME) => return "real-time priority".to_owned(),
            Self::Idle if process::idle() => return "idle priority".to_owned(),
            Self::RealTime => NICE,
            Self::Nice(nice) => nice,
            Self::Idle => LAST,
        };
        match rustix::process::setpriority_process(None, nice) {
            Ok(()) => format!("nice {nice}"),
            Err(_) => "the priority of all".to_owned(),
        }
    }

    /// What would be given.
    pub(crate) fn given(self) -> String {
        std::thread::spawn(move || self.take()).join().unwrap_or_default()
    }
}

impl OpenLoop {
    /// Starts it. The first requests are due a moment later, when every connection stands.
    pub(crate) fn start(&self) -> Running {
        let start = Instant::now() + Duration::from_millis(100);
        let stop = Arc::new(AtomicBool::new(false));
        let (load, until) = (self.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut client = Client::new(load, start)?;
            client.work(&until)?;
            Ok(client)
        });
        Running { start, stop, thread: Some(thread) }
    }
}

impl Running {
    /// Every request in the order in which they were due, and why the first of those that failed did. One that was due
    /// and could not be sent, because those before it are late, has waited until now: at least that long.
    pub(crate) fn finish(mut self) -> Result<(Vec<Sample>, Option<String>)> {
        let end = Instant::now().saturating_duration_since(self.start);
        self.stop.store(true, Relaxed);
        let thread = self.thread.take().context("the load runs no more")?;
        let client = thread.join().map_err(|_| anyhow!("the thread of the load panicked"))??;
        let mut all = client.samples;
        for due in client.lines.into_iter().flat_map(|line| line.due) {
            all.push(Sample { due, took: end.saturating_sub(due), late: Duration::ZERO, right: true });
        }
        all.sort_by_key(|sample| sample.due);
        Ok((all, client.first_error))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

struct Client {
    load: OpenLoop,
    start: Instant,
    request: Vec<u8>,
    expected: Expected,
    epoll: OwnedFd,
    lines: Vec<Line>,
    /// Requests that have become due so far.
    released: u32,
    samples: Vec<Sample>,
    first_error: Option<String>,
}

/// One connection.
struct Line {
    socket: Option<TcpStream>,
    /// Of the request that is on its way: when it was due and when it was sent, since the start.
    asked: Option<(Duration, Duration)>,
    /// What is due and waits for the one before it.
    due: VecDeque<Duration>,
    /// Since when it has nothing to do.
    free: Duration,
    buffer: Vec<u8>,
    filled: usize,
}

impl Client {
    fn new(load: OpenLoop, start: Instant) -> Result<Self> {
        load.priority.take();
        // Not to be had everywhere; the report shows how late the client's own thread was.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", load.path, load.address);
        let lines = (0..load.connections).map(|_| Line {
            socket: None,
            asked: None,
            due: VecDeque::new(),
            free: Duration::ZERO,
            buffer: vec![0; 16 << 10],
            filled: 0,
        });
        let mut client = Self {
            start,
            request: request.into_bytes(),
            expected: Expected::new(&load.expected),
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            lines: lines.collect(),
            load,
            released: 0,
            samples: vec![],
            first_error: None,
        };
        for index in 0..client.lines.len() {
            // One that is refused here is told by the first request.
            client.lines[index].socket = client.connect(index).ok();
        }
        Ok(client)
    }

    fn now(&self) -> Duration {
        Instant::now().saturating_duration_since(self.start)
    }

    /// When the request of this number is due.
    fn due(&self, number: u32) -> Duration {
        Duration::from_secs_f64(f64::from(number) / self.load.rate)
    }

    /// Works until it is told to stop, and what is on its way then has been answered.
    fn work(&mut self, stop: &AtomicBool) -> Result<()> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(self.lines.len().max(1));
        if let Some(wait) = self.start.checked_duration_since(Instant::now()) {
            std::thread::sleep(wait);
        }
        let mut looked = Duration::ZERO;
        loop {
            let now = self.now();
            let stopped = stop.load(Relaxed);
            if stopped && self.lines.iter().all(|line| line.asked.is_none()) {
                return Ok(());
            }
            while !stopped && self.due(self.released) <= now {
                let index = self.released as usize % self.lines.len();
                let due = self.due(self.released);
                self.lines[index].due.push_back(due);
                self.released += 1;
                self.ask(index);
            }
            if now >= looked + LOOK {
                looked = now;
                self.give_up_on_the_late(now);
            }
            let wait =
                if stopped { LOOK } else { self.due(self.released).saturating_sub(self.now()).min(LOOK) };
            let wait = rustix::time::Timespec::try_from(wait)?;
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("the load's own event queue"),
            }
            for event in &events {
                let index = usize::try_from(event.data.u64())?;
                self.hear(index, stopped);
            }
        }
    }

    /// Sends what is due first, if nothing is on its way.
    fn ask(&mut self, index: usize) {
        let now = self.now();
        let line = &mut self.lines[index];
        if line.asked.is_some() {
            return;
        }
        let Some(due) = line.due.pop_front() else { return };
        (line.asked, line.filled) = (Some((due, now)), 0);
        if let Err(error) = self.send(index) {
            self.over(index, Err(error));
        }
    }

    fn send(&mut self, index: usize) -> Result<()> {
        if self.lines[index].socket.is_none() {
            self.lines[index].socket = Some(self.connect(index)?);
        }
        let socket = self.lines[index].socket.as_mut().context("no connection")?;
        // So short that the kernel takes it whole from a connection that has nothing else on its way.
        Ok(socket.write_all(&self.request)?)
    }

    fn connect(&self, index: usize) -> Result<TcpStream> {
        let socket = TcpStream::connect_timeout(&self.load.address, LIMIT)
            .context("the server takes no connection")?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let token = epoll::EventData::new_u64(index as u64);
        epoll::add(&self.epoll, &socket, token, epoll::EventFlags::IN)?;
        Ok(socket)
    }

    /// Something came, or the connection ended.
    fn hear(&mut self, index: usize, stopped: bool) {
        match self.read(index) {
            Ok(None) => return,
            Ok(Some(closes)) => {
                if closes {
                    self.lines[index].socket = None;
                }
                self.over(index, Ok(()));
            }
            Err(error) => self.over(index, Err(error)),
        }
        if !stopped {
            self.ask(index);
        }
    }

    /// Whether the answer is whole; and whether its connection ends with it.
    fn read(&mut self, index: usize) -> Result<Option<bool>> {
        let line = &mut self.lines[index];
        let Some(socket) = &mut line.socket else { return Ok(None) };
        let read = match socket.read(&mut line.buffer[line.filled..]) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(None);
            }
            other => other?,
        };
        if read == 0 {
            bail!("the server hung up");
        }
        line.filled += read;
        match self.expected.judge(&line.buffer[..line.filled]) {
            Verdict::Incomplete if line.filled == line.buffer.len() => bail!("an answer without an end"),
            Verdict::Incomplete => Ok(None),
            Verdict::Wrong(why) => Err(anyhow!(why)),
            Verdict::Right { closes } => Ok(Some(closes)),
        }
    }

    /// The request that was on its way has ended like that.
    fn over(&mut self, index: usize, how: Result<()>) {
        let now = self.now();
        let line = &mut self.lines[index];
        if let Some((due, sent)) = line.asked.take() {
            self.samples.push(Sample {
                due,
                took: now.saturating_sub(due),
                late: sent.saturating_sub(due.max(line.free)),
                right: how.is_ok(),
            });
        }
        line.free = now;
        if let Err(error) = how {
            line.socket = None;
            self.first_error.get_or_insert(format!("{error:#}"));
        }
    }

    fn give_up_on_the_late(&mut self, now: Duration) {
        for index in 0..self.lines.len() {
            let late = |(_, sent): (Duration, Duration)| now.saturating_sub(sent) > LIMIT;
            if self.lines[index].asked.is_some_and(late) {
                self.over(index, Err(anyhow!("no answer within {LIMIT:?}")));
                self.ask(index);
            }
        }
    }
}
