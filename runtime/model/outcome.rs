//! How an invocation ended, or why none ran: two closed enums, each with one table, matched with no wildcard.
//! Must never hold an HTTP status: that is `ingress/reply.rs`.

/// How long a client is told to wait where nothing better is known, in milliseconds.
const A_MOMENT: Option<u64> = Some(1_000);
/// As [`A_MOMENT`], where it is for a person to say when: asking each second would wear out both sides.
const A_MINUTE: Option<u64> = Some(60_000);

/// Who is to blame for an end. Only what is the function's own fault weighs on its breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// All went well.
    Nobody,
    /// The guest's own code.
    Function,
    /// Whoever asked.
    Client,
    /// The platform, or others on it.
    Host,
}

/// How loudly an end is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loud {
    /// For whoever looks for it.
    Debug,
    /// A few lines a second of each function.
    Info,
    /// Always.
    Error,
}

/// One row of a table: all that follows from an end, but the words that the public is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The public code, and the label of the metric.
    pub code: &'static str,
    /// Whose fault it is.
    pub blame: Blame,
    /// After how many milliseconds asking again may help; `None` where it will not.
    pub retry_ms: Option<u64>,
    /// Whether another instance may do better, where the function asks for that.
    pub again: bool,
    /// How it is logged.
    pub loud: Loud,
}

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
    Timeout {
        /// Whether the guest was waiting for the client just then: for more of its body, or to take more of the answer.
        client: bool,
    },
    /// A growth was refused and the guest ended in a trap, or it could not even start.
    MemoryLimit,
    /// As [`Outcome::MemoryLimit`], but it was the server that had no memory left for its tenant.
    MemoryShort,
    /// Wall-clock time ran out, most of which the guest had waited for its turn among heavy calls.
    Overloaded,
    /// The guest returned without an answer.
    NoResponse,
    /// The guest's head or framing is not HTTP; the text says what.
    BadResponse(String),
    /// The guest returned an error code instead of an answer.
    GuestError(String),
    /// The request's body broke off or is not HTTP, and the guest did not get over it.
    BadRequest,
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
    /// The table.
    #[must_use]
    pub fn row(&self) -> Row {
        use Blame::{Client, Function, Host, Nobody};
        let row = |code, blame| Row { code, blame, retry_ms: None, again: false, loud: Loud::Info };
        let again = |code, blame| Row { again: true, ..row(code, blame) };
        match self {
            Self::Completed => Row { loud: Loud::Debug, ..row("ok", Nobody) },
            Self::Trapped(_) => again("guest_trap", Function),
            Self::CpuLimit => row("cpu_limit", Function),
            Self::Timeout { client: false } => row("timeout", Function),
            Self::Timeout { client: true } => row("timeout", Client),
            Self::MemoryLimit => row("memory_limit", Function),
            Self::MemoryShort => Row { retry_ms: A_MOMENT, ..row("memory_short", Host) },
            Self::Overloaded => Row { retry_ms: A_MOMENT, ..row("overloaded", Host) },
            Self::NoResponse => again("no_response", Function),
            Self::BadResponse(_) => again("bad_response", Function),
            Self::GuestError(_) => again("guest_error", Function),
            Self::BadRequest => row("bad_request", Client),
            Self::PayloadTooLarge => row("payload_too_large", Client),
            Self::ResponseTooLarge => row("response_too_large", Function),
            Self::ClientGone => row("client_gone", Client),
            Self::HostError(_) => again("host_error", Host),
        }
    }

    /// The public code of a failure, and the label of the metric.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.row().code
    }

    /// What is logged of it beside the code; never shown to the public.
    #[must_use]
    pub fn detail(&self) -> &str {
        match self {
            Self::Trapped(text)
            | Self::BadResponse(text)
            | Self::GuestError(text)
            | Self::HostError(text) => text,
            Self::Timeout { client: true } => "it waited for its client",
            Self::Overloaded => "it waited for its turn among heavy calls",
            Self::BadRequest => "the request's body broke off or is not HTTP",
            Self::Completed
            | Self::CpuLimit
            | Self::Timeout { client: false }
            | Self::MemoryLimit
            | Self::MemoryShort
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
    /// The function, or its tenant, has as many requests in progress as it may.
    Throttled,
    /// The function, or its tenant, was asked as often as it may be.
    RateLimited {
        /// When it may be asked again.
        after_ms: u64,
    },
    /// The version failed so often that it is left alone for a while.
    BreakerOpen {
        /// When it is tried again.
        after_ms: u64,
    },
    /// Somebody has paused the function, and nobody has resumed it yet.
    Paused,
    /// The server has no instance, or no memory, left to give.
    Overloaded,
    /// The server is going away.
    Draining,
    /// The program could not be loaded or started; the text is logged, not shown.
    HostError(String),
}

/// Every code of a rejection.
pub const REJECTIONS: [&str; 12] = [
    "no_route",
    "bad_request",
    "headers_too_large",
    "uri_too_long",
    "payload_too_large",
    "throttled",
    "rate_limited",
    "paused",
    "breaker_open",
    "overloaded",
    "draining",
    "host_error",
];

impl Rejection {
    /// The table.
    #[must_use]
    pub fn row(&self) -> Row {
        use Blame::{Client, Function, Host};
        let row = |code, blame| Row { code, blame, retry_ms: None, again: false, loud: Loud::Debug };
        let later = |code, blame, retry_ms| Row { retry_ms, ..row(code, blame) };
        match self {
            Self::NoRoute => row("no_route", Client),
            Self::BadRequest(_) => row("bad_request", Client),
            Self::HeadersTooLarge => row("headers_too_large", Client),
            Self::UriTooLong => row("uri_too_long", Client),
            Self::PayloadTooLarge => row("payload_too_large", Client),
            Self::Throttled => later("throttled", Client, A_MOMENT),
            Self::RateLimited { after_ms } => later("rate_limited", Client, Some(*after_ms)),
            Self::BreakerOpen { after_ms } => later("breaker_open", Function, Some(*after_ms)),
            Self::Paused => later("paused", Function, A_MINUTE),
            Self::Overloaded => later("overloaded", Host, A_MOMENT),
            Self::Draining => later("draining", Host, A_MOMENT),
            Self::HostError(_) => Row { loud: Loud::Error, ..row("host_error", Host) },
        }
    }

    /// The public code, and the label of the metric.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.row().code
    }

    /// What is logged of it beside the code; never shown to the public where the platform is to blame.
    #[must_use]
    pub fn detail(&self) -> &str {
        match self {
            Self::HostError(text) => text,
            Self::BadRequest(text) => text,
            Self::NoRoute
            | Self::HeadersTooLarge
            | Self::UriTooLong
            | Self::PayloadTooLarge
            | Self::Throttled
            | Self::RateLimited { .. }
            | Self::BreakerOpen { .. }
            | Self::Paused
            | Self::Overloaded
            | Self::Draining => "",
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
    /// An instance that had answered before was put back to how it was made, for this call.
    Reset,
    /// An instance that had answered before.
    Reused,
}

impl Start {
    /// The word in `x-spawnpoint-start` and in the metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Spawned => "spawned",
            Self::Warm => "warm",
            Self::Reset => "reset",
            Self::Reused => "reused",
        }
    }
}
