//! The command line: what is understood, what is asked of a server, what comes back.

mod against_a_server;

use std::path::Path;

use clap::{CommandFactory as _, Parser as _};

use super::at::At;
use super::client::{ClientError, Origin, Token};
use super::{Cli, Command, Usage, bench, deploy, diagnose, exit_code, form, invoke, print, rollback};
use crate::admin::wire::Version;
use crate::model::limits::Limits;
use crate::model::manifest::{Manifest, Reuse};
use crate::model::version::{Handler, VersionNumber};
use crate::settings::Flags;

fn parse(arguments: &[&str]) -> Result<Command, clap::Error> {
    let whole = std::iter::once("spawnpoint").chain(arguments.iter().copied());
    Cli::try_parse_from(whole).map(|cli| cli.command)
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn what_a_child_is_started_with_is_understood() {
    let limits = crate::engine::compile::ChildLimits {
        memory_bytes: 5,
        cpu_seconds: 7,
        nice: 9,
        idle: false,
        parent: 1,
    };
    let arguments = |command| {
        let all = limits.arguments_of(command).into_iter();
        all.map(|each| each.into_string().unwrap()).collect::<Vec<_>>()
    };
    let parsed =
        |arguments: &[String]| parse(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    assert!(matches!(parsed(&arguments(crate::engine::compile::SUBCOMMAND)), Command::Compile(_)));
    let mut fast = arguments(crate::engine::compile::SUBCOMMAND);
    let more =
        [crate::engine::compile::AS_COMPONENTS, crate::engine::compile::FAST, "--nice", "19", "--idle"];
    fast.extend(more.map(str::to_owned));
    assert!(matches!(parsed(&fast), Command::Compile(_)));
    let mut locate = arguments(crate::engine::locate::SUBCOMMAND);
    locate.extend(["--at".to_owned(), "7,65536".to_owned()]);
    assert!(matches!(parsed(&locate), Command::Locate(_)));
}

#[test]
fn a_wrong_name_is_wrong_usage_and_says_what_is_allowed() {
    let error = parse(&["delete", "Hello_World"]).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("1 to 63 of `a-z`"), "{error}");
}

#[test]
fn flags_of_serve_become_settings() {
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--threads", "2"];
    let Command::Serve(args) = parse(&arguments).unwrap() else { panic!("another command") };
    let flags = Flags::from(args);
    assert_eq!((flags.threads, flags.log_json), (Some(2), Some(true)));
    assert_eq!(flags.listen.unwrap().port(), 0);
}

#[test]
fn every_command_but_the_hidden_one_prints_json() {
    for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        let leaves: Vec<_> = command.get_subcommands().collect();
        let leaves = if leaves.is_empty() { vec![command] } else { leaves };
        for leaf in leaves {
            assert!(leaf.get_arguments().any(|each| each.get_id() == "json"), "{}", leaf.get_name());
        }
    }
}

#[test]
fn no_help_shows_the_token() {
    let command = Cli::command();
    let shown = command.get_subcommands().flat_map(clap::Command::get_arguments);
    let mut tokens = shown.filter(|each| each.get_id() == "token").peekable();
    assert!(tokens.peek().is_some());
    assert!(tokens.all(clap::Arg::is_hide_env_values_set));
}

#[test]
fn a_file_name_becomes_a_function_name() {
    let name = |path: &str| deploy::name_of(Path::new(path)).map(|name| name.to_string());
    assert_eq!(name("target/wasm32-wasip2/release/Hello_World.wasm").unwrap(), "hello-world");
    assert_eq!(name("__a..b  c__.wasm").unwrap(), "a-b-c");
    assert_eq!(name("v1.2.wasm").unwrap(), "v1-2");
    assert_eq!(name(&format!("{}.wasm", "a_".repeat(63))).unwrap().len(), 63);
    let error = name("日本.wasm").unwrap_err();
    assert_eq!(exit_code(&error), 2);
    assert!(error.to_string().contains("--name"), "{error}");
}

#[test]
fn a_header_is_a_name_and_a_value() {
    let (name, value) = invoke::field("X-Time: 12:30 ").unwrap();
    assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-time", "12:30"));
    assert!(invoke::field("x-time").unwrap_err().contains("NAME: VALUE"));
    assert!(invoke::field("a b: c").is_err());
    assert!(invoke::field("a: b\r\nc: d").is_err());
}

