//! `content-digest` (RFC 9530): whether a body is what its sender says. Must never pass a digest it did not compute.

use http::HeaderMap;
use sha2::{Digest as _, Sha256};

use super::problem::{Code, Refusal};

/// A SHA-256 that a body must have.
pub(super) struct ContentDigest {
    expected: String,
    hash: Sha256,
}

const HEADER: &str = "content-digest";
const ALLOWED: &str = "allowed is `sha-256=:BASE64:` with the 32 bytes of the body's SHA-256";

impl ContentDigest {
    /// What the headers say; other algorithms are for others to check.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        let invalid = || Refusal::new(Code::InvalidHeader, format!("`{HEADER}` is not valid: {ALLOWED}"));
        for value in headers.get_all(HEADER) {
            for member in value.to_str().map_err(|_| invalid())?.split(',') {
                let (algorithm, digest) = member.trim().split_once('=').ok_or_else(invalid)?;
                let digest = digest.strip_prefix(':').and_then(|digest| digest.strip_suffix(':'));
                let digest = digest.ok_or_else(invalid)?;
                if algorithm != "sha-256" {
                    continue;
                }
                // 32 bytes in base64: 43 characters and one pad.
                if digest.len() != 44 {
                    return Err(invalid());
                }
                return Ok(Some(Self { expected: digest.to_owned(), hash: Sha256::new() }));
            }
        }
        Ok(None)
    }

    /// Adds the next bytes of the body.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
    }

    /// Whether the whole body had this digest.
    pub(super) fn verify(self) -> Result<(), Refusal> {
        let (expected, found) = (self.expected, base64(&self.hash.finalize()));
        if expected == found {
            return Ok(());
        }
        let expected = expected.escape_default();
        let detail = format!("the body's digest is `sha-256=:{found}:`, not `sha-256=:{expected}:`");
        Err(Refusal::new(Code::DigestMismatch, detail))
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let index = (bits >> (18 - 6 * at)) as usize & 63;
            text.push(if at <= group.len() { char::from(ALPHABET[index]) } else { '=' });
        }
    }
    text
}
