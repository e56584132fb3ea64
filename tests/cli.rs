//! The commands as a script sees them: what is on stdout, what is on stderr, and how each ends.

use std::io::Read as _;
use std::process::Stdio;

use super::support::cli::Cli;
use super::support::wasm::stamped;
use super::support::{Server, guest, sample, wat};

/// A file with these bytes, in a folder of its own.
fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

#[test]
fn deploy_prints_the_url_and_nothing_else() {
    let server = Server::start();
    let (_dir, path) = file("Hello_World.v2.wasm", &guest("ok"));
    let said = Cli::at(&server, &["deploy", &path]).ok();
    assert_eq!(
        said.out,
        format!("http://{}/default/hello-world-v2/\n", server.ingress),
        "named after the file"
    );
    assert!(said.err.contains("version 1 answers after"), "{}", said.err);
    assert_eq!(server.call("hello-world-v2").text(), "ok");
    let said = Cli::at(&server, &["deploy", &path, "--name", "other", "--json"]).ok();
    assert_eq!((&said.json()["function"], &said.json()["version"]), (&"other".into(), &1.into()));
    let (_dir, nameless) = file("___.wasm", &guest("ok"));
    let said = Cli::at(&server, &["deploy", &nameless]).run();
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{said:?}");
    assert!(said.err.contains("--name"), "{}", said.err);
}

#[test]
fn deploy_takes_a_manifest_in_either_form() {
    let server = Server::start();
    let (_dir, wasm) = file("f.wasm", &guest("env_echo"));
    let (_a, toml) = file("f.toml", b"[variables]\nA = \"toml\"\n[limits]\ncpu_ms = 300\n");
    let (_b, json) = file("f.json", br#"{"variables":{"A":"json"}}"#);
    for (manifest, expected) in [(&toml, "env A=toml"), (&json, "env A=json")] {
        Cli::at(&server, &["deploy", &wasm, "--manifest", manifest]).ok();
        assert!(server.call("f").text().contains(expected));
    }
    let (_c, unknown) = file("u.toml", b"[limits]\ncpu = 3\n");
    let said = Cli::at(&server, &["deploy", &wasm, "--manifest", &unknown]).run();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("cpu") && said.err.contains("u.toml"), "{}", said.err);
    let (_d, above) = file("a.json", br#"{"limits":{"cpu_ms":999999999}}"#);
    let said = Cli::at(&server, &["deploy", &wasm, "--manifest", &above]).run();
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("limits.cpu_ms") && said.err.contains("60000"), "{}", said.err);
    assert_eq!(server.versions("f"), [1, 2]);
}

#[test]
fn every_command_says_it_in_words_and_in_json() {
    let server = Server::start();
    let wasm = guest("ok");
    server.deploy("f", &stamped(&wasm, 1));
    server.deploy("f", &stamped(&wasm, 2));
    let words = |arguments: &[&str]| Cli::at(&server, arguments).ok().out;
    let json = |arguments: &[&str]| Cli::at(&server, arguments).argument("--json").ok().json();

    assert!(words(&["list"]).lines().nth(1).is_some_and(|line| line.starts_with('f')));
    assert_eq!(json(&["list"])["functions"][0]["function"], "f");
    assert_eq!(words(&["versions", "f"]).lines().count(), 3);
    assert_eq!(json(&["versions", "f"])["versions"].as_array().unwrap().len(), 2);
    assert_eq!(words(&["rollback", "f"]), "version 1 of default/f answers\n");
    assert_eq!(server.call("f").header("x-spawnpoint-version"), "1");
    assert_eq!(json(&["rollback", "f", "--to", "2"])["activation"]["weights"][0]["version"], 2);
    assert_eq!(words(&["pause", "f"]), "default/f is paused\n");
    assert_eq!(json(&["pause", "f"])["paused"], true);
    assert!(words(&["list"]).lines().nth(1).is_some_and(|line| line.contains("paused")));
    assert_eq!(words(&["rollback", "f", "--to", "1"]), "version 1 of default/f answers once it is resumed\n");
    assert_eq!(Cli::at(&server, &["invoke", "f"]).run().code, Some(1));
    assert_eq!(words(&["resume", "f"]), "default/f answers\n");
    assert_eq!(json(&["resume", "f"])["paused"], false);
    assert_eq!(words(&["rollback", "f", "--to", "2"]), "version 2 of default/f answers\n");
    assert_eq!(words(&["invoke", "f"]), "ok");
    let invoked = json(&["invoke", "f", "/path"]);
    assert_eq!((&invoked["status"], &invoked["body"]), (&200.into(), &"ok".into()));
    assert!(words(&["cold", "f"]).contains("default/f is cold"));
    assert_eq!(json(&["cold", "f", "--drop", "instances"])["loaded"], 0);
    assert_eq!(server.call("f").header("x-spawnpoint-start"), "cold");
    assert_eq!(words(&["tenant", "create", "acme"]), "created acme\n");
    assert_eq!(json(&["tenant", "create", "acme"])["tenant"], "acme");
    assert!(words(&["tenants"]).contains("acme"));
    assert_eq!(json(&["tenants"])["tenants"].as_array().unwrap().len(), 2);
    assert_eq!(json(&["list", "--tenant", "acme"])["functions"], serde_json::json!([]));
    assert_eq!(words(&["list", "--tenant", "acme"]), "", "nothing to list is said on stderr");
    assert_eq!(json(&["tenant", "delete", "acme"])["deleted"], true);
    assert_eq!(json(&["delete", "f"])["deleted"], true);
    assert_eq!(server.call("f").code(), "no_route");
}