#[test]
fn how_long_a_load_lasts_has_a_unit() {
    let duration = |text| bench::duration(text).ok().map(|duration| duration.as_millis());
    assert_eq!(
        ["10s", "500ms", "2m", "1h", "1.5", "0.5s"].map(duration),
        [10_000, 500, 120_000, 3_600_000, 1_500, 500].map(Some)
    );
    for wrong in ["", "s", "0s", "-1s", "2h", "1d", "1 s", "infs", "NaN", "1e3h", "1é"] {
        assert_eq!(duration(wrong), None, "{wrong}");
    }
}

#[test]
fn what_is_measured_is_a_url_a_file_or_a_function() {
    for good in ["http://h:1/a?b", "./a", "a.wasm", "hello-2"] {
        assert!(parse(&["bench", good]).is_ok(), "{good}");
    }
    for wrong in ["http://h h/", "Hello", "-", ""] {
        assert_eq!(parse(&["bench", wrong]).unwrap_err().exit_code(), 2, "{wrong}");
    }
}

#[test]
fn a_path_is_below_the_functions_root() {
    let below = |path| invoke::below("http://h:1/t/f/", path).map(|uri| uri.to_string());
    assert_eq!(below("/").unwrap(), "http://h:1/t/f/");
    assert_eq!(below("/a/b?c=d").unwrap(), "http://h:1/t/f/a/b?c=d");
    assert_eq!(below("a").unwrap(), "http://h:1/t/f/a");
    assert_eq!(exit_code(&below("/a b").unwrap_err()), 2);
}

#[test]
fn an_origin_is_a_host_and_a_port() {
    let origin = |text| Origin::parse(text).map(|origin| origin.to_string());
    assert_eq!(origin("http://h:1/").unwrap(), "http://h:1");
    assert_eq!(origin("H:1").unwrap(), "http://h:1");
    assert_eq!(origin("http://[::1]:8081").unwrap(), "http://[::1]:8081");
    assert_eq!(origin("example.org").unwrap(), "http://example.org:80");
    for wrong in ["", "http://", "http://h:1/v1", "ftp://h", "http://h:99999", "http://h:0", "a b"] {
        assert!(origin(wrong).is_err(), "{wrong}");
    }
    let error = origin("http://user:secret@h:1").unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
    let error = anyhow::Error::from(origin("https://h:1").unwrap_err());
    assert_eq!(exit_code(&error), 2);
    assert!(error.to_string().contains("https"), "{error}");
}

#[test]
fn names_below_localhost_and_unspecified_addresses_are_this_machine() {
    let parsed = |text| Origin::parse(text).unwrap();
    assert_eq!(parsed("f.t.localhost:80").target().0, "localhost");
    assert_eq!(parsed("0.0.0.0:80").target().0, "127.0.0.1");
    assert_eq!(parsed("[::]:80").target().0, "::1");
    for ours in ["f.t.localhost:80", "localhost", "127.0.0.9:1", "[::1]:1"] {
        assert!(parsed(ours).is_loopback(), "{ours}");
    }
    for foreign in ["example.org", "localhost.example.org", "10.0.0.1:1"] {
        assert!(!parsed(foreign).is_loopback(), "{foreign}");
    }
}

#[test]
fn the_data_directory_tells_the_address_and_the_token() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("admin-address"), "http://127.0.0.1:4711\n").unwrap();
    std::fs::write(dir.path().join("admin-token"), "spt_secret\n").unwrap();
    let at = At { data_dir: Some(dir.path().to_owned()), ..At::default() };
    let client = at.client().unwrap();
    assert_eq!(client.origin().to_string(), "http://127.0.0.1:4711");
    assert!(client.has_token());
    assert!(!format!("{client:?}").contains("secret"));
}

#[test]
fn the_token_of_this_machine_is_not_sent_to_another() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("admin-token"), "spt_secret\n").unwrap();
    let to = |server: &str| {
        let server = Some(server.to_owned());
        At { data_dir: Some(dir.path().to_owned()), server, ..At::default() }.client().unwrap()
    };
    assert!(to("http://localhost:1").has_token());
    assert!(!to("http://example.org:1").has_token());
}

#[test]
fn an_empty_variable_and_a_torn_address_are_as_good_as_none() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("admin-address"), "http://").unwrap();
    let empty = Some(String::new());
    let at = At { data_dir: Some(dir.path().into()), server: empty.clone(), token: empty, json: false };
    let client = at.client().unwrap();
    assert_eq!((client.origin().to_string(), client.has_token()), ("http://127.0.0.1:8081".into(), false));
}

#[test]
fn an_empty_data_directory_leaves_the_default_address() {
    let dir = tempfile::tempdir().unwrap();
    let client = At { data_dir: Some(dir.path().to_owned()), ..At::default() }.client().unwrap();
    assert_eq!(client.origin().to_string(), "http://127.0.0.1:8081");
    assert!(!client.has_token());
}

