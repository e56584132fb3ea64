//! The parent's side against children that misbehave, and whatever debug information says.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const SECTIONS: [&str; 6] =
    [".debug_info", ".debug_abbrev", ".debug_line", ".debug_str", ".debug_ranges", ".debug_line_str"];

/// One whose child is a shell script.
fn scripted(script: &str) -> (tempfile::TempDir, Locator) {
    let dir = tempfile::tempdir().unwrap();
    let exe = dir.path().join("child");
    std::fs::write(&exe, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&exe, std::fs::Permissions::from_mode(0o700)).unwrap();
    let limits = ChildLimits { memory_bytes: 1 << 30, cpu_seconds: 1, nice: 0, idle: false, parent: 1 };
    (dir, Locator { exe, limits, wall: Duration::from_secs(20), turn: Arc::new(Semaphore::new(1)) })
}

async fn asked(script: &str) -> io::Result<Located> {
    let (_dir, locator) = scripted(script);
    locator.locate(File::open("/dev/null").unwrap(), &[7, 9]).await
}

#[tokio::test]
async fn a_child_is_believed_only_as_far_as_its_answer_makes_sense() {
    let answer = r#"echo '[[{"file":"a.rs","line":3}],[]]'"#;
    let places = vec![vec![Place::new("a.rs", 3)], vec![]];
    assert_eq!(asked(answer).await.unwrap(), Located::Places(places));
    let long = format!("[{},[]]", serde_json::to_string(&vec![Place::new("a", 1); PLACES + 1]).unwrap());
    for script in [
        "true",
        "echo '[[]]'",
        "echo '[[],[],[]]'",
        "echo 'no json'",
        r#"echo '[[{"file":"a","line":-1}],[]]'"#,
        &format!("echo '{long}'"),
        "echo '[[],[]]'; exit 1",
        "echo '[[],[]]'; kill -SEGV $$",
        "kill -XCPU $$",
        "exec cat /dev/zero",
    ] {
        assert_eq!(asked(script).await.unwrap(), Located::Hopeless, "{script}");
    }
}

#[tokio::test]
async fn a_child_that_is_not_done_in_time_is_no_answer_for_good() {
    let (_dir, mut locator) = scripted("sleep 60");
    locator.wall = Duration::from_millis(100);
    assert!(locator.locate(File::open("/dev/null").unwrap(), &[7]).await.is_err());
    let _turn = locator.turn().await.unwrap();
    assert!(locator.turn().await.is_err(), "one at a time");
    assert!(asked("exec ./nothing").await.is_ok_and(|located| located == Located::Hopeless));
}

#[tokio::test]
async fn the_child_is_told_which_instructions_are_meant() {
    let script = r#"for last; do :; done; [ "$last" = 7,9 ] && echo '[[],[]]'"#;
    assert_eq!(asked(script).await.unwrap(), Located::Places(vec![vec![], vec![]]));
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &leb(content.len()), content].concat()
}

/// A component around a core module with one function, and this debug information.
fn component(debug: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    module.extend(section(1, b"\x01\x60\x00\x00"));
    module.extend(section(3, b"\x01\x00"));
    module.extend(section(10, b"\x01\x05\x00\x01\x01\x00\x0b"));
    for (name, content) in debug {
        module.extend(section(0, &[&leb(name.len())[..], name.as_bytes(), content].concat()));
    }
    [&b"\0asm\x0d\0\x01\0"[..], &section(1, &module)].concat()
}

#[test]
fn what_has_no_debug_information_has_no_lines() {
    let all: Vec<u64> = (0..100).chain([u64::MAX]).collect();
    for wasm in [component(&[]), b"no wasm".to_vec(), vec![], component(&[(".debug_line", vec![])])] {
        let found = lines::find(&wasm, &all);
        assert!(found.len() == all.len() && found.iter().all(Vec::is_empty));
    }
}

proptest! {
    #[test]
    fn whatever_debug_information_says_is_bounded(
        contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), SECTIONS.len()),
        cut in 0_usize..2_000,
    ) {
        let debug: Vec<_> = SECTIONS.into_iter().zip(contents).collect();
        let mut wasm = component(&debug);
        let all: Vec<u64> = (0..60).collect();
        let found = lines::find(&wasm, &all);
        prop_assert!(found.len() == 60 && found.iter().all(|each| each.len() <= PLACES));
        wasm.truncate(cut);
        prop_assert_eq!(lines::find(&wasm, &all).len(), 60);
    }
}
