//! The demo, as a newcomer sees it: a table of functions that answer, a crash that is no big deal, and nothing left.

use std::io::Read as _;
use std::process::Stdio;
use std::time::Duration;

use super::support::cli::Cli;
use super::support::eventually;

/// Building the samples may take minutes on a machine that has never done it.
const LONG: Duration = Duration::from_secs(600);
const ANYWHERE: [&str; 5] = ["demo", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];

/// A demo with a folder of its own for temporary files.
fn demo(more: &[&str]) -> (Cli, tempfile::TempDir) {
    // So that what is timed and looked at is the demo and not the build.
    super::support::sample("hello");
    let temporary = tempfile::tempdir().unwrap();
    let cli = Cli::new(&[&ANYWHERE, more].concat()).patience(LONG);
    (cli.env("TMPDIR", temporary.path().to_str().unwrap()), temporary)
}

fn is_empty(folder: &tempfile::TempDir) -> bool {
    std::fs::read_dir(folder.path()).unwrap().next().is_none()
}

#[test]
fn a_demo_shows_every_sample_and_a_crash_and_leaves_nothing() {
    let (cli, temporary) = demo(&["--once"]);
    let said = cli.ok();
    let lines: Vec<&str> = said.out.lines().collect();
    assert!(
        lines[0].starts_with("URL") && lines[0].contains("COLD") && lines[0].contains("WARM"),
        "{}",
        said.out
    );
    let rows: Vec<_> =
        lines.iter().filter(|line| line.starts_with("http://") && line.contains(" ms (")).collect();
    assert_eq!(rows.len(), 8, "{}", said.out);
    for row in &rows {
        assert_eq!(row.split_whitespace().nth(1), Some("200"), "{row}");
        assert!(row.contains("(cold)"), "{row}");
    }
    assert!(
        rows.iter().any(|row| row.contains("/default/")) && rows.iter().any(|row| row.contains("/acme/"))
    );
    assert!(said.out.contains("trap crashed: 502 guest_trap"), "{}", said.out);
    assert!(said.out.contains("the next request: 200") && said.out.contains("No big deal"), "{}", said.out);
    assert!(is_empty(&temporary), "{:?}", std::fs::read_dir(temporary.path()).unwrap().collect::<Vec<_>>());
}

#[test]
fn a_demo_in_json_is_one_object() {
    let (cli, _temporary) = demo(&["--once", "--json"]);
    let shown = cli.ok().json();
    let functions = shown["functions"].as_array().unwrap();
    assert_eq!(functions.len(), 8);
    assert!(functions.iter().all(|function| function["status"] == 200 && function["cold_start"] == "cold"));
    assert_eq!(shown["crash"].as_array().unwrap().len(), 2);
}

#[test]
fn a_demo_serves_until_ctrl_c_and_leaves_nothing() {
    let (mut cli, temporary) = demo(&[]);
    let mut child = cli.command().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut err = child.stderr.take().unwrap();
    let mut said = String::new();
    while !said.contains("until Ctrl-C") {
        let mut bytes = [0; 1_024];
        let read = err.read(&mut bytes).unwrap();
        assert!(read > 0, "it ended: {said}");
        said.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    let address = said.split("http://").nth(1).unwrap().split(' ').next().unwrap();
    let answer = super::support::get(address.parse().unwrap(), "/default/hello/");
    assert_eq!((answer.status, answer.text().as_str()), (200, "Hello, World!\n"));
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(is_empty(&temporary));
}

#[test]
fn a_demo_that_is_interrupted_early_ends_in_order_too() {
    let (mut cli, temporary) = demo(&[]);
    let mut child = cli.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Its token is written before its first deploy.
    eventually("it serves", || {
        let files = super::support::store::files(temporary.path());
        files.iter().any(|path| path.ends_with("admin-address"))
    });
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(is_empty(&temporary));
}

#[test]
fn a_demo_keeps_what_it_deploys_where_it_is_told_to() {
    let data = tempfile::tempdir().unwrap();
    let (cli, _temporary) = demo(&["--once", "--data-dir", data.path().to_str().unwrap()]);
    cli.ok();
    assert!(data.path().join("catalog.db").exists());
    let (again, _temporary) = demo(&["--once", "--json", "--data-dir", data.path().to_str().unwrap()]);
    let again = again.ok().json();
    assert!(again["functions"].as_array().unwrap().iter().all(|function| function["status"] == 200));
}

fn interrupt(child: &std::process::Child) {
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()));
}
