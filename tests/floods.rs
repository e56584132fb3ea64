//! Clients that are within the letter of HTTP and mean harm: floods of frames, bodies that never end, framing that two
//! readers could take for two things. Each is refused or cut, and whoever is honest notices nothing.
//! Must never let an attack end by itself: the server has to end it.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::frames::{
    self, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, PUSH, RESET,
    SETTINGS, WINDOW, frame,
};
use crate::support::{Config, PATIENCE, Raw, Server, eventually, get, guest};

/// Short enough that what nothing else ends is soon over.
const SETTINGS_FILE: &str = "threads = 2
[limits]
wall_ms = 1500
cpu_ms = 1000
[server]
header_read_ms = 800
idle_ms = 800
write_stall_ms = 800";

/// `ENHANCE_YOUR_CALM`. It is lost where the connection is reset before the client has read it.
const CALM: u32 = 11;

/// What one connection, and the instances it has started, may hold.
const MEMORY: u64 = 64 << 20;

/// With `ok` and these.
fn serving(guests: &[&str]) -> Server {
    let server = Server::with(Config::default().toml(SETTINGS_FILE));
    // The honest one's time is not short, however busy the machine is.
    server.deploy_with("ok", &guest("ok"), r#"{"limits": {"cpu_ms": 20000, "wall_ms": 30000}}"#);
    for name in guests {
        server.deploy(&name.replace('_', "-"), &guest(name));
    }
    // The pools are as large as they get.
    for _ in 0..50 {
        assert_eq!(server.call("ok").status, 200);
    }
    server
}

/// Runs this while somebody honest asks, who must be answered, and memory is looked at, which must stay flat.
fn while_others_are_served<T>(server: &Server, attack: impl FnOnce() -> T) -> T {
    let before = server.memory();
    let (over, highest) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let honest = scope.spawn(|| {
            let mut answered = 0;
            while !over.load(Ordering::Relaxed) || answered < 10 {
                // A new connection each time, so that both threads are asked.
                let answer = get(server.ingress, "/default/ok/");
                assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
                highest.fetch_max(server.memory(), Ordering::Relaxed);
                answered += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(attack));
        over.store(true, Ordering::Relaxed);
        honest.join().expect("the honest client is served");
        let highest = highest.load(Ordering::Relaxed);
        assert!(highest < before + MEMORY, "memory {before} -> {highest}");
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// How the server ended it.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It said why: the code of its GOAWAY.
    Told(u32),
    /// It cut the connection.
    Cut,
}

/// Sends what `next` makes, number by number, until the server has had enough. Reads what comes, or not.
#[track_caller]
fn flood(server: &Server, opening: &[u8], reads: bool, next: impl Fn(u32) -> Vec<u8> + Sync) -> End {
    while_others_are_served(server, || {
        let mut raw = Raw::connect(server.ingress);
        raw.send(opening);
        let mut writer = raw.stream().try_clone().expect("a socket");
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| {
                let began = Instant::now();
                for number in 0.. {
                    if over.load(Ordering::Relaxed) || writer.write_all(&next(number)).is_err() {
                        return;
                    }
                    assert!(began.elapsed() < PATIENCE, "the server takes all of {number}");
                }
            });
            let mut end = End::Cut;
            if reads {
                while let Some(frame) = frames::next(&mut raw) {
                    if frame.kind == GOAWAY {
                        let code = frame.payload[4..8].try_into().expect("four bytes");
                        end = End::Told(u32::from_be_bytes(code));
                    }
                }
            } else {
                let began = Instant::now();
                while !sending.is_finished() && began.elapsed() < PATIENCE {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            over.store(true, Ordering::Relaxed);
            sending.join().expect("an end");
            end
        })
    })
}

/// The same many times over, so that one write carries many frames.
fn many(frame: &[u8]) -> Vec<u8> {
    frame.repeat(8_192 / frame.len() + 1)
}

fn stream(number: u32) -> u32 {
    number * 2 + 1
}

#[test]
fn streams_that_are_reset_as_soon_as_they_are_opened_end_the_connection() {
    let server = serving(&["sleep"]);
    let end = flood(&server, &frames::opening(&[]), true, |number| {
        let pairs = (0..100).flat_map(|n| {
            let id = stream(number * 100 + n);
            [frames::get(id, "/default/sleep/"), frame(RESET, 0, id, &8_u32.to_be_bytes())].concat()
        });
        pairs.collect()
    });
    assert!(matches!(end, End::Told(CALM) | End::Cut), "{end:?}");
    assert_eq!(server.failed("timeout"), 0.0, "their guests ended with them");
}

#[test]
fn floods_of_control_frames_end_the_connection_in_its_time() {
    let server = serving(&[]);
    let ping = many(&frame(PING, 0, 0, &[7; 8]));
    let settings = many(&frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 50]));
    let priority = many(&frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 16]));
    let unknown = many(&frame(0x42, 0, 0, b"what"));
    let window = many(&frame(WINDOW, 0, 0, &1_u32.to_be_bytes()));
    for frames in [ping, settings, priority, unknown, window] {
        // Without a request, and after one, which is another bound; with the answers taken, and left.
        let after = [frames::opening(&[]), frames::get(1, "/default/ok/")].concat();
        for (opening, reads) in [(frames::opening(&[]), false), (after, true)] {
            // Where it breaks no rule there is nothing to tell; the time without a request ends it.
            flood(&server, &opening, reads, |_| frames.clone());
        }
    }
}

