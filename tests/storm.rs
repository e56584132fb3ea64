//! Programs that nobody wrote, deployed and called: whatever they are, the server lives, says what happened by its
//! documented name, and a neighbour answers. `SPAWNPOINT_STORM` says how many (200), `SPAWNPOINT_STORM_SEED` which.
//! Must never make a case from anything but the seed and its number.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::generated::{Dice, Kind, program};
use crate::support::{Answer, Config, Raw, Server, eventually, guest, request};

/// What `cargo test` makes. More are made from a seed of the day, unless one is given.
const CASES: u64 = 200;
const SEED: u64 = 0x5eed_0f57;
/// The server's bounds. A request may take twice as long before it counts as stuck.
const WALL: Duration = Duration::from_millis(4_000);
const COMPILE: Duration = Duration::from_millis(20_000);
/// What the pools, the heap's fragments and the kernel's accounting may move. A leak of 32 KiB a case is beyond it in
/// 2,000 cases, one of an instance in 200.
const SLACK: u64 = 64 << 20;

const SETTINGS: &str = "threads = 2
[limits]
cpu_ms = 100
wall_ms = 4000
memory_bytes = 33554432
[server]
compile_wall_ms = 20000
compile_cpu_s = 20
instances = 32
ready_per_program = 4";

/// Every way a deploy may be answered.
const DEPLOYED: [(u16, &str); 12] = [
    (201, ""),
    (422, "not_wasm"),
    (422, "invalid_wasm"),
    (422, "wrong_world"),
    (422, "wasip1_command"),
    (422, "unsupported_version"),
    (422, "unsupported_feature"),
    (422, "unsupported_import"),
    (422, "compile_failed"),
    (422, "compile_limit"),
    (422, "unfit"),
    (422, "not_ready"),
];

/// Every way the platform may answer for a guest that it ran.
const CALLED: [(u16, &str); 9] = [
    (502, "guest_trap"),
    (502, "no_response"),
    (502, "bad_response"),
    (502, "guest_error"),
    (502, "response_too_large"),
    (502, "cpu_limit"),
    (502, "memory_limit"),
    (504, "timeout"),
    (413, "payload_too_large"),
];

fn number(name: &str) -> Option<u64> {
    std::env::var_os(name)?.to_str()?.trim().parse().ok()
}

struct Storm {
    server: Server,
    seed: u64,
    next: AtomicU64,
    seen: Mutex<BTreeMap<(Kind, String), u64>>,
}

impl Storm {
    fn saw(&self, kind: Kind, what: &str, answer: &Answer) {
        let code = if answer.code().is_empty() { "ok" } else { answer.code() };
        let what = format!("{what} {} {code}", answer.status);
        *self.seen.lock().expect("a count").entry((kind, what)).or_default() += 1;
    }

    /// A request, which must not take longer than twice its bound.
    fn ask(what: &str, bound: Duration, ask: impl FnOnce() -> Answer) -> Answer {
        let began = Instant::now();
        let answer = ask();
        assert!(began.elapsed() < bound * 2, "{what} took {:?}, bound is {bound:?}", began.elapsed());
        answer
    }

    /// Deploys one case, calls it if that went well, and takes it away.
    fn case(&self, client: usize, case: u64) {
        let (kind, wasm) = program(&mut Dice::of(self.seed, case), case);
        let what = format!("case {case} ({kind:?}) of seed {}", self.seed);
        // A name that never was before: nothing may keep it.
        let function = format!("f{client}-{case}");
        let path = Server::path(&function);
        let upload = || self.server.admin("PUT", &path, &[], &wasm);
        let answer = Self::ask(&what, COMPILE + WALL, upload);
        let said = (answer.status, answer.code());
        assert!(DEPLOYED.contains(&said), "{what}: {said:?} {}", answer.text());
        self.saw(kind, "deploy", &answer);
        if answer.status == 201 {
            self.calls(&what, kind, &function);
            let gone = self.server.admin("DELETE", &path, &[], &[]);
            assert_eq!(gone.status, 204, "{what}: {}", gone.text());
        }
    }

    fn calls(&self, what: &str, kind: Kind, function: &str) {
        let target = format!("/default/{function}/");
        for (method, body) in [("GET", &b""[..]), ("POST", &[b'x'; 3_000]), ("GET", b"")] {
            let call = || request(self.server.ingress, method, &target, &[], body);
            let answer = Self::ask(what, WALL, call);
            let said = (answer.status, answer.code());
            let of_guest = said.1.is_empty() && !answer.header("x-spawnpoint-version").is_empty();
            assert!(of_guest || CALLED.contains(&said), "{what}: {said:?} {}", answer.text());
            self.saw(kind, "call", &answer);
        }
    }

