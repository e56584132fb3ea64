//! Every slot is used by one tenant after another, each of which fills all it can write and looks through all it can
//! read. `SPAWNPOINT_CANARY` says how many times a slot is taken, on each engine and with each setting (500).
//! Must never take a word that an instance left to itself for somebody else's, nor the other way round.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::support::canary::Canary;
use crate::support::generated::Dice;
use crate::support::{Answer, Config, Raw, Server, get, guest};

const TENANTS: u16 = 4;
const CLIENTS: u64 = 4;
/// Memory, table, globals and handles, as the guest tells them apart.
const OWN: u16 = 500 + 1 + 4 + 8 + 16;
const FOREIGN: u16 = 400 + 1 + 4 + 8;

fn rounds() -> u64 {
    let told = std::env::var_os("SPAWNPOINT_CANARY");
    told.and_then(|text| text.to_str()?.trim().parse().ok()).unwrap_or(500)
}

/// Asks on a connection that is kept, and made again where the server closed it.
fn ask(server: SocketAddr, raw: &mut Raw, target: &str) -> Answer {
    raw.get(target).unwrap_or_else(|| {
        *raw = Raw::connect(server);
        raw.get(target).unwrap_or_else(|| panic!("no answer to {target}"))
    })
}

/// What one function is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// A fresh instance for each request; pages that a slot keeps, and pages that it gives back.
    Fresh,
    /// As that, and it ends in a trap over a handle that is not there.
    Probes,
    /// An instance answers up to three times.
    Reused,
    /// wasi:http 0.3 and Rust, which finds a word of any tenant, its own included.
    Rust,
}

/// A function and what it is to answer.
struct Function {
    target: String,
    is_async: bool,
    habit: Habit,
}

impl Function {
    /// Checks an answer. Returns whether the slot was taken anew.
    #[track_caller]
    fn is_clean(&self, answer: &Answer) -> bool {
        let start = answer.header("x-spawnpoint-start");
        let seen = (answer.status, answer.code());
        let expected = match self.habit {
            Habit::Probes => (502, "guest_trap"),
            // What it left to itself it must find: or it would not find what others left either.
            Habit::Reused if start == "reused" => (OWN, ""),
            Habit::Fresh | Habit::Reused | Habit::Rust => (200, ""),
        };
        assert_eq!(seen, expected, "{} {:?} {start}: {}", self.target, self.habit, answer.text());
        assert!(self.habit != Habit::Rust || answer.text() == "clean", "{}: {}", self.target, answer.text());
        start != "reused"
    }
}

fn deploy(server: &Server, tenant: &str, name: &str, wasm: &[u8], reuse: u32) {
    let manifest = format!("{{\"reuse\": {{\"max_requests\": {reuse}}}}}");
    let answer = server.upload_with(tenant, name, wasm, &manifest);
    assert!(matches!(answer.status, 200 | 201), "{tenant}/{name}: {}", answer.text());
}

/// More programs than there are slots, so that slots change hands.
fn functions(server: &Server) -> Vec<Function> {
    let mut functions = Vec::new();
    for number in 1..=TENANTS {
        let tenant = format!("t{number}");
        server.tenant(&tenant);
        let own = Canary::of(number);
        for is_async in [false, true] {
            let engine = if is_async { "async" } else { "lean" };
            // Beyond what a slot keeps resident; far into what it gives back.
            let pages = if number == 1 { 1_000 } else { 24 };
            for (what, canary, habit, reuse) in [
                ("small", own, Habit::Fresh, 1),
                ("large", Canary { pages, ..own }, Habit::Fresh, 1),
                ("probe", Canary { probes: true, ..own }, Habit::Probes, 1),
                ("reused", own, Habit::Reused, 3),
                // Lowered, which an 0.3 guest never is.
                ("one", Canary { is_one: !is_async, ..own }, Habit::Fresh, 1),
                ("one-probe", Canary { is_one: !is_async, probes: true, ..own }, Habit::Probes, 1),
                ("one-reused", Canary { is_one: !is_async, ..own }, Habit::Reused, 3),
            ] {
                let name = format!("{engine}-{what}");
                deploy(server, &tenant, &name, &Canary { is_async, ..canary }.component(), reuse);
                functions.push(Function { target: format!("/{tenant}/{name}/"), is_async, habit });
            }
        }
        for (name, wasm, query) in [
            ("rust", "canary", "pages=8"),
            // Few enough pages for an instance to be put back.
            ("rust-small", "canary", "pages=3"),
            ("rust-p3", "many_p3", "do=canary"),
            ("rust-p3-small", "many_p3", "do=small"),
        ] {
            deploy(server, &tenant, name, &guest(wasm), 1);
            let is_async = wasm == "many_p3";
            let target = format!("/{tenant}/{name}/?{query}");
            functions.push(Function { target, is_async, habit: Habit::Rust });
        }
    }
    functions
}

