//! From uploaded bytes to an answering function: what is accepted, what is answered, who sees it when.

use std::process::Command;

use super::support::wasm::{digest, stamped};
use super::support::{Config, Raw, Server, get, guest, sample, wat};

/// The names of an object's fields, in order.
fn fields(value: &serde_json::Value) -> Vec<String> {
    let mut names: Vec<_> = value.as_object().expect("an object").keys().cloned().collect();
    names.sort();
    names
}

#[test]
fn a_tenant_is_made_once_and_is_there_the_second_time() {
    let server = Server::start();
    let made = server.admin("PUT", "/v1/tenants/acme", &[], &[]);
    assert_eq!((made.status, made.header("location")), (201, "/v1/tenants/acme"), "{}", made.text());
    assert_eq!(fields(&made.json()), ["created_ms", "tenant"]);
    let there = server.admin("PUT", "/v1/tenants/acme", &[], &[]);
    assert_eq!((there.status, there.json()), (200, made.json()));
}

#[test]
fn a_function_of_an_unknown_tenant_is_refused_and_the_default_one_needs_no_creating() {
    let server = Server::start();
    let wasm = guest("ok");
    let refused = server.admin("PUT", "/v1/tenants/nobody/functions/f", &[], &wasm);
    assert_eq!((refused.status, refused.code()), (404, "no_such_tenant"), "{}", refused.text());
    assert!(refused.json()["detail"].as_str().unwrap().contains("nobody"));
    assert_eq!(get(server.ingress, "/nobody/f/").code(), "no_route");
    server.deploy("f", &wasm);
    assert_eq!(server.call("f").text(), "ok");
}

#[test]
fn an_upload_answers_with_the_documented_fields_and_nothing_else() {
    let server = Server::start();
    let wasm = guest("ok");
    let answer = server.deploy("hello", &wasm);
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("location"), "/v1/tenants/default/functions/hello");
    assert_eq!(answer.header("etag"), "\"1\"");
    let body = answer.json();
    let all = ["digest", "function", "tenant", "timings", "url", "urls", "version"];
    assert_eq!(fields(&body), all);
    assert_eq!(fields(&body["urls"]), ["host", "path"]);
    assert_eq!(fields(&body["timings"]), ["compile_ms", "componentize_ms", "load_ms", "receive_ms"]);
    assert_eq!((&body["tenant"], &body["function"]), (&"default".into(), &"hello".into()));
    assert_eq!((&body["version"], &body["digest"]), (&1.into(), &digest(&wasm).into()));
    let address = server.ingress;
    assert_eq!(body["url"], format!("http://{address}/default/hello/"));
    assert_eq!(body["urls"]["path"], body["url"]);
    assert_eq!(body["urls"]["host"], format!("http://hello.default.localhost:{}/", address.port()));
}

#[test]
fn curl_with_a_file_is_enough() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app.wasm");
    let wasm = sample("hello-wasip2");
    std::fs::write(&file, &wasm).unwrap();
    let curl = Command::new("curl")
        .args(["-sS", "-w", "\n%{http_code}", "-H", &format!("authorization: Bearer {}", server.token), "-T"])
        .arg(&file)
        .arg(format!("http://{}/v1/tenants/default/functions/app", server.admin))
        .output();
    let Ok(output) = curl else { return eprintln!("no curl here: nothing was tested") };
    let said = String::from_utf8(output.stdout).unwrap();
    let (body, status) = said.rsplit_once('\n').unwrap();
    assert_eq!(status, "201", "{said} {}", String::from_utf8_lossy(&output.stderr));
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["digest"], digest(&wasm));
    let path = body["url"].as_str().unwrap().split_once(&server.ingress.to_string()).unwrap().1;
    assert_eq!(get(server.ingress, path).text(), "Hello, World!\n");
}

#[test]
fn an_upload_in_chunks_and_with_a_form_type_is_taken_as_it_is() {
    let server = Server::start();
    let wasm = guest("ok");
    let mut raw = Raw::connect(server.admin);
    raw.send(format!(
        "PUT {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ntransfer-encoding: chunked\r\n\
         content-type: application/x-www-form-urlencoded\r\n\r\n",
        Server::path("chunked"),
        server.token
    ));
    for chunk in wasm.chunks(1_000) {
        raw.send(format!("{:x}\r\n", chunk.len())).send(chunk).send("\r\n");
    }
    let answer = raw.send("0\r\n\r\n").answer().expect("an answer");
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.json()["digest"], digest(&wasm));
    // The connection is good for more.
    assert_eq!(raw.get("/livez").expect("an answer").status, 200);
}

