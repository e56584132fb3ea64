//! Tests of `request.rs`, as far as no handle of a host is needed.

use http::Method;
use wasip2::http::types as wasi;

use super::{headers, method};

#[test]
fn an_unusual_method_keeps_its_name() {
    assert_eq!(method(wasi::Method::Other("PURGE".into())).unwrap().as_str(), "PURGE");
    assert_eq!(method(wasi::Method::Patch).unwrap(), Method::PATCH);
    assert_eq!(method(wasi::Method::Other("NO METHOD".into())).unwrap_err().status(), 400);
}

#[test]
fn a_repeated_header_keeps_every_value_in_order() {
    let entries = vec![("Accept".into(), b"a".to_vec()), ("accept".into(), b"b".to_vec())];
    let headers = headers(entries).unwrap();
    assert_eq!(headers.get_all("accept").iter().collect::<Vec<_>>(), ["a", "b"]);
}
