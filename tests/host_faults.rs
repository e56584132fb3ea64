//! The machine fails at a failpoint. The call that meets it is refused by name; nobody else notices, nothing acknowledged
//! is lost, and the next try works. Must never leave a fault behind when it expects things to work.

use std::path::Path;

use super::support::cli::Cli;
use super::support::faults::{AGAIN, FULL, HOST, LOCKED, is_problem, serving, undisturbed};
use super::support::store::files;
use super::support::wasm::{digest, stamped};
use super::support::{Config, Raw, Server, eventually, get, guest, request};

/// The program as another upload, whose blob goes into a folder that is not there yet.
fn another(server: &Server, wasm: &[u8], stamps: &mut std::ops::RangeFrom<u32>) -> Vec<u8> {
    let folder = |wasm: &[u8]| server.data_dir().join("blobs").join(&digest(wasm)["sha256:".len()..][..2]);
    let all = stamps.by_ref().map(|stamp| stamped(wasm, stamp));
    all.into_iter().find(|wasm| !folder(wasm).exists()).expect("stamps do not end")
}

/// That only whole files are there, and as many as there are versions.
#[track_caller]
fn nothing_is_left(server: &Server, versions: usize) {
    assert_eq!(server.half_written(), Vec::<std::path::PathBuf>::new());
    eventually("only what is referred to is kept", || {
        server.blobs().len() == versions && server.artifacts().len() == versions
    });
}

/// Each step of a deploy that can fail, how it fails, and what the developer is told.
const STEPS: [(&str, &str, (u16, &str)); 23] = [
    ("blob.create", "ENOSPC", FULL),
    ("blob.create", "EMFILE", HOST),
    ("blob.write", "ENOSPC", FULL),
    ("blob.write", "EIO", HOST),
    ("blob.sync", "EIO", HOST),
    ("blob.folder", "ENOSPC", FULL),
    ("blob.rename", "EIO", HOST),
    ("blob.folder_sync", "EIO", HOST),
    ("blob.open", "EIO", HOST),
    ("compile.spawn", "EAGAIN", HOST),
    ("compile.spawn", "ENOMEM", HOST),
    ("artifact.create", "EACCES", HOST),
    ("artifact.write", "ENOSPC", FULL),
    ("artifact.sync", "EIO", HOST),
    ("artifact.rename", "EIO", HOST),
    ("artifact.folder_sync", "EIO", HOST),
    ("artifact.open", "EMFILE", HOST),
    ("artifact.read", "EIO", HOST),
    ("artifact.map", "ENOMEM", HOST),
    ("catalog.begin", "EBUSY", LOCKED),
    ("catalog.commit", "EBUSY", LOCKED),
    ("catalog.commit", "ENOSPC", FULL),
    ("catalog.commit", "EIO", HOST),
];

#[test]
fn a_step_of_a_deploy_that_fails_is_refused_by_name_and_leaves_what_was() {
    let mut server = serving();
    let (wasm, mut stamps) = (guest("ok"), 0..);
    server.deploy("f", &another(&server, &wasm, &mut stamps));
    for (version, (point, action, refusal)) in (1..).zip(STEPS) {
        let what = format!("{point}={action}");
        // The fault is for the deploy alone.
        server.optimised();
        let next = another(&server, &wasm, &mut stamps);
        let answer = undisturbed(&server, || {
            server.fault(&what);
            server.upload("f", &next)
        });
        is_problem(&answer, refusal, &what);
        let old = server.call("f");
        assert_eq!((old.text().as_str(), old.header("x-spawnpoint-version")), ("ok", &*version.to_string()));
        assert_eq!(server.versions("f").len(), version, "{what}");
        // Two of these steps come after a name was made; with the fault gone, what stands there is swept.
        server.fault("");
        nothing_is_left(&server, version + 1);
        if version % 6 == 0 {
            // What was acknowledged before is there after the worst end.
            server.kill();
            server.start_again();
            assert_eq!(server.call("f").header("x-spawnpoint-version"), version.to_string());
            // Loaded by this call, which the next fault is not to meet.
            assert_eq!(server.call("steady").status, 200);
        }
        assert_eq!(server.deploy("f", &next).status, 201, "{what}: the next try");
        assert_eq!(server.call("f").header("x-spawnpoint-version"), (version + 1).to_string());
    }
}

