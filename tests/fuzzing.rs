//! The targets of `tests/fuzz` without their fuzzer: each is compiled with the tests, and holds for what is nearly right.
//! Must never stand in for the fuzzer, which finds what no dice do.

use crate::support::generated::Dice;
use crate::support::guest;

/// Cases of a target whose input is small; of one whose input is longer than this, fewer.
const CASES: usize = 2_000;
const SMALL: usize = 4 << 10;
const SEED: u64 = 0xf022_7a26;

/// What a target takes of the bytes it is given, if they are any of that.
trait Input {
    fn of(bytes: &[u8]) -> Option<&Self>;
}

impl Input for [u8] {
    fn of(bytes: &[u8]) -> Option<&Self> {
        Some(bytes)
    }
}

impl Input for str {
    fn of(bytes: &[u8]) -> Option<&Self> {
        std::str::from_utf8(bytes).ok()
    }
}

pub mod plain {
    /// The fuzzer's own macro makes an entry point of a target; this one a function.
    macro_rules! fuzz_target {
        (|$input:ident: &$kind:ty| $body:block) => {
            pub fn run(bytes: &[u8]) {
                if let Some($input) = <$kind as crate::fuzzing::Input>::of(bytes) $body
            }
        };
    }
    pub(crate) use fuzz_target;
}

macro_rules! targets {
    ($($name:ident at $path:literal),*) => {
        $(
            #[path = $path]
            #[expect(unused_attributes, reason = "the fuzzer brings a main function of its own, a module has none")]
            mod $name;
        )*
        /// Each target by its file's name.
        const TARGETS: &[(&str, fn(&[u8]))] = &[$((stringify!($name), $name::run)),*];
    };
}

targets! {
    admin_json at "fuzz/targets/admin_json.rs",
    manifest at "fuzz/targets/manifest.rs",
    multipart at "fuzz/targets/multipart.rs",
    names at "fuzz/targets/names.rs",
    routing at "fuzz/targets/routing.rs",
    upload at "fuzz/targets/upload.rs"
}

/// What each target takes and finds nothing wrong with.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let texts: &[&str] = match target {
        "admin_json" => &[r#"{"version": 7}"#, r#"{"drop": "instances"}"#, r#"{"drop": "program"}"#],
        "manifest" => &[
            r#"{"limits": {"cpu_ms": 200, "wall_ms": 900, "memory_bytes": 70000000}, "variables": {"A": "b"}}"#,
            r#"{"reuse": {"max_requests": 10}, "breaker": {"enabled": false}, "server_timing": false}"#,
        ],
        "multipart" => &[
            "\u{3}--XX\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\nbody\r\n--XX\r\n\
             content-disposition: form-data; name=b\r\n\r\n\r\n--XX--\r\n",
            "Amultipart/form-data; boundary=\"X Y\"",
        ],
        "names" => &["default", "a-b-c", "xn--bcher-kva", "0"],
        "routing" => &[
            "/tenant/function/path?query\nhost: localhost:8080\naccept: */*",
            "http://f.t.localhost:80/path\nhost: f.t.localhost:80",
            "/\nhost: Function.Tenant.LOCALHOST\ncontent-length: 5",
        ],
        "upload" => return vec![guest("ok"), b"\0asm\x01\0\0\0".to_vec(), b"\0asm\x0d\0\x01\0".to_vec()],
        other => panic!("no seeds for {other}"),
    };
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// What is nearly right: a few of its bytes, or stretches of it, are others, twice, or not there.
fn spoiled(dice: &mut Dice, seed: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..dice.below(5) {
        let at = dice.below(bytes.len() + 1);
        let end = (at + 1 + dice.below(12)).min(bytes.len());
        match dice.below(4) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes.insert(at, dice.next() as u8),
            2 => bytes.extend_from_within(at..end),
            _ => bytes[at..end].iter_mut().for_each(|byte| *byte ^= 1 << dice.below(8)),
        }
    }
    bytes
}

#[test]
fn every_fuzz_target_holds_for_what_is_nearly_right() {
    for (name, run) in TARGETS {
        let seeds = seeds(name);
        for seed in &seeds {
            run(seed);
        }
        let longest = seeds.iter().map(Vec::len).max().unwrap_or_default();
        for case in 0..CASES / (1 + longest / SMALL) {
            let mut dice = Dice::of(SEED, case as u64);
            let bytes = spoiled(&mut dice, &seeds[case % seeds.len()]);
            let held = std::panic::catch_unwind(|| run(&bytes));
            assert!(held.is_ok(), "{name}, case {case}: {}", bytes.escape_ascii());
        }
    }
}

#[test]
fn every_fuzz_target_is_among_the_tests_and_in_the_fuzzers_manifest() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let mut files: Vec<String> = std::fs::read_dir(folder.join("targets"))
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    files.sort();
    assert_eq!(files, TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for name in files {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
