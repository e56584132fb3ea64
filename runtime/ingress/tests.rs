//! Heads and forms of refusal, against everything proptest can think of.

use std::collections::BTreeMap;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Uri};
use proptest::prelude::*;

use super::head::{self, Target};
use super::reply::{self, Form};
use crate::model::outcome::{Blame, Outcome, REJECTIONS, Rejection, Row};
use crate::model::request_id::RequestId;

fn parts(request: http::request::Builder) -> http::request::Parts {
    request.body(()).unwrap().into_parts().0
}

#[test]
fn a_host_below_the_base_domain_names_function_and_tenant() {
    let target = |host, path| head::target(Some(host), path, "localhost");
    assert_eq!(
        target("hello.acme.localhost", "/x"),
        Ok(Target { tenant: "acme", function: "hello", prefix: 0 })
    );
    assert_eq!(
        target("HELLO.acme.LocalHost", "/x").map(|t| t.function),
        Ok("HELLO"),
        "labels are looked up as typed"
    );
    assert_eq!(target("acme.localhost", "/a/b"), Err(Rejection::NoRoute));
    assert_eq!(target("localhost", "/a/b/c").map(|t| (t.tenant, t.function, t.prefix)), Ok(("a", "b", 4)));
    assert_eq!(target("evillocalhost", "/a/b").map(|t| t.prefix), Ok(4));
}

#[test]
fn the_host_rules_of_rfc_9112_hold() {
    let of = |request: http::request::Builder| {
        let parts = parts(request);
        head::host(&parts).map(|host| host.map(|host| host.name().to_owned()))
    };
    assert!(of(Request::get("/")).is_err(), "missing");
    assert!(of(Request::get("/").header("host", "a").header("host", "a")).is_err(), "repeated");
    assert!(of(Request::get("/").header("host", "a b")).is_err(), "invalid");
    assert!(of(Request::get("/").header("host", "user@a")).is_err(), "a user name");
    assert!(of(Request::get("http://b/").header("host", "a")).is_err(), "contradicted");
    assert!(of(Request::get("http://A/").header("host", "a")).is_ok(), "the same, in another case");
    assert_eq!(of(Request::get("/").version(http::Version::HTTP_10)), Ok(None));
}

#[test]
fn what_a_connection_lists_is_taken_away_but_never_the_host() {
    let mut headers = HeaderMap::new();
    for (name, value) in
        [("connection", "x-secret, host, close"), ("host", "a"), ("x-secret", "1"), ("x-kept", "2")]
    {
        headers.insert(name, HeaderValue::from_static(value));
    }
    head::strip(&mut headers);
    let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["host", "x-kept"]);
}

#[test]
fn the_form_of_a_refusal_follows_accept() {
    let form = |accept: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert("accept", HeaderValue::from_static(accept));
        Form::of(&headers)
    };
    assert_eq!(form("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"), Form::Html);
    assert_eq!(form("text/plain"), Form::Text);
    assert_eq!(form("*/*"), Form::Problem);
    assert_eq!(Form::of(&HeaderMap::new()), Form::Problem);
}

/// One of each, so that a new one cannot be forgotten: the matches below have no wildcard.
fn every_end() -> (Vec<Outcome>, Vec<Rejection>) {
    let text = String::new;
    let outcomes = vec![
        Outcome::Completed,
        Outcome::Trapped(text()),
        Outcome::CpuLimit,
        Outcome::Timeout { client: false },
        Outcome::MemoryLimit,
        Outcome::MemoryShort,
        Outcome::Overloaded,
        Outcome::BadRequest,
        Outcome::NoResponse,
        Outcome::BadResponse(text()),
        Outcome::GuestError(text()),
        Outcome::PayloadTooLarge,
        Outcome::ResponseTooLarge,
        Outcome::ClientGone,
        Outcome::HostError(text()),
    ];
    let rejections = vec![
        Rejection::NoRoute,
        Rejection::BadRequest(""),
        Rejection::HeadersTooLarge,
        Rejection::UriTooLong,
        Rejection::PayloadTooLarge,
        Rejection::Throttled,
        Rejection::RateLimited { after_ms: 1_001 },
        Rejection::BreakerOpen { after_ms: 0 },
        Rejection::Paused,
        Rejection::Overloaded,
        Rejection::Draining,
        Rejection::HostError(text()),
    ];
    (outcomes, rejections)
}

/// The place of each in [`every_end`].
fn place(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Completed => 0,
        Outcome::Trapped(_) => 1,
        Outcome::CpuLimit => 2,
        Outcome::Timeout { .. } => 3,
        Outcome::MemoryLimit => 4,
        Outcome::MemoryShort => 5,
        Outcome::Overloaded => 6,
        Outcome::BadRequest => 7,
        Outcome::NoResponse => 8,
        Outcome::BadResponse(_) => 9,
        Outcome::GuestError(_) => 10,
        Outcome::PayloadTooLarge => 11,
        Outcome::ResponseTooLarge => 12,
        Outcome::ClientGone => 13,
        Outcome::HostError(_) => 14,
    }
}

/// As [`place`].
fn place_of(rejection: &Rejection) -> usize {
    match rejection {
        Rejection::NoRoute => 0,
        Rejection::BadRequest(_) => 1,
        Rejection::HeadersTooLarge => 2,
        Rejection::UriTooLong => 3,
        Rejection::PayloadTooLarge => 4,
        Rejection::Throttled => 5,
        Rejection::RateLimited { .. } => 6,
        Rejection::BreakerOpen { .. } => 7,
        Rejection::Paused => 8,
        Rejection::Overloaded => 9,
        Rejection::Draining => 10,
        Rejection::HostError(_) => 11,
    }
}

