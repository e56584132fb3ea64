//! Lines of source in backtraces: where debug information has them, and whatever it says. Must never need it to be there:
//! names and places are told without.

use serde_json::Value;

use super::support::cli::Cli;
use super::support::wasm::{digest, stamped};
use super::support::{Answer, Config, Server, eventually, get, guest, sample};

/// The number of the only line of a guest's source that has this comment.
fn line_of(guest: &str, comment: &str) -> usize {
    let path = spawnpoint::cli::guests::source_tree().join(format!("tests/guests/{guest}/src/lib.rs"));
    let text = std::fs::read_to_string(path).unwrap();
    1 + text.lines().position(|line| line.ends_with(&format!("// {comment}"))).expect("a comment")
}

/// The record of a call that trapped.
#[track_caller]
fn record(server: &Server, of: &Answer) -> Value {
    assert_eq!(of.code(), "guest_trap", "{}", of.text());
    let path = format!("/v1/invocations/{}", of.header("x-request-id"));
    let answer = server.admin("GET", &path, &[], &[]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn backtrace(record: &Value) -> Vec<String> {
    let all = record["backtrace"].as_array().expect("a list").iter();
    all.map(|each| each.as_str().expect("text").to_owned()).collect()
}

/// A custom section's name, and where its content is.
fn custom_sections(wasm: &[u8]) -> Vec<(String, std::ops::Range<usize>)> {
    let sections = wasmparser::Parser::new(0).parse_all(wasm).filter_map(|payload| match payload {
        Ok(wasmparser::Payload::CustomSection(section)) => {
            Some((section.name().to_owned(), section.data_offset()..section.range().end))
        }
        _ => None,
    });
    sections.collect()
}

#[test]
fn a_frame_is_told_with_the_line_of_its_source() {
    let server = Server::start();
    server.deploy_with("f", &guest("located"), r#"{"breaker": {"enabled": false}}"#);
    let answer = server.call("f");
    let shown = record(&server, &answer);
    let frames = backtrace(&shown);
    let (trap, call) =
        (line_of("located", "the line of what fails"), line_of("located", "the line of the call"));
    let (trap, call) = (format!("located/src/lib.rs:{trap}"), format!("located/src/lib.rs:{call}"));
    assert!(frames[0].contains("fails @ 0x") && frames[0].contains("located/src/lib.rs:"), "{frames:#?}");
    // What calls it was inlined into a function that the module knows by name.
    let places: Vec<_> = frames[1].split(" at ").collect();
    assert!(
        places[0].contains("traps @ 0x") && places[1].ends_with(&format!("{trap}, inlined")),
        "{frames:#?}"
    );
    assert!(places[2].contains("located/src/lib.rs:"), "{frames:#?}");
    assert_eq!(frames.iter().filter(|frame| frame.ends_with(&call)).count(), 3, "{frames:#?}");

    let said = Cli::at(&server, &["explain", answer.header("x-request-id")]).ok();
    assert!(said.out.contains(&trap) && said.out.contains(&call), "{}", said.out);
    assert!(!said.out.contains("debug information"), "{}", said.out);
    let list = server.admin("GET", &format!("{}/failures", Server::path("f")), &[], &[]).json();
    assert_eq!(backtrace(&list["failures"][0]), frames);
    // Whoever called it is told none of this.
    assert!(!answer.text().contains("lib.rs") && !answer.text().contains("located"), "{}", answer.text());
    // Nor does it need the program, or a version that answers.
    server.deploy("f", &guest("ok"));
    server.cool("f", "program");
    assert_eq!(backtrace(&record(&server, &answer)), frames);
}

#[test]
fn a_core_module_has_its_lines_too() {
    let server = Server::start();
    server.deploy("f", &sample("core-module"));
    let frames = backtrace(&record(&server, &get(server.ingress, "/default/f/?trap")));
    let line = format!("core/src/lib.rs:{}", line_of("core", "the line of the trap"));
    assert!(frames[0].contains(&line), "{frames:#?}");
}

#[test]
fn without_debug_information_there_are_names_and_places() {
    let server = Server::start();
    server.deploy("f", &guest("unreachable"));
    let answer = server.call("f");
    let frames = backtrace(&record(&server, &answer));
    assert!(frames[0].contains("handle_cabi @ 0x") && !frames[0].contains(" at "), "{frames:#?}");
    let said = Cli::at(&server, &["explain", answer.header("x-request-id")]).ok();
    assert!(said.out.contains("debug = \"line-tables-only\""), "it says how to get them: {}", said.out);
}

#[test]
fn whatever_debug_information_says_names_and_places_are_told() {
    let server = Server::start();
    let wasm = guest("located");
    let sections = custom_sections(&wasm);
    let mut seed = 7_u32;
    let mut noise = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    let mut spoilt = 0;
    for (name, range) in sections.iter().filter(|(name, _)| name.starts_with(".debug_")) {
        for fill in ["ones", "zeroes", "noise", "few"] {
            let mut wasm = wasm.clone();
            let long = range.len().max(1);
            for (n, byte) in wasm[range.clone()].iter_mut().enumerate() {
                match fill {
                    "ones" => *byte = 0xff,
                    "zeroes" => *byte = 0,
                    "noise" => *byte = noise(),
                    _ if n % (long / 7 + 1) == 3 => *byte ^= 0x55,
                    _ => {}
                }
            }
            server.deploy_with("f", &wasm, r#"{"breaker": {"enabled": false}}"#);
            let frames = backtrace(&record(&server, &server.call("f")));
            assert!(frames[0].contains("fails @ 0x"), "{name} {fill}: {frames:#?}");
            assert!(
                frames.iter().all(|frame| !frame.contains(char::is_control)),
                "{name} {fill}: {frames:#?}"
            );
            if name == ".debug_line" && fill != "few" {
                assert!(!frames[0].contains("lib.rs"), "{fill}: {frames:#?}");
            }
            spoilt += 1;
        }
    }
    assert!(spoilt >= 16, "{sections:?}");
    assert_eq!(server.admin("GET", "/v1/tenants", &[], &[]).status, 200);
}

#[test]
fn a_path_that_would_move_a_terminal_is_harmless() {
    let server = Server::start();
    let mut wasm = guest("located");
    let (name, wild) = (b"lib.rs", b"\x1b[2J\r\x07");
    let mut spoilt = 0;
    for (_, range) in custom_sections(&wasm).into_iter().filter(|(name, _)| name.starts_with(".debug_")) {
        for at in range.start..range.end.saturating_sub(name.len()) {
            if wasm[at..].starts_with(name) {
                wasm[at..at + name.len()].copy_from_slice(wild);
                spoilt += 1;
            }
        }
    }
    assert!(spoilt > 0, "debug information names the file");
    server.deploy("f", &wasm);
    let answer = server.call("f");
    let frames = backtrace(&record(&server, &answer));
    assert!(frames[0].contains("\u{fffd}[2J\u{fffd}\u{fffd}:"), "{frames:#?}");
    assert!(frames.iter().all(|frame| !frame.contains(char::is_control)), "{frames:#?}");
    let said = Cli::at(&server, &["explain", answer.header("x-request-id")]).ok();
    assert!(
        !said.out.contains('\u{1b}')
            && !said.out.contains('\r')
            && said.out.contains("\u{fffd}[2J\u{fffd}\u{fffd}:"),
        "{}",
        said.out
    );
}

#[test]
fn what_is_no_longer_kept_has_no_lines_and_is_still_told() {
    let server = Server::with(Config::default().toml("[server]\nversions_per_function = 2"));
    server.deploy("f", &guest("located"));
    let answer = server.call("f");
    for stamp in 2..=3 {
        server.deploy("f", &stamped(&guest("ok"), stamp));
    }
    let gone = digest(&guest("located"));
    eventually("its file is gone", || !server.blobs().iter().any(|blob| gone.ends_with(blob.as_str())));
    let frames = backtrace(&record(&server, &answer));
    assert!(frames[0].contains("fails @ 0x") && !frames[0].contains(" at "), "{frames:#?}");
}
