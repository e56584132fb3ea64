//! Tests of `error.rs`. They must never need a host.

use http::StatusCode;

use super::{Error, OrStatus};

fn parse(text: &str) -> Result<u8, Error> {
    Ok(text.parse::<u8>()?)
}

#[test]
fn a_standard_error_becomes_a_500_that_tells_the_client_nothing() {
    let error = parse("300").unwrap_err();
    assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(error.problem(), "{\"title\":\"Internal Server Error\",\"status\":500}\n");
}

#[test]
fn the_log_shows_status_message_and_cause() {
    let error = "x".parse::<u8>().or_status(StatusCode::BAD_REQUEST, "no number").unwrap_err();
    assert_eq!(format!("{error:?}"), "400 no number: invalid digit found in string");
}

#[test]
fn an_empty_option_becomes_the_status_it_is_given() {
    let error = None::<u8>.or_status(StatusCode::NOT_FOUND, "no \"such\" item").unwrap_err();
    let problem = "{\"title\":\"Not Found\",\"status\":404,\"detail\":\"no \\\"such\\\" item\"}\n";
    assert_eq!(error.problem(), problem);
}
