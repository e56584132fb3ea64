//! What `/metrics` names: functions and tenants that are there, and no others.

use std::collections::{BTreeMap, BTreeSet};

use super::support::{Config, Server, eventually, get, guest, request};

/// Every line that is a sample, without its value, in order.
fn series(server: &Server) -> Vec<String> {
    let text = get(server.admin, "/metrics").text();
    let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut names: Vec<_> = samples.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect();
    names.sort();
    names
}

#[test]
fn names_that_are_deleted_leave_no_series_behind() {
    let server = Server::start();
    let trap = guest("unreachable");
    let named = |what: &str| series(&server).into_iter().filter(|line| line.contains(what)).count();
    for n in 0..20 {
        let (tenant, function) = (format!("t{n}"), format!("f{n}"));
        server.tenant(&tenant);
        let manifest = r#"{"limits": {"request_body_bytes": 10}}"#;
        assert_eq!(server.upload_with(&tenant, &function, &trap, manifest).status, 201);
        let target = format!("/{tenant}/{function}/");
        assert_eq!(get(server.ingress, &target).code(), "guest_trap");
        assert_eq!(request(server.ingress, "POST", &target, &[], &[0; 11]).code(), "payload_too_large");
        let label = format!("function=\"{function}\"");
        // Good, failed, refused, CPU time and breaker.
        assert_eq!(named(&label), 5, "{:?}", series(&server));
        if n % 2 == 0 {
            let path = format!("/v1/tenants/{tenant}/functions/{function}");
            assert_eq!(server.admin("DELETE", &path, &[], &[]).status, 204);
            assert_eq!(named(&label), 0, "{:?}", series(&server));
        }
        assert_eq!(server.admin("DELETE", &format!("/v1/tenants/{tenant}"), &[], &[]).status, 204);
        // The memory of its last instance goes when its thread has cleared it away.
        eventually("its tenant is gone", || named(&format!("tenant=\"{tenant}\"")) == 0);
    }
    assert_eq!(named("tenant="), 0, "{:?}", series(&server));
    // A name that comes back begins again.
    server.deploy("f0", &guest("ok"));
    assert_eq!(server.call("f0").status, 200);
    assert_eq!(server.metric("spawnpoint_requests_completed_total", "function=\"f0\""), 1.0);
    assert_eq!(server.failed("guest_trap"), 0.0);
}

#[test]
fn a_refusal_is_counted_with_its_function_where_it_reached_one() {
    let server = Server::with(Config::default().toml("threads = 2"));
    let manifest = r#"{"limits": {"request_body_bytes": 10, "requests_per_second": 1, "burst": 3}}"#;
    server.deploy_with("f", &guest("ok"), manifest);
    server.deploy("other", &guest("ok"));
    assert_eq!(request(server.ingress, "POST", "/default/f/", &[], &[0; 11]).code(), "payload_too_large");
    while server.call("f").code() != "rate_limited" {}
    assert_eq!(server.call("nobody").code(), "no_route");
    assert_eq!(server.call("other").status, 200);
    let rejected = series(&server).into_iter().filter(|line| line.contains("rejected"));
    assert_eq!(
        rejected.collect::<Vec<_>>(),
        [
            r#"spawnpoint_requests_rejected_total{code="no_route"}"#,
            r#"spawnpoint_requests_rejected_total{tenant="default",function="f",code="payload_too_large"}"#,
            r#"spawnpoint_requests_rejected_total{tenant="default",function="f",code="rate_limited"}"#,
        ]
    );
    assert_eq!(server.metric("spawnpoint_requests_rejected_total", "code=\"no_route\""), 1.0);
}

#[test]
fn the_document_lists_every_metric_with_its_kind_and_its_labels_and_no_other() {
    let server = Server::start();
    server.deploy_with("f", &guest("unreachable"), r#"{"limits": {"request_body_bytes": 10}}"#);
    assert_eq!(server.call("f").code(), "guest_trap");
    assert_eq!(request(server.ingress, "POST", "/default/f/", &[], &[0; 11]).code(), "payload_too_large");
    let text = get(server.admin, "/metrics").text();
    let mut shown: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a name and a kind");
        shown.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
    }
    for line in series(&server) {
        let (name, labels) = line.split_once('{').unwrap_or((&line, ""));
        let base = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end));
        let name = base.filter(|base| shown.contains_key(*base)).unwrap_or(name);
        let names = labels.trim_end_matches('}').split(',').filter_map(|label| label.split('=').next());
        let of = &mut shown.get_mut(name).expect("a described metric").1;
        of.extend(names.filter(|label| !label.is_empty() && *label != "le").map(str::to_owned));
    }
    let mut listed = BTreeMap::new();
    for line in include_str!("../docs/metrics.md").lines().filter(|line| line.starts_with("| `spawnpoint_")) {
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().replace('`', "")).collect();
        let labels = cells[3].split(", ").filter(|label| !label.is_empty()).map(str::to_owned).collect();
        assert!(cells[4].len() > 2 && cells[5].len() > 10, "a unit and a meaning: {line}");
        assert!(listed.insert(cells[1].clone(), (cells[2].clone(), labels)).is_none(), "twice: {line}");
    }
    assert_eq!(listed, shown);
}

#[test]
fn each_metric_is_described_once_and_before_its_samples() {
    let server = Server::start();
    server.deploy("f", &guest("ok"));
    assert_eq!(server.call("f").status, 200);
    let text = get(server.admin, "/metrics").text();
    let (mut seen, mut current) = (std::collections::BTreeSet::new(), String::new());
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with("# HELP")) {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            current = rest.split(' ').next().expect("a name").to_owned();
            assert!(seen.insert(current.clone()), "{current} twice");
        } else {
            assert!(line.starts_with(&current) && !current.is_empty(), "{line} below {current}");
        }
    }
    assert!(seen.len() > 8, "{seen:?}");
}