#[test]
fn a_list_longer_than_a_page_is_whole() {
    let server = Server::start();
    (0..103).for_each(|number| server.tenant(&format!("t{number}")));
    let all = Cli::at(&server, &["tenants", "--json"]).ok().json();
    assert_eq!(all["tenants"].as_array().unwrap().len(), 104);
}

#[test]
fn invoke_sends_what_it_is_given_and_fails_as_the_answer_does() {
    let server = Server::start();
    server.deploy("echo", &guest("echo"));
    server.deploy("head", &guest("headers_echo"));
    server.deploy("fail", &sample("fail"));
    let invoke = |arguments: &[&str]| Cli::at(&server, &[&["invoke"], arguments].concat());
    assert_eq!(invoke(&["echo", "--data", "hello"]).ok().out, "hello");
    assert_eq!(invoke(&["echo", "--data", "-"]).stdin(b"from stdin").ok().out, "from stdin");
    let (_dir, path) = file("body.json", b"{\"a\":1}");
    assert_eq!(invoke(&["echo", "--data", &format!("@{path}")]).ok().out, "{\"a\":1}");
    let text = invoke(&["head", "/a/b?c=d", "-X", "PATCH", "-H", "x-a: one", "-H", "x-b: two"]).ok().out;
    for expected in ["method PATCH", "path /a/b?c=d", "header x-a: one", "header x-b: two"] {
        assert!(text.to_lowercase().contains(&expected.to_lowercase()), "{expected}: {text}");
    }
    assert!(!text.contains(&server.token), "the guest does not get the token");
    let said = invoke(&["fail", "/trap"]).run();
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("502") && said.err.contains("guest_trap"), "{}", said.err);
    assert_eq!(invoke(&["fail", "/error"]).run().code, Some(1), "a guest's own 418");
    let said = invoke(&["fail", "/ok", "--include"]).ok();
    assert!(said.out.starts_with("HTTP/1.1 200") && said.out.ends_with("\n\nok\n"), "{}", said.out);
    assert_eq!(invoke(&["echo", "-H", "no colon"]).run().code, Some(2));
    assert_eq!(invoke(&["echo", "-H", "content-length: 3"]).run().code, Some(2));
}

#[test]
fn every_end_has_its_exit_code() {
    let server = Server::start();
    server.deploy("f", &guest("ok"));
    let (_dir, refused) = file("command.wasm", &wat("command"));
    for (code, arguments, said) in [
        (1, &["versions", "nothing"][..], "no_such_function"),
        (1, &["list", "--tenant", "nobody"], "tenant create"),
        (1, &["rollback", "f", "--to", "9"], "no_such_version"),
        (1, &["rollback", "f"], "oldest"),
        (1, &["tenant", "delete", "default"], "default_tenant"),
        (1, &["deploy", &refused], "wasip1_command"),
        (1, &["deploy", "nowhere.wasm"], "there is no file `nowhere.wasm`"),
        (2, &["versions", "Not_A_Name"], "DNS label"),
        (2, &["rollback", "f", "--to", "0"], "--to"),
        (2, &["cold", "f", "--drop", "everything"], "instances"),
        (2, &["deploy"], "<FILE>"),
        (2, &["list", "--nonsense"], "--nonsense"),
        (2, &["list", "--server", "https://example.org"], "https"),
        (2, &["list", "--server", "http://"], "http://HOST:PORT"),
        (4, &["list", "--token", "wrong"], "--token"),
    ] {
        let ended = Cli::at(&server, arguments).run();
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
        assert_eq!(ended.out, "", "{arguments:?}");
        assert!(ended.err.contains(said), "{arguments:?}: `{said}` is not in {}", ended.err);
        assert!(!ended.err.contains(&server.token) && !ended.err.contains("panicked"), "{}", ended.err);
    }
    assert_eq!(Cli::new(&[]).run().code, Some(2));
    assert_eq!(Cli::new(&["nonsense"]).run().code, Some(2));
    for arguments in [&["--help"][..], &["--version"], &["deploy", "--help"]] {
        let said = Cli::new(arguments).ok();
        assert!(!said.out.is_empty() && said.err.is_empty(), "{said:?}");
    }
    assert!(!Cli::new(&["--help"]).ok().out.contains("__compile"), "what is hidden is not shown");
}

