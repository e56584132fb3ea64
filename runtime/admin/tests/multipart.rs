//! What holds of multipart.

use proptest::prelude::*;

use crate::admin::multipart::{Event, Malformed, Splitter};

const TYPE: &str = "multipart/form-data; boundary=XX";

/// Takes a body apart that comes in pieces of this size.
fn split(body: &[u8], piece: usize) -> Result<Vec<(String, Vec<u8>)>, Malformed> {
    let mut splitter = Splitter::new(TYPE)?;
    let (mut pieces, mut parts) = (body.chunks(piece), Vec::new());
    loop {
        match splitter.next()? {
            Event::More => splitter.push(pieces.next().ok_or(Malformed::Cut)?),
            Event::Part { name } => parts.push((name, Vec::new())),
            Event::Data(data) => parts.last_mut().unwrap().1.extend_from_slice(&data),
            Event::PartEnd => {}
            Event::Done => return Ok(parts),
        }
    }
}

fn body(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in parts {
        let head =
            format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\nContent-Type: a/b\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--XX--\r\n");
    body
}

#[test]
fn a_body_is_taken_apart_wherever_it_is_cut() {
    let content = b"\r\n--X\r\n--X-\r\n\r\n--\0\xff".as_slice();
    let body = body(&[("wasm", content), ("manifest", b""), ("x", b"--XX--")]);
    for piece in 1..=body.len() {
        let parts = split(&body, piece).unwrap();
        let expected: Vec<(String, Vec<u8>)> = vec![
            ("wasm".into(), content.into()),
            ("manifest".into(), vec![]),
            ("x".into(), b"--XX--".into()),
        ];
        assert_eq!(parts, expected, "in pieces of {piece}");
    }
}

proptest! {
    #[test]
    fn content_comes_out_as_it_went_in(
        first in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), Just(b'X'), any::<u8>()], 0..200),
        piece in 1..64_usize,
    ) {
        let delimiter = b"\r\n--XX";
        // The sender picks a boundary that its content does not hold.
        prop_assume!(!first.windows(delimiter.len()).any(|w| w == delimiter) && !first.starts_with(b"--XX"));
        let parts = split(&body(&[("a", &first), ("b", b"end")]), piece).unwrap();
        prop_assert_eq!(parts, vec![("a".to_owned(), first), ("b".to_owned(), b"end".to_vec())]);
    }

    #[test]
    fn garbage_is_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), piece in 1..64_usize) {
        let mut prefixed = b"--XX\r\n".to_vec();
        prefixed.extend_from_slice(&bytes);
        for body in [bytes, prefixed] {
            // Nor is it one thing in one piece, and another in many.
            prop_assert_eq!(split(&body, piece), split(&body, body.len().max(1)));
        }
    }
}

#[test]
fn a_preamble_and_blanks_after_a_boundary_are_nothing() {
    let body = b"hello\r\n--XX \t\r\ncontent-disposition:form-data;name=wasm\r\n\r\nabc\r\n--XX--";
    assert_eq!(split(body, 3).unwrap(), vec![("wasm".to_owned(), b"abc".to_vec())]);
}

#[test]
fn what_is_wrong_is_named() {
    let head = |text: &str| split(format!("--XX\r\n{text}\r\n\r\nabc\r\n--XX--").as_bytes(), 7);
    assert_eq!(head("content-type: a/b"), Err(Malformed::NoName));
    assert_eq!(head("content-disposition: attachment; name=\"x\""), Err(Malformed::NoName));
    assert_eq!(head("content-disposition: form-data; name=\"x"), Err(Malformed::NoName));
    assert_eq!(
        head("content-disposition: form-data; filename=\"a;name=b\"; name=\"w\\\"x\"").unwrap()[0].0,
        "w\"x"
    );
    assert_eq!(head(&"x".repeat(5_000)), Err(Malformed::LongHead));
    assert_eq!(split(b"--XXY\r\n", 7), Err(Malformed::AfterBoundary));
    assert_eq!(split(b"--XX\r\ncontent", 7), Err(Malformed::Cut));
    assert_eq!(split(b"nothing", 7), Err(Malformed::Cut));
    for wrong in
        ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\"a\nb\""]
    {
        assert_eq!(Splitter::new(wrong).unwrap_err(), Malformed::Boundary);
    }
    let long = format!("multipart/form-data; boundary={}", "a".repeat(71));
    assert_eq!(Splitter::new(&long).unwrap_err(), Malformed::Boundary);
}
