//! Bytes that are no function: each is refused by name, says what was found and what would work, and leaves nothing.

use super::support::siege::Siege;
use super::support::wasm::{component, module_of};
use super::support::{Config, Server, eventually, guest, sample, wat};

const NOT_WASM: (u16, &str) = (422, "not_wasm");
const INVALID: (u16, &str) = (422, "invalid_wasm");
const WRONG_WORLD: (u16, &str) = (422, "wrong_world");

#[test]
fn another_kind_of_file_is_named() {
    let siege = Siege::begin(Config::default());
    let gzip = [&b"\x1f\x8b\x08\0"[..], &[7; 60]].concat();
    let elf = [&b"\x7fELF\x02\x01\x01\0"[..], &[0; 60]].concat();
    let noise: Vec<u8> = (0..5_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80).collect();
    for (what, bytes, said) in [
        ("nothing", &b""[..], "an empty file"),
        ("noise", &noise, "unknown kind"),
        ("gzip", &gzip, "gzip"),
        ("ELF", &elf, "ELF"),
        ("zip", b"PK\x03\x04 and so on", "zip"),
        ("text", b"(component (core module))", "WAT"),
        ("JavaScript", b"export default { fetch() { return new Response('hi') } }", "JavaScript"),
        ("Python", b"def handle(request):\n    return 1\n", "Python"),
        ("Rust", b"fn main() {}\n", "Rust"),
        ("HTML", b"<!DOCTYPE html><html></html>", "HTML"),
        ("JSON", b"{\"error\": \"not found\"}", "JSON"),
        (
            "a secret",
            b"AKIA0123456789ABCDEF0123456789 is the key and must not be told",
            "AKIA0123456789ABCDEF0123",
        ),
        ("hidden characters", "\u{202e}evil\u{1b}[2J".as_bytes(), "unknown kind"),
    ] {
        let answer = siege.refuses(what, bytes, NOT_WASM, said);
        assert!(answer.text().contains("what works is"), "{what}: {}", answer.text());
        assert!(!answer.text().contains("must not be told"), "{what}: {}", answer.text());
    }
}

#[test]
fn machine_code_is_accepted_from_nobody() {
    let siege = Siege::begin(Config::default());
    let artifact = std::fs::read(&siege.server.artifacts()[0]).expect("an artifact");
    siege.refuses("an artifact of this very server", &artifact, NOT_WASM, "precompiled");
}

#[test]
fn webassembly_that_is_cut_short_or_broken_is_refused() {
    let siege = Siege::begin(Config::default());
    let whole = guest("counter");
    for length in [4, 7, 8, 9, 100, whole.len() / 2, whole.len() - 1] {
        let answer = siege.server.upload("new", &whole[..length]);
        assert_eq!(answer.status, 422, "{length}: {}", answer.text());
        assert!(matches!(answer.code(), "invalid_wasm" | "wrong_world"), "{length}: {}", answer.text());
        siege.holds("a cut");
    }
    siege.refuses("a cut", &whole[..whole.len() / 2], INVALID, "ends too early");
    siege.refuses("another version", b"\0asm\x02\0\0\0", INVALID, "version is 2");
    siege.refuses("another layer", b"\0asm\x0d\0\x02\0", INVALID, "version");
    siege.refuses("a section of no kind", b"\0asm\x01\0\0\0\x7f\x01\0", INVALID, "not valid");
    siege.refuses("a section larger than all", b"\0asm\x0d\0\x01\0\x01\xff\xff\xff\xff\x07", INVALID, "");
    let trailing = [&whole[..], b"\x63garbage"].concat();
    siege.refuses("garbage behind the end", &trailing, INVALID, "");
}

#[test]
fn a_program_for_another_world_is_named_with_what_would_work() {
    let siege = Siege::begin(Config::default());
    let command = wat::parse_str(
        r#"(component
          (core module $m (func (export "run") (result i32) i32.const 0))
          (core instance $i (instantiate $m))
          (func $run (result (result)) (canon lift (core func $i "run")))
          (instance $cli (export "run" (func $run)))
          (export "wasi:cli/run@0.2.3" (instance $cli)))"#,
    );
    let draft = wat::parse_str(
        r#"(component
          (core module $m (func (export "handle")))
          (core instance $i (instantiate $m))
          (func $handle (canon lift (core func $i "handle")))
          (instance $h (export "handle" (func $handle)))
          (export "wasi:http/incoming-handler@0.2.0-rc-2023-11-10" (instance $h)))"#,
    );
    let bindgen = wat::parse_str(r#"(module (import "wbg" "f" (func)))"#);
    siege.refuses("a wasip1 command", &wat("command"), (422, "wasip1_command"), "_start");
    siege.refuses("a component command", &command.unwrap(), WRONG_WORLD, "wasi:cli/run@0.2.3");
    siege.refuses("no handler", &wat("no_handler"), WRONG_WORLD, "`run`");
    siege.refuses("an empty module", &wat("empty_module"), WRONG_WORLD, "exports nothing");
    siege.refuses("an empty component", b"\0asm\x0d\0\x01\0", WRONG_WORLD, "exports nothing");
    siege.refuses("a draft", &draft.unwrap(), (422, "unsupported_version"), "0.2.0-rc-2023-11-10");
    siege.refuses("wasm-bindgen", &bindgen.unwrap(), (422, "unsupported_import"), "wasm-bindgen");
}

