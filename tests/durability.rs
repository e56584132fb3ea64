//! What was acknowledged is there after a crash, whole, and is served without being compiled again.

use std::path::PathBuf;

use super::support::cli::Cli;
use super::support::wasm::stamped;
use super::support::{Server, eventually, get, guest, sample};

/// What the log says when an artifact is made anew.
const AGAIN: &str = "compiling again";

/// Inverts one byte of a file.
fn damage(path: &PathBuf, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0xff;
    std::fs::write(path, bytes).unwrap();
}

fn start_of(server: &Server, function: &str) -> String {
    let answer = server.call(function);
    assert_eq!((answer.status, answer.code()), (200, ""), "{function}: {}", answer.text());
    answer.header("x-spawnpoint-start").to_owned()
}

#[test]
fn a_restart_serves_everything_again_without_compiling() {
    let mut server = Server::start();
    server.tenant("acme");
    server.deploy_with("variables", &guest("env_echo"), r#"{"variables":{"A":"kept"}}"#);
    server.deploy("newer", &sample("hello-p3"));
    server.deploy("core", &sample("core-module"));
    let wasm = guest("ok");
    for version in 1..=3 {
        server.admin("PUT", "/v1/tenants/acme/functions/f", &[], &stamped(&wasm, version));
    }
    let target = "/v1/tenants/acme/functions/f/activation";
    let body = br#"{"weights":[{"version":1,"weight":1},{"version":2,"weight":1}]}"#;
    let before = server.admin("PUT", target, &[], body);
    assert_eq!(before.status, 200);
    // Each is loaded, and compiled for speed then.
    (0..8).for_each(|_| drop(get(server.ingress, "/acme/f/")));
    server.optimised();
    let (token, blobs, artifacts) = (server.token.clone(), server.blobs(), server.artifacts());

    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    server.start_again();
    for function in ["variables", "newer", "core"] {
        assert_eq!(start_of(&server, function), "cold", "loaded by the first call");
        assert_ne!(start_of(&server, function), "cold");
    }
    assert!(server.call("variables").text().contains("env A=kept"));
    let seen: std::collections::BTreeSet<_> =
        (0..8).map(|_| get(server.ingress, "/acme/f/").header("x-spawnpoint-version").to_owned()).collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["1", "2"]);
    let after = server.admin("GET", "/v1/tenants/acme/functions/f", &[], &[]);
    assert_eq!(after.header("etag"), before.header("etag"), "the token and the revision are the same");
    assert_eq!(after.json()["activation"], before.json()["activation"]);
    let kept = std::fs::read_to_string(server.data_dir().join("admin-token")).unwrap();
    assert_eq!((kept.trim(), server.blobs(), server.artifacts()), (token.as_str(), blobs, artifacts));
    assert!(!server.log().contains(AGAIN), "{}", server.log());
    // Making a function cold and the same bytes again need no compiler either.
    server.cool("newer", "program");
    assert_eq!(start_of(&server, "newer"), "cold");
    let again = server.deploy_with("variables", &guest("env_echo"), r#"{"variables":{"A":"kept"}}"#);
    assert_eq!((again.status, &again.json()["timings"]["compile_ms"]), (200, &0.into()));
}

#[test]
fn a_kill_right_after_the_answer_loses_nothing() {
    let mut server = Server::start();
    let wasm = guest("ok");
    for round in 0..10 {
        let name = format!("f{round}");
        let answer = server.upload(&name, &stamped(&wasm, round));
        server.kill();
        assert_eq!(answer.status, 201, "{}", answer.text());
        server.start_again();
        for earlier in 0..=round {
            let name = format!("f{earlier}");
            assert_eq!(server.call(&name).text(), "ok", "{name} after round {round}");
        }
        assert_eq!(server.shown(&name).json()["activation"]["revision"], 1);
    }
    assert_eq!(server.blobs().len(), 10);
    assert!(!server.log().contains(AGAIN), "{}", server.log());
}

#[test]
fn a_kill_right_after_any_other_change_loses_nothing() {
    let mut server = Server::start();
    let wasm = guest("ok");
    server.deploy("f", &stamped(&wasm, 1));
    server.deploy("f", &stamped(&wasm, 2));
    server.deploy("goes", &guest("counter"));
    assert_eq!(server.activate("f", r#"{"version":1}"#).status, 200);
    server.kill();
    server.start_again();
    assert_eq!(server.call("f").header("x-spawnpoint-version"), "1");
    assert_eq!(server.admin("DELETE", &Server::path("goes"), &[], &[]).status, 204);
    server.kill();
    server.start_again();
    assert_eq!(server.call("goes").code(), "no_route");
    eventually("its files are gone", || server.blobs().len() == 2 && server.artifacts().len() == 2);
    assert_eq!(server.admin("PUT", "/v1/tenants/acme", &[], &[]).status, 201);
    server.kill();
    server.start_again();
    assert_eq!(server.admin("PUT", "/v1/tenants/acme", &[], &[]).status, 200);
}

#[test]
fn a_kill_in_the_middle_of_deploys_leaves_each_whole_or_away() {
    let mut server = Server::start();
    let wasm = guest("ok");
    server.deploy("steady", &stamped(&wasm, "steady"));
    for round in 0..6_u64 {
        let answered: Vec<Option<(String, u64)>> = std::thread::scope(|scope| {
            let deploys: Vec<_> = (0..4)
                .map(|number| {
                    let (server, wasm) = (&server, stamped(&wasm, format!("{round}-{number}")));
                    // Two functions, each deployed by two at once.
                    let name = format!("f{}", number % 2);
                    scope.spawn(move || {
                        let address = server.admin;
                        let head = format!(
                            "PUT {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
                            Server::path(&name),
                            server.token,
                            wasm.len()
                        );
                        let mut raw = super::support::Raw::connect(address);
                        let answer = raw.send(head).send(&wasm).answer()?;
                        assert!(answer.status < 500, "{}", answer.text());
                        let whole = answer.whole && answer.status == 201;
                        whole.then(|| (name, answer.json()["version"].as_u64().expect("a number")))
                    })
                })
                .collect();
            std::thread::sleep(std::time::Duration::from_millis(60 + 70 * round));
            let pid = server.pid().to_string();
            let killed = std::process::Command::new("kill").args(["-KILL", &pid]).status();
            assert!(killed.is_ok_and(|status| status.success()));
            deploys.into_iter().map(|deploy| deploy.join().expect("no panic")).collect()
        });
        server.kill();
        server.start_again();
        assert_eq!(server.call("steady").text(), "ok");
        for (name, version) in answered.into_iter().flatten() {
            assert!(server.versions(&name).contains(&version), "round {round}: {name} {version} is lost");
        }
        for name in ["f0", "f1"] {
            let shown = server.shown(name);
            if shown.status == 404 {
                assert_eq!(server.call(name).code(), "no_route");
                continue;
            }
            let active = shown.json()["activation"]["weights"][0]["version"].clone();
            let answer = server.call(name);
            assert_eq!(
                (answer.text().as_str(), answer.header("x-spawnpoint-version")),
                ("ok", active.to_string().as_str())
            );
            let versions = server.versions(name);
            let numbers = 1..=u64::try_from(versions.len()).unwrap();
            assert_eq!(versions, numbers.collect::<Vec<_>>(), "no number is given twice or left out");
        }
    }
    // Whatever was under way when the process died is swept.
    let functions = ["steady", "f0", "f1"].into_iter().filter(|name| server.shown(name).status == 200);
    let versions: usize = functions.map(|name| server.versions(name).len()).sum();
    eventually("only what is referred to is kept", || server.blobs().len() == versions);
    assert!(server.half_written().is_empty());
    assert!(!server.log().contains("cannot be served"), "{}", server.log());
}

#[test]
fn a_damaged_artifact_is_compiled_again() {
    let mut server = Server::start();
    server.deploy("f", &guest("ok"));
    server.optimised();
    let [artifact] = &server.artifacts()[..] else { panic!("one artifact") };
    let size = usize::try_from(std::fs::metadata(artifact).unwrap().len()).unwrap();
    // In the code, in the header, in the seal's magic, in the seal.
    for (round, at) in [size / 2, 0, size - 40, size - 1].into_iter().enumerate() {
        server.terminate();
        server.wait();
        damage(artifact, at);
        server.start_again();
        assert_eq!(start_of(&server, "f"), "cold", "byte {at} of {size}");
        assert_eq!(server.log().matches(AGAIN).count(), round + 1, "{}", server.log());
        // It is as good as new.
        server.cool("f", "program");
        assert_eq!(start_of(&server, "f"), "cold");
        assert_eq!(server.log().matches(AGAIN).count(), round + 1);
    }
}

#[test]
fn an_artifact_that_is_cut_short_empty_or_away_is_compiled_again() {
    let mut server = Server::start();
    server.deploy("f", &guest("ok"));
    server.deploy("p3", &sample("hello-p3"));
    server.optimised();
    let artifacts = server.artifacts();
    for (round, keep) in [Some(100), Some(0), None].into_iter().enumerate() {
        server.kill();
        for artifact in &artifacts {
            match keep {
                Some(bytes) => {
                    std::fs::OpenOptions::new().write(true).open(artifact).unwrap().set_len(bytes).unwrap();
                }
                None => std::fs::remove_file(artifact).unwrap(),
            }
        }
        server.start_again();
        for function in ["f", "p3"] {
            assert_eq!(start_of(&server, function), "cold", "{keep:?}");
        }
        assert_eq!(server.log().matches(AGAIN).count(), 2 * (round + 1), "{}", server.log());
        server.optimised();
        assert_eq!(server.artifacts(), artifacts);
    }
}

#[test]
fn an_artifact_that_goes_while_the_server_runs_is_compiled_again() {
    let server = Server::start();
    server.deploy("f", &guest("ok"));
    assert_eq!(server.call("f").text(), "ok");
    server.optimised();
    std::fs::remove_file(&server.artifacts()[0]).unwrap();
    assert_eq!(server.call("f").text(), "ok", "what is loaded goes on");
    server.cool("f", "program");
    // Many at once: it is compiled for the first of them.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(server.call("f").text(), "ok"));
        }
    });
    assert_eq!(server.log().matches(AGAIN).count(), 1, "{}", server.log());
}

