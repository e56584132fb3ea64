//! One abuse from the start of its server to its end: undisturbed, abuse, recovery, with the victim called throughout.
//! Must never use one server for two abuses: what the first leaves behind would be the second one's.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::HELLO;
use crate::abuses::{Abuse, Guest};
use crate::attack::{Attack, Tally, Target};
use crate::guests;
use crate::machine;
use crate::open_loop::{OpenLoop, Priority};
use crate::pauses::Heartbeat;
use crate::phase::{Phase, between};
use crate::process;
use crate::spawnpoint::{OPTIMISED, Place, Spawnpoint, path_in};
use crate::stats;
use crate::timeline::{Phases, Times};
use crate::wasm;

/// How every abuse is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) phase: Duration,
    pub(crate) connections: usize,
    /// Of the victim.
    pub(crate) rate: f64,
    pub(crate) priority: Priority,
    pub(crate) abuser: Priority,
}

/// What one abuse did.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Without what was due while the machine stood still.
    pub(crate) victim: Phases,
    /// With that.
    pub(crate) with_pauses: Phases,
    /// The part of the time that the machine stood still, or caught up, before the abuse and while it went on.
    pub(crate) paused: [f64; 2],
    pub(crate) first_error: Option<String>,
    /// How the abuser's calls ended.
    pub(crate) abuser: Tally,
    /// The part of them that ended as they do where the abuse takes place.
    pub(crate) took_place: f64,
    /// Cores that were busy while the abuse went on: the server's with its children, both loads', everybody else's.
    pub(crate) server_cores: f64,
    pub(crate) load_cores: f64,
    pub(crate) other_cores: f64,
    /// The same of everybody else while there was no abuse.
    pub(crate) other_cores_before: f64,
    pub(crate) peak_mib: u64,
    /// Children of the server that outlived it.
    pub(crate) left: usize,
}

/// The part of an abuse's calls that must have ended as they should.
const TOOK_PLACE: f64 = 0.5;
/// Cores that others may use without a row being called disturbed.
const OTHERS: f64 = 0.2;
const VICTIM: &str = "victim";
const NOISY: &str = "noisy";
/// Connections of the victim's clients. So many that a call which takes long does not keep those behind it from being
/// sent: with fewer, a wait of some milliseconds at the server becomes a queue at the client, and grows without end.
pub(crate) const CLIENTS: u32 = 256;
/// A p99 up to which the victim counts as undisturbed by its own load, in microseconds.
pub(crate) const FLAT_US: f64 = 2_000.0;
/// Where the search for the rate begins, where it gives up, and what it is multiplied with.
const FIRST: f64 = 1_000.0;
const LAST: f64 = 100_000.0;
const STEP: f64 = 1.25;
/// What the victim is called before anything is measured.
const WARM_UP: Duration = Duration::from_millis(400);
/// A server that is told to end may still compile; what it waits for that is not what is measured.
const SETTINGS: &str = "[server]\ndrain_ms = 200\n";

/// The highest rate at which the victim's p99 stays below [`FLAT_US`] with nobody else there, in requests a second. Twice
/// above it, one after the other, is the end: once can be somebody else's doing.
pub(crate) fn knee(place: &Place, priority: Priority, quick: bool) -> Result<f64> {
    let server = prepared(place, "knee", None)?;
    let stretch = Duration::from_millis(if quick { 300 } else { 1_000 });
    let (mut rate, mut best, mut above) = (FIRST, None, 0);
    while above < 2 && rate < LAST {
        let heartbeat = Heartbeat::start(&place.cores);
        let running = victim(&server, rate, priority).start();
        std::thread::sleep(Duration::from_millis(100) + WARM_UP + stretch);
        let pauses = heartbeat.finish(running.start)?;
        let (samples, first_error) = running.finish()?;
        let samples = pauses.without(&samples);
        let phase = Phase::of(between(&samples, WARM_UP, WARM_UP + stretch));
        ensure!(phase.errors == 0, "the victim fails undisturbed: {}", first_error.unwrap_or_default());
        if phase.p99 <= FLAT_US {
            (best, above) = (Some(rate), 0);
        } else {
            above += 1;
        }
        rate *= STEP;
    }
    best.with_context(|| {
        format!("the victim's p99 is above {FLAT_US} us at {FIRST} requests a second already")
    })
}