#[test]
fn a_head_that_never_ends_ends_the_connection() {
    let server = serving(&[]);
    let begun = [frames::opening(&[]), frame(HEADERS, 0, 1, &frames::head("GET", "/default/ok/"))].concat();
    for payload in [&b""[..], b"\0\x01x\x01y", &[b'\0'; 16_000]] {
        let more = frame(CONTINUATION, 0, 1, payload);
        let end = flood(&server, &begun, true, |_| many(&more));
        assert!(matches!(end, End::Told(CALM) | End::Cut), "{} bytes each: {end:?}", payload.len());
    }
}

#[test]
fn a_body_of_nothing_but_empty_frames_ends_with_its_request() {
    let server = serving(&["read_slowly", "never_read"]);
    for function in ["read-slowly", "never-read"] {
        let head = frames::head("POST", &format!("/default/{function}/"));
        let opening = [frames::opening(&[]), frame(HEADERS, END_HEADERS, 1, &head)].concat();
        let empty = many(&frame(DATA, 0, 1, b""));
        let end = flood(&server, &opening, true, |_| empty.clone());
        assert!(matches!(end, End::Told(CALM) | End::Cut), "{function}: {end:?}");
    }
}

#[test]
fn frames_that_no_client_may_send_are_answered_with_an_error() {
    let server = serving(&["sleep"]);
    let request = frames::get(1, "/default/sleep/");
    for (what, bytes) in [
        ("a window that grows by nothing", frame(WINDOW, 0, 0, &[0; 4])),
        ("a window beyond all bounds", frame(WINDOW, 0, 0, &0x7fff_ffff_u32.to_be_bytes()).repeat(2)),
        ("a promise", frame(PUSH, END_HEADERS, 1, &[0, 0, 0, 2])),
        ("a stream of the server's", frames::get(2, "/default/ok/")),
        ("a stream that is over", [frames::get(5, "/default/ok/"), frames::get(3, "/default/ok/")].concat()),
        ("data of no stream", frame(DATA, 0, 0, b"x")),
        ("data of an idle stream", frame(DATA, 0, 99, b"x")),
        ("a continuation of nothing", frame(CONTINUATION, 0, 1, b"")),
        ("a frame larger than allowed", frame(DATA, 0, 1, &vec![0; 20_000])),
        ("settings of half a value", frame(SETTINGS, 0, 0, &[0; 5])),
        ("a ping of four bytes", frame(PING, 0, 0, &[0; 4])),
        ("a head that is no HPACK", frame(HEADERS, END_HEADERS, 7, &[0xff; 40])),
    ] {
        let mut raw = Raw::connect(server.ingress);
        raw.send([frames::opening(&[]), request.clone(), bytes].concat());
        let frames: Vec<_> = std::iter::from_fn(|| frames::next(&mut raw)).collect();
        let told = frames.iter().find(|frame| frame.kind == GOAWAY).map(|frame| frame.payload[7]);
        assert!(told.is_some_and(|code| code != 0), "{what}: {frames:?}");
        assert_eq!(server.call("ok").status, 200, "after {what}");
    }
}