#[test]
fn an_artifact_of_another_function_is_not_taken_for_this_ones() {
    let mut server = Server::start();
    server.deploy("a", &guest("ok"));
    server.optimised();
    let first = server.artifacts()[0].clone();
    server.deploy("b", &guest("counter"));
    server.optimised();
    let second = server.artifacts().into_iter().find(|path| *path != first).unwrap();
    server.kill();
    std::fs::copy(&second, &first).unwrap();
    server.start_again();
    assert_eq!(server.call("a").text(), "ok", "a seal is bound to what was compiled");
    eventually("the log says so", || server.log().contains(AGAIN));
}

#[test]
fn a_damaged_upload_is_never_compiled() {
    let server = Server::start();
    server.deploy("f", &guest("ok"));
    server.optimised();
    let blobs = super::support::store::files(&server.data_dir().join("blobs"));
    let mut bytes = std::fs::read(&blobs[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&blobs[0], bytes).unwrap();
    std::fs::remove_file(&server.artifacts()[0]).unwrap();
    server.cool("f", "program");
    let answer = server.call("f");
    assert_eq!((answer.status, answer.code()), (500, "host_error"), "{}", answer.text());
    eventually("the log says why", || server.log().contains("is corrupt"));
    assert!(server.artifacts().is_empty());
    // The same bytes again mend it.
    server.upload("f", &guest("ok"));
    server.cool("f", "program");
    assert_eq!(server.call("f").text(), "ok");
}

#[test]
fn a_missing_blob_matters_only_to_who_must_compile() {
    let mut server = Server::start();
    server.deploy("f", &guest("ok"));
    server.deploy("other", &guest("counter"));
    server.optimised();
    server.kill();
    let digest = super::support::wasm::digest(&guest("ok")).replace("sha256:", "");
    let blobs = super::support::store::files(&server.data_dir().join("blobs"));
    std::fs::remove_file(blobs.iter().find(|path| path.ends_with(&digest)).unwrap()).unwrap();
    server.start_again();
    assert_eq!(start_of(&server, "f"), "cold", "the artifact is enough");
    server.kill();
    for artifact in server.artifacts() {
        std::fs::remove_file(artifact).unwrap();
    }
    server.start_again();
    let answer = server.call("f");
    assert_eq!((answer.status, answer.code()), (500, "host_error"), "{}", answer.text());
    assert!(!answer.text().contains(&digest), "what is lost is for the log: {}", answer.text());
    assert_eq!(server.call("other").status, 200, "nobody else notices");
    // Its owner is told, wherever one would look.
    let said = |arguments: &[&str]| Cli::at(&server, arguments).ok();
    let row = |arguments: &[&str], first: &str| {
        let out = said(arguments).out;
        out.lines().find(|line| line.starts_with(first)).expect("a row").to_owned()
    };
    assert!(row(&["list"], "f ").contains("cannot be loaded: deploy it again"));
    assert!(row(&["versions", "f"], "1 ").contains("cannot be loaded: deploy it again"));
    assert!(row(&["list"], "other ").contains("  ok  "));
    let failures = said(&["failures", "f"]);
    assert!(failures.err.contains("host_error 1 (the last one "), "{failures:?}");
    let shown = server.admin("GET", &Server::path("f"), &[], &[]).json();
    assert_eq!(shown["load_failed"], true, "{shown}");
    // The same bytes again mend it.
    assert_eq!(server.deploy("f", &guest("ok")).status, 200);
    assert!(row(&["list"], "f ").contains("  ok  "), "at once");
    assert_eq!(server.call("f").text(), "ok");
}

#[test]
fn without_the_artifact_key_everything_is_compiled_again() {
    let mut server = Server::start();
    server.deploy("f", &guest("ok"));
    server.kill();
    std::fs::remove_file(server.data_dir().join("artifact-key")).unwrap();
    server.start_again();
    assert_eq!(start_of(&server, "f"), "cold");
    assert_eq!(server.log().matches(AGAIN).count(), 1, "{}", server.log());
    server.kill();
    server.start_again();
    assert_eq!(start_of(&server, "f"), "cold");
    assert_eq!(server.log().matches(AGAIN).count(), 1, "the new key stays");
}

#[test]
fn what_a_crash_left_half_written_is_removed_at_the_start() {
    let mut server = Server::start();
    server.deploy("f", &guest("ok"));
    server.kill();
    std::fs::write(server.data_dir().join("tmp/left"), b"half an upload").unwrap();
    let unused = server.data_dir().join("blobs/00");
    std::fs::create_dir_all(&unused).unwrap();
    std::fs::write(unused.join("0".repeat(64)), b"nobody refers to this").unwrap();
    server.start_again();
    eventually("what nobody refers to is gone", || server.blobs().len() == 1);
    assert!(server.half_written().is_empty());
    assert_eq!(server.call("f").text(), "ok");
}

#[test]
fn artifacts_of_an_older_engine_go_at_the_start() {
    let mut server = Server::start();
    server.deploy("f", &guest("ok"));
    server.deploy("p3", &sample("hello-p3"));
    server.optimised();
    let kept = server.artifacts();
    server.kill();
    // As a server of another version left them: the engine stands in the name, before its end.
    for artifact in &kept {
        let name = artifact.file_name().unwrap().to_str().unwrap();
        let [rest, _engine, suffix] =
            &name.rsplitn(3, '.').collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>()[..]
        else {
            panic!("{name}")
        };
        std::fs::copy(artifact, artifact.with_file_name(format!("{rest}.0123456789abcdef.{suffix}")))
            .unwrap();
    }
    assert_eq!(server.artifacts().len(), 4);
    server.start_again();
    eventually("the older ones are gone", || server.artifacts() == kept);
    for function in ["f", "p3"] {
        assert_eq!(start_of(&server, function), "cold");
    }
    assert!(!server.log().contains(AGAIN), "{}", server.log());
}
