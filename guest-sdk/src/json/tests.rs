//! Tests of `json.rs`. They must never need a host.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};

use super::{Json, is_json};
use crate::body::Body;

#[test]
fn only_json_says_that_it_is_json() {
    let says = |value: &'static str| {
        is_json(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]))
    };
    assert!(says("application/json"));
    assert!(says("Application/JSON; charset=utf-8"));
    assert!(says("application/merge-patch+json"));
    assert!(!says("text/plain"));
    assert!(!says("application/json-seq"));
    assert!(!is_json(&HeaderMap::new()));
}

#[test]
fn a_wrong_value_is_a_400_that_says_where() {
    let error = Body::from("[1, \"x\"]").json::<Vec<u8>>(100).unwrap_err();
    assert_eq!(error.status(), StatusCode::BAD_REQUEST);
    assert!(error.message().contains("line 1 column"), "{}", error.message());
}

#[test]
fn a_response_of_json_has_type_status_and_length() {
    let response = Json([1, 2]).with_status(StatusCode::CREATED).unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    assert_eq!(response.into_body().bytes(10).unwrap(), b"[1,2]");
}