#[test]
fn without_a_server_it_says_how_to_get_one() {
    // Nobody listens on the port of a listener that is gone.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = Cli::new(&["list", "--server", &format!("http://{gone}")]).run();
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{said:?}");
    assert!(said.err.contains(&gone.to_string()) && said.err.contains("spawnpoint serve"), "{}", said.err);
    // Somebody else listens there.
    let server = Server::start();
    let said = Cli::new(&["list", "--server", &format!("http://{}", server.ingress)]).run();
    assert!(matches!(said.code, Some(1 | 4)), "{said:?}");
    // A server that was killed has left its address behind.
    let mut server = server;
    server.kill();
    let said = Cli::at(&server, &["list"]).run();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("spawnpoint serve"), "{}", said.err);
}

#[test]
fn the_wrong_kind_of_file_is_named_before_it_is_sent() {
    for (name, bytes, said) in [
        ("main.rs", &b"fn main() {}"[..], "cargo build --release"),
        ("app.js", b"export default {}", "JavaScript"),
        ("app.wat", b"(module)", "wasm-tools parse"),
        ("app", b"\x7fELF\x02\x01\x01\0 and so on", "ELF"),
        ("app.wasm.gz", b"\x1f\x8b\x08\0 and so on", "gzip"),
        ("empty.wasm", b"", "an empty file"),
    ] {
        let (_dir, path) = file(name, bytes);
        // There is no server: it is not asked.
        let ended = Cli::new(&["deploy", &path, "--name", "f", "--server", "http://127.0.0.1:1"]).run();
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{name}: {ended:?}");
        assert!(ended.err.contains(said) && ended.err.contains(name), "{name}: {}", ended.err);
    }
    let dir = tempfile::tempdir().unwrap();
    let ended = Cli::new(&["deploy", dir.path().to_str().unwrap()]).run();
    assert!(ended.err.contains("is a directory"), "{ended:?}");
}

#[test]
fn completions_are_there_for_each_shell() {
    for (shell, sign) in [("bash", "complete -F"), ("zsh", "#compdef"), ("fish", "complete -c spawnpoint")] {
        let said = Cli::new(&["completions", shell]).ok();
        assert!(
            said.out.contains(sign) && said.out.contains("rollback") && said.out.contains("resume"),
            "{shell}"
        );
        assert!(!said.out.contains("__compile"), "{shell}: what is hidden is not completed");
        assert_eq!(Cli::new(&["completions", shell, "--json"]).ok().json()["script"], said.out);
    }
    assert_eq!(Cli::new(&["completions", "cmd"]).run().code, Some(2));
}

#[test]
fn server_and_token_come_from_flags_environment_or_the_data_directory() {
    let server = Server::start();
    let (url, dir) = (format!("http://{}", server.admin), server.data_dir());
    let dir = dir.to_str().unwrap();
    let token = server.token.as_str();
    Cli::new(&["list"]).env("SPAWNPOINT_DATA_DIR", dir).ok();
    Cli::new(&["list"]).env("SPAWNPOINT_SERVER", &url).env("SPAWNPOINT_TOKEN", token).ok();
    Cli::new(&["list", "--server", &url, "--token", "-"]).stdin(format!("{token}\n").as_bytes()).ok();
    Cli::new(&["list", "--server", &url, "--token", token]).env("SPAWNPOINT_TOKEN", "wrong").ok();
    // An empty variable says nothing.
    Cli::at(&server, &["list"]).env("SPAWNPOINT_SERVER", "").env("SPAWNPOINT_TOKEN", "").ok();
    let denied = Cli::new(&["list"]).env("SPAWNPOINT_SERVER", &url).run();
    assert_eq!((denied.code, denied.out.as_str()), (Some(4), ""), "{denied:?}");
    assert!(denied.err.contains("SPAWNPOINT_TOKEN"), "{}", denied.err);
    // The default place: below the user's data home.
    let home = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(dir, home.path().join("spawnpoint")).unwrap();
    Cli::new(&["list"]).env("XDG_DATA_HOME", home.path().to_str().unwrap()).ok();
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    let server = Server::start();
    server.deploy("flood", &guest("flood"));
    let mut cli = Cli::at(&server, &["invoke", "flood"]);
    let mut child = cli.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let read = out.read_exact(&mut [0; 1_000]);
    drop(out);
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(read.is_ok(), "{err}");
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(!err.contains("panicked") && !err.contains("error:"), "{err}");
}

#[test]
fn nothing_that_is_no_terminal_gets_colours_or_control_characters() {
    let server = Server::start();
    server.deploy("f", &guest("ok"));
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "xterm-256color")] {
        for arguments in
            [&["list"][..], &["versions", "f"], &["tenants"], &["versions", "nothing"], &["nonsense"]]
        {
            let said = Cli::at(&server, arguments).env(name, value).run();
            let all = format!("{}{}", said.out, said.err);
            assert!(!all.contains('\u{1b}') && !all.contains('\r'), "{arguments:?}: {all:?}");
        }
    }
    assert!(!server.log().contains('\u{1b}'), "{}", server.log());
}