#[test]
fn each_kind_of_failure_has_its_exit_code() {
    let origin = Origin::parse("h:1").unwrap();
    let denied = ClientError::Denied { origin: origin.clone(), code: String::new(), detail: String::new() };
    assert_eq!(exit_code(&denied.into()), 4);
    assert_eq!(exit_code(&ClientError::Timeout { origin, seconds: 1 }.into()), 1);
    assert_eq!(exit_code(&Usage(String::new()).into()), 2);
    assert_eq!(exit_code(&Token::new("a b").unwrap_err().into()), 2);
    assert_eq!(exit_code(&anyhow::anyhow!("anything")), 1);
    assert_eq!(exit_code(&print::Closed.into()), 0);
    assert_eq!(exit_code(&anyhow::Error::from(Usage(String::new())).context("more")), 2);
}

fn version(number: u32, active: bool) -> Version {
    Version {
        version: VersionNumber(number),
        digest: String::new(),
        size_bytes: 0,
        handler: Handler::Http02,
        manifest: Manifest::default(),
        limits: Limits::default(),
        active,
        breaker: None,
        load_failed: false,
        tier: None,
        created_ms: 0,
    }
}

#[test]
fn going_back_is_to_the_version_published_before() {
    let back = |active: &[u32]| {
        let versions: Vec<_> = [1, 2, 4, 5].map(|n| version(n, active.contains(&n))).into();
        rollback::before_active(&versions).map(|number| number.0)
    };
    assert_eq!(back(&[4]).unwrap(), 2);
    assert!(back(&[1]).unwrap_err().to_string().contains("oldest"));
    let shared = back(&[4, 5]).unwrap_err();
    assert!(shared.to_string().contains("4 and 5"), "{shared}");
    assert_eq!(exit_code(&shared), 2);
}

#[test]
fn a_manifest_is_toml_or_json_and_unknown_keys_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let read = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        form::read_manifest(&path).map_err(|error| format!("{error:#}"))
    };
    let toml = read("a.toml", "[reuse]\nmax_requests = 5\n").unwrap();
    assert_eq!(toml.reuse, Some(Reuse { max_requests: 5 }));
    assert_eq!(read("a.json", r#"{"reuse": {"max_requests": 5}}"#).unwrap(), toml);
    assert!(read("b.toml", "reus = 1\n").unwrap_err().contains("reus"));
    assert!(read("b.toml", "[reuse]\nmax_requests = 0\n").unwrap_err().contains("1 to 1000000"));
    assert!(read("a.yaml", "").unwrap_err().contains(".toml"));
}

#[test]
fn a_file_that_is_no_wasm_is_named_before_it_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        diagnose::open(&path).map(|(_, length)| length).map_err(|error| format!("{error:#}"))
    };
    assert_eq!(open("a.wasm", b"\0asm\x0d\0\x01\0rest").unwrap(), 12);
    assert!(open("main.rs", b"// hello").unwrap_err().contains("cargo build --release"));
    assert!(open("a.py", b"import os").unwrap_err().contains("Python source"));
    assert!(open("a.wat", b"(module)").unwrap_err().contains("wasm-tools parse"));
    assert!(open("empty", b"").unwrap_err().contains("an empty file"));
    let absent = diagnose::open(&dir.path().join("wasm32-wasip2/release/a.wasm")).unwrap_err();
    assert!(absent.to_string().contains("cargo build --release --target wasm32-wasip2"), "{absent}");
    assert!(diagnose::open(dir.path()).unwrap_err().to_string().contains("a directory"));
}

#[test]
fn a_table_is_ruled_on_a_terminal_and_plain_elsewhere() {
    let rows =
        || vec![vec!["a\x1b[2J".to_owned(), "1".to_owned()], vec!["longer".to_owned(), "2".to_owned()]];
    let plain = print::laid_out(&["NAME", "N"], rows(), false);
    assert_eq!(plain, "NAME    N\na\u{fffd}[2J   1\nlonger  2");
    let ruled = print::laid_out(&["NAME", "N"], rows(), true);
    assert_eq!(ruled.lines().count(), 4);
    assert!(ruled.lines().nth(1).unwrap().starts_with("────"), "{ruled}");
}

#[test]
fn sizes_are_for_people() {
    assert_eq!(print::size(1_023), "1023 B");
    assert_eq!(print::size(1_024), "1.0 KiB");
    assert_eq!(print::size(1_572_864), "1.5 MiB");
    assert_eq!(print::size(5 << 40), "5120.0 GiB");
}
