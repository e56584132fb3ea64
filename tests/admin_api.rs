//! The admin API as a whole: health, lists in pages, its own description, who may ask and how.

use super::support::{Raw, Server, get, guest, request};

#[test]
fn health_version_and_metrics_need_no_token() {
    let server = Server::start();
    server.deploy("f", &guest("ok"));
    assert_eq!(server.call("f").status, 200);
    for path in ["/livez", "/readyz"] {
        assert_eq!((get(server.admin, path).status, get(server.admin, path).text()), (200, "ok\n".into()));
    }
    let version = get(server.admin, "/version").json();
    assert_eq!(
        (&version["name"], &version["version"]),
        (&"spawnpoint".into(), &env!("CARGO_PKG_VERSION").into())
    );
    assert!(version["wasmtime"].as_str().unwrap().starts_with("48."));
    let metrics = get(server.admin, "/metrics");
    assert!(metrics.header("content-type").starts_with("text/plain"));
    assert!(server.metric("spawnpoint_requests_completed_total", "function=\"f\"") >= 1.0);
    // Prometheus text: comments, or a name, labels and a number.
    for line in metrics.text().lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn the_description_that_is_served_is_the_one_that_is_checked_in() {
    let server = Server::start();
    let answer = get(server.admin, "/v1/openapi.json");
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let file = spawnpoint::cli::guests::source_tree().join("runtime/admin/openapi.json");
    assert_eq!(answer.text(), std::fs::read_to_string(file).unwrap());
    let api = answer.json();
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"), "{}", api["openapi"]);
}

#[test]
fn every_path_of_the_description_is_routed() {
    let server = Server::start();
    let api = get(server.admin, "/v1/openapi.json").json();
    for (path, methods) in api["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys().filter(|key| *key != "parameters") {
            let target = path.replace("{tenant}", "nobody").replace("{function}", "nothing");
            let answer = server.admin(&method.to_uppercase(), &target, &[], &[]);
            assert!(!matches!(answer.code(), "no_route" | "method_not_allowed"), "{method} {path}");
            assert!(answer.status < 500, "{method} {path}: {}", answer.text());
        }
    }
}

#[test]
fn lists_come_in_pages() {
    let server = Server::start();
    let names: Vec<String> = (0..5).map(|number| format!("tenant-{number}")).collect();
    for name in &names {
        server.tenant(name);
    }
    let mut found = Vec::new();
    let mut target = "/v1/tenants?limit=2".to_owned();
    let mut pages = 0;
    loop {
        let page = server.admin("GET", &target, &[], &[]).json();
        let tenants = page["tenants"].as_array().unwrap();
        assert!(tenants.len() <= 2);
        found.extend(tenants.iter().map(|tenant| tenant["tenant"].as_str().unwrap().to_owned()));
        pages += 1;
        match page["next"].as_str() {
            Some(next) => target = format!("/v1/tenants?limit=2&after={next}"),
            None => break,
        }
    }
    let expected: Vec<_> = std::iter::once("default".to_owned()).chain(names).collect();
    assert_eq!((found, pages), (expected, 3));
    for function in ["c", "a", "b"] {
        server.deploy(function, &guest("ok"));
    }
    let page = server.admin("GET", "/v1/tenants/default/functions?limit=2", &[], &[]).json();
    assert_eq!(
        (&page["functions"][0]["function"], &page["functions"][1]["function"]),
        (&"a".into(), &"b".into())
    );
    let next = page["next"].as_str().unwrap();
    let target = format!("/v1/tenants/default/functions?after={next}");
    let last = server.admin("GET", &target, &[], &[]).json();
    assert_eq!(last["functions"].as_array().unwrap().len(), 1);
    assert!(last.get("next").is_none());
}

#[test]
fn a_page_that_makes_no_sense_is_refused_by_name() {
    let server = Server::start();
    for (query, said) in [
        ("limit=0", "1 to 1000"),
        ("limit=1001", "1001"),
        ("limit=many", "many"),
        ("after=zz", "after"),
        ("after=2d2d", "after"),
        ("offset=3", "offset"),
    ] {
        let answer = server.admin("GET", &format!("/v1/tenants?{query}"), &[], &[]);
        assert_eq!((answer.status, answer.code()), (400, "invalid_query"), "{query}: {}", answer.text());
        assert!(answer.text().contains(said), "{query}: {}", answer.text());
    }
}

#[test]
fn without_the_token_nothing_is_told_or_done() {
    let server = Server::start();
    server.deploy("f", &guest("ok"));
    let token = server.token.clone();
    let almost = format!("Bearer {}0", &token[..token.len() - 1].to_uppercase());
    let basic = format!("Basic {token}");
    let headers: [&[(&str, &str)]; 5] = [
        &[],
        &[("authorization", "Bearer")],
        &[("authorization", almost.as_str())],
        &[("authorization", basic.as_str())],
        &[("authorization", "Bearer x"), ("authorization", "Bearer y")],
    ];
    for headers in headers {
        for (method, target) in [
            ("GET", "/v1/tenants".to_owned()),
            ("GET", "/v1/nothing".to_owned()),
            ("DELETE", Server::path("f")),
            ("PUT", Server::path("g")),
            ("PATCH", Server::path("g")),
        ] {
            let answer = request(server.admin, method, &target, headers, b"x");
            assert_eq!(
                (answer.status, answer.code()),
                (401, "unauthorized"),
                "{method} {target} {headers:?}"
            );
            assert!(answer.header("www-authenticate").starts_with("Bearer"));
            assert!(!answer.text().contains(&token));
        }
    }
    assert_eq!(server.call("f").text(), "ok");
    assert!(!server.log().contains(&token), "the log never shows the token");
}

#[test]
fn what_is_not_there_is_a_problem_too() {
    let server = Server::start();
    for (method, target, status, code) in [
        ("GET", "/", 404, "no_route"),
        ("GET", "/v1", 404, "no_route"),
        ("GET", "/v2/tenants", 404, "no_route"),
        ("GET", "/v1/tenants/default/functions/none", 404, "no_such_function"),
        ("POST", "/v1/tenants", 405, "method_not_allowed"),
        ("PATCH", "/v1/tenants/default/functions/f", 405, "method_not_allowed"),
        ("DELETE", "/livez", 405, "method_not_allowed"),
        ("GET", "/v1/tenants/Default", 405, "method_not_allowed"),
    ] {
        let answer = server.admin(method, target, &[], &[]);
        assert_eq!((answer.status, answer.code()), (status, code), "{method} {target}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let body = answer.json();
        assert_eq!((&body["status"], &body["code"]), (&status.into(), &code.into()));
        assert_eq!(body["type"], format!("urn:spawnpoint:error:{code}"));
        if status == 405 {
            assert!(!answer.header("allow").is_empty(), "{method} {target}");
        }
    }
}

#[test]
fn a_connection_is_good_for_many_requests_and_refusals() {
    let server = Server::start();
    let mut raw = Raw::connect(server.admin);
    for _ in 0..5 {
        assert_eq!(raw.get("/livez").expect("an answer").status, 200);
        assert_eq!(raw.get("/v1/tenants").expect("an answer").status, 401);
        assert_eq!(raw.get("/nothing").expect("an answer").status, 404);
    }
}