/// The rows of promise 9: statuses, whether with `Retry-After`, codes.
fn promised() -> BTreeMap<String, (u16, bool)> {
    let text = include_str!("../../SPECIFICATION.md");
    let rows = text.lines().map(str::trim).filter(|line| line.starts_with('|') && line.contains('`'));
    let mut all = BTreeMap::new();
    for row in rows {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let statuses = cells[2].split([',', '+', ' ']).filter_map(|word| word.parse::<u16>().ok());
        let codes: Vec<_> = cells[3].split('`').skip(1).step_by(2).collect();
        let statuses: Vec<_> = statuses.collect();
        for (n, code) in codes.iter().enumerate() {
            let status = *statuses.get(n).unwrap_or(&statuses[0]);
            all.insert((*code).to_owned(), (status, cells[2].contains("Retry-After")));
        }
    }
    all
}

#[test]
fn every_end_is_answered_as_the_specification_says() {
    let (outcomes, rejections) = every_end();
    assert!(outcomes.iter().enumerate().all(|(n, outcome)| place(outcome) == n));
    assert!(rejections.iter().enumerate().all(|(n, rejection)| place_of(rejection) == n));
    let (form, id) = (Form::Text, RequestId::new(1, 2, 3));
    // Nobody is answered with these.
    let answered = |outcome: &&Outcome| !matches!(outcome, Outcome::Completed | Outcome::ClientGone);
    let failed = outcomes.iter().filter(answered).map(|outcome| reply::failed(outcome, form, id));
    let rejected = rejections.iter().map(|rejection| reply::rejected(rejection, form, id));
    let mut seen = BTreeMap::new();
    for response in failed.chain(rejected) {
        let code = response.headers()[reply::ERROR].to_str().unwrap().to_owned();
        let retry = response.headers().contains_key("retry-after");
        let before = seen.insert(code.clone(), (response.status().as_u16(), retry));
        assert!(before.is_none_or(|before| before == seen[&code]), "{code} is answered in two ways");
    }
    assert_eq!(seen, promised());
}

#[test]
fn only_what_a_function_does_wrong_weighs_on_its_breaker() {
    let (outcomes, rejections) = every_end();
    let to_blame = |row: Row| (row.blame == Blame::Function).then_some(row.code);
    let codes: Vec<_> = outcomes.iter().filter_map(|outcome| to_blame(outcome.row())).collect();
    let wanted = [
        "guest_trap",
        "cpu_limit",
        "timeout",
        "memory_limit",
        "no_response",
        "bad_response",
        "guest_error",
        "response_too_large",
    ];
    assert_eq!(codes, wanted);
    assert_eq!(Outcome::Timeout { client: true }.row().blame, Blame::Client);
    // What has no place among them would not be counted.
    assert!(rejections.iter().all(|rejection| REJECTIONS.contains(&rejection.code())));
}

#[test]
fn a_time_to_wait_is_told_in_seconds_and_never_too_short() {
    let told = |after_ms| {
        let response =
            reply::rejected(&Rejection::RateLimited { after_ms }, Form::Text, RequestId::new(1, 2, 3));
        response.headers()["retry-after"].to_str().unwrap().to_owned()
    };
    assert_eq!([told(0), told(1), told(1_000), told(1_001)], ["1", "1", "1", "2"]);
}

proptest! {
    #[test]
    fn a_stripped_path_is_always_one_that_a_guest_can_be_given(
        tenant in "[a-z]{1,8}", function in "[a-z]{1,8}", rest in "(/[a-z%0-9.]{0,6}){0,4}", query in "(\\?[a-z=&]{0,8})?",
    ) {
        let path = format!("/{tenant}/{function}{rest}");
        let Ok(uri) = format!("{path}{query}").parse::<Uri>() else { return Ok(()) };
        let target = head::target(None, uri.path(), "localhost").unwrap();
        prop_assert_eq!((target.tenant, target.function), (tenant.as_str(), function.as_str()));
        let stripped = head::strip_prefix(&uri, target.prefix);
        let wanted = if rest.is_empty() { format!("/{query}") } else { format!("{rest}{query}") };
        prop_assert_eq!(stripped.as_str(), wanted);
    }

    #[test]
    fn no_field_that_only_a_proxy_sets_gets_through(name in "[xX]-(forwarded|spawnpoint)-[a-z]{1,9}|forwarded|te|upgrade|x-request-id") {
        let mut headers = HeaderMap::new();
        headers.insert(name.to_lowercase().parse::<HeaderName>().unwrap(), HeaderValue::from_static("1"));
        head::strip(&mut headers);
        prop_assert!(headers.is_empty());
    }

    #[test]
    fn no_head_is_routed_by_a_host_that_it_contradicts(
        uri in "(http://[a-zA-Z@:.0-9]{1,12})?/[a-z/%]{0,12}", hosts in proptest::collection::vec("[ -~]{0,12}", 0..3),
    ) {
        let mut request = Request::get(uri);
        for host in &hosts {
            request = request.header("host", host);
        }
        let Ok(request) = request.body(()) else { return Ok(()) };
        let parts = request.into_parts().0;
        if let Ok(host) = head::host(&parts) {
            let asked = head::authority(&parts).unwrap();
            prop_assert!(hosts.len() <= 1 && !asked.as_str().contains('@'));
            prop_assert!(hosts.iter().all(|host| host.eq_ignore_ascii_case(asked.as_str())), "{asked}");
            prop_assert!(host.unwrap().name().eq_ignore_ascii_case(asked.host()));
        }
    }

    #[test]
    fn any_host_and_path_are_routed_or_refused(host in "\\PC{0,40}", path in "/\\PC{0,40}") {
        if let Ok(target) = head::target(Some(&host), &path, "localhost") {
            prop_assert!(target.prefix <= path.len());
        }
    }
}
