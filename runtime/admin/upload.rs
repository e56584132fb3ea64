//! An upload's bytes on their way from the socket to the blob store, bounded in size and in time.
//! Must never hold more of an upload in memory than one chunk, nor leave anything of one that was refused.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use super::content_digest::ContentDigest;
use super::json::{JSON_BYTES, object};
use super::multipart::{Event, Malformed, Splitter};
use super::problem::{Code, Refusal, cut};
use crate::deploy::pipeline::Deployer;
use crate::model::manifest::Manifest;
use crate::storage::BlobWriter;

/// A request's body, read chunk by chunk.
pub(super) struct Upload {
    body: Body,
    left: u64,
    bounds: Bounds,
    deadline: Instant,
    digest: Option<ContentDigest>,
}

/// What was uploaded: the wasm, which becomes a blob once it is finished, and what was said beside it.
pub(super) struct Received {
    pub(super) wasm: BlobWriter,
    pub(super) manifest: Manifest,
}

/// How the wasm comes.
pub(super) enum Form {
    /// It is the body.
    Raw,
    /// It is a part, and the manifest may be another.
    Multipart(Splitter),
}

#[derive(Clone, Copy)]
struct Bounds {
    /// Of the wasm.
    wasm: u64,
    /// Of the whole body.
    body: u64,
}

/// The longest pause between two chunks.
const PAUSE: Duration = Duration::from_secs(30);
/// From the head to the last byte: a slow link takes minutes, and whoever takes longer holds a place.
const WHOLE: Duration = Duration::from_mins(15);
/// What a multipart body may have beside its parts' content.
const FRAMING_BYTES: u64 = 64 * 1024;

impl Upload {
    /// An upload that has not begun; refused here if it says itself that it is too large.
    pub(super) fn new(headers: &HeaderMap, body: Body, form: &Form, most: u64) -> Result<Self, Refusal> {
        let bounds = match form {
            Form::Raw => Bounds { wasm: most, body: most },
            Form::Multipart(_) => {
                Bounds { wasm: most, body: most.saturating_add(JSON_BYTES as u64 + FRAMING_BYTES) }
            }
        };
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > bounds.body) {
            return Err(too_large(most));
        }
        let digest = ContentDigest::of(headers)?;
        Ok(Self { body, left: bounds.body, bounds, deadline: Instant::now() + WHOLE, digest })
    }

    /// Reads it to its end.
    pub(super) async fn receive(mut self, form: Form, deployer: &Deployer) -> Result<Received, Refusal> {
        let mut wasm = deployer.loader().blobs().writer().await?;
        let manifest = match form {
            Form::Raw => {
                while let Some(chunk) = self.chunk().await? {
                    wasm.write(&chunk).await?;
                }
                Manifest::default()
            }
            Form::Multipart(splitter) => self.parts(splitter, &mut wasm, deployer).await?,
        };
        if let Some(digest) = self.digest {
            digest.verify()?;
        }
        Ok(Received { wasm, manifest })
    }

    /// Reads a multipart body to its end. What is wrong with the manifest is said as soon as it has come.
    async fn parts(
        &mut self,
        mut splitter: Splitter,
        wasm: &mut BlobWriter,
        deployer: &Deployer,
    ) -> Result<Manifest, Refusal> {
        let mut parts = Parts { wasm: None, manifest: None, open: None };
        loop {
            match splitter.next()? {
                Event::More => match self.chunk().await? {
                    Some(chunk) => splitter.push(&chunk),
                    None => return Err(Malformed::Cut.into()),
                },
                Event::Part { name } => parts.begin(&name)?,
                Event::Data(data) => {
                    if parts.add(&data, self.bounds.wasm)? {
                        wasm.write(&data).await?;
                    }
                }
                Event::PartEnd => parts.end(deployer)?,
                Event::Done => break,
            }
        }
        // What may follow the last boundary belongs to the body, and to its digest.
        while self.chunk().await?.is_some() {}
        if parts.wasm.is_none() {
            return Err(Refusal::new(Code::InvalidMultipart, "the part `wasm` is missing"));
        }
        Ok(parts.manifest.unwrap_or_default())
    }

    /// The next bytes; `None` at the end.
    async fn chunk(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            let until = self.deadline.min(Instant::now() + PAUSE);
            let Ok(frame) = tokio::time::timeout_at(until, self.body.frame()).await else {
                let (pause, whole) = (PAUSE.as_secs(), WHOLE.as_secs());
                let detail = format!("an upload may pause for {pause} s and take {whole} s in all");
                return Err(Refusal::new(Code::UploadTimeout, detail));
            };
            let Some(frame) = frame else { return Ok(None) };
            let frame =
                frame.map_err(|_| Refusal::new(Code::UploadAborted, "the body broke off before its end"))?;
            // Trailers carry nothing that is read here.
            let Ok(data) = frame.into_data() else { continue };
            let left = self.left.checked_sub(data.len() as u64);
            self.left = left.ok_or_else(|| too_large(self.bounds.wasm))?;
            if let Some(digest) = &mut self.digest {
                digest.update(&data);
            }
            return Ok(Some(data));
        }
    }
}

/// The parts that have come so far.
struct Parts {
    /// Bytes of the wasm.
    wasm: Option<u64>,
    manifest: Option<Manifest>,
    open: Option<Open>,
}

enum Open {
    Wasm,
    Manifest(Vec<u8>),
}

impl Parts {
    fn begin(&mut self, name: &str) -> Result<(), Refusal> {
        let twice = || Err(Refusal::new(Code::InvalidMultipart, format!("the part `{name}` comes twice")));
        self.open = Some(match name {
            "wasm" if self.wasm.is_some() => return twice(),
            "manifest" if self.manifest.is_some() => return twice(),
            "wasm" => {
                self.wasm = Some(0);
                Open::Wasm
            }
            "manifest" => Open::Manifest(Vec::new()),
            other => {
                let other = cut(&other.escape_default().to_string());
                let detail = format!("there is a part `{other}`: allowed are `wasm` and `manifest`");
                return Err(Refusal::new(Code::InvalidMultipart, detail));
            }
        });
        Ok(())
    }

    /// Counts, and keeps what is the manifest's. True if the data is the wasm's.
    fn add(&mut self, data: &[u8], most: u64) -> Result<bool, Refusal> {
        match &mut self.open {
            Some(Open::Wasm) => {
                let size = self.wasm.unwrap_or(0).saturating_add(data.len() as u64);
                self.wasm = Some(size);
                if size > most { Err(too_large(most)) } else { Ok(true) }
            }
            Some(Open::Manifest(text)) if text.len() + data.len() <= JSON_BYTES => {
                text.extend_from_slice(data);
                Ok(false)
            }
            Some(Open::Manifest(_)) => {
                let detail = format!("the manifest is too large: allowed are {JSON_BYTES} bytes");
                Err(Refusal::new(Code::InvalidManifest, detail))
            }
            None => Ok(false),
        }
    }

    fn end(&mut self, deployer: &Deployer) -> Result<(), Refusal> {
        if let Some(Open::Manifest(text)) = self.open.take() {
            let manifest: Manifest = object(&text).map_err(|why| Refusal::new(Code::InvalidManifest, why))?;
            deployer.check(&manifest)?;
            self.manifest = Some(manifest);
        }
        Ok(())
    }
}

fn too_large(most: u64) -> Refusal {
    Refusal::new(Code::UploadTooLarge, format!("an upload has at most {most} bytes"))
}
