//! The house rules that a machine can check: floors, sizes, headers, where spawning and printing may stand.

use std::path::{Path, PathBuf};

/// The rooms by floor, lowest first. A room uses only rooms of lower floors.
const FLOORS: [&[&str]; 9] = [
    &["model"],
    &["settings", "telemetry", "records", "tasks", "faults"],
    &["net", "storage"],
    &["catalog", "host"],
    &["engine"],
    &["deploy"],
    &["admin", "ingress"],
    &["process", "bench"],
    &["cli"],
];

/// Uses within one floor that are meant: logs are set up from settings, and starting a thread can fail.
const SAME_FLOOR: [(&str, &str); 2] = [("telemetry", "settings"), ("tasks", "faults")];

fn tree() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![tree().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                if !path.ends_with("target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a file");
                found.push((path.strip_prefix(tree()).expect("inside").to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// Host code alone: tests stand in files of their own.
fn host_files() -> Vec<(PathBuf, String)> {
    let is_test = |path: &Path| path.ends_with("tests.rs") || path.iter().any(|part| part == "tests");
    rust_files("runtime").into_iter().filter(|(path, _)| !is_test(path)).collect()
}

fn room(path: &Path) -> String {
    let part = path.iter().nth(1).expect("below runtime").to_string_lossy().into_owned();
    part.trim_end_matches(".rs").to_owned()
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// Lines of code, without comments: what a rule about code may look at.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn complain(rule: &str, mistakes: &[String]) {
    assert!(mistakes.is_empty(), "{rule}:\n{}", mistakes.join("\n"));
}

#[test]
fn a_floor_uses_only_floors_below_it() {
    let mut mistakes = Vec::new();
    for (path, text) in host_files() {
        let own = room(&path);
        let Some(own_floor) = floor(&own) else { continue };
        for (number, line) in code(&text) {
            for used in line.split("crate::").skip(1) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let Some(used_floor) = floor(&used) else { continue };
                let meant = SAME_FLOOR.contains(&(own.as_str(), used.as_str()));
                if used != own && used_floor >= own_floor && !meant {
                    mistakes.push(format!("{}:{}: {own} uses {used}", path.display(), number + 1));
                }
            }
        }
    }
    complain("a floor uses only floors below it", &mistakes);
}

#[test]
fn every_room_has_a_floor() {
    let known = |name: &str| matches!(name, "lib" | "main") || floor(name).is_some();
    let mistakes: Vec<_> =
        host_files().iter().map(|(path, _)| room(path)).filter(|room| !known(room)).collect();
    complain("every room stands in FLOORS", &mistakes);
}

#[test]
fn only_the_engine_and_the_host_know_wasmtime() {
    let mut mistakes = Vec::new();
    for (path, text) in host_files() {
        // The face of the data plane passes on the body type that wasi:http gives it; deploy loads components.
        let may = ["engine", "host"].contains(&room(&path).as_str());
        let narrow =
            ["wasmtime_wasi_http::WasiBody", "wasmtime_wasi_http::Error", "wasmtime::component::Component"];
        for (number, line) in code(&text) {
            let named = line.contains("wasmtime::") || line.contains("wasmtime_wasi");
            let expected = narrow.iter().any(|name| line.contains(name));
            if !may && named && !expected {
                mistakes.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    complain("only engine and host name wasmtime", &mistakes);
}

#[test]
fn host_files_have_at_most_400_lines() {
    let long = host_files().into_iter().map(|(path, text)| (path, text.lines().count()));
    let mistakes: Vec<_> = long
        .filter(|(_, lines)| *lines > 400)
        .map(|(path, lines)| format!("{}: {lines}", path.display()))
        .collect();
    complain("a file has at most 400 lines", &mistakes);
}

#[test]
fn every_file_says_what_it_is_responsible_for() {
    let mut mistakes = Vec::new();
    for folder in ["runtime", "guest-sdk/src", "samples", "tests", "benches"] {
        for (path, text) in rust_files(folder) {
            if !text.starts_with("//!") {
                mistakes.push(path.display().to_string());
            }
        }
    }
    complain("a file opens with `//!`", &mistakes);
}

#[test]
fn every_host_file_says_what_it_must_never_do() {
    let is_door = |path: &Path| path.ends_with("lib.rs") || path.ends_with("main.rs");
    let says = |text: &str| {
        let header: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        let header = header.to_lowercase();
        header.contains("must never") || header.contains("must not")
    };
    let mistakes: Vec<_> = host_files()
        .into_iter()
        .filter(|(path, text)| !is_door(path) && !says(text))
        .map(|(path, _)| path.display().to_string())
        .collect();
    complain("a host file says what it must never do", &mistakes);
}

/// Something that may stand only in some files.
fn only_in(what: &[&str], files: &[&str], rule: &str) {
    let mut mistakes = Vec::new();
    for (path, text) in host_files() {
        if files.iter().any(|file| path.ends_with(file)) {
            continue;
        }
        for (number, line) in code(&text) {
            if what.iter().any(|what| line.contains(what)) {
                mistakes.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    complain(rule, &mistakes);
}

#[test]
fn unsafe_stands_only_where_artifacts_are_loaded_and_the_heap_is_told() {
    let files = ["engine/artifact.rs", "process/heap.rs"];
    only_in(&["unsafe {", "unsafe fn", "unsafe impl"], &files, "`unsafe` is for artifacts, and for the heap");
    for file in files {
        let path = tree().join("runtime").join(file);
        let text = std::fs::read_to_string(path).expect("a file");
        assert_eq!(text.matches("unsafe {").count(), text.matches("// SAFETY:").count(), "{file}");
    }
}

#[test]
fn threads_and_tasks_start_only_in_tasks() {
    // The one thread that writes the database is the storage's own.
    only_in(
        &["tokio::spawn(", "spawn_local(", "thread::spawn(", "Builder::new().name("],
        &["tasks.rs", "storage/sqlite.rs"],
        "spawning is for tasks.rs",
    );
}

#[test]
fn the_environment_is_read_only_in_settings() {
    only_in(
        &["env::var(", "env::var_os(", "env::vars("],
        &["settings/mod.rs"],
        "the environment is for settings",
    );
}

#[test]
fn printing_stands_only_in_print() {
    only_in(
        &["println!(", "print!(", "eprintln!(", "eprint!("],
        &["cli/print.rs"],
        "printing is for cli/print.rs",
    );
}

#[test]
fn channels_have_bounds() {
    only_in(&["unbounded_channel", "mpsc::unbounded"], &[], "a channel has a bound");
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    only_in(&["#[allow(", "#![allow("], &[], "`#[expect(.., reason)]`, never `allow`");
}

#[test]
fn no_host_code_can_panic_on_purpose() {
    only_in(
        &[".unwrap()", ".expect(\"", "todo!(", "unimplemented!(", "dbg!("],
        &[],
        "host code returns errors",
    );
}

#[test]
fn every_code_that_is_promised_is_provoked_by_a_test() {
    let promises = std::fs::read_to_string(tree().join("SPECIFICATION.md")).expect("a file");
    let rows = promises.lines().map(str::trim).filter(|line| line.starts_with('|'));
    let codes: Vec<_> = rows
        .filter_map(|row| row.split('|').nth(3))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert!(codes.len() > 15, "{codes:?}");
    let chapters = rust_files("tests");
    let provoked = |code: &str| chapters.iter().any(|(_, text)| text.contains(&format!("\"{code}\"")));
    let mistakes: Vec<_> = codes.into_iter().filter(|code| !provoked(code)).map(str::to_owned).collect();
    complain("a chapter provokes every code", &mistakes);
}

#[test]
fn every_failpoint_is_listed_placed_and_tested() {
    use std::collections::BTreeSet;
    let listed: BTreeSet<String> = spawnpoint::faults::POINTS
        .iter()
        .chain(&spawnpoint::faults::HOST_POINTS)
        .map(|point| (*point).to_owned())
        .collect();
    let mut placed = BTreeSet::new();
    for (_, text) in host_files() {
        for call in ["faults::at(\"", "faults::pass(\"", "fault(\""] {
            let names = text.split(call).skip(1).filter_map(|rest| rest.split('"').next());
            placed.extend(names.map(str::to_owned));
        }
    }
    assert_eq!(listed, placed, "faults.rs lists what the code has");
    let chapters = ["tests/host_faults.rs", "tests/host_panics.rs", "tests/tiers.rs"];
    let read = |path: &&str| std::fs::read_to_string(tree().join(path)).expect("a file");
    let tests: String = chapters.iter().map(read).collect();
    let mistakes: Vec<_> = listed.into_iter().filter(|point| !tests.contains(point.as_str())).collect();
    complain("a failpoint is met by a test", &mistakes);
}

#[test]
fn a_release_has_no_failpoints() {
    let text = std::fs::read_to_string(tree().join("Cargo.toml")).expect("a file");
    let manifest: toml::Value = toml::from_str(&text).expect("a manifest");
    assert!(manifest["features"].get("default").is_none(), "`failpoints` is asked for by name");
    assert!(manifest["profile"]["release"].get("debug-assertions").is_none());
}

#[test]
fn no_text_names_a_machine() {
    let mut mistakes = Vec::new();
    let needles = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/home", "/")];
    for folder in ["runtime", "guest-sdk", "samples", "tests", "benches"] {
        for (path, text) in rust_files(folder) {
            if needles.iter().any(|needle| text.contains(needle)) {
                mistakes.push(path.display().to_string());
            }
        }
    }
    complain("no path of one machine", &mistakes);
}