#[test]
fn a_crash_at_any_step_of_a_deploy_leaves_it_whole_or_away() {
    let mut server = serving();
    let (wasm, mut stamps) = (guest("ok"), 0..);
    server.deploy("f", &another(&server, &wasm, &mut stamps));
    let mut points: Vec<_> = STEPS.iter().map(|(point, ..)| *point).chain(["deploy.committed"]).collect();
    points.dedup();
    let mut versions = 1;
    for point in points {
        let next = another(&server, &wasm, &mut stamps);
        server.optimised();
        server.fault(&format!("{point}=abort"));
        let (token, path, length) = (&server.token, Server::path("f"), next.len());
        let head = format!(
            "PUT {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\ncontent-length: {length}\r\n\r\n"
        );
        let answer = Raw::connect(server.admin).send(head).send(&next).answer();
        assert!(answer.is_none(), "{point}: {answer:?}");
        assert_eq!(server.wait().code(), None, "{point} ended it");
        server.fault("");
        server.start_again();
        versions += usize::from(point == "deploy.committed");
        let answer = server.call("f");
        let seen = (answer.text(), answer.header("x-spawnpoint-version").to_owned());
        assert_eq!(seen, ("ok".to_owned(), versions.to_string()), "{point}");
        assert_eq!(server.versions("f").len(), versions, "{point}");
        nothing_is_left(&server, versions + 1);
    }
    assert!(!server.log().contains(AGAIN), "{}", server.log());
}

