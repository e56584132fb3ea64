//! The clients of an abuse: so many at once, each in a closed loop, until they are told to stop.
//! Must never go on for longer than that, and must never touch anything but the server under test.
//!
//! A thread for each core has all of them. The kernel owes each thread that is ready a moment of a core, however low its
//! priority is: sixteen of them, which a client elsewhere would not have here, took the server's threads' place for up to half a
//! millisecond each time.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ::spawnpoint::tasks;
use anyhow::{Result, anyhow};
use tokio::task::LocalSet;

use crate::abuses::{Abuse, Way};
use crate::bombs;
use crate::floods::Flood;
use crate::open_loop::Priority;
use crate::process;
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
pub(crate) struct Attack {
    what: Arc<What>,
    connections: usize,
    priority: Priority,
}

/// What each of its clients does.
struct What {
    way: Way,
    target: Target,
    request: Vec<u8>,
    /// What is published.
    wasm: Vec<u8>,
}

/// What became of the calls of one thread's clients so far.
#[derive(Default)]
struct Account {
    tally: RefCell<Tally>,
    /// Calls that wait for an answer.
    asked: Cell<u64>,
}

impl Account {
    fn count(&self, what: &str) {
        count(&mut self.tally.borrow_mut(), what);
    }
}

/// After a connection that failed: a client that does not wait measures its own speed at failing.
const PAUSE: Duration = Duration::from_millis(5);
/// How often a thread looks whether the abuse is over.
const LOOK: Duration = Duration::from_millis(20);
/// Connections of a slowloris, and how many of them it visits at once.
const SLOW: usize = 500;
const VISITED: usize = 50;

/// What an abuse publishes, if it does. To be made long before anybody is called: making it takes much memory, and clearing that
/// away makes clients late.
pub(crate) fn published(abuse: &Abuse) -> Result<Vec<u8>> {
    match abuse.way {
        Way::Deploys => wasm::built("ok"),
        // As text: what a toolchain makes of the same in Rust starts with the first call.
        Way::SpinInStart => wasm::wat("spin_in_start"),
        Way::Bombs => bombs::component_of(60_000),
        _ => Ok(vec![]),
    }
}

impl Attack {
    /// So many clients of that priority. `wasm` is what they [publish](published).
    pub(crate) fn new(
        (abuse, wasm): (&Abuse, Vec<u8>),
        target: Target,
        (connections, priority): (usize, Priority),
    ) -> Self {
        let request = request(abuse.way, &target);
        let what = Arc::new(What { way: abuse.way, target, request, wasm });
        Self { what, connections, priority }
    }

    /// Goes on until `stop`.
    pub(crate) fn run(&self, stop: &AtomicBool) -> Result<Tally> {
        if self.what.way == Way::Slowloris {
            self.priority.take();
            return Ok(self.what.slowloris(stop));
        }
        let threads = process::cores().len().clamp(1, self.connections);
        let mut all = Tally::new();
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..threads).map(|first| scope.spawn(move || self.clients((first, threads), stop))).collect();
            for thread in threads {
                let tally = thread.join().map_err(|_| anyhow!("a client of the abuse panicked"))??;
                for (what, count) in tally {
                    *all.entry(what).or_default() += count;
                }
            }
            Ok(all)
        })
    }

    /// One thread's: each of so many, from the first one on.
    fn clients(&self, (first, each): (usize, usize), stop: &AtomicBool) -> Result<Tally> {
        self.priority.take();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (account, clients) = (Rc::new(Account::default()), LocalSet::new());
        clients.block_on(&runtime, async {
            for index in (first..self.connections).step_by(each) {
                tasks::local(client(self.what.clone(), index, account.clone()));
            }
            while !stop.load(Relaxed) {
                tokio::time::sleep(LOOK).await;
            }
        });
        drop(clients);
        let mut tally = account.tally.take();
        if let asked @ 1.. = account.asked.get() {
            *tally.entry("unanswered".to_owned()).or_default() += asked;
        }
        Ok(tally)
    }
}

/// One connection after the other, until nobody polls it.
async fn client(what: Arc<What>, index: usize, account: Rc<Account>) {
    let mut wire: Option<Wire> = None;
    let publishes = matches!(what.way, Way::Deploys | Way::Bombs | Way::SpinInStart);
    let address = if publishes { what.target.admin } else { what.target.ingress };
    let mut turn = 0_usize;
    loop {
        let open = match wire.take() {
            Some(open) => Some(open),
            None => Wire::connect(address).await.ok(),
        };
        let Some(mut open) = open else {
            account.count("no connection");
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        if let Way::Flood(flood) = what.way {
            what.flood(flood, &mut open, &account).await;
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let published = publishes.then(|| what.publish((index, turn)));
        turn += 1;
        // A server that answers early may stop reading: its answer says more than the error does.
        let _ = open.write(published.as_deref().unwrap_or(&what.request)).await;
        if what.way == Way::Unread {
            account.count("held");
            std::future::pending::<()>().await;
        }
        account.asked.set(account.asked.get() + 1);
        let ended = open.answer().await;
        account.asked.set(account.asked.get() - 1);
        match ended {
            Ended::Answered { told, closes } => {
                account.count(&told);
                wire = Some(open).filter(|_| !closes && what.way != Way::Churn);
            }
            Ended::Cut { told } => {
                account.count(&told.map_or("cut".to_owned(), |told| format!("{told}, cut")));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl What {
    /// A request that publishes something that nobody has compiled.
    fn publish(&self, (index, turn): (usize, usize)) -> Vec<u8> {
        let Target { admin, token, tenant, .. } = &self.target;
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

    /// Floods one connection until the server ends it.
    async fn flood(&self, flood: Flood, wire: &mut Wire, account: &Account) {
        for number in 0.. {
            let (goes_on, statuses) = wire.exchange(&flood.piece(&self.target.function, number)).await;
            for status in statuses {
                account.count(&status);
            }
            account.count(if goes_on { "flooded" } else { "ended" });
            if !goes_on {
                return;
            }
        }
    }

    fn slowloris(&self, stop: &AtomicBool) -> Tally {
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
