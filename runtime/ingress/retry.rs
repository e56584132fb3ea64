//! A call that failed, once more: on a fresh instance, for a function that asks for it, within its budget.
//! Must never repeat what a client would not, what ran out of CPU time, time or memory, or what was answered in part.

use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};
use hyper::body::Incoming;

use super::asked::{Asked, keep};
use super::service::{Answered, Calling, Failure, Tell};
use super::visit::Visit;
use crate::engine::pool::{Taken, Wish};
use crate::host::meter::now_ns;
use crate::model::outcome::Rejection;
use crate::model::retry::RetryBudget;
use crate::net::body::Bounded;

/// Tells a guest that it is the second one to be asked. From outside it is stripped like all that are the platform's.
const ATTEMPT: HeaderName = HeaderName::from_static("x-spawnpoint-attempt");

/// Whether a request with this method may be made twice (RFC 9110, 9.2.2).
pub(super) fn may_be_repeated(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS | Method::TRACE
    )
}

/// Asks a guest, and another one if that failed.
pub(super) async fn twice(
    call: &Calling<'_>,
    visit: &mut Visit,
    taken: Taken,
    (parts, body): (Parts, Incoming),
) -> Answered {
    let limits = &call.live.limits;
    let refused = |why| Err((Failure::Rejected(Rejection::BadRequest(why)), None));
    let left = Duration::from_millis(limits.wall_ms);
    let bytes = match tokio::time::timeout(left, keep(body)).await {
        Err(_) => return refused("its body took too long"),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a request's body broke off");
            return refused("its body broke off");
        }
        // Too large to be kept, or of no known size: asked once.
        Ok(Ok(Err(body))) => {
            let limit = limits.request_body_bytes;
            let ask =
                |meter: &_| Asked::Streamed(Bounded::new(body, limit, Tell(std::sync::Arc::clone(meter))));
            return call.once(visit, taken, parts, ask).await;
        }
        Ok(Ok(Ok(bytes))) => bytes,
    };
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