fn victim(server: &Spawnpoint, rate: f64, priority: Priority) -> OpenLoop {
    OpenLoop {
        address: server.ingress,
        path: path_in(VICTIM, "hello"),
        expected: HELLO.to_owned(),
        rate,
        connections: CLIENTS,
        priority,
    }
}

/// One row of many of the same abuse: medians of what was measured, everything that went wrong.
pub(crate) fn median(rows: &[Row]) -> Option<Row> {
    let all = |of: fn(&Row) -> f64| stats::median(rows.iter().map(of));
    let phases = |of: fn(&Row) -> Phases| Phases::median(&rows.iter().map(of).collect::<Vec<_>>());
    let mut abuser = Tally::new();
    for (what, count) in rows.iter().flat_map(|row| &row.abuser) {
        *abuser.entry(what.clone()).or_default() += count;
    }
    let first = rows.first()?;
    Some(Row {
        name: first.name,
        about: first.about,
        victim: phases(|row| row.victim),
        with_pauses: phases(|row| row.with_pauses),
        paused: [all(|row| row.paused[0]), all(|row| row.paused[1])],
        first_error: rows.iter().find_map(|row| row.first_error.clone()),
        abuser,
        // One round without the abuse is one too many.
        took_place: rows.iter().map(|row| row.took_place).fold(1.0, f64::min),
        server_cores: all(|row| row.server_cores),
        load_cores: all(|row| row.load_cores),
        other_cores: all(|row| row.other_cores),
        other_cores_before: all(|row| row.other_cores_before),
        peak_mib: rows.iter().map(|row| row.peak_mib).max()?,
        left: rows.iter().map(|row| row.left).sum(),
    })
}

pub(crate) fn run((abuse, published): (&Abuse, &[u8]), plan: &Plan, place: &Place) -> Result<Row> {
    let server = prepared(place, abuse.name, Some(abuse))?;
    let target = Target {
        ingress: server.ingress,
        admin: server.admin_address,
        token: server.token.clone(),
        function: path_in(NOISY, "abuser").trim_end_matches('/').to_owned(),
        tenant: NOISY,
    };
    let attack = Attack::new((abuse, published.to_vec()), target, (plan.connections, plan.abuser));
    let victim = victim(&server, plan.rate, plan.priority);
    let pid = server.child.pid();
    let heartbeat = Heartbeat::start(&place.cores);
    let running = victim.start();
    let start = running.start;
    let since = || Instant::now().saturating_duration_since(start);
    std::thread::sleep(Duration::from_millis(100) + WARM_UP);

    let (begin, before) = (since(), Busy::now(pid));
    std::thread::sleep(plan.phase);
    let (abused, middle) = (since(), Busy::now(pid));
    let stop = AtomicBool::new(false);
    let (tally, stopped, after) = std::thread::scope(|scope| -> Result<_> {
        let attacking = scope.spawn(|| attack.run(&stop));
        std::thread::sleep(plan.phase);
        let after = Busy::now(pid);
        let stopped = since();
        stop.store(true, Relaxed);
        let tally = attacking.join().map_err(|_| anyhow::anyhow!("the abuse panicked"))??;
        Ok((tally, stopped, after))
    })?;
    std::thread::sleep((stopped + plan.phase).saturating_sub(since()));
    let times = Times { begin, abuse: abused, stop: stopped, end: since() };
    let peak_mib = server.child.memory().peak_kib / 1024;
    let children: Vec<u32> = process::family(pid).into_iter().filter(|child| *child != pid).collect();
    let pauses = heartbeat.finish(start)?;
    let (samples, first_error) = running.finish()?;
    drop(server);
    let (calm, busy) = (middle.less(&before), after.less(&middle));
    Ok(Row {
        name: abuse.name,
        about: abuse.about,
        victim: Phases::of(&pauses.without(&samples), times),
        with_pauses: Phases::of(&samples, times),
        paused: [pauses.share(times.begin, times.abuse), pauses.share(times.abuse, times.stop)],
        first_error,
        took_place: abuse.took_place(&tally),
        abuser: tally,
        server_cores: busy.server,
        load_cores: busy.load,
        other_cores: busy.others(),
        other_cores_before: calm.others(),
        peak_mib,
        left: end(&children),
    })
}