#[test]
fn a_handler_of_the_wrong_type_is_refused() {
    let siege = Siege::begin(Config::default());
    let odd = wat::parse_str(
        r#"(component
          (core module $m (func (export "handle")))
          (core instance $i (instantiate $m))
          (func $handle (canon lift (core func $i "handle")))
          (instance $h (export "handle" (func $handle)))
          (export "wasi:http/incoming-handler@0.2.0" (instance $h)))"#,
    );
    let answer = siege.server.upload("new", &odd.unwrap());
    assert!(matches!(answer.code(), "unfit" | "not_ready"), "{}", answer.text());
    assert!(answer.text().contains("type mismatch"), "{}", answer.text());
    siege.holds("a handler without parameters");
}

#[test]
fn an_import_that_no_host_has_is_named() {
    let siege = Siege::begin(Config::default());
    siege.refuses("an unknown import", &wat("unknown_import"), (422, "unfit"), "nobody:has/this");
}

#[test]
fn a_proposal_that_is_off_is_named() {
    let siege = Siege::begin(Config::default());
    let feature = (422, "unsupported_feature");
    for (what, inside) in [
        ("64-bit memory", "(memory i64 1)"),
        ("threads", "(memory 1 1 shared)"),
        ("garbage collection", "(type (struct (field i32)))"),
        ("exceptions", "(tag (param i32))"),
    ] {
        siege.refuses(what, &component(inside), feature, "a proposal which is off");
    }
}

#[test]
fn start_up_that_fails_is_found_out_at_once() {
    let siege = Siege::begin(Config::default().toml("[limits]\ncpu_ms = 200\nmemory_bytes = 4194304"));
    let not_ready = (422, "not_ready");
    siege.refuses("a trap", &wat("trap_in_start"), not_ready, "guest_trap");
    siege.refuses("a loop", &wat("spin_in_start"), not_ready, "cpu_limit");
    siege.refuses("16 MiB of 4", &component("(memory 256)"), not_ready, "memory_limit");
    siege.refuses(
        "a data segment outside",
        &component("(memory 0) (data (i32.const 9) \"x\")"),
        not_ready,
        "trap",
    );
}

#[test]
fn start_up_that_waits_for_the_first_call_fails_that_call() {
    let server = Server::with(Config::default().toml("[limits]\ncpu_ms = 200"));
    // What Rust calls a constructor is run by the first export that is called.
    server.deploy("lazy", &guest("spin_in_start"));
    for _ in 0..2 {
        let answer = server.call("lazy");
        assert_eq!((answer.status, answer.code()), (502, "cpu_limit"), "{}", answer.text());
    }
}

#[test]
fn what_no_slot_can_hold_is_refused_with_the_limit() {
    let siege = Siege::begin(Config::default());
    for (what, wasm) in [
        ("4 GiB of memory", wat("memory_min")),
        ("ten million elements", wat("table_min")),
        ("five tables", component(&"(table 1 funcref)".repeat(5))),
    ] {
        let answer = siege.server.upload("new", &wasm);
        assert!(matches!(answer.code(), "unfit" | "not_ready"), "{what}: {}", answer.text());
        assert!(answer.text().len() > 120, "{what} says why: {}", answer.text());
        siege.holds(what);
    }
}

#[test]
fn one_module_of_a_hundred_thousand_functions_is_refused_for_what_it_is() {
    let siege = Siege::begin(Config::default());
    siege.refuses("100,000 functions", &module_of(100_000), WRONG_WORLD, "core module");
    siege.refuses("2,000,000 functions", &module_of(2_000_000), INVALID, "");
}

#[test]
fn names_in_a_hostile_upload_do_not_reach_a_terminal_or_fill_a_log() {
    let siege = Siege::begin(Config::default());
    let long = "x".repeat(50_000);
    let many: String = (0..2_000).map(|n| format!("(export \"e{n}\" (func $f))")).collect();
    for (what, text) in [
        ("an escape", r#"(module (func (export "\1b[2J\0a`x` forged line")))"#.to_owned()),
        ("a long name", format!("(module (func (export \"{long}\")))")),
        ("many names", format!("(module (func $f) {many})")),
    ] {
        siege.refuses(what, &wat::parse_str(&text).unwrap(), WRONG_WORLD, "exports");
    }
    let log = siege.server.log();
    assert!(!log.contains("\u{1b}[2J") && !log.contains(&long), "{log}");
}

#[test]
fn flipped_bits_are_never_the_platforms_failure() {
    let server = Server::start();
    server.deploy("old", &guest("ok"));
    let whole = sample("hello-wasip2");
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..40 {
        let mut wasm = whole.clone();
        for _ in 0..3 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = (state >> 8) as usize % wasm.len();
            wasm[at] ^= 1 << (state & 7);
        }
        let answer = server.upload("flipped", &wasm);
        assert!(matches!(answer.status, 200 | 201 | 422), "{}: {}", answer.status, answer.text());
        if answer.status == 201 {
            // Whatever it does, it is the guest's doing.
            assert_ne!(server.call("flipped").code(), "host_error");
        }
    }
    assert_eq!(server.call("old").text(), "ok");
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn what_is_refused_while_others_deploy_leaves_no_file_either() {
    let server = Server::start();
    server.deploy("old", &guest("ok"));
    server.optimised();
    std::thread::scope(|scope| {
        for number in 0..8_u8 {
            let server = &server;
            scope.spawn(move || {
                let wasm = [&[number][..], &wat("no_handler")].concat();
                assert_eq!(server.upload("new", &wasm).status, 422);
                let wasm = super::support::wasm::stamped(&wat("trap_in_start"), number);
                assert_eq!(server.upload("new", &wasm).code(), "not_ready");
            });
        }
    });
    eventually("nothing is left", || server.blobs().len() == 1 && server.artifacts().len() == 1);
}