#[test]
fn a_change_that_cannot_be_kept_is_refused_by_name_and_not_made() {
    let server = serving();
    let wasm = guest("ok");
    server.deploy("f", &stamped(&wasm, 1));
    server.deploy("f", &stamped(&wasm, 2));
    let changes = [
        ("PUT", "/v1/tenants/acme".to_owned(), ""),
        ("PUT", format!("{}/activation", Server::path("f")), r#"{"version":1}"#),
        ("POST", format!("{}/pause", Server::path("f")), ""),
        ("DELETE", Server::path("f"), ""),
    ];
    for (action, refusal) in [("EIO", HOST), ("ENOSPC", FULL), ("EBUSY", LOCKED)] {
        for (method, path, body) in &changes {
            let answer = undisturbed(&server, || {
                server.fault(&format!("catalog.commit={action}"));
                server.admin(method, path, &[], body.as_bytes())
            });
            is_problem(&answer, refusal, path);
            assert_eq!(server.call("f").header("x-spawnpoint-version"), "2", "{method} {path}");
            assert_eq!(server.admin("GET", "/v1/tenants/acme/functions", &[], &[]).status, 404);
        }
    }
    server.fault("");
    for ((method, path, body), status) in changes.iter().zip([201, 200, 200, 204]) {
        assert_eq!(server.admin(method, path, &[], body.as_bytes()).status, status, "{method} {path}");
    }
}

#[test]
fn a_catalog_that_cannot_be_read_stops_no_traffic() {
    let server = serving();
    let wasm = guest("ok");
    server.deploy("f", &stamped(&wasm, 1));
    server.deploy("f", &stamped(&wasm, 2));
    undisturbed(&server, || {
        server.fault("catalog.read=EIO");
        for answer in [
            server.shown("f"),
            server.admin("GET", "/v1/tenants", &[], &[]),
            server.upload("f", &stamped(&wasm, 3)),
            server.activate("f", r#"{"version":1}"#),
            server.admin("DELETE", &Server::path("f"), &[], &[]),
        ] {
            is_problem(&answer, HOST, "reading");
        }
        server.fault("");
    });
    assert_eq!(server.call("f").header("x-spawnpoint-version"), "2");
    assert_eq!(server.activate("f", r#"{"version":1}"#).status, 200);
    assert_eq!(server.call("f").header("x-spawnpoint-version"), "1");
}

#[test]
fn a_backtrace_whose_lines_cannot_be_looked_up_is_told_without_them() {
    let server = serving();
    server.deploy("f", &guest("located"));
    let failed = server.call("f");
    let path = format!("/v1/invocations/{}", failed.header("x-request-id"));
    let told = || {
        let answer = server.admin("GET", &path, &[], &[]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["backtrace"][0].as_str().expect("a frame").to_owned()
    };
    for fault in ["locate.spawn=EAGAIN", "locate.spawn=ENOMEM", "blob.open=EIO", "locate.spawn=panic"] {
        let frame = undisturbed(&server, || {
            server.fault(fault);
            told()
        });
        assert!(frame.contains("fails @ 0x") && !frame.contains(" at "), "{fault}: {frame}");
    }
    server.fault("");
    assert!(told().contains("located/src/lib.rs:"), "the next try: {}", told());
}

#[test]
fn a_panic_of_the_storage_thread_costs_that_commit_alone() {
    let server = serving();
    for point in ["catalog.begin", "catalog.commit"] {
        server.fault(&format!("{point}=once panic"));
        let answer = undisturbed(&server, || server.admin("PUT", "/v1/tenants/acme", &[], &[]));
        is_problem(&answer, HOST, point);
        assert_eq!(server.admin("GET", "/v1/tenants/acme/functions", &[], &[]).status, 404, "{point}");
    }
    assert_eq!(server.admin("PUT", "/v1/tenants/acme", &[], &[]).status, 201);
}

#[test]
fn files_that_cannot_be_removed_do_not_hold_up_a_deletion() {
    let mut server = serving();
    for point in ["blob.remove", "artifact.remove"] {
        server.deploy("f", &guest("ok"));
        server.optimised();
        server.fault(&format!("{point}=EIO"));
        assert_eq!(server.admin("DELETE", &Server::path("f"), &[], &[]).status, 204, "{point}");
        assert_eq!(server.call("f").code(), "no_route");
        eventually("it is logged", || server.log().contains("an unused blob stays"));
        assert_eq!(server.blobs().len(), 2);
        server.kill();
        server.fault("");
        server.start_again();
        nothing_is_left(&server, 1);
    }
}

#[test]
fn an_artifact_that_cannot_be_read_is_compiled_again() {
    let server = serving();
    server.deploy("f", &guest("ok"));
    server.optimised();
    let faults = ["artifact.open=once EACCES", "artifact.open=once EIO", "artifact.read=once EIO"];
    for (times, fault) in (1..).zip(faults) {
        server.cool("f", "program");
        // The seal of a file that was seen before is not read again: this is another file to the server.
        for artifact in server.artifacts() {
            let bytes = std::fs::read(&artifact).unwrap();
            std::fs::remove_file(&artifact).unwrap();
            std::fs::write(&artifact, bytes).unwrap();
        }
        server.fault(fault);
        let answer = undisturbed(&server, || server.call("f"));
        assert_eq!((answer.text().as_str(), answer.header("x-spawnpoint-start")), ("ok", "cold"), "{fault}");
        assert_eq!(server.faults(), "", "{fault} was met");
        eventually("it is logged", || server.log().matches(AGAIN).count() == times);
    }
}

#[test]
fn a_program_that_cannot_be_loaded_fails_its_calls_until_it_can_be() {
    let server = serving();
    server.deploy("f", &guest("ok"));
    server.optimised();
    let [blob, artifact] = [server.data_dir().join("blobs"), server.data_dir().join("artifacts")];
    let find = |folder: &Path| {
        let name = digest(&guest("ok")).replace("sha256:", "");
        files(folder).into_iter().find(|path| path.to_string_lossy().contains(&name)).expect("a file")
    };
    for (away, fault) in [
        (false, "artifact.open=EMFILE"),
        (false, "artifact.map=ENOMEM"),
        (true, "blob.open=EIO"),
        (true, "compile.spawn=EAGAIN"),
        (true, "artifact.write=ENOSPC"),
        (true, "artifact.rename=EIO"),
    ] {
        // After a round without its artifact it was compiled quickly.
        server.optimised();
        server.cool("f", "program");
        if away {
            std::fs::remove_file(find(&artifact)).unwrap();
        }
        server.fault(fault);
        let kept = find(&blob);
        undisturbed(&server, || {
            // A crowd is told what its first one was told.
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        let answer = server.call("f");
                        assert_eq!((answer.status, answer.code()), HOST, "{fault}: {}", answer.text());
                        assert!(!answer.text().contains(kept.to_str().unwrap()), "{}", answer.text());
                    });
                }
            });
        });
        server.fault("");
        assert_eq!(server.call("f").text(), "ok", "{fault} is gone");
    }
}