    /// All cases before `end`, by two clients.
    fn until(&self, end: u64) {
        std::thread::scope(|scope| {
            for client in 0..2 {
                scope.spawn(move || {
                    // The counter goes past the end by as many as there are clients; it is set back below.
                    while let case = self.next.fetch_add(1, Ordering::Relaxed)
                        && case < end
                    {
                        self.case(client, case);
                    }
                });
            }
        });
        self.next.store(end, Ordering::Relaxed);
    }

    fn settled(&self) -> (u64, usize) {
        eventually("nobody is connected", || self.server.descriptors() < 150);
        (self.server.memory(), self.server.descriptors())
    }

    /// Asks the neighbours without a pause worth the name until it is over.
    fn neighbours(&self, over: &AtomicBool) -> u64 {
        let mut raw = Raw::connect(self.server.ingress);
        let mut answered = 0;
        while !over.load(Ordering::Relaxed) {
            for target in ["/good/ok/", "/good/p3/?do=ok"] {
                let asked = format!("GET {target} HTTP/1.1\r\nhost: a.test\r\n\r\n");
                let get = || raw.send(&asked).answer().expect("a neighbour's answer");
                let answer = Self::ask("a neighbour", WALL, get);
                assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{}", answer.code());
                answered += 1;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        answered
    }

    fn report(&self) {
        let seen = self.seen.lock().expect("a count");
        let mut last = None;
        for ((kind, what), count) in seen.iter() {
            if last.replace(*kind) != Some(*kind) {
                eprintln!("{kind:?}");
            }
            eprintln!("  {count:>6} {what}");
        }
    }
}

#[test]
fn whatever_is_deployed_the_server_lives_and_a_neighbour_answers() {
    let cases = number("SPAWNPOINT_STORM").unwrap_or(CASES);
    let today = || std::time::UNIX_EPOCH.elapsed().map_or(SEED, |since| since.as_secs());
    let seed = number("SPAWNPOINT_STORM_SEED").unwrap_or_else(|| if cases > CASES { today() } else { SEED });
    eprintln!("a storm of {cases} with SPAWNPOINT_STORM_SEED={seed}");
    let server = Server::with(Config::default().toml(SETTINGS));
    server.tenant("good");
    for (name, wasm) in [("ok", "ok"), ("p3", "many_p3")] {
        // What is a short time for a storm's guest is none for somebody honest on a busy machine.
        let manifest = r#"{"limits": {"cpu_ms": 3500}}"#;
        assert_eq!(server.upload_with("good", name, &guest(wasm), manifest).status, 201);
    }
    let mut storm = Storm { server, seed, next: AtomicU64::new(0), seen: Mutex::default() };
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let neighbours = scope.spawn(|| storm.neighbours(&over));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            storm.until(cases / 2);
            let (memory, descriptors) = storm.settled();
            storm.until(cases);
            let (memory_after, descriptors_after) = storm.settled();
            eprintln!("memory {memory} -> {memory_after}, descriptors {descriptors} -> {descriptors_after}");
            assert!(memory_after < memory + SLACK, "memory {memory} -> {memory_after}");
            assert!(descriptors_after <= descriptors + 10, "{descriptors} -> {descriptors_after}");
        }));
        over.store(true, Ordering::Relaxed);
        let answered = neighbours.join().expect("the neighbours are undisturbed");
        eprintln!("{answered} answers of neighbours");
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
    storm.report();
    assert!(storm.server.is_alive());
    assert_eq!(storm.server.failed("host_error"), 0.0);
    assert_eq!(storm.server.metric("spawnpoint_requests_rejected_total", ""), 0.0);
    let log = storm.server.log();
    let panicked = log.lines().find(|line| line.contains("panicked at") && !line.contains("function="));
    assert_eq!(panicked, None, "the host panicked");
    // A storm that is refused whole would prove nothing.
    let seen = storm.seen.lock().expect("a count");
    let count = |of: &dyn Fn(&str) -> bool| {
        seen.iter().filter(|((_, what), _)| of(what)).map(|(_, count)| count).sum::<u64>()
    };
    let (deployed, answered) = (count(&|what| what == "deploy 201 ok"), count(&|what| what == "call 200 ok"));
    eprintln!("{deployed} of {cases} were deployed, {answered} calls answered 200");
    assert!(deployed * 4 >= cases && answered * 20 >= cases, "{deployed} deployed, {answered} answered");
}