#[test]
fn a_small_head_that_grows_large_is_refused() {
    let server = serving(&[]);
    // A field of 4,000 bytes is put into the table, and then named by one byte again and again: 16,000 times 4,000.
    let field = [&[0x40, 1, b'x', 0x7f][..], &[0xa1, 0x1e], &[b'v'; 4_000]].concat();
    let bomb = [frames::head("GET", "/default/ok/"), field, vec![0xbe; 12_000]].concat();
    while_others_are_served(&server, || {
        let mut raw = Raw::connect(server.ingress);
        raw.send(frames::opening(&[]));
        for number in 0..50 {
            raw.send(frame(HEADERS, END_HEADERS | 1, stream(number), &bomb));
        }
        let frames: Vec<_> = std::iter::from_fn(|| frames::next(&mut raw)).collect();
        // `:status: 200` is one byte, line 8 of the table.
        let served = frames.iter().any(|frame| frame.kind == HEADERS && frame.payload.first() == Some(&0x88));
        assert!(!served && frames.iter().any(|frame| matches!(frame.kind, HEADERS | RESET | GOAWAY)));
    });
}

#[test]
fn who_opens_no_window_holds_neither_a_guest_nor_a_connection() {
    let server = serving(&["big_response"]);
    let mut held: Vec<_> = (0..4).map(|_| Raw::connect(server.ingress)).collect();
    while_others_are_served(&server, || {
        for raw in &mut held {
            raw.send(frames::opening(&[(4, 0)]));
            // Each guest that is held keeps its memory, which is no leak: few enough of them.
            for number in 0..24 {
                let path = ["/default/ok/", "/default/big-response/?n=5000000"][number as usize % 2];
                raw.send(frames::get(stream(number), path));
            }
        }
        for raw in &mut held {
            let frames: Vec<_> = std::iter::from_fn(|| frames::next(raw)).collect();
            assert!(frames.iter().all(|frame| frame.kind != DATA || frame.payload.is_empty()), "{frames:?}");
        }
    });
    eventually("no guest is left", || server.metric("spawnpoint_connections", "") <= 1.0);
}

