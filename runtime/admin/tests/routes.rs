//! What holds of routes.

use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::middleware::from_fn;
use axum::routing::get;
use serde_json::json;

use super::Rig;
use crate::admin::service;

#[tokio::test]
async fn everything_below_v1_needs_the_token() {
    let rig = Rig::new().await;
    let bearer = |token: &str| format!("Bearer {token}");
    let wrong = bearer(&"0".repeat(64));
    let basic = format!("Basic {}", rig.token);
    for (method, path) in
        [("GET", "/v1/tenants"), ("PUT", "/v1/tenants/a"), ("GET", "/v1"), ("GET", "/v1/nothing")]
    {
        for headers in
            [vec![], vec![("authorization", wrong.as_str())], vec![("authorization", basic.as_str())]]
        {
            let answer = rig.send(method, path, &headers, Body::empty()).await;
            answer.refused(401, "unauthorized");
            assert!(answer.header("www-authenticate").starts_with("Bearer"));
        }
    }
    let lower = format!("bearer {}", rig.token);
    let twice = [("authorization", lower.as_str()), ("authorization", lower.as_str())];
    rig.send("GET", "/v1/tenants", &twice, Body::empty()).await.refused(401, "unauthorized");
    assert_eq!(rig.send("GET", "/v1/tenants", &twice[..1], Body::empty()).await.status, 200);
}

#[tokio::test]
async fn health_metrics_and_version_need_none() {
    let rig = Rig::new().await;
    for (path, text) in [("/livez", "ok\n"), ("/readyz", "ok\n"), ("/metrics", "up 1\n")] {
        let answer = rig.send("GET", path, &[], Body::empty()).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, text));
    }
    let about = rig.send("GET", "/version", &[], Body::empty()).await.json();
    assert_eq!(about["name"], "spawnpoint");
    rig.ready.store(false, Ordering::SeqCst);
    let answer = rig.send("GET", "/readyz", &[], Body::empty()).await;
    answer.refused(503, "draining");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(rig.send("GET", "/livez", &[], Body::empty()).await.status, 200);
}

#[tokio::test]
async fn what_is_not_there_and_not_allowed_is_said_in_the_same_form() {
    let rig = Rig::new().await;
    rig.ask("GET", "/", Body::empty()).await.refused(404, "no_route");
    rig.ask("GET", "/v1/tenants/a/b", Body::empty()).await.refused(404, "no_route");
    let answer = rig.ask("POST", "/v1/tenants", Body::empty()).await;
    answer.refused(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), "GET,HEAD");
    rig.ask("GET", "/v1/tenants/a/functions/b/cold", Body::empty()).await.refused(405, "method_not_allowed");
}

#[tokio::test]
async fn a_wrong_name_is_refused_with_what_is_allowed() {
    let rig = Rig::new().await;
    for name in ["UPPER", "a_b", "-a", "a-", "%2e%2e", "a%2fb", &"a".repeat(64), "%F0%9F%98%80", "a%00"] {
        let detail =
            rig.ask("PUT", &format!("/v1/tenants/{name}"), Body::empty()).await.refused(400, "invalid_name");
        assert!(detail.contains("tenant name") && detail.contains("1 to 63"), "{detail}");
        let path = format!("/v1/tenants/default/functions/{name}");
        let detail = rig.ask("PUT", &path, "x").await.refused(400, "invalid_name");
        assert!(detail.contains("function name"), "{detail}");
    }
    rig.ask("PUT", "/v1/tenants/%ff", Body::empty()).await.refused(400, "invalid_name");
}

