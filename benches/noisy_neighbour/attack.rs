//! The clients of an abuse: so many at once, each in a closed loop, until they are told to stop.
//! Must never go on for longer than that, and must never touch anything but the server under test.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::abuses::{Abuse, Way};
use crate::bombs;
use crate::open_loop::Priority;
use crate::wasm::{self, salted};
use crate::wire::{Ended, Wire};

/// Whom an abuse is done to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) ingress: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) token: String,
    /// Where the abuser's function answers, without the slash at its end.
    pub(crate) function: String,
    /// Whose functions are published.
    pub(crate) tenant: &'static str,
}

/// How often what came of it.
pub(crate) type Tally = BTreeMap<String, u64>;

/// An abuse that is about to begin: what takes time to make is made.
pub(crate) struct Attack<'a> {
    way: Way,
    target: &'a Target,
    connections: usize,
    priority: Priority,
    request: Vec<u8>,
    /// What is published.
    wasm: Vec<u8>,
}

/// After a connection that failed: a client that does not wait measures its own speed at failing.
const PAUSE: Duration = Duration::from_millis(5);
/// Connections of a slowloris, and how many of them it visits at once.
const SLOW: usize = 500;
const VISITED: usize = 50;

impl<'a> Attack<'a> {
    /// So many clients of that priority.
    pub(crate) fn new(
        abuse: &Abuse,
        target: &'a Target,
        (connections, priority): (usize, Priority),
    ) -> Result<Self> {
        let wasm = match abuse.way {
            Way::Deploys => wasm::built("ok")?,
            // As text: what a toolchain makes of the same in Rust starts with the first call.
            Way::SpinInStart => wasm::wat("spin_in_start")?,
            Way::Bombs => bombs::component_of(60_000)?,
            _ => vec![],
        };
        let request = request(abuse.way, target);
        Ok(Self { way: abuse.way, target, connections, priority, request, wasm })
    }

    /// Goes on until `stop`.
    pub(crate) fn run(&self, stop: &AtomicBool) -> Result<Tally> {
        if self.way == Way::Slowloris {
            return Ok(self.slowloris(stop));
        }
        let mut all = Tally::new();
        std::thread::scope(|scope| {
            let clients: Vec<_> =
                (0..self.connections).map(|index| scope.spawn(move || self.client(index, stop))).collect();
            for client in clients {
                let tally = client.join().map_err(|_| anyhow!("a client of the abuse panicked"))?;
                for (what, count) in tally {
                    *all.entry(what).or_default() += count;
                }
            }
            Ok(all)
        })
    }

    fn client(&self, index: usize, stop: &AtomicBool) -> Tally {
        self.priority.take();
        let mut tally = Tally::new();
        let mut wire: Option<Wire<'_>> = None;
        let publishes = matches!(self.way, Way::Deploys | Way::Bombs | Way::SpinInStart);
        let address = if publishes { self.target.admin } else { self.target.ingress };
        let mut turn = 0_usize;
        while !stop.load(Relaxed) {
            let Some(mut open) = wire.take().or_else(|| Wire::connect(address, stop).ok()) else {
                count(&mut tally, "no connection");
                std::thread::sleep(PAUSE);
                continue;
            };
            let bytes = if publishes { self.publish((index, turn)) } else { self.request.clone() };
            turn += 1;
            // A server that answers early may stop reading: its answer says more than the error does.
            let _ = open.write(&bytes);
            if self.way == Way::Unread {
                open.hold();
                count(&mut tally, "held");
                continue;
            }
            match open.answer() {
                Ended::Stopped => count(&mut tally, "unanswered"),
                Ended::Answered { told, closes } => {
                    count(&mut tally, &told);
                    wire = Some(open).filter(|_| !closes && self.way != Way::Churn);
                }
                Ended::Cut { told } => {
                    count(&mut tally, &told.map_or("cut".to_owned(), |told| format!("{told}, cut")));
                    std::thread::sleep(PAUSE);
                }
            }
        }
        tally
    }

    /// A request that publishes something that nobody has compiled.
    fn publish(&self, (index, turn): (usize, usize)) -> Vec<u8> {
        let Target { admin, token, tenant, .. } = self.target;
        let wasm = salted(&self.wasm, (index << 32) | turn);
        let mut bytes = format!(
            "PUT /v1/tenants/{tenant}/functions/storm-{index} HTTP/1.1\r\nHost: {admin}\r\n\
             authorization: Bearer {token}\r\ncontent-type: application/wasm\r\ncontent-length: {}\r\n\r\n",
            wasm.len()
        )
        .into_bytes();
        bytes.extend_from_slice(&wasm);
        bytes
    }

    fn slowloris(&self, stop: &AtomicBool) -> Tally {
        self.priority.take();
        let mut tally = Tally::new();
        let mut sockets: Vec<Option<TcpStream>> = (0..SLOW).map(|_| None).collect();
        let step = Duration::from_secs(1) / u32::try_from(SLOW / VISITED).unwrap_or(1);
        let mut round = 0;
        while !stop.load(Relaxed) {
            let began = Instant::now();
            // The first round opens them all.
            let visited = if round == 0 { SLOW } else { VISITED };
            for number in 0..visited {
                let socket = &mut sockets[(round * VISITED + number) % SLOW];
                let written = match socket {
                    Some(socket) => socket.write(b"x").map(drop),
                    None => TcpStream::connect_timeout(&self.target.ingress, Duration::from_secs(1))
                        .and_then(|mut new| {
                            new.set_nonblocking(true)?;
                            new.write_all(b"GET / HTTP/1.1\r\nx-slow: ")?;
                            *socket = Some(new);
                            count(&mut tally, "opened");
                            Ok(())
                        }),
                };
                if written.is_err() {
                    count(&mut tally, "cut");
                    *socket = None;
                }
                if stop.load(Relaxed) {
                    return tally;
                }
            }
            round += 1;
            std::thread::sleep(step.saturating_sub(began.elapsed()));
        }
        tally
    }
}

fn count(tally: &mut Tally, what: &str) {
    *tally.entry(what.to_owned()).or_default() += 1;
}

/// What is sent again and again.
fn request(way: Way, target: &Target) -> Vec<u8> {
    let Target { ingress, function, .. } = target;
    let get = |target: &str, fields: &str| {
        format!("GET {function}{target} HTTP/1.1\r\nHost: {ingress}\r\n{fields}\r\n").into_bytes()
    };
    match way {
        Way::Call(target) => get(target, ""),
        Way::Head => {
            let fields: Vec<String> =
                (0..90).map(|n| format!("x-{n}: {}\r\n", "large ".repeat(26))).collect();
            get("/", &fields.concat())
        }
        Way::Body(bytes) => {
            let head =
                format!("POST {function}/ HTTP/1.1\r\nHost: {ingress}\r\ncontent-length: {bytes}\r\n\r\n");
            [head.into_bytes(), vec![b'x'; bytes]].concat()
        }
        _ => get("/", ""),
    }
}