/// Waits for what a server has started to end with it; ends what does not, and tells how many those were.
fn end(children: &[u32]) -> usize {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) && children.iter().any(|child| process::compiles(*child)) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let left = children.iter().filter(|child| process::compiles(**child));
    left.map(|child| process::end(*child)).count()
}

/// A server with the victim's function and the abuser's, both of which have answered or could.
fn prepared(place: &Place, name: &str, abuse: Option<&Abuse>) -> Result<Spawnpoint> {
    // Read first: the first of them may have all guests built, and a server hangs up on who idles for that long.
    let hello = std::fs::read(guests::path("hello")?)?;
    let wasm = match abuse.map(|abuse| abuse.guest) {
        Some(Guest::Built(name)) => Some(wasm::built(name)?),
        Some(Guest::Wat(name)) => Some(wasm::wat(name)?),
        None => None,
    };
    // With a folder of its own as well: what an earlier round has published would be there already.
    let place = Place { dir: tempfile::tempdir_in(&place.dir)?.keep(), ..place.clone() };
    let mut server = Spawnpoint::start(&place, name, SETTINGS)?;
    server.make_tenant(VICTIM)?;
    server.make_tenant(NOISY)?;
    // The abuser's breaker alone is off, or most of what fails each time would be refused.
    let victims = Place { breaker_off: false, ..place.clone() };
    server.deploy_in(VICTIM, "hello", &hello, &victims.manifest(false))?;
    if let Some(wasm) = wasm {
        let deployed = server.deploy_in(NOISY, "abuser", &wasm, &place.manifest(false));
        deployed.with_context(|| format!("the guest of `{name}`"))?;
    }
    server.optimised(OPTIMISED)?;
    Ok(server)
}

/// Seconds of CPU time that were used.
struct Busy {
    at: Instant,
    server: f64,
    load: f64,
    all: f64,
}

impl Row {
    /// Whether the abuse took place, and the victim hardly noticed it.
    pub(crate) fn meets_the_bar(&self) -> bool {
        self.is_abuse() && self.victim.meets_the_bar()
    }

    /// Whether the abuse took place: its calls ended mostly as such an abuse ends.
    pub(crate) fn is_abuse(&self) -> bool {
        self.took_place >= TOOK_PLACE
    }

    /// Whether somebody else used so much of the machine that the figures are not the server's.
    pub(crate) fn disturbed(&self) -> bool {
        self.other_cores.max(self.other_cores_before) > OTHERS
    }
}

impl Busy {
    fn now(server: u32) -> Self {
        Self {
            at: Instant::now(),
            server: process::cpu_seconds(server),
            load: process::own_cpu_seconds(),
            all: machine::busy_seconds(),
        }
    }

    /// Cores, on average, since then.
    fn less(&self, before: &Self) -> Self {
        let seconds = (self.at - before.at).as_secs_f64().max(1e-3);
        Self {
            at: self.at,
            server: (self.server - before.server) / seconds,
            load: (self.load - before.load) / seconds,
            all: (self.all - before.all) / seconds,
        }
    }

    fn others(&self) -> f64 {
        (self.all - self.server - self.load).max(0.0)
    }
}