#[tokio::test]
async fn tenants_are_made_listed_and_deleted() {
    let rig = Rig::new().await;
    let made = rig.ask("PUT", "/v1/tenants/acme", Body::empty()).await;
    assert_eq!((made.status.as_u16(), made.header("location")), (201, "/v1/tenants/acme"));
    assert_eq!(made.json()["tenant"], "acme");
    let again = rig.ask("PUT", "/v1/tenants/acme", Body::empty()).await;
    assert_eq!((again.status.as_u16(), again.json()), (200, made.json()));
    assert_eq!(rig.ask("DELETE", "/v1/tenants/acme", Body::empty()).await.status, 204);
    rig.ask("DELETE", "/v1/tenants/acme", Body::empty()).await.refused(404, "no_such_tenant");
    rig.ask("DELETE", "/v1/tenants/default", Body::empty()).await.refused(409, "default_tenant");
    for name in ["a", "b", "c", "d", "e", "f", "g"] {
        assert_eq!(rig.ask("PUT", &format!("/v1/tenants/{name}"), Body::empty()).await.status, 201);
    }
    rig.ask("PUT", "/v1/tenants/h", Body::empty()).await.refused(409, "quota_exceeded");
}

#[tokio::test]
async fn a_list_comes_in_pages_without_an_empty_last_one() {
    let rig = Rig::new().await;
    for name in ["a", "b", "c"] {
        rig.ask("PUT", &format!("/v1/tenants/{name}"), Body::empty()).await;
    }
    let (mut path, mut pages) = ("/v1/tenants?limit=2".to_owned(), Vec::new());
    loop {
        let page = rig.ask("GET", &path, Body::empty()).await.json();
        let names =
            page["tenants"].as_array().unwrap().iter().map(|t| t["tenant"].as_str().unwrap().to_owned());
        pages.push(names.collect::<Vec<_>>());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/tenants?limit=2&after={next}");
    }
    assert_eq!(pages, [["a", "b"], ["c", "default"]]);
    for (query, named) in [
        ("limit=0", "`limit` is `0`: allowed is 1 to 1000"),
        ("limit=1001", "1001"),
        ("limit=x", "`x`"),
        ("limit=", "``"),
        ("offset=3", "`offset` is no parameter: allowed are `after` and `limit`"),
        ("after=zz", "`next`"),
    ] {
        let answer = rig.ask("GET", &format!("/v1/tenants?{query}"), Body::empty()).await;
        let detail = answer.refused(400, "invalid_query");
        assert!(detail.contains(named), "{detail}");
    }
}

#[tokio::test]
async fn functions_and_versions_are_shown_as_they_are() {
    let rig = Rig::new().await;
    let function = "/v1/tenants/default/functions/hello";
    rig.ask("GET", function, Body::empty()).await.refused(404, "no_such_function");
    rig.ask("GET", "/v1/tenants/nobody/functions", Body::empty()).await.refused(404, "no_such_tenant");
    rig.publish("default", "hello", 1).await;
    rig.publish("default", "hello", 2).await;
    rig.publish("default", "other", 3).await;
    let answer = rig.ask("GET", function, Body::empty()).await;
    assert_eq!(answer.header("etag"), "\"2\"");
    let shown = answer.json();
    assert_eq!(shown["url"], "http://127.0.0.1:8080/default/hello/");
    assert_eq!(shown["urls"]["host"], "http://hello.default.localhost:8080/");
    assert_eq!(shown["activation"]["weights"], json!([{"version": 2, "weight": 1}]));
    let list = rig.ask("GET", "/v1/tenants/default/functions?limit=1", Body::empty()).await.json();
    assert_eq!(list["functions"], json!([shown]));
    assert!(list["next"].is_string());
    let first = rig.ask("GET", &format!("{function}/versions?limit=1"), Body::empty()).await.json();
    assert_eq!(first["versions"][0]["version"], 1);
    assert_eq!(first["versions"][0]["active"], false);
    assert_eq!(first["versions"][0]["limits"]["cpu_ms"], 1000);
    let next = first["next"].as_str().unwrap();
    let second =
        rig.ask("GET", &format!("{function}/versions?limit=1&after={next}"), Body::empty()).await.json();
    assert_eq!(second["versions"][0]["digest"], format!("sha256:{}", "02".repeat(32)));
    assert_eq!(second["versions"][0]["active"], true);
    assert!(second.get("next").is_none());
    assert_eq!(rig.ask("DELETE", function, Body::empty()).await.status, 204);
    rig.ask("DELETE", function, Body::empty()).await.refused(404, "no_such_function");
    rig.ask("GET", &format!("{function}/versions"), Body::empty()).await.refused(404, "no_such_function");
}