#[test]
fn the_same_bytes_and_settings_again_are_the_same_version() {
    let server = Server::start();
    let wasm = guest("env_echo");
    let one = r#"{"variables":{"COLOUR":"red"}}"#;
    assert_eq!(server.deploy("f", &wasm).json()["version"], 1);
    let again = server.deploy("f", &wasm);
    assert_eq!((again.status, &again.json()["version"]), (200, &1.into()));
    assert_eq!(again.header("etag"), "\"1\"", "nothing was moved");
    let other = server.deploy_with("f", &wasm, one);
    assert_eq!((other.status, &other.json()["version"]), (201, &2.into()));
    assert!(server.call("f").text().contains("env COLOUR=red"));
    let same = server.deploy_with("f", &wasm, one);
    assert_eq!((same.status, &same.json()["version"]), (200, &2.into()));
    // The first one again: it is not published anew, and it answers.
    let back = server.deploy("f", &wasm);
    assert_eq!((back.status, &back.json()["version"]), (200, &1.into()));
    assert_eq!(server.call("f").header("x-spawnpoint-version"), "1");
    assert!(!server.call("f").text().contains("COLOUR"));
    assert_eq!(server.versions("f"), [1, 2]);
}

#[test]
fn a_manifest_beside_the_wasm_sets_limits_variables_and_reuse() {
    let server = Server::start();
    let manifest = r#"{"limits":{"cpu_ms":500,"wall_ms":2000,"memory_bytes":33554432,"request_body_bytes":5},
        "variables":{"A":"1","B":"two words"},"reuse":{"max_requests":3}}"#;
    server.deploy_with("f", &guest("env_echo"), manifest);
    let text = server.call("f").text();
    assert!(text.contains("env A=1\n") && text.contains("env B=two words\n"), "{text}");
    let versions = server.admin("GET", &format!("{}/versions", Server::path("f")), &[], &[]).json();
    let version = &versions["versions"][0];
    assert_eq!(version["manifest"]["limits"]["memory_bytes"], 33_554_432);
    assert_eq!(version["limits"]["cpu_ms"], 500);
    assert_eq!(version["limits"]["response_body_bytes"], 64 << 20, "the default stays: {version}");
    let target = "/default/f/";
    let large = super::support::request(server.ingress, "POST", target, &[], b"123456");
    assert_eq!((large.status, large.code()), (413, "payload_too_large"));
}

