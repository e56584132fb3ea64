//! What a function gives, as a response that leaves. Small bodies leave in one call to the host, and a known length is
//! always announced; it must never finish a body that broke off, since that is how the client learns of it.

use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use wasip2::http::types::{Fields, OutgoingBody, OutgoingResponse, ResponseOutparam};

use crate::body::{Body, Writer};
use crate::error::Error;
use crate::text::Decimal;

/// What a function may give: text, bytes, a `Json`, a [`Response`](crate::Response), an [`Error`], or a `Result` of two
/// of these.
///
/// ```
/// use spawnpoint_sdk::{Reply, Responder};
///
/// struct Page(String);
///
/// impl Reply for Page {
///     fn reply(self, responder: Responder) {
///         let mut response = spawnpoint_sdk::Response::new(self.0.into());
///         let html = spawnpoint_sdk::http::HeaderValue::from_static("text/html; charset=utf-8");
///         response.headers_mut().insert("content-type", html);
///         response.reply(responder);
///     }
/// }
/// ```
pub trait Reply {
    /// Sends the response.
    fn reply(self, responder: Responder);
}

/// The right to answer the request, once. It can only be given to a [`Reply`].
pub struct Responder(ResponseOutparam);

impl Responder {
    pub(crate) fn new(answer: ResponseOutparam) -> Self {
        Self(answer)
    }

    /// Sends a response whose body is there, without a detour through the types of `http`: what every small function
    /// links, and so without anything that can panic.
    pub(crate) fn full(self, status: u16, content_type: &str, body: &[u8]) {
        let fields = Fields::new();
        append(&fields, "content-type", content_type.as_bytes());
        append_length(&fields, body.len() as u64);
        if let Some((outgoing, writer)) = self.head(status, fields)
            && writer.write_last(body).is_ok()
        {
            finish(outgoing, writer);
        }
    }

    /// Sends a response with any head and body.
    fn message(self, status: u16, headers: &HeaderMap, body: Body) {
        let fields = Fields::new();
        for (name, value) in headers {
            append(&fields, name.as_str(), value.as_bytes());
        }
        if let Some(length) = body.length()
            && !headers.contains_key(CONTENT_LENGTH)
            && may_have_a_length(status)
        {
            append_length(&fields, length);
        }
        let Some((outgoing, mut writer)) = self.head(status, fields) else {
            return;
        };
        match body.write_to(&mut writer) {
            Ok(()) => finish(outgoing, writer),
            Err(error) => error.log(),
        }
    }

    /// Sends the head, before there is a byte of the body: a client that waits sees it at once.
    fn head(self, status: u16, fields: Fields) -> Option<(OutgoingBody, Writer)> {
        let response = OutgoingResponse::new(fields);
        // 200 is what a response has before anybody says otherwise.
        if status != 200 && response.set_status_code(status).is_err() {
            // Nothing is answered then, and the host says so.
            return None;
        }
        let outgoing = response.body().ok()?;
        let stream = outgoing.write().ok()?;
        ResponseOutparam::set(self.0, Ok(response));
        Some((outgoing, Writer::new(stream)))
    }
}

/// RFC 9110, 8.6: no content-length where there can be no content.
fn may_have_a_length(status: u16) -> bool {
    !(status < 200 || status == 204 || status == 304)
}

/// A header that the host keeps for itself is left out rather than fatal: hosts differ in which these are.
fn append(fields: &Fields, name: &str, value: &[u8]) {
    let _ = fields.append(name, value);
}

fn append_length(fields: &Fields, length: u64) {
    append(fields, "content-length", Decimal::new(length).as_bytes());
}

/// The stream is a child of the body, and a body that is finished before its children is a trap.
fn finish(outgoing: OutgoingBody, writer: Writer) {
    drop(writer);
    // What the host thinks of the message, for example of its length, it knows already.
    let _ = OutgoingBody::finish(outgoing, None);
}

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";

impl Reply for () {
    fn reply(self, responder: Responder) {
        if let Some((outgoing, writer)) = responder.head(204, Fields::new()) {
            finish(outgoing, writer);
        }
    }
}

impl Reply for &'static str {
    fn reply(self, responder: Responder) {
        responder.full(200, TEXT, self.as_bytes());
    }
}

impl Reply for String {
    fn reply(self, responder: Responder) {
        responder.full(200, TEXT, self.as_bytes());
    }
}

impl Reply for &'static [u8] {
    fn reply(self, responder: Responder) {
        responder.full(200, BYTES, self);
    }
}

impl Reply for Vec<u8> {
    fn reply(self, responder: Responder) {
        responder.full(200, BYTES, &self);
    }
}

impl<B: Into<Body>> Reply for http::Response<B> {
    fn reply(self, responder: Responder) {
        let (head, body) = self.into_parts();
        responder.message(head.status.as_u16(), &head.headers, body.into());
    }
}

impl<R: Reply, E: Into<Error>> Reply for Result<R, E> {
    fn reply(self, responder: Responder) {
        match self {
            Ok(reply) => reply.reply(responder),
            Err(error) => error.into().reply(responder),
        }
    }
}
