//! Tests of `body.rs`, as far as no stream of a host is needed.

use std::io::Read as _;

use super::{Body, CHUNK};

#[test]
fn a_whole_body_knows_its_length_and_a_written_one_does_not() {
    assert_eq!(Body::from("abc").length(), Some(3));
    assert_eq!(Body::empty().length(), Some(0));
    assert_eq!(Body::stream(|_| Ok(())).length(), None);
}

#[test]
fn a_large_body_is_read_in_chunks_and_nothing_is_lost() {
    let bytes: Vec<u8> = (0..=250).cycle().take(CHUNK * 2 + 7).collect();
    let mut body = Body::from(bytes.clone());
    let mut read = Vec::new();
    while let Some(chunk) = body.next().unwrap() {
        assert!(!chunk.is_empty() && chunk.len() <= CHUNK);
        read.extend(chunk);
    }
    assert_eq!(read, bytes);
}

#[test]
fn a_body_over_the_limit_is_a_413_and_one_at_the_limit_is_not() {
    assert_eq!(Body::from("12345").bytes(4).unwrap_err().status(), 413);
    assert_eq!(Body::from("12345").bytes(5).unwrap(), b"12345");
    assert_eq!(Body::empty().bytes(0).unwrap(), b"");
}

#[test]
fn text_that_is_no_utf_8_is_a_400() {
    assert_eq!(Body::from(vec![0xff]).text(1).unwrap_err().status(), 400);
}

#[test]
fn a_body_is_a_reader() {
    let mut text = String::new();
    Body::from("some text").read_to_string(&mut text).unwrap();
    assert_eq!(text, "some text");
}

#[test]
fn a_body_that_is_to_be_written_cannot_be_read() {
    assert_eq!(Body::stream(|_| Ok(())).next().unwrap_err().status(), 500);
}
