//! Every slot is used by one tenant after another, each of which fills all it can write and looks through all it can
//! read. `SPAWNPOINT_CANARY` says how many times a slot is taken, on each engine and with each setting (500).
//! Must never take a word that an instance left to itself for somebody else's, nor the other way round.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::support::canary::{Canary, PutBack};
use crate::support::generated::Dice;
use crate::support::{Answer, Config, Raw, Server, get, guest, request};

const TENANTS: u16 = 4;
const CLIENTS: u64 = 4;
/// Memory, table, globals and handles, as the guest tells them apart.
const OWN: u16 = 500 + 1 + 4 + 8 + 16;
const FOREIGN: u16 = 400 + 1 + 4 + 8;
/// Of one that can be put back, which has no table to change and knows no number of a handle.
const OWN_BUT_TABLES: u16 = 500 + 1 + 8;
const FOREIGN_BUT_TABLES: u16 = 400 + 1 + 8;

fn rounds() -> u64 {
    let told = std::env::var_os("SPAWNPOINT_CANARY");
    told.and_then(|text| text.to_str()?.trim().parse().ok()).unwrap_or(500)
}

/// Asks on a connection that is kept, and made again where the server closed it.
fn ask(server: SocketAddr, raw: &mut Raw, (method, target): (&str, &str)) -> Answer {
    let request = format!("{method} {target} HTTP/1.1\r\nhost: a.test\r\n\r\n");
    raw.send(&request).answer().unwrap_or_else(|| {
        *raw = Raw::connect(server);
        raw.send(&request).answer().unwrap_or_else(|| panic!("no answer to {target}"))
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
    /// An instance is put back, and traps over a handle that is not there when it is asked with PUT.
    PutBack,
    /// As that, and it answers up to three times before.
    PutBackLater,
    /// As the first of these, but it keeps its handles, and so is never put back.
    Keeps,
    /// wasi:http 0.3 and Rust, which finds a word of any tenant, its own included.
    Rust,
}

impl Habit {
    fn is_put_back(self) -> bool {
        matches!(self, Self::PutBack | Self::PutBackLater)
    }

    fn traps_at_put(self) -> bool {
        self.is_put_back() || self == Self::Keeps
    }
}

/// A function and what it is to answer.
struct Function {
    target: String,
    is_async: bool,
    habit: Habit,
    /// How often it was answered by an instance that was put back for the call.
    resets: AtomicU64,
}

impl Function {
    fn new(target: String, is_async: bool, habit: Habit) -> Self {
        Self { target, is_async, habit, resets: AtomicU64::new(0) }
    }

    /// Checks an answer to GET, or to PUT. Returns whether the slot was taken anew, or what was in it put back.
    #[track_caller]
    fn is_clean(&self, method: &str, answer: &Answer) -> bool {
        let start = answer.header("x-spawnpoint-start");
        let seen = (answer.status, answer.code());
        let expected = match self.habit {
            Habit::Probes => (502, "guest_trap"),
            habit if habit.traps_at_put() && method == "PUT" => (502, "guest_trap"),
            // What it left to itself it must find: or it would not find what others left either.
            Habit::Reused if start == "reused" => (OWN, ""),
            Habit::PutBackLater if start == "reused" => (OWN_BUT_TABLES, ""),
            _ => (200, ""),
        };
        assert!(self.habit != Habit::Keeps || start != "reset", "{}: handles are left", self.target);
        self.resets.fetch_add(u64::from(start == "reset"), Relaxed);
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
                // Lowered.
                ("one", Canary { is_one: true, ..own }, Habit::Fresh, 1),
                ("one-probe", Canary { is_one: true, probes: true, ..own }, Habit::Probes, 1),
                ("one-reused", Canary { is_one: true, ..own }, Habit::Reused, 3),
            ] {
                let name = format!("{engine}-{what}");
                deploy(server, &tenant, &name, &Canary { is_async, ..canary }.component(), reuse);
                functions.push(Function::new(format!("/{tenant}/{name}/"), is_async, habit));
            }
            // Two tenants have the same one, and so the same slots; the others have their own.
            let word = if number <= 2 { TENANTS + 1 } else { number };
            let put_back = PutBack { is_async, is_sparse: number == 4, ..PutBack::of(word) };
            for (what, keeps, habit, reuse) in [
                ("back", false, Habit::PutBack, 1),
                ("later", false, Habit::PutBackLater, 3),
                ("keeps", true, Habit::Keeps, 1),
            ] {
                let name = format!("{engine}-{what}");
                deploy(server, &tenant, &name, &PutBack { keeps, ..put_back }.component(), reuse);
                functions.push(Function::new(format!("/{tenant}/{name}/"), is_async, habit));
            }
        }
        for (name, wasm, query) in [
            ("rust", "canary", "pages=8"),
            // Few enough pages to be kept resident.
            ("rust-small", "canary", "pages=3"),
            ("rust-p3", "many_p3", "do=canary"),
            ("rust-p3-small", "many_p3", "do=small"),
        ] {
            deploy(server, &tenant, name, &guest(wasm), 1);
            let is_async = wasm == "many_p3";
            let target = format!("/{tenant}/{name}/?{query}");
            functions.push(Function::new(target, is_async, Habit::Rust));
        }
    }
    functions
}

