//! Every way in which a neighbour is a nuisance: one line each.
//! Must never hold how it is done: see `attack`.

use anyhow::{Result, bail};

use crate::attack::Tally;
use crate::floods::Flood;

/// One abuse.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Abuse {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) guest: Guest,
    pub(crate) way: Way,
    /// How its calls end where the abuse takes place, and is not refused before it does any harm.
    pub(crate) ends: &'static [&'static str],
}

/// The function that is deployed for it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Guest {
    /// Of `tests/guests/examples`.
    Built(&'static str),
    /// Of `tests/guests/wat`.
    Wat(&'static str),
}

/// What its clients do, each in a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Call, read the whole answer, again.
    Call(&'static str),
    /// Call, never read the answer.
    Unread,
    /// Send a body of this many bytes.
    Body(usize),
    /// Call with as large a head as is allowed.
    Head,
    /// Connect, call, hang up.
    Churn,
    /// Many connections, a byte of a head each second.
    Slowloris,
    /// Publish small functions that are all different.
    Deploys,
    /// Publish functions that are too expensive to compile.
    Bombs,
    /// Publish what loops at its start.
    SpinInStart,
    /// Send what no client in good faith sends, until the server has had enough.
    Flood(Flood),
}

/// Calls that are still under way at the end.
const OPEN: &str = "unanswered";
const ANSWERED: &[&str] = &["200"];
const CPU: &[&str] = &["502 cpu_limit", OPEN];
const MEMORY: &[&str] = &["502 memory_limit", OPEN];
const TRAP: &[&str] = &["502 guest_trap"];
const CUT: &[&str] = &["200, cut", OPEN];

impl Abuse {
    /// A guest of that name, called again and again.
    const fn call(name: &'static str, ends: &'static [&'static str], about: &'static str) -> Self {
        Self { name, about, guest: Guest::Built(name), way: Way::Call("/"), ends }
    }

    const fn wat(name: &'static str, ends: &'static [&'static str], about: &'static str) -> Self {
        Self { guest: Guest::Wat(name), ..Self::call(name, ends, about) }
    }

    /// By another guest, in another way.
    const fn by(self, guest: &'static str, way: Way) -> Self {
        Self { guest: Guest::Built(guest), way, ..self }
    }

    /// The part of these calls that ended as they should. Where all of them end, those under way do not count.
    pub(crate) fn took_place(&self, tally: &Tally) -> f64 {
        let is_right = |what: &str| self.ends.contains(&what);
        let right: u64 = tally.iter().filter(|(what, _)| is_right(what)).map(|(_, count)| count).sum();
        let all = tally.iter().filter(|(what, _)| is_right(what) || *what != OPEN);
        let all: u64 = all.map(|(_, count)| count).sum();
        #[expect(clippy::cast_precision_loss, reason = "both are far below 2^53")]
        let part = right as f64 / all.max(1) as f64;
        part
    }
}

/// The control: no abuse at all.
pub(crate) const HONEST: &str = "honest";

pub(crate) const ALL: &[Abuse] = &[
    Abuse::call(HONEST, ANSWERED, "no abuse: as many connections call a function that answers at once")
        .by("ok", Way::Call("/")),
    Abuse::call("spin", CPU, "an endless loop"),
    Abuse::call("spin_p3", CPU, "an endless loop, wasi:http 0.3").by("many_p3", Way::Call("/?do=spin")),
    Abuse::call("spin_after_head", CUT, "an endless loop behind the head of the answer"),
    Abuse::call("poll_loop", CPU, "polls a timer of zero for ever"),
    Abuse::call("clock_loop", CPU, "asks what time it is, for ever"),
    Abuse::call("hog", MEMORY, "takes memory until it is refused, then traps"),
    Abuse::wat("memory_fill", CPU, "fills 16 MiB in one instruction, for ever"),
    Abuse::wat("memory_copy", CPU, "copies 8 MiB in one instruction, for ever"),
    Abuse::wat("table_grow", MEMORY, "grows a table until it is refused, then traps"),
    Abuse::call("deep_recursion", TRAP, "overflows its stack"),
    Abuse::call("unreachable", TRAP, "a storm of traps"),
    Abuse::call("handles", TRAP, "a million handles"),
    Abuse::call("fields_flood", &["200", "502 guest_trap"], "a million fields in the head of the answer"),
    Abuse::call(
        "trailer_flood",
        &["200", "200, cut", "502 guest_trap"],
        "trailers of the answer without an end",
    ),
    Abuse::call("giant_strings", CPU, "hands strings of 3 MiB to the host, for ever"),
    Abuse::call("random_flood", TRAP, "asks for a GiB of random bytes at once"),
    Abuse::call("stdout_flood", CPU, "prints colour codes and forged log lines for ever"),
    Abuse::call("flood", CUT, "an endless answer, read as fast as it comes"),
    Abuse::call("flood_unread", &["held"], "an endless answer that nobody reads").by("flood", Way::Unread),
    Abuse::call("drip", CUT, "an answer of one byte each 100 ms"),
    Abuse::call("sleep", &["504 timeout", OPEN], "sleeps for ever"),
    Abuse::call("never_read", &["200", "cut"], "bodies of 8 MiB to a guest that reads none of them")
        .by("never_read", Way::Body(8 << 20)),
    Abuse::call("heads", ANSWERED, "heads of 15 KiB in 90 fields").by("ok", Way::Head),
    Abuse::call("trailers_sent", &["400", "ended"], "requests with 10,000 trailers")
        .by("read_slowly", Way::Flood(Flood::Trailers)),
    Abuse::call("framing", &["400", "ended"], "requests that two readers could take for two things")
        .by("ok", Way::Flood(Flood::Framing)),
    Abuse::call("pipelining", &["200", "flooded"], "a hundred requests at once on each connection")
        .by("ok", Way::Flood(Flood::Pipelining)),
    Abuse::call(
        "rapid_reset",
        &["ended", "flooded"],
        "HTTP/2: streams that are reset as soon as they are opened",
    )
    .by("ok", Way::Flood(Flood::RapidReset)),
    Abuse::call("h2_streams", &["ended", "flooded"], "HTTP/2: more streams at once than are allowed")
        .by("sleep", Way::Flood(Flood::Streams)),
    Abuse::call("h2_pings", &["ended", "flooded"], "HTTP/2: nothing but pings")
        .by("ok", Way::Flood(Flood::Pings)),
    Abuse::call("churn", ANSWERED, "a connection for each call").by("ok", Way::Churn),
    Abuse::call("slowloris", &["opened"], "500 connections, a byte of a head each second")
        .by("ok", Way::Slowloris),
    Abuse::call("deploys", &["200", "201"], "publishes small functions, each of them new")
        .by("ok", Way::Deploys),
    Abuse::call(
        "compile_bombs",
        &["422 compile_limit", OPEN],
        "publishes functions that are too expensive to compile",
    )
    .by("ok", Way::Bombs),
    Abuse::call("spin_in_start", &["422 cpu_limit", OPEN], "publishes what loops while it is instantiated")
        .by("ok", Way::SpinInStart),
];

/// The abuses of these names, or all.
pub(crate) fn named(only: &[String]) -> Result<Vec<Abuse>> {
    let known = |name: &&String| ALL.iter().any(|abuse| abuse.name == *name);
    if let Some(unknown) = only.iter().find(|name| !known(name)) {
        let names: Vec<&str> = ALL.iter().map(|abuse| abuse.name).collect();
        bail!("`--only {unknown}`: there are {}", names.join(", "));
    }
    let wanted = |abuse: &&Abuse| only.is_empty() || only.iter().any(|name| name == abuse.name);
    Ok(ALL.iter().filter(wanted).copied().collect())
}