#[test]
fn reuse_is_opt_in_and_ends_at_its_count() {
    let server = Server::start();
    let calls = |function: &str| -> Vec<String> {
        let mut raw = Raw::connect(server.ingress);
        let target = format!("/default/{function}/");
        (0..6).map(|_| raw.get(&target).expect("an answer").text()).collect()
    };
    server.deploy("fresh", &guest("counter"));
    assert!(calls("fresh").iter().all(|count| count.trim() == "1"), "{:?}", calls("fresh"));
    server.deploy_with("kept", &guest("counter"), r#"{"reuse":{"max_requests":3}}"#);
    let counts = calls("kept");
    let most = counts.iter().map(|count| count.trim().parse::<u32>().unwrap()).max();
    assert!(matches!(most, Some(2..=3)), "{counts:?}");
}

#[test]
fn a_base_domain_that_is_set_makes_the_url() {
    let server = Server::with(Config::default().toml("base_domain = \"fn.example.org\""));
    let body = server.deploy("hello", &guest("ok")).json();
    let port = server.ingress.port();
    assert_eq!(body["url"], format!("http://hello.default.fn.example.org:{port}/"));
    assert_eq!(body["urls"]["path"], format!("http://{}/default/hello/", server.ingress));
    let host = [("host", "hello.default.fn.example.org")];
    assert_eq!(super::support::request(server.ingress, "GET", "/", &host, &[]).text(), "ok");
    assert_eq!(server.shown("hello").json()["url"], body["url"]);
}

#[test]
fn the_next_request_on_an_open_connection_sees_the_new_version() {
    let server = Server::with(Config::default().flag("--threads", "2"));
    let wasm = guest("ok");
    server.deploy("f", &wasm);
    let mut open: Vec<_> = (0..6).map(|_| Raw::connect(server.ingress)).collect();
    for version in 1..6 {
        let expected = version.to_string();
        for raw in &mut open {
            let answer = raw.get("/default/f/").expect("an answer");
            assert_eq!((answer.status, answer.header("x-spawnpoint-version")), (200, expected.as_str()));
        }
        server.deploy("f", &stamped(&wasm, version));
    }
}

#[test]
fn a_core_module_is_adapted_and_answers() {
    let server = Server::start();
    let module = sample("core-module");
    assert_eq!(module[4], 1, "a module, and no component");
    let answer = server.deploy("core", &module);
    assert_eq!(answer.json()["digest"], digest(&module), "the digest is of what was uploaded");
    assert_eq!(server.call("core").text(), "ok");
}

#[test]
fn a_component_written_by_hand_answers() {
    let server = Server::start();
    server.deploy("handmade", &wat("handmade"));
    let answer = server.call("handmade");
    assert_eq!((answer.status, answer.code(), answer.body.len()), (200, "", 0), "{}", answer.text());
}

#[test]
fn every_sample_answers_after_its_deploy() {
    let server = Server::start();
    let samples = [
        ("hello", "", "http-02"),
        ("hello-wasip2", "", "http-02"),
        ("hello-p3", "", "http-03"),
        ("echo", "", "http-02"),
        ("fail", "ok", "http-02"),
    ];
    for (name, path, _) in samples {
        server.deploy(name, &sample(name));
        let answer = get(server.ingress, &format!("/default/{name}/{path}"));
        assert_eq!((answer.status, answer.code()), (200, ""), "{name}: {}", answer.text());
    }
    server.deploy("json-api", &sample("json-api"));
    assert_eq!(get(server.ingress, "/default/json-api/").code(), "");
}

#[test]
fn two_tenants_have_functions_of_one_name() {
    let server = Server::start();
    server.tenant("acme");
    server.deploy_with("f", &guest("env_echo"), r#"{"variables":{"OWNER":"default"}}"#);
    let answer = server.upload_with("acme", "f", &guest("env_echo"), r#"{"variables":{"OWNER":"acme"}}"#);
    assert_eq!((answer.status, &answer.json()["version"]), (201, &1.into()));
    assert!(server.call("f").text().contains("OWNER=default"));
    assert!(get(server.ingress, "/acme/f/").text().contains("OWNER=acme"));
    assert_eq!(server.blobs().len(), 1, "the same bytes are kept once");
}

#[test]
fn many_deploys_at_once_of_many_functions_all_answer() {
    let server = Server::start();
    let wasm = guest("ok");
    std::thread::scope(|scope| {
        for number in 0..6 {
            let (server, wasm) = (&server, stamped(&wasm, number));
            scope.spawn(move || {
                let name = format!("f{number}");
                server.deploy(&name, &wasm);
                assert_eq!(server.call(&name).text(), "ok");
            });
        }
    });
    assert!(server.half_written().is_empty());
}

#[test]
fn many_deploys_at_once_of_one_function_give_each_a_number() {
    let server = Server::start();
    let wasm = guest("ok");
    let mut numbers: Vec<u64> = std::thread::scope(|scope| {
        let deploys: Vec<_> = (0..5)
            .map(|number| {
                let (server, wasm) = (&server, stamped(&wasm, number));
                scope.spawn(move || server.deploy("f", &wasm).json()["version"].as_u64().unwrap())
            })
            .collect();
        deploys.into_iter().map(|deploy| deploy.join().unwrap()).collect()
    });
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    let active = server.shown("f").json()["activation"]["weights"][0]["version"].to_string();
    assert_eq!(server.call("f").header("x-spawnpoint-version"), active, "catalog and routes agree");
}

#[test]
fn a_function_too_many_is_refused_before_anything_is_sent_or_compiled() {
    let server = Server::with(Config::default().toml("[server]\nfunctions_per_tenant = 2"));
    server.deploy("a", &guest("ok"));
    server.deploy("b", &guest("ok"));
    let head = format!(
        "PUT {} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\ncontent-length: 1000000\r\n\r\n",
        Server::path("c"),
        server.token
    );
    let answer = Raw::connect(server.admin).send(head).answer().expect("an answer to the head alone");
    assert_eq!((answer.status, answer.code()), (409, "quota_exceeded"), "{}", answer.text());
    // What is no function at all would be refused for that, had anybody looked.
    assert_eq!(server.upload("c", b"hello").code(), "quota_exceeded");
    assert_eq!(
        server.deploy("b", &guest("counter")).status,
        201,
        "one that is there may have another version"
    );
    server.tenant("acme");
    assert_eq!(server.upload_with("acme", "c", &guest("ok"), "{}").status, 201, "each tenant has its own");
    assert_eq!(server.admin("DELETE", &Server::path("a"), &[], &[]).status, 204);
    assert_eq!(server.deploy("c", &guest("ok")).status, 201);
}