/// Asks for this many slots of each engine, while versions that reuse and versions that do not take turns.
fn no_byte_is_left(settings: &str, ready_per_program: Option<u32>) {
    let ready = ready_per_program.map_or_else(String::new, |ready| format!("ready_per_program = {ready}"));
    // Time enough on a machine that is busy with something else: what is left is looked for, not how fast.
    // And tables larger than what of them stays resident.
    let limits =
        "[limits]\ncpu_ms = 30000\nwall_ms = 60000\ntable_elements = 24000\n[breaker]\nenabled = false";
    let server = Server::with(
        Config::default()
            .toml(&format!("threads = 2\n{settings}\n[server]\ninstances = 16\n{ready}\n{limits}")),
    );
    let mut functions = functions(&server);
    for reuse in [1, 3] {
        deploy(&server, "t1", "turns", &Canary::of(1).component(), reuse);
    }
    functions.push(Function::new("/t1/turns/".into(), false, Habit::Reused));
    let resets = !settings.contains("reset_instances");
    // Where some are made ready ahead, most were put back before anybody called, and nobody says so.
    let tells = resets && ready_per_program == Some(0);
    let seen = Seen { functions, tells, taken: Default::default(), reused: AtomicU64::new(0) };
    let (all, ingress, over) = (&seen, server.ingress, AtomicBool::new(false));
    let activate = || {
        let path = "/v1/tenants/t1/functions/turns/activation";
        let mut version = 1;
        while !over.load(Relaxed) {
            let body = format!("{{\"version\":{version}}}");
            let answer = server.admin("PUT", path, &[], body.as_bytes());
            assert_eq!(answer.status, 200, "{}", answer.text());
            version = 3 - version;
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(activate);
        let clients: Vec<_> =
            (0..CLIENTS).map(|n| scope.spawn(move || all.asked_until_enough(ingress, n))).collect();
        let ended: Vec<_> = clients.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        over.store(true, Relaxed);
        assert!(ended.iter().all(Result::is_ok), "a word was found, or an answer is wrong");
    });
    eprintln!("{settings:?} {ready}");
    seen.covers_what_it_should(resets);
    let lowered = server.metric("spawnpoint_programs_linked_total", "lowered");
    assert_eq!(lowered > 0.0, !settings.contains("lower_components"), "{lowered} were lowered");
    let log = server.log();
    let scans = log.lines().find(|line| line.contains("scan_pages=")).expect("what is in force").to_owned();
    eprintln!("{}", &scans[scans.find("scan_pages=").expect("it")..]);
    assert!(!settings.contains("scan_pages = \"off\"") || scans.contains("scan_pages=false"), "{scans}");
    assert!(resets || scans.contains("resets=false"), "{scans}");
}

/// What the clients have seen, all together.
struct Seen {
    functions: Vec<Function>,
    /// Whether an answer says that its instance was put back.
    tells: bool,
    /// Slots of the lean engine and of the other one.
    taken: [AtomicU64; 2],
    reused: AtomicU64,
}

