//! What calls leave behind: a record of every failure and of a few good ones, counts of all, and who may read them.
//! Must never expect a record of a streamed call at once: it is written when the call ends, not when its head is read.

use serde_json::Value;

use crate::support::cli::Cli;
use crate::support::{Answer, Raw, Server, eventually, get, guest, request, wat};

/// A server with one function `f`.
#[track_caller]
fn serving(name: &str, limits: &str) -> Server {
    let server = Server::start();
    server.deploy_with(
        "f",
        &guest(name),
        &format!(r#"{{"limits": {{{limits}}}, "breaker": {{"enabled": false}}}}"#),
    );
    server
}

#[track_caller]
fn ask(server: &Server, query: &str) -> Answer {
    get(server.ingress, &format!("/default/f/{query}"))
}

/// The admin API's answer about a request.
#[track_caller]
fn about(server: &Server, id: &str) -> Answer {
    server.admin("GET", &format!("/v1/invocations/{id}"), &[], &[])
}

/// The record of an answer.
#[track_caller]
fn record(server: &Server, of: &Answer) -> Value {
    let id = of.header("x-request-id");
    let answer = about(server, id);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let record = answer.json();
    assert_eq!(record["request_id"], id);
    record
}

#[track_caller]
fn failures(server: &Server, query: &str) -> Value {
    let answer = server.admin("GET", &format!("{}/failures{query}", Server::path("f")), &[], &[]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[track_caller]
fn codes(list: &Value) -> Vec<String> {
    let all = list["failures"].as_array().expect("a list").iter();
    all.map(|each| each["code"].as_str().expect("a code").to_owned()).collect()
}

fn texts(list: &Value) -> Vec<String> {
    let all = list.as_array().expect("a list").iter();
    all.map(|each| each.as_str().expect("text").to_owned()).collect()
}

/// What every record says, and no limit unless one was met: its key, what it is, and the least that was used of it.
#[track_caller]
fn is_record(record: &Value, code: &str, limit: Option<(&str, u64, u64)>) {
    assert_eq!(record["code"], code, "{record}");
    assert_eq!(
        (&record["tenant"], &record["function"], &record["version"]),
        (&"default".into(), &"f".into(), &1.into())
    );
    for number in ["cpu_ms", "wall_ms"] {
        assert!(record[number].is_number(), "{number} in {record}");
    }
    assert!(record["wall_ms"].as_f64().unwrap() > 0.0, "{record}");
    for phase in ["route", "queue", "load", "spawn", "guest"] {
        assert!(record["phases"][phase].is_number(), "{phase} in {record}");
    }
    match limit {
        None => {
            assert!(record["limit"].is_null() && record["used"].is_null(), "{record}");
        }
        Some((key, limit, least)) => {
            assert_eq!((&record["limit_key"], &record["limit"]), (&key.into(), &limit.into()), "{record}");
            assert!(record["used"].as_u64().expect("a number") >= least, "{record}");
        }
    }
}

#[test]
fn a_trap_leaves_where_it_was_and_what_was_said() {
    let server = serving("panic", "");
    let answer = ask(&server, "");
    let shown = record(&server, &answer);
    is_record(&shown, "guest_trap", None);
    assert!(shown["detail"].as_str().unwrap().contains("unreachable"), "{shown}");
    assert!(shown["peak_memory_bytes"].as_u64().unwrap() >= 65_536, "{shown}");
    assert!(shown["phases"]["first_byte"].is_number(), "{shown}");
    assert!(["cold", "spawned", "warm", "reset"].contains(&shown["start"].as_str().unwrap()), "{shown}");
    let backtrace = texts(&shown["backtrace"]);
    assert!((2..=20).contains(&backtrace.len()), "{backtrace:?}");
    assert!(backtrace.iter().any(|frame| frame.contains("panicking::")), "{backtrace:?}");
    assert!(backtrace.iter().all(|frame| frame.contains(" @ 0x")), "{backtrace:?}");
    let log = texts(&shown["log"]);
    assert!(log.iter().any(|line| line == "this guest panics on purpose"), "{log:?}");
    // The public is told a code, a sentence and the id.
    for secret in ["panicking", "purpose", "unreachable", "backtrace"] {
        assert!(!answer.text().contains(secret), "{}", answer.text());
    }
}

#[test]
fn a_limit_is_told_with_what_was_used_of_it() {
    let mib = 1 << 20;
    for (name, limits, query, code, limit) in [
        ("spin", r#""cpu_ms": 50"#, "", "cpu_limit", ("cpu_ms", 50, 50)),
        ("sleep", r#""cpu_ms": 50, "wall_ms": 200"#, "", "timeout", ("wall_ms", 200, 200)),
        ("hog", r#""memory_bytes": 16777216"#, "", "memory_limit", ("memory_bytes", 16 * mib, 16 * mib + 1)),
        (
            "big_response",
            r#""response_body_bytes": 1000"#,
            "?n=5000",
            "response_too_large",
            ("response_body_bytes", 1_000, 5_000),
        ),
    ] {
        let server = serving(name, limits);
        let answer = ask(&server, query);
        assert_eq!(answer.code(), code, "{name}: {}", answer.text());
        let shown = record(&server, &answer);
        is_record(&shown, code, Some(limit));
        if code == "cpu_limit" {
            assert!(shown["cpu_ms"].as_f64().unwrap() >= 50.0, "{shown}");
            assert!(!texts(&shown["backtrace"]).is_empty(), "it says where it was stopped: {shown}");
        }
    }
}

#[test]
fn a_table_that_grew_too_far_is_told_as_such() {
    let server = Server::start();
    server.deploy("f", &wat("table_grow"));
    let answer = ask(&server, "");
    assert_eq!(answer.code(), "memory_limit", "{}", answer.text());
    let shown = record(&server, &answer);
    let limit = shown["limit"].as_u64().expect("a limit");
    assert!(shown["used"].as_u64().expect("a number") > limit, "{shown}");
    assert!(["table_elements", "memory_bytes"].contains(&shown["limit_key"].as_str().unwrap()), "{shown}");
    // Without a name a function is a number; the place is the one of the instruction in what was uploaded.
    let backtrace = texts(&shown["backtrace"]);
    let place = backtrace[0].strip_prefix("function 0 @ 0x").expect("a function without a name");
    let at = usize::from_str_radix(place, 16).expect("a place");
    assert_eq!(wat("table_grow")[at..at + 2], [0x00, 0x0b], "`unreachable`, and the function's end");
}

#[test]
fn a_failure_without_a_limit_says_what_was_wrong() {
    for (name, query, code, detail) in [
        ("no_response", "", "no_response", ""),
        ("bad_head", "?case=short", "bad_response", ""),
        ("error_code", "?case=denied", "guest_error", "Denied"),
        ("exit", "?code=3", "guest_trap", "the guest exited"),
        ("handles", "", "guest_trap", "it held 4096 handles, as many as it may"),
        ("random_flood", "", "guest_trap", "exceeds limit 65536"),
        ("deep_recursion", "", "guest_trap", "call stack exhausted"),
    ] {
        let server = serving(name, r#""cpu_ms": 10000"#);
        let answer = ask(&server, query);
        assert_eq!(answer.code(), code, "{name}: {}", answer.text());
        let shown = record(&server, &answer);
        is_record(&shown, code, None);
        assert!(shown["detail"].as_str().unwrap().contains(detail), "{shown}");
    }
}

#[test]
fn a_body_that_became_too_large_is_told_with_its_size() {
    let server = serving("read_slowly", r#""request_body_bytes": 1000"#);
    let head = "POST /default/f/?n=1000&ms=1 HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("258\r\n{}\r\n", "x".repeat(600));
    let mut raw = Raw::connect(server.ingress);
    raw.send(head).send(&chunk).send(&chunk).send("0\r\n\r\n");
    let answer = raw.answer().expect("an answer");
    assert_eq!(answer.code(), "payload_too_large");
    is_record(&record(&server, &answer), "payload_too_large", Some(("request_body_bytes", 1_000, 1_001)));
    // A length that was declared is refused before a guest runs: counted elsewhere, and not recorded.
    let declared = request(server.ingress, "POST", "/default/f/", &[], &[b'x'; 1001]);
    assert_eq!(declared.code(), "payload_too_large");
    assert_eq!(about(&server, declared.header("x-request-id")).code(), "no_such_record");
    assert_eq!(failures(&server, "")["counts"]["payload_too_large"], 1);
}

#[test]
fn a_client_that_leaves_is_recorded_with_what_it_cost() {
    let server = serving("spin", r#""cpu_ms": 60000, "wall_ms": 100000"#);
    let mut raw = Raw::connect(server.ingress);
    raw.send("GET /default/f/ HTTP/1.1\r\nhost: a.test\r\n\r\n");
    std::thread::sleep(std::time::Duration::from_millis(300));
    drop(raw);
    eventually("the call is recorded", || codes(&failures(&server, "")) == ["client_gone"]);
    let shown = failures(&server, "")["failures"][0].clone();
    is_record(&shown, "client_gone", None);
    assert!(shown["phases"]["first_byte"].is_null(), "{shown}");
    assert!(shown["cpu_ms"].as_f64().unwrap() > 1.0, "{shown}");
}

#[test]
fn the_last_lines_are_kept_and_harmless() {
    let server = serving("stdout_flood", "");
    // The first good call is always in the sample.
    let answer = ask(&server, "?lines=500");
    assert_eq!(answer.status, 200);
    let shown = record(&server, &answer);
    is_record(&shown, "ok", None);
    let log = texts(&shown["log"]);
    assert_eq!(log.len(), 16);
    assert!(log.iter().all(|line| !line.contains(char::is_control)), "{log:?}");
    assert!(log.iter().any(|line| line.contains("ERROR forged")), "{log:?}");
}

#[test]
fn a_good_call_is_sampled_and_the_next_one_is_not() {
    let server = serving("ok", "");
    let (first, second) = (ask(&server, ""), ask(&server, ""));
    let shown = record(&server, &first);
    is_record(&shown, "ok", None);
    assert_eq!((texts(&shown["backtrace"]).len(), texts(&shown["log"]).len()), (0, 0));
    assert_eq!(about(&server, second.header("x-request-id")).code(), "no_such_record");
    assert!(codes(&failures(&server, "")).is_empty(), "it is no failure");
    assert_eq!(codes(&failures(&server, "?code=ok")), ["ok"]);
}

#[test]
fn one_kind_of_failure_never_pushes_out_another() {
    let server = serving("many_p3", "");
    let error = ask(&server, "?do=error");
    assert_eq!(error.code(), "guest_error", "{}", error.text());
    let traps: Vec<_> = (0..40).map(|_| ask(&server, "?do=trap")).collect();
    let list = failures(&server, "");
    let found = codes(&list);
    assert_eq!(found[..2], ["guest_trap", "guest_error"], "the newest of each code comes first");
    assert_eq!(found.len(), 33);
    assert_eq!(list["failures"][0]["request_id"], traps[39].header("x-request-id"));
    assert_eq!(list["failures"][1]["request_id"], error.header("x-request-id"));
    assert_eq!(list["failures"][2]["request_id"], traps[38].header("x-request-id"));
    assert_eq!((&list["counts"]["guest_trap"], &list["counts"]["guest_error"]), (&40.into(), &1.into()));
    for (n, trap) in traps.iter().enumerate() {
        let kept = about(&server, trap.header("x-request-id")).status == 200;
        assert_eq!(kept, n >= 8, "trap {n}");
    }
    // In pages: all of it, once.
    let (mut query, mut ids) = ("?limit=10".to_owned(), Vec::new());
    loop {
        let page = failures(&server, &query);
        let all = page["failures"].as_array().expect("a list").iter();
        ids.extend(all.map(|each| each["request_id"].as_str().expect("an id").to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?limit=10&after={next}");
    }
    assert_eq!(ids.len(), 33);
    assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), 33);
    assert_eq!(codes(&failures(&server, "?code=guest_error")), ["guest_error"]);
}

#[test]
fn a_storm_of_one_function_leaves_anothers_records_alone() {
    let server = serving("error_code", "");
    server.tenant("loud");
    let made =
        server.upload_with("loud", "storm", &guest("unreachable"), r#"{"breaker": {"enabled": false}}"#);
    assert_eq!(made.status, 201, "{}", made.text());
    let quiet = ask(&server, "");
    let mut raw = Raw::connect(server.ingress);
    for _ in 0..500 {
        raw.send("GET /loud/storm/ HTTP/1.1\r\nhost: a.test\r\n\r\n");
        assert_eq!(raw.answer().expect("an answer").code(), "guest_trap");
    }
    is_record(&record(&server, &quiet), "guest_error", None);
    let path = "/v1/tenants/loud/functions/storm/failures?limit=1000";
    let list = server.admin("GET", path, &[], &[]).json();
    assert_eq!(list["failures"].as_array().map(Vec::len), Some(32));
    assert_eq!(list["counts"]["guest_trap"], 500, "all are counted");
}

#[test]
fn what_is_removed_leaves_no_record() {
    let server = serving("unreachable", "");
    let first = ask(&server, "");
    record(&server, &first);
    assert_eq!(server.admin("DELETE", &Server::path("f"), &[], &[]).status, 204);
    assert_eq!(about(&server, first.header("x-request-id")).code(), "no_such_record");
    let gone = server.admin("GET", &format!("{}/failures", Server::path("f")), &[], &[]);
    assert_eq!((gone.status, gone.code()), (404, "no_such_function"));
    server.deploy("f", &guest("unreachable"));
    let list = failures(&server, "");
    assert_eq!((codes(&list).len(), list["counts"].as_object().map(serde_json::Map::len)), (0, Some(0)));
    // A new version is the same function, and keeps what there is.
    let second = ask(&server, "");
    server.deploy("f", &guest("ok"));
    record(&server, &second);
    server.tenant("acme");
    assert_eq!(server.upload_with("acme", "g", &guest("unreachable"), "{}").status, 201);
    let third = get(server.ingress, "/acme/g/");
    assert_eq!(about(&server, third.header("x-request-id")).status, 200);
    assert_eq!(server.admin("DELETE", "/v1/tenants/acme", &[], &[]).status, 204);
    assert_eq!(about(&server, third.header("x-request-id")).code(), "no_such_record");
}

#[test]
fn what_is_not_recorded_is_refused_by_name_and_nothing_is_public() {
    let server = serving("unreachable", "");
    let failed = ask(&server, "");
    let id = failed.header("x-request-id");
    let unknown = about(&server, "00000000000000000000");
    assert_eq!((unknown.status, unknown.code()), (404, "no_such_record"));
    for wrong in ["1", "0000000000000000000g", "00000000-0000-0000-00"] {
        let refused = about(&server, wrong);
        assert_eq!((refused.status, refused.code()), (400, "invalid_request_id"), "{wrong}");
    }
    for query in ["?code=nonsense", "?code=guest_trap%0a", "?offset=1", "?limit=0", "?after=zz"] {
        let path = format!("{}/failures{query}", Server::path("f"));
        let refused = server.admin("GET", &path, &[], &[]);
        assert_eq!((refused.status, refused.code()), (400, "invalid_query"), "{query}");
    }
    for path in [format!("/v1/invocations/{id}"), "/v1/tenants/default/usage".to_owned()] {
        assert_eq!(get(server.admin, &path).code(), "unauthorized");
        assert_eq!(get(server.ingress, &path).code(), "no_route");
    }
    let nobody = server.admin("GET", "/v1/tenants/nobody/usage", &[], &[]);
    assert_eq!((nobody.status, nobody.code()), (404, "no_such_tenant"));
}

#[test]
fn what_a_tenant_used_is_summed() {
    let server = serving("spin", r#""cpu_ms": 50"#);
    server.deploy("good", &guest("ok"));
    server.deploy("unused", &guest("ok"));
    assert_eq!(ask(&server, "").code(), "cpu_limit");
    for _ in 0..3 {
        assert_eq!(server.call("good").status, 200);
    }
    let usage = || server.admin("GET", "/v1/tenants/default/usage", &[], &[]).json();
    let shown = usage();
    let names: Vec<_> = shown["functions"].as_array().expect("a list").iter().collect();
    assert_eq!(names.len(), 2, "{shown}");
    assert_eq!((&names[0]["function"], &names[0]["invocations"]), (&"f".into(), &1.into()));
    assert_eq!(names[0]["failures"], serde_json::json!({ "cpu_limit": 1 }));
    assert!(names[0]["cpu_ms"].as_u64().unwrap() >= 50, "{shown}");
    assert_eq!((&names[1]["function"], &names[1]["invocations"]), (&"good".into(), &3.into()));
    assert_eq!(shown["sum"]["invocations"], 4);
    assert!(
        shown["sum"]["cpu_ms"].as_u64().unwrap() >= 50 && shown["sum"]["wall_ms"].as_u64().unwrap() >= 50
    );
    let since = shown["since"].as_str().expect("text").to_owned();
    assert!(since.starts_with("20") && since.ends_with('Z') && since.len() == 20, "{since}");
    // What a function used is still used once it is gone.
    assert_eq!(server.admin("DELETE", &Server::path("f"), &[], &[]).status, 204);
    let shown = usage();
    assert_eq!(
        (shown["functions"].as_array().map(Vec::len), &shown["sum"]["invocations"]),
        (Some(1), &4.into())
    );
    let printed = Cli::at(&server, &["usage"]).ok();
    assert!(printed.out.starts_with("FUNCTION"), "{printed:?}");
    assert!(
        printed.out.lines().any(|line| line.starts_with("(all)") && line.contains("cpu_limit 1")),
        "{printed:?}"
    );
    assert!(printed.err.contains(&since), "{printed:?}");
    assert_eq!(Cli::at(&server, &["usage", "--json"]).ok().json(), shown);
}

#[test]
fn the_command_line_lists_failures_and_explains_one() {
    let server = serving("spin", r#""cpu_ms": 50"#);
    server.deploy("crash", &guest("panic"));
    let (spun, crashed) = (ask(&server, ""), server.call("crash"));
    let id = spun.header("x-request-id");
    let said = Cli::at(&server, &["explain", id]).ok();
    for part in [
        "cpu_limit  default/f version 1",
        "used more CPU time than it may and was stopped: ",
        " where 50 ms is allowed.",
        "`limits.cpu_ms`",
        "phases      route ",
        "backtrace, innermost first:\n   0  ",
    ] {
        assert!(said.out.contains(part), "`{part}` in {}", said.out);
    }
    let json = Cli::at(&server, &["explain", id, "--json"]).ok().json();
    assert_eq!(json, record(&server, &spun));
    let said = Cli::at(&server, &["explain", crashed.header("x-request-id")]).ok();
    assert!(said.out.contains("The function crashed"), "{}", said.out);
    assert!(
        said.out.contains("this guest panics on purpose") && said.out.contains("panicking::"),
        "{}",
        said.out
    );

    for arguments in [vec!["failures", "crash"], vec!["failures", "default/crash"]] {
        let said = Cli::at(&server, &arguments).ok();
        let lines: Vec<_> = said.out.lines().collect();
        assert_eq!(lines.len(), 2, "{said:?}");
        assert!(lines[0].starts_with("CODE") && lines[1].starts_with("guest_trap"), "{said:?}");
        assert!(lines[1].contains(crashed.header("x-request-id")), "{said:?}");
    }
    let json = Cli::at(&server, &["failures", "f", "--json"]).ok().json();
    assert_eq!(json["failures"][0]["request_id"], id);
    let none = Cli::at(&server, &["failures", "f", "--code", "timeout"]).ok();
    assert!(none.out.is_empty() && none.err.contains("nothing is recorded"), "{none:?}");
    let unknown = Cli::at(&server, &["explain", "00000000000000000000"]).run();
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("no_such_record"), "{unknown:?}");
    assert_eq!(Cli::at(&server, &["explain", "x"]).run().code, Some(2));
    assert_eq!(Cli::at(&server, &["failures", "NO"]).run().code, Some(2));
    assert_eq!(Cli::at(&server, &["failures", "f", "--code", "a&b"]).run().code, Some(2));
}
