//! How an invocation ended, or why none ran: two closed enums, matched with no wildcard.
//! Must never hold an HTTP status: that is `ingress/reply.rs`.

/// How a guest that ran ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole answer was made.
    Completed,
    /// The guest broke a rule; the text is the engine's name for it.
    Trapped(String),
    /// CPU time ran out.
    CpuLimit,
    /// Wall-clock time ran out.
    Timeout,
    /// A growth was refused and the guest ended in a trap, or it could not even start.
    MemoryLimit,
    /// The guest returned without an answer.
    NoResponse,
    /// The guest's head or framing is not HTTP; the text says what.
    BadResponse(String),
    /// The guest returned an error code instead of an answer.
    GuestError(String),
    /// More request body than allowed.
    PayloadTooLarge,
    /// More response body than allowed.
    ResponseTooLarge,
    /// The client left before the answer ended.
    ClientGone,
    /// The host failed the guest.
    HostError(String),
}

impl Outcome {
    /// The public code of a failure, and the label of the metric.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Completed => "ok",
            Self::Trapped(_) => "guest_trap",
            Self::CpuLimit => "cpu_limit",
            Self::Timeout => "timeout",
            Self::MemoryLimit => "memory_limit",
            Self::NoResponse => "no_response",
            Self::BadResponse(_) => "bad_response",
            Self::GuestError(_) => "guest_error",
            Self::PayloadTooLarge => "payload_too_large",
            Self::ResponseTooLarge => "response_too_large",
            Self::ClientGone => "client_gone",
            Self::HostError(_) => "host_error",
        }
    }

    /// What is logged of it beside the code; never shown to the public.
    #[must_use]
    pub fn detail(&self) -> &str {
        match self {
            Self::Trapped(text)
            | Self::BadResponse(text)
            | Self::GuestError(text)
            | Self::HostError(text) => text,
            Self::Completed
            | Self::CpuLimit
            | Self::Timeout
            | Self::MemoryLimit
            | Self::NoResponse
            | Self::PayloadTooLarge
            | Self::ResponseTooLarge
            | Self::ClientGone => "",
        }
    }
}

/// Why no guest ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// No function answers for this host and path.
    NoRoute,
    /// The request is not one a proxy may pass on; the text says why.
    BadRequest(&'static str),
    /// More fields, or longer ones, than allowed.
    HeadersTooLarge,
    /// The path and query are longer than allowed.
    UriTooLong,
    /// The declared body is larger than the function takes.
    PayloadTooLarge,
    /// The function has as many requests in progress as it may.
    Throttled,
    /// The server has no instance left to give.
    Overloaded,
    /// The server is going away.
    Draining,
    /// The program could not be loaded or started; the text is logged, not shown.
    HostError(String),
}

impl Rejection {
    /// The public code, and the label of the metric.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::BadRequest(_) => "bad_request",
            Self::HeadersTooLarge => "headers_too_large",
            Self::UriTooLong => "uri_too_long",
            Self::PayloadTooLarge => "payload_too_large",
            Self::Throttled => "throttled",
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
            Self::HostError(_) => "host_error",
        }
    }
}

/// How the instance that answered came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Start {
    /// The program was loaded from disk for this call.
    Cold,
    /// Instantiated for this call.
    Spawned,
    /// A ready instance was taken.
    Warm,
    /// An instance that had answered before.
    Reused,
}

impl Start {
    /// The word in `x-spawnpoint-start` and in the metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Spawned => "spawned",
            Self::Warm => "warm",
            Self::Reused => "reused",
        }
    }
}