/// Asks for this many slots of each engine, while versions that reuse and versions that do not take turns.
fn no_byte_is_left(settings: &str) {
    // Time enough on a machine that is busy with something else: what is left is looked for, not how fast.
    let limits = "instances = 16\n[limits]\ncpu_ms = 30000\nwall_ms = 60000";
    let server = Server::with(
        Config::default().toml(&format!("threads = 2\n{settings}\n{limits}\n[breaker]\nenabled = false")),
    );
    let functions = functions(&server);
    for reuse in [1, 3] {
        deploy(&server, "t1", "turns", &Canary::of(1).component(), reuse);
    }
    let turns = Function { target: "/t1/turns/".into(), is_async: false, habit: Habit::Reused };
    let taken: [AtomicU64; 2] = Default::default();
    let reused = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    let ask_until_enough = |client: u64| {
        let mut raw = Raw::connect(server.ingress);
        let mut dice = Dice::of(0xca9a_7135, client);
        while taken.iter().any(|taken| taken.load(Ordering::Relaxed) < rounds()) {
            let chosen = dice.below(functions.len() + 2);
            let function = functions.get(chosen).unwrap_or(&turns);
            // Its memory is a thousand times another's; a few are enough.
            if function.target.starts_with("/t1/") && function.target.contains("large") && dice.below(16) > 0
            {
                continue;
            }
            let answer = ask(server.ingress, &mut raw, &function.target);
            if function.is_clean(&answer) {
                taken[usize::from(function.is_async)].fetch_add(1, Ordering::Relaxed);
            } else {
                reused.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let activate = || {
        let path = "/v1/tenants/t1/functions/turns/activation";
        let mut version = 1;
        while !over.load(Ordering::Relaxed) {
            let body = format!("{{\"version\":{version}}}");
            let answer = server.admin("PUT", path, &[], body.as_bytes());
            assert_eq!(answer.status, 200, "{}", answer.text());
            version = 3 - version;
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(activate);
        let clients: Vec<_> = (0..CLIENTS).map(|n| scope.spawn(move || ask_until_enough(n))).collect();
        let ended: Vec<_> = clients.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok), "a word was found, or an answer is wrong");
    });
    let [lean, concurrent] = taken.map(AtomicU64::into_inner);
    eprintln!(
        "{settings:?}: {lean} slots of the lean engine, {concurrent} of the async one, {reused:?} reuses"
    );
    assert!(reused.into_inner() > 0);
    let lowered = server.metric("spawnpoint_programs_linked_total", "lowered");
    assert_eq!(lowered > 0.0, !settings.contains("lower_components"), "{lowered} were lowered");
    let log = server.log();
    let scans = log.lines().find(|line| line.contains("scan_pages=")).expect("what is in force").to_owned();
    eprintln!("{}", &scans[scans.find("scan_pages=").expect("it")..]);
    assert!(!settings.contains("scan_pages = \"off\"") || scans.contains("scan_pages=false"), "{scans}");
}

#[test]
fn no_byte_is_left_in_a_slot_whose_pages_are_scanned() {
    no_byte_is_left("scan_pages = \"auto\"\n[server]\nready_per_program = 0");
}

#[test]
fn no_byte_is_left_in_a_slot_whose_pages_are_given_back() {
    no_byte_is_left("scan_pages = \"off\"\n[server]\nready_per_program = 0");
}

#[test]
fn no_byte_is_left_in_a_scanned_slot_that_is_made_ready_ahead() {
    no_byte_is_left("scan_pages = \"auto\"\n[server]\nready_per_program = 2");
}

#[test]
fn no_byte_is_left_in_a_slot_that_is_given_back_and_made_ready_ahead() {
    no_byte_is_left("scan_pages = \"off\"\n[server]\nready_per_program = 2");
}

#[test]
fn no_byte_is_left_in_a_slot_whose_instance_is_never_put_back() {
    no_byte_is_left("reset_instances = \"off\"\n[server]\nready_per_program = 2");
}

#[test]
fn no_byte_is_left_in_a_slot_where_nothing_is_lowered() {
    no_byte_is_left("lower_components = \"off\"\n[server]\nready_per_program = 0");
}

#[test]
fn a_word_that_was_left_would_be_found_in_everything_that_is_searched() {
    let server = Server::with(Config::default().toml("threads = 1"));
    for (is_async, is_one) in [(false, false), (true, false), (false, true)] {
        let own = Canary { is_async, is_one, ..Canary::of(7) };
        // It leaves another's word, and then gets its own instance again: as if a slot had not been cleaned.
        deploy(&server, "default", "caught", &Canary { leaves: 8, ..own }.component(), 2);
        deploy(&server, "default", "own", &own.component(), 2);
        let expected = [(200, FOREIGN), (200, OWN)];
        for (name, (first, second)) in ["caught", "own"].into_iter().zip(expected) {
            let target = format!("/default/{name}/");
            let seen: Vec<_> = (0..4).map(|_| get(server.ingress, &target).status).collect();
            assert_eq!(seen, [first, second, first, second], "{name}, async: {is_async}, one: {is_one}");
        }
        let probe = Canary { probes: true, ..own }.component();
        deploy(&server, "default", "probe", &probe, 1_000);
        let answer = server.call("probe");
        assert_eq!((answer.status, answer.code()), (502, "guest_trap"), "the handle is not there");
        let lowered = server.metric("spawnpoint_programs_linked_total", "lowered");
        assert_eq!(lowered > 0.0, is_one, "{lowered} were lowered");
    }
}

#[test]
fn no_byte_is_left_where_no_instance_is_put_back() {
    no_byte_is_left("reset_instances = \"off\"\n[server]\nready_per_program = 2");
}

#[test]
fn no_byte_is_left_where_nothing_is_lowered() {
    no_byte_is_left("lower_components = \"off\"\n[server]\nready_per_program = 2");
}
