//! The load: connections that are kept open, each with one request on its way, every answer checked.
//! Must never cost so much that it is the load that is measured: one event loop a thread, no runtime, two system
//! calls a request.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde::{Deserialize, Serialize};
use spawnpoint::bench::zipf::Zipf;

use super::answer::{self, Expected, Verdict};
use super::process;

/// What is sent where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    /// One path, or one for each function of a crowd.
    pub(crate) paths: Vec<String>,
    /// The exponent with which the n-th path is asked for less often than the first.
    pub(crate) zipf: f64,
    /// The body of every answer.
    pub(crate) expected: String,
    /// Calls that are to fail, mixed in.
    pub(crate) mixed: Option<Mixed>,
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    /// The server, whose CPU time is taken at both ends of what is measured.
    pub(crate) server: u32,
}

/// Calls that are to fail, spread evenly: of each hundred that a thread sends, so many, and always the same ones.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Mixed {
    pub(crate) path: String,
    pub(crate) percent: u32,
    /// With which status they fail; any other is an error.
    pub(crate) status: u16,
}

/// What came of it. Times in microseconds, from writing a request to having read its whole answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    pub(crate) server_cpu_seconds: f64,
    pub(crate) client_cpu_seconds: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    /// Connections that the server closed with an answer, as it may.
    pub(crate) reconnects: u64,
}

const WARM_UP: u8 = 0;
const MEASURE: u8 = 1;
const END: u8 = 2;

/// Errors after which a thread gives up.
const PATIENCE: u64 = 1_000;

struct Client<'a> {
    load: &'a Load,
    requests: &'a [Vec<u8>],
    pick: Zipf,
    /// What has been sent, modulo a hundred.
    turn: u32,
    expected: Expected,
    times: Histogram<u64>,
    poll: Poll,
    phase: &'a AtomicU8,
    errors: u64,
    first_error: Option<String>,
    reconnects: u64,
}

struct Connection {
    socket: TcpStream,
    token: Token,
    buffer: Vec<u8>,
    filled: usize,
    sent: Instant,
    /// Whether what is on its way is to fail.
    fails: bool,
}

/// Runs the load and returns what came of it.
pub(crate) fn run(load: &Load) -> Result<Measured> {
    ensure!(load.connections >= load.threads && load.threads > 0, "fewer connections than threads");
    // The one that is to fail stands behind those that may be picked.
    let requests: Vec<Vec<u8>> = load
        .paths
        .iter()
        .chain(load.mixed.as_ref().map(|mixed| &mixed.path))
        .map(|path| format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", load.address).into_bytes())
        .collect();
    let phase = AtomicU8::new(WARM_UP);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..load.threads)
            .map(|index| {
                let (requests, phase) = (&requests[..], &phase);
                scope.spawn(move || Client::new(load, requests, phase, index)?.work(index))
            })
            .collect();
        std::thread::sleep(load.warm_up);
        let me = std::process::id();
        let (server, client) = (process::cpu_seconds(load.server), process::cpu_seconds(me));
        let start = Instant::now();
        phase.store(MEASURE, Relaxed);
        std::thread::sleep(load.measured);
        phase.store(END, Relaxed);
        let seconds = start.elapsed().as_secs_f64();
        let server_cpu_seconds = process::cpu_seconds(load.server) - server;
        let client_cpu_seconds = process::cpu_seconds(me) - client;
        let mut all = Measured { seconds, server_cpu_seconds, client_cpu_seconds, ..Measured::default() };
        let mut times = histogram()?;
        for client in clients {
            let client = client.join().map_err(|_| anyhow!("a thread of the load panicked"))??;
            times.add(&client.times)?;
            all.errors += client.errors;
            all.reconnects += client.reconnects;
            all.first_error = all.first_error.or(client.first_error);
        }
        all.requests = times.len();
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds of less than a minute")]
        let at = |quantile: f64| times.value_at_quantile(quantile) as f64 / 1e3;
        (all.p50, all.p90, all.p99, all.p999, all.max) = (at(0.5), at(0.9), at(0.99), at(0.999), at(1.0));
        Ok(all)
    })
}

fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000_000, 3)?)
}

