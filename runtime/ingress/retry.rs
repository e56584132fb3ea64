//! A call that failed, once more: on a fresh instance, for a function that asks for it, within its budget.
//! Must never repeat what a client would not, what ran out of CPU time, time or memory, or what was answered in part.

use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};
use hyper::body::Incoming;

use super::asked::{Asked, keep};
use super::service::{Answered, Calling, Failure};
use super::visit::Visit;
use crate::deploy::live::Live;
use crate::engine::pool::{Taken, Wish};
use crate::host::meter::now_ns;
use crate::model::outcome::{Outcome, Rejection};
use crate::model::retry::RetryBudget;

/// Tells a guest that it is the second one to be asked. From outside it is stripped like all that are the platform's.
const ATTEMPT: HeaderName = HeaderName::from_static("x-spawnpoint-attempt");

/// Whether a request with this method may be made twice (RFC 9110, 9.2.2).
pub(super) fn may_be_repeated(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS | Method::TRACE
    )
}

/// The body of a call that may be made twice, read before anything is taken for it.
pub(super) enum Given {
    /// All of it: it can be given again.
    Kept(Bytes),
    /// Too large to be kept, or of no known size: it is given once.
    Streamed(Incoming),
}

/// Waits for a small body, for as long as the call may take.
pub(super) async fn gather(live: &Live, began_ns: u64, body: Incoming) -> Result<Given, Failure> {
    let until_ns = began_ns + live.limits.wall_ms * 1_000_000;
    let left = Duration::from_nanos(until_ns.saturating_sub(now_ns()));
    match tokio::time::timeout(left, keep(body)).await {
        // As it ends for a guest that waits for a body.
        Err(_) => Err(Failure::Failed(Outcome::Timeout { client: true })),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a request's body broke off");
            Err(Failure::Rejected(Rejection::BadRequest("its body broke off")))
        }
        Ok(Ok(Err(body))) => Ok(Given::Streamed(body)),
        Ok(Ok(Ok(bytes))) => Ok(Given::Kept(bytes)),
    }
}

/// Asks a guest, and another one if that failed.
pub(super) async fn twice(
    call: &Calling<'_>,
    visit: &mut Visit,
    taken: Taken,
    (parts, bytes): (Parts, Bytes),
) -> Answered {
    let limits = &call.live.limits;
    let kept = |bytes: Bytes| move |_: &_| Asked::Kept(Some(bytes));
    let mut again = parts.clone();
    let first = call.once(visit, taken, parts, kept(bytes.clone())).await;
    let budget = call.live.retries.as_ref();
    if let Some(budget) = budget {
        budget.earn();
    }
    let (outcome, flight) = match first {
        Err((Failure::Failed(outcome), flight)) => (outcome, flight),
        other => return other,
    };
    let in_time = now_ns() < visit.phases.began + limits.wall_ms * 1_000_000;
    let may = outcome.row().again && in_time && budget.is_some_and(RetryBudget::spend);
    let taken = if may { call.desk.shelf.take(&call.program, limits.cpu_ms, Wish::AsNew) } else { None };
    let Some(taken) = taken else {
        return Err((Failure::Failed(outcome), flight));
    };
    visit.fails_once(&outcome, flight.as_deref());
    metrics::counter!("spawnpoint_retries_total").increment(1);
    again.headers.insert(ATTEMPT, HeaderValue::from_static("2"));
    call.once(visit, taken, again, kept(bytes)).await
}