impl Seen {
    /// Those whose instances are put back, and how often each was.
    fn put_back(&self) -> impl Iterator<Item = (&Function, u64)> {
        let can_be = self.functions.iter().filter(|function| function.habit.is_put_back());
        can_be.map(|function| (function, function.resets.load(Relaxed)))
    }

    fn is_enough(&self) -> bool {
        let is_seen = !self.tells || self.put_back().all(|(_, resets)| resets > 0);
        is_seen && self.taken.iter().all(|taken| taken.load(Relaxed) >= rounds())
    }

    /// One client's part.
    fn asked_until_enough(&self, server: SocketAddr, client: u64) {
        let mut raw = Raw::connect(server);
        let mut dice = Dice::of(0xca9a_7135, client);
        let put_back: Vec<_> = self.functions.iter().filter(|one| one.habit.traps_at_put()).collect();
        let (mut asked, mut refused) = (0, 0);
        // Whatever is never seen is told, not waited for.
        for _ in 0..rounds().max(500) * 20 {
            if self.is_enough() {
                return;
            }
            // They are put back only if they are called again soon.
            let function = match dice.below(3) {
                0 => put_back[dice.below(put_back.len())],
                _ => &self.functions[dice.below(self.functions.len())],
            };
            // Its memory is a thousand times another's; a few are enough.
            if function.target.starts_with("/t1/") && function.target.contains("large") && dice.below(16) > 0
            {
                continue;
            }
            // What was kept is looked for as often as it is left.
            let seldom = if function.habit == Habit::Keeps { 2 } else { 8 };
            let puts = function.habit.traps_at_put() && dice.below(seldom) == 0;
            let method = if puts { "PUT" } else { "GET" };
            let answer = ask(server, &mut raw, (method, &function.target));
            asked += 1;
            if answer.code() == "overloaded" {
                // No guest has run: on a machine that is busy with something else a place is not always free in time.
                refused += 1;
                assert!(refused <= 10 + asked / 50, "{refused} of {asked}: {}", answer.text());
                continue;
            }
            if function.is_clean(method, &answer) {
                self.taken[usize::from(function.is_async)].fetch_add(1, Relaxed);
            } else {
                self.reused.fetch_add(1, Relaxed);
            }
        }
    }

    fn covers_what_it_should(&self, resets: bool) {
        let [lean, concurrent] = self.taken.each_ref().map(|taken| taken.load(Relaxed));
        let reused = self.reused.load(Relaxed);
        let put_back: Vec<_> =
            self.put_back().map(|(function, resets)| (function.target.as_str(), resets)).collect();
        eprintln!(
            "{lean} slots of the lean engine, {concurrent} of the async one, {reused} reuses, put back {put_back:?}"
        );
        assert!(lean.min(concurrent) >= rounds() && reused > 0);
        if self.tells {
            assert!(put_back.iter().all(|(_, resets)| *resets > 0), "{put_back:?}");
        } else if !resets {
            let resets: u64 = self.functions.iter().map(|function| function.resets.load(Relaxed)).sum();
            assert_eq!(resets, 0, "nothing is put back");
        }
    }
}

#[test]
fn no_byte_is_left_in_a_slot_whose_pages_are_scanned() {
    no_byte_is_left("scan_pages = \"auto\"", Some(0));
}

#[test]
fn no_byte_is_left_in_a_slot_whose_pages_are_given_back() {
    no_byte_is_left("scan_pages = \"off\"", Some(0));
}

#[test]
fn no_byte_is_left_in_a_scanned_slot_that_is_made_ready_ahead() {
    no_byte_is_left("scan_pages = \"auto\"", Some(2));
}

#[test]
fn no_byte_is_left_in_a_slot_that_is_given_back_and_made_ready_ahead() {
    no_byte_is_left("scan_pages = \"off\"", Some(2));
}

#[test]
fn no_byte_is_left_in_a_slot_whose_instance_is_made_ready_ahead_and_never_put_back() {
    no_byte_is_left("reset_instances = \"off\"", Some(2));
}

#[test]
fn no_byte_is_left_in_a_slot_where_nothing_is_lowered() {
    no_byte_is_left("lower_components = \"off\"", Some(0));
}

