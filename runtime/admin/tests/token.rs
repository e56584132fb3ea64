//! What holds of token.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use crate::admin::{TOKEN_FILE, Token, TokenError};

#[test]
fn the_first_start_makes_a_token_that_later_ones_read() {
    let dir = TempDir::new().unwrap();
    let first = Token::open(dir.path()).unwrap();
    assert_eq!(first.reveal().len(), 64);
    let path = dir.path().join(TOKEN_FILE);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(Token::open(dir.path()).unwrap().reveal(), first.reveal());
    assert_eq!(Token::read(dir.path()).unwrap().reveal(), first.reveal());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing but the token is left");
    let other = TempDir::new().unwrap();
    assert_ne!(Token::open(other.path()).unwrap().reveal(), first.reveal());
}

#[test]
fn a_token_that_others_can_read_is_closed_to_them() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(TOKEN_FILE);
    let token = Token::open(dir.path()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(Token::open(dir.path()).unwrap().reveal(), token.reveal());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_that_holds_no_token_is_refused_and_stays() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(TOKEN_FILE);
    let upper = "A".repeat(64);
    for wrong in
        ["", "\n", "short", &upper, &"0".repeat(63), &"0".repeat(1000), &format!("{}\n\n", "0".repeat(64))]
    {
        fs::write(&path, wrong).unwrap();
        let error = Token::open(dir.path()).unwrap_err();
        assert!(matches!(error, TokenError::Invalid { .. }), "{wrong}: {error}");
        assert!(error.to_string().contains("64 lower-case hexadecimal digits"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), wrong);
    }
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(matches!(Token::open(dir.path()), Err(TokenError::Invalid { .. })));
}

#[test]
fn reading_makes_no_token() {
    let dir = TempDir::new().unwrap();
    assert!(matches!(Token::read(dir.path()), Err(TokenError::File { .. })));
    assert!(!dir.path().join(TOKEN_FILE).exists());
}

#[test]
fn a_token_is_itself_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let token = Token::open(dir.path()).unwrap();
    assert!(token.is(token.reveal().as_bytes()));
    for wrong in [&b""[..], b"x", &token.reveal().as_bytes()[1..], &[0; 64]] {
        assert!(!token.is(wrong));
    }
    assert!(!format!("{token:?}").contains(token.reveal()));
}
