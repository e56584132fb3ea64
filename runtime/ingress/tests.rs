//! Heads and forms of refusal, against everything proptest can think of.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Uri};
use proptest::prelude::*;

use super::head::{self, Target};
use super::reply::Form;
use crate::model::outcome::Rejection;

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
    let of = |request: http::request::Builder| head::authority(&parts(request));
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
        if let Ok(asked) = head::authority(&parts) {
            let asked = asked.unwrap();
            prop_assert!(hosts.len() <= 1 && !asked.as_str().contains('@'));
            prop_assert!(hosts.iter().all(|host| host.eq_ignore_ascii_case(asked.as_str())), "{asked}");
        }
    }

    #[test]
    fn any_host_and_path_are_routed_or_refused(host in "\\PC{0,40}", path in "/\\PC{0,40}") {
        if let Ok(target) = head::target(Some(&host), &path, "localhost") {
            prop_assert!(target.prefix <= path.len());
        }
    }
}