#[test]
fn a_load_that_fails_once_is_tried_again_and_its_client_does_not_notice() {
    let server = serving();
    server.deploy("f", &guest("ok"));
    let name = digest(&guest("ok")).replace("sha256:", "");
    for (away, fault) in [
        (false, "artifact.map=once ENOMEM"),
        (true, "blob.open=once EIO"),
        (true, "compile.spawn=once EAGAIN"),
    ] {
        server.optimised();
        server.cool("f", "program");
        if away {
            let artifact = server.artifacts().into_iter().find(|path| path.to_string_lossy().contains(&name));
            std::fs::remove_file(artifact.expect("an artifact")).unwrap();
        }
        server.fault(fault);
        // Not even a method that a client would not repeat: no guest has seen the first attempt.
        let answer = undisturbed(&server, || request(server.ingress, "POST", "/default/f/", &[], b"body"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{fault}");
        assert_eq!(answer.header("x-spawnpoint-retries"), "", "it is one guest that was asked");
        assert_eq!(server.faults(), "", "{fault} was met");
    }
    assert_eq!(server.metric("spawnpoint_requests_rejected_total", "code=\"host_error\""), 0.0);
}

#[test]
fn clients_that_give_up_have_a_program_compiled_once() {
    let server = serving();
    server.deploy("f", &guest("ok"));
    server.optimised();
    server.cool("f", "program");
    let name = digest(&guest("ok")).replace("sha256:", "");
    let artifact = server.artifacts().into_iter().find(|path| path.to_string_lossy().contains(&name));
    std::fs::remove_file(artifact.expect("an artifact")).unwrap();
    for _ in 0..20 {
        Raw::connect(server.ingress).send("GET /default/f/ HTTP/1.1\r\nhost: a.test\r\n\r\n");
    }
    assert_eq!(server.call("f").text(), "ok");
    eventually("it is logged", || server.log().contains(AGAIN));
    assert_eq!(server.log().matches(AGAIN).count(), 1, "{}", server.log());
}

#[test]
fn connections_that_cannot_be_accepted_end_nothing_else() {
    let server = serving();
    for (point, address, target) in
        [("ingress.accept", server.ingress, "/default/steady/"), ("admin.accept", server.admin, "/livez")]
    {
        let mut kept = Raw::connect(address);
        assert_eq!(kept.get(target).unwrap().status, 200);
        server.fault(&format!("{point}=EMFILE"));
        for _ in 0..3 {
            assert!(Raw::connect(address).get(target).is_none(), "{point}");
            assert_eq!(kept.get(target).unwrap().status, 200, "{point}: who is in stays in");
        }
        server.fault("");
        assert_eq!(get(address, target).status, 200, "{point}");
    }
}

#[test]
fn a_server_that_cannot_start_for_a_fault_says_so_and_starts_without_it() {
    for (fault, said) in [
        ("catalog.thread=EAGAIN", "catalog"),
        ("catalog.open=EIO", "catalog"),
        ("thread.spawn=EAGAIN", "refused a thread"),
        ("artifact.create=EACCES", "key"),
        ("artifact.write=ENOSPC", "key"),
        ("artifact.sync=EIO", "key"),
        ("token.write=ENOSPC", "token"),
        ("token.sync=EIO", "token"),
        ("token.rename=EIO", "token"),
        ("token.folder_sync=EIO", "token"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let faults = dir.path().join("faults");
        std::fs::write(&faults, fault).unwrap();
        let data = dir.path().join("data");
        let serve = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"];
        let cli = Cli::new(&serve).argument(data.to_str().unwrap());
        let answer = cli.env("SPAWNPOINT_FAULTS", faults.to_str().unwrap()).run();
        assert_eq!((answer.code, answer.out.as_str()), (Some(1), ""), "{fault}: {answer:?}");
        assert!(answer.err.contains(said) && !answer.err.contains("panicked"), "{fault}: {}", answer.err);
        let server = Server::within(dir, Config::default());
        assert_eq!(server.admin("GET", "/v1/tenants", &[], &[]).status, 200, "{fault}");
    }
}
