//! A failed call as a response: a status, what the client may read, and a cause that only the log sees. It must never
//! show the cause to the client.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use http::StatusCode;

use crate::reply::{Reply, Responder};
use crate::text::push_json;

/// A call that failed, and how the client is told.
///
/// It is answered as `application/problem+json` (RFC 9457) with `title`, `status` and `detail`. Any error of the
/// standard kind becomes one through `?`: a 500 without details, whose cause is written to standard error, where the
/// platform's log picks it up.
///
/// ```
/// use spawnpoint_sdk::{Error, OrStatus, http::StatusCode};
///
/// fn number(text: &str) -> Result<u32, Error> {
///     text.parse().or_status(StatusCode::BAD_REQUEST, "that is no number")
/// }
///
/// assert_eq!(number("x").unwrap_err().status(), StatusCode::BAD_REQUEST);
/// ```
pub struct Error {
    status: StatusCode,
    message: Cow<'static, str>,
    cause: Option<Box<dyn StdError + 'static>>,
}

/// Gives a failed `Result` or an empty `Option` a status and a message for the client.
pub trait OrStatus<T> {
    /// The value, or an [`Error`] with this status and message. A cause goes to the log and not to the client.
    ///
    /// # Errors
    /// When there is no value.
    fn or_status(self, status: StatusCode, message: impl Into<Cow<'static, str>>) -> Result<T, Error>;
}

impl Error {
    /// An error with a status and a message, both for the client.
    #[must_use]
    pub fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self { status, message, cause: None }
    }

    /// The same with a cause, which goes to the log.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn StdError + 'static>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What the client reads.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The body of the answer.
    fn problem(&self) -> String {
        let mut problem = String::from("{");
        if let Some(title) = self.status.canonical_reason() {
            problem.push_str("\"title\":");
            push_json(&mut problem, title);
            problem.push(',');
        }
        problem.push_str("\"status\":");
        problem.push_str(self.status.as_str());
        if !self.message.is_empty() {
            problem.push_str(",\"detail\":");
            push_json(&mut problem, &self.message);
        }
        problem.push_str("}\n");
        problem
    }

    /// Writes everything to standard error, and to the host's own handle of it: the standard library's would add its
    /// locks and buffers to every component.
    pub(crate) fn log(&self) {
        let line = format!("{self:?}\n");
        let stream = wasip2::cli::stderr::get_stderr();
        for piece in line.as_bytes().chunks(crate::body::ONE_WRITE) {
            // Where nobody takes it, there is nobody to tell.
            let _ = stream.blocking_write_and_flush(piece);
        }
    }
}

impl<E: StdError + 'static> From<E> for Error {
    fn from(cause: E) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "").caused_by(cause)
    }
}

// For the log. There is no `Display`, and no `std::error::Error`: that would forbid the conversion above.
impl fmt::Debug for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.status.as_str())?;
        if !self.message.is_empty() {
            write!(out, " {}", self.message)?;
        }
        let mut next = self.cause.as_deref();
        while let Some(cause) = next {
            write!(out, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

impl Reply for Error {
    fn reply(self, responder: Responder) {
        // What has no cause is an answer like any other, and the client has read it all.
        if self.cause.is_some() {
            self.log();
        }
        let status = self.status.as_u16();
        responder.full(status, "application/problem+json", self.problem().as_bytes());
    }
}

impl<T, E: StdError + 'static> OrStatus<T> for Result<T, E> {
    fn or_status(self, status: StatusCode, message: impl Into<Cow<'static, str>>) -> Result<T, Error> {
        self.map_err(|cause| Error::new(status, message).caused_by(cause))
    }
}

impl<T> OrStatus<T> for Option<T> {
    fn or_status(self, status: StatusCode, message: impl Into<Cow<'static, str>>) -> Result<T, Error> {
        self.ok_or_else(|| Error::new(status, message))
    }
}

#[cfg(test)]
mod tests;
