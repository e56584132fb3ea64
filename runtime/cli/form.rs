//! A deploy with a manifest: `multipart/form-data` with the parts `manifest` (JSON) and then `wasm` (RFC 7578).
//! Must never send a manifest that is wrong in itself; the limits are the server's to judge.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use http::header::HeaderValue;

use super::Usage;
use super::client::Payload;
use crate::model::manifest::Manifest;

/// Bytes of the largest manifest.
const MANIFEST_BYTES: u64 = 256 << 10;

/// Reads a manifest, TOML or JSON by its extension.
pub(super) fn read_manifest(path: &Path) -> anyhow::Result<Manifest> {
    let shown = path.display();
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MANIFEST_BYTES).read_to_string(&mut text));
    read.with_context(|| format!("manifest `{shown}` cannot be read"))?;
    let manifest: Manifest = match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => toml::from_str(&text).with_context(|| format!("manifest `{shown}` is wrong"))?,
        Some("json") => {
            serde_json::from_str(&text).with_context(|| format!("manifest `{shown}` is wrong"))?
        }
        _ => {
            return Err(Usage(format!("manifest `{shown}` is neither a .toml nor a .json file")).into());
        }
    };
    manifest.check().with_context(|| format!("manifest `{shown}` is wrong"))?;
    Ok(manifest)
}

/// The body of a deploy with a manifest, and its content type.
pub(super) fn body(manifest: &Manifest, file: File, length: u64) -> anyhow::Result<(Payload, HeaderValue)> {
    around(manifest, |payload| payload.file(file, length))
}

/// The body of a deploy with a manifest, whose wasm `add` adds, and its content type.
pub(super) fn around(
    manifest: &Manifest,
    add: impl FnOnce(Payload) -> Payload,
) -> anyhow::Result<(Payload, HeaderValue)> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| anyhow!("the system has no random bytes: {error}"))?;
    let boundary = format!("spawnpoint-{}", hex::encode(random));
    let manifest = serde_json::to_string(manifest)?;
    let before = format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"manifest\"\r\ncontent-type: application/json\r\n\r\n\
         {manifest}\r\n\
         --{boundary}\r\ncontent-disposition: form-data; name=\"wasm\"; filename=\"app.wasm\"\r\n\
         content-type: application/wasm\r\n\r\n"
    );
    let payload = add(Payload::default().bytes(before)).bytes(format!("\r\n--{boundary}--\r\n"));
    let content_type = HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}"))?;
    Ok((payload, content_type))
}