#[tokio::test]
async fn a_wrong_activation_is_refused_by_name() {
    let rig = Rig::new().await;
    rig.publish("default", "hello", 1).await;
    let path = "/v1/tenants/default/functions/hello/activation";
    for (body, code, named) in [
        ("{", "invalid_json", "EOF"),
        ("", "invalid_json", "EOF"),
        ("[]", "invalid_json", "expected"),
        (
            r#"{"verion":1}"#,
            "invalid_json",
            "unknown field `verion`, expected one of `version`, `weights`, `revision`",
        ),
        (r#"{"version":-1}"#, "invalid_json", "-1"),
        ("{}", "invalid_activation", "either `version` or `weights`"),
        (r#"{"version":1,"weights":[]}"#, "invalid_activation", "either"),
        (r#"{"weights":[]}"#, "invalid_activation", "1 to 8 versions, not 0"),
        (r#"{"weights":[{"version":1,"weight":0}]}"#, "invalid_activation", "allowed is 1 to 1000000"),
    ] {
        let detail = rig.ask("PUT", path, body).await.refused(400, code);
        assert!(detail.contains(named), "{detail}");
    }
    rig.ask("PUT", path, r#"{"version":9}"#).await.refused(404, "no_such_version");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    rig.ask_with("PUT", path, &form, r#"{"version":1}"#).await.refused(415, "unsupported_media_type");
    rig.ask("PUT", path, " ".repeat(70_000)).await.refused(413, "payload_too_large");
    let stream = futures_util::stream::iter((0..70).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024])));
    rig.ask("PUT", path, Body::from_stream(stream)).await.refused(413, "payload_too_large");
}

#[tokio::test]
async fn an_activation_moves_only_from_where_its_caller_has_seen_it() {
    let rig = Rig::new().await;
    rig.publish("default", "hello", 1).await;
    rig.publish("default", "hello", 2).await;
    let path = "/v1/tenants/default/functions/hello/activation";
    let body = r#"{"version":2}"#;
    for stale in ["\"1\"", "\"1\", \"7\"", "W/\"2\"", "\"other\""] {
        rig.ask_with("PUT", path, &[("if-match", stale)], body).await.refused(412, "precondition_failed");
    }
    for wrong in ["2", "\"2", ""] {
        rig.ask_with("PUT", path, &[("if-match", wrong)], body).await.refused(400, "invalid_header");
    }
    let both = r#"{"version":2,"revision":1}"#;
    rig.ask_with("PUT", path, &[("if-match", "\"2\"")], both).await.refused(409, "conflict");
    // These get past the precondition, and then there is no wasm to load.
    for seen in ["\"2\"", "\"1\",\"2\"", "*"] {
        rig.ask_with("PUT", path, &[("if-match", seen)], body).await.refused(500, "host_error");
    }
}

#[tokio::test]
async fn a_function_that_is_not_there_cannot_be_made_cold() {
    let rig = Rig::new().await;
    let path = "/v1/tenants/default/functions/hello/cold";
    rig.ask("POST", path, r#"{"drop":"program"}"#).await.refused(404, "no_such_function");
    let detail = rig.ask("POST", path, r#"{"drop":"all"}"#).await.refused(400, "invalid_json");
    assert!(detail.contains("`instances` or `program`"), "{detail}");
}

#[tokio::test]
async fn a_panic_is_an_answer() {
    async fn panics() {
        panic!("on purpose")
    }
    let mut rig = Rig::new().await;
    rig.router = Router::new().route("/", get(panics)).layer(from_fn(service::watched));
    rig.ask("GET", "/", Body::empty()).await.refused(500, "host_error");
}