#[test]
fn no_byte_is_left_in_a_slot_whose_instance_is_made_for_each_call() {
    no_byte_is_left("reset_instances = \"off\"", Some(0));
}

#[test]
fn no_byte_is_left_in_a_slot_that_is_given_back_where_no_instance_is_put_back() {
    no_byte_is_left("scan_pages = \"off\"\nreset_instances = \"off\"", None);
}

#[test]
fn no_byte_is_left_in_a_slot_that_is_given_back_where_nothing_is_lowered() {
    no_byte_is_left("scan_pages = \"off\"\nlower_components = \"off\"", Some(0));
}

#[test]
fn no_byte_is_left_where_nothing_is_lowered_and_no_instance_is_put_back() {
    no_byte_is_left("lower_components = \"off\"\nreset_instances = \"off\"", None);
}

#[test]
fn no_byte_is_left_with_the_settings_that_there_are_by_default() {
    no_byte_is_left("", None);
}

#[test]
fn no_byte_is_left_where_nothing_is_lowered_and_instances_are_made_ready_ahead() {
    no_byte_is_left("lower_components = \"off\"", Some(2));
}

#[test]
fn a_word_that_was_left_would_be_found_in_everything_that_is_searched() {
    let server = Server::with(Config::default().toml("threads = 1\n[limits]\ntable_elements = 24000"));
    let mut before = 0.0;
    for (is_async, is_one) in [(false, false), (true, false), (false, true), (true, true)] {
        let own = Canary { is_async, is_one, ..Canary::of(7) };
        // It leaves another's word, and then gets its own instance again: as if a slot had not been cleaned.
        deploy(&server, "default", "caught", &Canary { leaves: 8, ..own }.component(), 2);
        deploy(&server, "default", "own", &own.component(), 2);
        // Else what is compiled for speed takes the place of the instance that is to answer again.
        server.optimised();
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
        assert_eq!(lowered > before, is_one, "{lowered} were lowered, async: {is_async}");
        before = lowered;
    }
}

#[test]
fn a_word_that_was_left_would_be_found_by_a_guest_that_is_put_back() {
    a_word_would_be_found("auto");
}

#[test]
fn a_word_that_was_left_would_be_found_by_one_that_is_put_back_and_was_not_lowered() {
    a_word_would_be_found("off");
}

fn a_word_would_be_found(lowers: &str) {
    let settings = format!("threads = 1\nlower_components = \"{lowers}\"\n[server]\nready_per_program = 0");
    let server = Server::with(Config::default().toml(&settings));
    let mut before = 0.0;
    for (is_async, is_sparse) in [(false, false), (false, true), (true, false), (true, true)] {
        let own = PutBack { is_async, is_sparse, ..PutBack::of(7) };
        deploy(&server, "default", "caught", &PutBack { leaves: 8, ..own }.component(), 2);
        deploy(&server, "default", "own", &own.component(), 2);
        // Else what is compiled for speed takes the place of the instance that is to answer again.
        server.optimised();
        let expected = [(200, FOREIGN_BUT_TABLES), (200, OWN_BUT_TABLES)];
        for (name, (first, second)) in ["caught", "own"].into_iter().zip(expected) {
            let target = format!("/default/{name}/");
            let seen: Vec<_> = (0..4).map(|_| get(server.ingress, &target).status).collect();
            assert_eq!(
                seen,
                [first, second, first, second],
                "{name}, async: {is_async}, sparse: {is_sparse}"
            );
        }
        let put = || {
            let answer = request(server.ingress, "PUT", "/default/keeps/", &[], b"");
            (answer.status, answer.code().to_owned())
        };
        // A handle that is still there is used without a trap; one that nobody has is not.
        deploy(&server, "default", "keeps", &PutBack { keeps: true, ..own }.component(), 2);
        server.optimised();
        assert_eq!(put(), (502, "guest_trap".to_owned()));
        assert_eq!(get(server.ingress, "/default/keeps/").status, 200);
        assert_eq!(put(), (OWN_BUT_TABLES, String::new()));
        let lowered = server.metric("spawnpoint_programs_linked_total", "lowered");
        assert_eq!(lowered > before, lowers == "auto", "{lowered} were lowered, async: {is_async}");
        before = lowered;
    }
}
