//! Every way in which a neighbour is a nuisance: one line each.
//! Must never hold how it is done: see `attack`.

use anyhow::{Result, bail};

/// One abuse.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Abuse {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) guest: Guest,
    pub(crate) way: Way,
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
}

const fn call(name: &'static str, about: &'static str) -> Abuse {
    at(name, "/", about)
}

/// A guest of that name, called with this target.
const fn at(name: &'static str, target: &'static str, about: &'static str) -> Abuse {
    Abuse { name, about, guest: Guest::Built(name), way: Way::Call(target) }
}

const fn built(name: &'static str, guest: &'static str, way: Way, about: &'static str) -> Abuse {
    Abuse { name, about, guest: Guest::Built(guest), way }
}

const fn wat(name: &'static str, about: &'static str) -> Abuse {
    Abuse { name, about, guest: Guest::Wat(name), way: Way::Call("/") }
}

/// The control: no abuse at all.
pub(crate) const HONEST: &str = "honest";

pub(crate) const ALL: &[Abuse] = &[
    built(HONEST, "ok", Way::Call("/"), "no abuse: as many connections call a function that answers at once"),
    call("spin", "an endless loop"),
    built("spin_p3", "many_p3", Way::Call("/?do=spin"), "an endless loop, wasi:http 0.3"),
    call("spin_after_head", "an endless loop behind the head of the answer"),
    call("poll_loop", "polls a timer of zero for ever"),
    call("hog", "takes memory until it is refused, then traps"),
    wat("memory_fill", "fills 16 MiB in one instruction, for ever"),
    wat("memory_copy", "copies 8 MiB in one instruction, for ever"),
    wat("table_grow", "grows a table until it is refused, then traps"),
    call("deep_recursion", "overflows its stack"),
    call("unreachable", "a storm of traps"),
    call("handles", "a million handles"),
    call("fields_flood", "a million fields in the head of the answer"),
    call("giant_strings", "hands strings of 3 MiB to the host, for ever"),
    call("random_flood", "asks for a GiB of random bytes at once"),
    call("stdout_flood", "prints colour codes and forged log lines for ever"),
    call("flood", "an endless answer, read as fast as it comes"),
    built("flood_unread", "flood", Way::Unread, "an endless answer that nobody reads"),
    call("drip", "an answer of one byte each 100 ms"),
    call("sleep", "sleeps for ever"),
    built(
        "never_read",
        "never_read",
        Way::Body(8 << 20),
        "bodies of 8 MiB to a guest that reads none of them",
    ),
    built("heads", "ok", Way::Head, "heads of 15 KiB in 90 fields"),
    built("churn", "ok", Way::Churn, "a connection for each call"),
    built("slowloris", "ok", Way::Slowloris, "500 connections, a byte of a head each second"),
    built("deploys", "ok", Way::Deploys, "publishes small functions, each of them new"),
    built("compile_bombs", "ok", Way::Bombs, "publishes functions that are too expensive to compile"),
    built("spin_in_start", "ok", Way::SpinInStart, "publishes what loops while it is instantiated"),
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