#[test]
fn who_drips_a_body_is_ended_by_the_time_of_its_request() {
    let server = serving(&["read_slowly", "never_read"]);
    for function in ["read-slowly", "never-read"] {
        let mut raw = Raw::connect(server.ingress);
        raw.send(format!(
            "POST /default/{function}/?ms=0 HTTP/1.1\r\nhost: a.test\r\ncontent-length: 900000\r\n\r\n"
        ));
        let mut writer = raw.stream().try_clone().expect("a socket");
        let dripping = std::thread::spawn(move || {
            let began = Instant::now();
            while writer.write_all(b"x").is_ok() {
                assert!(began.elapsed() < PATIENCE, "it may drip for ever");
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let status = raw.answer().map(|answer| (answer.status, answer.code().to_owned()));
        let expected = if function == "read-slowly" { (504, "timeout") } else { (200, "") };
        assert_eq!(status, Some((expected.0, expected.1.to_owned())), "{function}");
        assert!(raw.is_closed(), "{function}");
        dripping.join().expect("an end");
    }
}

#[test]
fn chunks_that_two_readers_could_take_for_two_things_hide_no_request() {
    let server = serving(&["read_slowly", "never_read", "headers_echo"]);
    let hidden = "GET /default/headers-echo/hidden HTTP/1.1\r\nhost: a.test\r\n\r\n";
    let many = "x".repeat(100_000);
    for chunks in [
        "g\r\nx\r\n0\r\n\r\n",
        "-1\r\nx\r\n0\r\n\r\n",
        "+1\r\nx\r\n0\r\n\r\n",
        "0x1\r\nx\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nx",
        "10000000000000000\r\nx",
        "1\nx\n0\n\n",
        "1\r\nxx\r\n0\r\n\r\n",
        "1\r\nx0\r\n\r\n",
        "\r\n0\r\n\r\n",
        " 1\r\nx\r\n0\r\n\r\n",
        "1\rx\r\n0\r\n\r\n",
        &format!("1;{many}\r\nx\r\n0\r\n\r\n"),
        &format!("0\r\nx: {many}\r\n\r\n"),
        &format!("0\r\n{}\r\n", "a: b\r\n".repeat(5_000)),
        "0\r\nno trailer\r\n\r\n",
    ] {
        for function in ["read-slowly", "never-read"] {
            let mut raw = Raw::connect(server.ingress);
            let head = format!("POST /default/{function}/?ms=0 HTTP/1.1\r\nhost: a.test\r\n");
            raw.send(format!("{head}transfer-encoding: chunked\r\n\r\n{chunks}{hidden}"));
            let answers: Vec<_> = std::iter::from_fn(|| raw.answer()).collect();
            let shown = chunks.get(..chunks.len().min(30));
            assert!(
                answers.iter().all(|answer| !answer.text().contains("/hidden")),
                "{shown:?}: {answers:?}"
            );
            assert!(answers.len() <= 1, "{shown:?}: {answers:?}");
        }
    }
    assert_eq!(server.call("ok").status, 200);
}

#[test]
fn trailers_beyond_all_bounds_and_trailers_without_an_end_end_their_connection() {
    let server = serving(&["read_slowly", "never_read", "echo"]);
    let many: String = (0..10_000).map(|n| format!("x-{n}: t\r\n")).collect();
    let giant = format!("x: {}\r\n", "t".repeat(1 << 20));
    // Who reads the body is told that it broke off, who has begun to answer breaks off, and nobody gets a next request.
    for (function, expected) in
        [("read-slowly", (400, true)), ("never-read", (200, true)), ("echo", (200, false))]
    {
        let path = format!("/default/{function}/?ms=0");
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
        );
        let next = "\r\nGET /default/ok/ HTTP/1.1\r\nhost: a.test\r\n\r\n";
        for trailers in [&many, &giant] {
            let answers: Vec<_> = while_others_are_served(&server, || {
                let mut raw = Raw::connect(server.ingress);
                raw.send(&head).send(trailers).send(next);
                std::iter::from_fn(|| raw.answer()).map(|answer| (answer.status, answer.whole)).collect()
            });
            assert_eq!(answers, [expected], "{function}: {} bytes", trailers.len());
        }
        let end = flood(&server, head.as_bytes(), false, |number| format!("y-{number}: t\r\n").into_bytes());
        assert_eq!(end, End::Cut, "{function}");
        // Over HTTP/2 they are a head that never ends.
        let post = frame(HEADERS, END_HEADERS, 1, &frames::head("POST", &path));
        let begun = [post, frame(DATA, 0, 1, b"x"), frame(HEADERS, END_STREAM, 1, b"")].concat();
        let field = [&[0, 1, b'x', 100][..], &[b't'; 100]].concat().repeat(100);
        let more = frame(CONTINUATION, 0, 1, &field);
        let end = flood(&server, &[frames::opening(&[]), begun].concat(), true, |_| more.clone());
        assert!(matches!(end, End::Told(CALM) | End::Cut), "{function}: {end:?}");
    }
}

#[test]
fn who_asks_and_asks_and_reads_no_answer_is_cut() {
    let server = serving(&[]);
    while_others_are_served(&server, || {
        let raw = Raw::connect_narrow(server.ingress);
        let mut writer = raw.stream().try_clone().expect("a socket");
        let asked = "GET /default/ok/ HTTP/1.1\r\nhost: a.test\r\n\r\n".repeat(200);
        let began = Instant::now();
        while writer.write_all(asked.as_bytes()).is_ok() {
            assert!(began.elapsed() < PATIENCE, "the server answers a client that reads nothing");
        }
    });
}