impl<'a> Client<'a> {
    fn new(load: &'a Load, requests: &'a [Vec<u8>], phase: &'a AtomicU8, index: usize) -> Result<Self> {
        Ok(Self {
            load,
            requests,
            pick: Zipf::new(load.paths.len(), load.zipf, index as u64),
            turn: 0,
            expected: Expected::new(&load.expected),
            times: histogram()?,
            poll: Poll::new()?,
            phase,
            errors: 0,
            first_error: None,
            reconnects: 0,
        })
    }

    fn work(mut self, index: usize) -> Result<Self> {
        let count = (index..self.load.connections).step_by(self.load.threads).count();
        let mut connections = vec![];
        for number in 0..count {
            connections.push(self.connect(Token(number))?);
        }
        let mut events = Events::with_capacity(count.max(16));
        while self.phase.load(Relaxed) != END && self.errors < PATIENCE {
            match self.poll.poll(&mut events, Some(Duration::from_millis(20))) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                let Some(connection) = connections.get_mut(event.token().0) else { continue };
                if let Err(error) = self.advance(connection) {
                    self.failed(format!("{error:#}"));
                    *connection = self.connect(connection.token)?;
                }
            }
        }
        Ok(self)
    }

    fn failed(&mut self, why: String) {
        self.errors += 1;
        self.first_error.get_or_insert(why);
    }

    /// A new connection, with its first request sent.
    fn connect(&mut self, token: Token) -> Result<Connection> {
        let socket = std::net::TcpStream::connect_timeout(&self.load.address, Duration::from_secs(5))
            .context("the server takes no connection")?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let mut socket = TcpStream::from_std(socket);
        self.poll.registry().register(&mut socket, token, Interest::READABLE)?;
        let buffer = vec![0; 16 << 10];
        let mut connection =
            Connection { socket, token, buffer, filled: 0, sent: Instant::now(), fails: false };
        self.send(&mut connection, Instant::now())?;
        Ok(connection)
    }

    fn send(&mut self, connection: &mut Connection, now: Instant) -> Result<()> {
        connection.fails = self.next_fails();
        let request = match self.requests.last() {
            Some(last) if connection.fails => last,
            _ => &self.requests[self.pick.pick()],
        };
        connection.filled = 0;
        connection.sent = now;
        let written = connection.socket.write(request)?;
        ensure!(written == request.len(), "the socket took only part of a request");
        Ok(())
    }

    /// Whether the next one is to fail: the step of a line that climbs by so many in a hundred.
    fn next_fails(&mut self) -> bool {
        let Some(mixed) = &self.load.mixed else { return false };
        let steps = |turn: u32| turn * mixed.percent / 100;
        let fails = steps(self.turn + 1) > steps(self.turn);
        self.turn = (self.turn + 1) % 100;
        fails
    }

    /// What this connection has read, judged by what it has asked for.
    fn judge(&self, connection: &Connection) -> Verdict {
        let bytes = &connection.buffer[..connection.filled];
        match &self.load.mixed {
            Some(mixed) if connection.fails => answer::fails_with(bytes, mixed.status),
            _ => self.expected.judge(bytes),
        }
    }

    /// Reads what there is; when the answer is whole, notes it and sends the next request.
    fn advance(&mut self, connection: &mut Connection) -> Result<()> {
        loop {
            if connection.filled == connection.buffer.len() {
                let twice = connection.buffer.len() * 2;
                ensure!(twice <= 1 << 20, "an answer without an end");
                connection.buffer.resize(twice, 0);
            }
            let room = connection.buffer.len() - connection.filled;
            let read = match connection.socket.read(&mut connection.buffer[connection.filled..]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                other => other?,
            };
            ensure!(read > 0, "the server hung up on a request");
            connection.filled += read;
            match self.judge(connection) {
                // What comes later is told by another event, as long as this read was not cut short by the buffer.
                Verdict::Incomplete if read < room => return Ok(()),
                Verdict::Incomplete => {}
                Verdict::Wrong(why) => return Err(anyhow!(why)),
                Verdict::Right { closes } => return self.answered(connection, closes),
            }
        }
    }

    fn answered(&mut self, connection: &mut Connection, closes: bool) -> Result<()> {
        let now = Instant::now();
        if self.phase.load(Relaxed) == MEASURE {
            let nanos = u64::try_from((now - connection.sent).as_nanos()).unwrap_or(u64::MAX);
            self.times.saturating_record(nanos);
        }
        if closes {
            self.reconnects += 1;
            *connection = self.connect(connection.token)?;
            return Ok(());
        }
        self.send(connection, now)
    }
}
