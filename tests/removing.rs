//! Deleting: routes, records and files are gone, of the one that is deleted and of nobody else.

use super::support::wasm::stamped;
use super::support::{Config, Raw, Server, eventually, get, guest, sample};

#[test]
fn a_deleted_function_is_gone_with_its_data_and_files() {
    let server = Server::start();
    server.deploy("f", &guest("ok"));
    server.deploy("f", &stamped(&guest("ok"), 2));
    server.deploy("stays", &guest("counter"));
    let mut open = Raw::connect(server.ingress);
    assert_eq!(open.get("/default/f/").expect("an answer").status, 200);
    server.optimised();
    assert_eq!((server.blobs().len(), server.artifacts().len()), (3, 3));

    let gone = server.admin("DELETE", &Server::path("f"), &[], &[]);
    assert_eq!((gone.status, gone.body.len()), (204, 0), "{}", gone.text());
    let answer = open.get("/default/f/").expect("an answer");
    assert_eq!((answer.status, answer.code()), (404, "no_route"));
    for (method, target) in [
        ("GET", Server::path("f")),
        ("DELETE", Server::path("f")),
        ("GET", format!("{}/versions", Server::path("f"))),
    ] {
        assert_eq!(server.admin(method, &target, &[], &[]).code(), "no_such_function", "{method} {target}");
    }
    assert_eq!(server.activate("f", r#"{"version":1}"#).code(), "no_such_function");
    assert_eq!((server.blobs().len(), server.artifacts().len()), (1, 1), "only the other one's files");
    assert_eq!(server.call("stays").status, 200);
    // The name is free, and its numbers begin again.
    assert_eq!(server.deploy("f", &guest("ok")).json()["version"], 1);
    assert_eq!(server.call("f").text(), "ok");
}

#[test]
fn bytes_that_another_function_is_made_of_stay() {
    let server = Server::start();
    server.tenant("acme");
    let wasm = guest("ok");
    server.deploy("f", &wasm);
    server.admin("PUT", "/v1/tenants/acme/functions/g", &[], &wasm);
    assert_eq!(server.blobs().len(), 1);
    server.optimised();
    assert_eq!(server.admin("DELETE", &Server::path("f"), &[], &[]).status, 204);
    assert_eq!((server.blobs().len(), server.artifacts().len()), (1, 1));
    let cold = server.admin(
        "POST",
        "/v1/tenants/acme/functions/g/cold",
        &[("content-type", "application/json")],
        br#"{"drop":"program"}"#,
    );
    assert_eq!(cold.status, 200);
    let answer = get(server.ingress, "/acme/g/");
    assert_eq!((answer.text().as_str(), answer.header("x-spawnpoint-start")), ("ok", "cold"));
}

#[test]
fn a_deleted_tenant_is_gone_with_everything_it_had() {
    let server = Server::start();
    server.tenant("acme");
    server.deploy("keeps", &guest("ok"));
    for (function, wasm) in [("a", stamped(&guest("ok"), "a")), ("b", sample("hello-p3"))] {
        let target = format!("/v1/tenants/acme/functions/{function}");
        assert_eq!(server.admin("PUT", &target, &[], &wasm).status, 201);
        assert_eq!(get(server.ingress, &format!("/acme/{function}/")).status, 200);
    }
    server.optimised();
    assert_eq!(server.admin("DELETE", "/v1/tenants/acme", &[], &[]).status, 204);
    for function in ["a", "b"] {
        assert_eq!(get(server.ingress, &format!("/acme/{function}/")).code(), "no_route");
        let target = format!("/v1/tenants/acme/functions/{function}");
        assert_eq!(server.admin("GET", &target, &[], &[]).code(), "no_such_tenant");
    }
    assert_eq!(server.admin("DELETE", "/v1/tenants/acme", &[], &[]).code(), "no_such_tenant");
    assert_eq!((server.blobs().len(), server.artifacts().len()), (1, 1));
    // A tenant of the same name begins with nothing.
    server.tenant("acme");
    let list = server.admin("GET", "/v1/tenants/acme/functions", &[], &[]).json();
    assert_eq!(list["functions"], serde_json::json!([]));
    assert_eq!(server.call("keeps").status, 200);
}

#[test]
fn the_default_tenant_stays() {
    let server = Server::start();
    server.deploy("f", &guest("ok"));
    let answer = server.admin("DELETE", "/v1/tenants/default", &[], &[]);
    assert_eq!((answer.status, answer.code()), (409, "default_tenant"), "{}", answer.text());
    assert_eq!(server.call("f").text(), "ok");
}

#[test]
fn versions_above_the_number_that_is_kept_go_with_their_files() {
    let server = Server::with(Config::default().toml("[server]\nversions_per_function = 2"));
    let wasm = guest("ok");
    for number in 1..=5 {
        server.deploy("f", &stamped(&wasm, number));
    }
    assert_eq!(server.versions("f"), [4, 5]);
    eventually("the files of three versions are gone", || {
        server.blobs().len() == 2 && server.artifacts().len() == 2
    });
    assert_eq!(server.activate("f", r#"{"version":1}"#).code(), "no_such_version");
    assert_eq!(server.activate("f", r#"{"version":4}"#).status, 200);
    assert_eq!(server.call("f").header("x-spawnpoint-version"), "4");
    // The one that answers is kept, however old it is.
    server.deploy("f", &stamped(&wasm, 6));
    assert_eq!(server.versions("f").len(), 2);
}

#[test]
fn after_a_restart_a_deleted_function_leaves_no_file_of_either_engine() {
    let mut server = Server::start();
    server.deploy("old", &guest("ok"));
    server.deploy("new", &sample("hello-p3"));
    server.kill();
    server.start_again();
    for function in ["old", "new"] {
        assert_eq!(server.admin("DELETE", &Server::path(function), &[], &[]).status, 204);
    }
    eventually("no file is left", || server.blobs().is_empty() && server.artifacts().is_empty());
}

#[test]
fn a_call_in_progress_goes_on_though_its_function_is_deleted() {
    let server = Server::start();
    server.deploy("slow", &guest("drip"));
    let mut raw = Raw::connect(server.ingress);
    raw.send(format!("GET /default/slow/ HTTP/1.1\r\nhost: {}\r\n\r\n", server.ingress));
    assert!(raw.head().is_some_and(|head| head.starts_with("HTTP/1.1 200")));
    assert!(!raw.chunk().expect("a byte").is_empty());
    assert_eq!(server.admin("DELETE", &Server::path("slow"), &[], &[]).status, 204);
    assert_eq!(server.call("slow").code(), "no_route");
    for _ in 0..5 {
        assert!(!raw.chunk().expect("a byte").is_empty());
    }
}

#[test]
fn a_deploy_is_not_disturbed_by_a_delete_of_the_same_bytes() {
    let server = Server::start();
    let wasm = guest("ok");
    for round in 0..10 {
        server.deploy("goes", &wasm);
        let statuses = std::thread::scope(|scope| {
            let deploy = scope.spawn(|| server.upload("comes", &wasm));
            let delete = scope.spawn(|| server.admin("DELETE", &Server::path("goes"), &[], &[]));
            (deploy.join().unwrap(), delete.join().unwrap().status)
        });
        let (deploy, delete) = statuses;
        assert_eq!((deploy.status, delete), (201, 204), "round {round}: {}", deploy.text());
        server.cool("comes", "program");
        assert_eq!(server.call("comes").text(), "ok", "round {round}");
        assert_eq!(server.admin("DELETE", &Server::path("comes"), &[], &[]).status, 204);
    }
}
