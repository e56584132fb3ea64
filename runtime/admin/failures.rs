//! Records of calls: a function's failures as a list, and one call by its request id.
//! Must never show a record under another function than its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, State};
use http::request::Parts;

use super::functions::find;
use super::instant::rfc3339;
use super::json::Json;
use super::names::FunctionPath;
use super::paging::{Page, pairs};
use super::problem::{Code, Refusal, cut};
use super::state::Admin;
use super::wire::{Failures, Invocation, Phases, Problem, Rejections};
use crate::deploy::places::Known;
use crate::host::logs::harmless;
use crate::model::breaker::Effect;
use crate::model::frame::Frame;
use crate::model::outcome::{REJECTIONS, Start};
use crate::model::request_id::{NoRequestId, RequestId};
use crate::records::{CODES, Cursor, GOOD, Record, Totals};
use crate::telemetry::rejected::Turned;

/// Which records.
pub(super) struct Wanted {
    page: Page,
    code: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Wanted {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let (codes, rest): (Vec<_>, Vec<_>) = pairs(parts)?.into_iter().partition(|(name, _)| name == "code");
        let page = Page::read(rest, "`after`, `limit` and `code`")?;
        let code = codes.into_iter().next_back().map(|(_, code)| code);
        let is_one = |code: &str| code == GOOD || CODES.contains(&code) || REJECTIONS.contains(&code);
        if let Some(code) = code.as_deref().filter(|code| !is_one(code)) {
            let detail = format!("`code` is `{}`: allowed is `{GOOD}`, {}", code.escape_default(), known());
            return Err(Refusal::new(Code::InvalidQuery, cut(&detail)));
        }
        Ok(Self { page, code })
    }
}

fn known() -> String {
    let rejections = REJECTIONS.into_iter().filter(|code| !CODES.contains(code));
    let all = CODES.into_iter().chain(rejections).map(|code| format!("`{code}`"));
    all.collect::<Vec<_>>().join(", ")
}

/// List a function's failures
///
/// The newest of each code come first, so that one kind never hides another. Kept are the newest 32 of each code, until
/// the server ends. Requests that were rejected before a guest ran are counted and not recorded.
#[utoipa::path(
    get,
    path = "/v1/tenants/{tenant}/functions/{function}/failures",
    operation_id = "list_failures",
    tag = "records",
    params(
        ("tenant" = String, Path, description = "Whose function."),
        ("function" = String, Path, description = "Which function."),
        ("code" = Option<String>, Query, description = "Only this code; `ok` for the sample of good calls. Of the code of a rejection there is a count alone."),
        Page,
    ),
    responses(
        (status = 200, description = "A page, the newest of each code first", body = Failures),
        (status = "default", description = "It was not done", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    path: FunctionPath,
    wanted: Wanted,
) -> Result<Json<Failures>, Refusal> {
    find(&admin, &path).await?;
    let table = admin.deployer.table();
    let after: Option<Cursor> = wanted.page.after()?;
    let routes = table.now().clone();
    let (mut found, mut next, mut totals) = (Vec::new(), None, Totals::default());
    let mut rejected = BTreeMap::new();
    // A function of which no version is active has no route, and nothing left behind.
    if let Some(route) = routes.find(path.tenant.as_str(), path.function.as_str()) {
        let ledger = &route.shared.ledger;
        let code = wanted.code.as_deref();
        (found, next) = table.records.page(ledger, code, after, wanted.page.limit);
        totals = ledger.totals();
        let turned = route.shared.rejected.by_code().filter(|each| code.is_none_or(|code| code == each.code));
        let each = |Turned { code, count, last_ms }| (code.to_owned(), Rejections { count, last_ms });
        rejected = turned.map(each).collect();
    }
    let places = places(&admin, &found).await;
    Ok(Json(Failures {
        failures: found.iter().map(|record| shown(record, &places)).collect(),
        counts: totals.by_code().map(|(code, count)| (code.to_owned(), count)).collect(),
        rejected,
        since: rfc3339(table.records.since_ms()),
        next: next.map(|next| hex::encode(next.to_string())),
    }))
}

/// Read the record of one call
///
/// There is one of every recent failure, and of a sample of the calls that went well. Of a call that was tried again it is the last
/// attempt that left one, with the one before it.
#[utoipa::path(
    get,
    path = "/v1/invocations/{request_id}",
    operation_id = "get_invocation",
    tag = "records",
    params(("request_id" = String, Path, description = "The call, as `x-request-id` names it.")),
    responses(
        (status = 200, description = "The record", body = Invocation),
        (status = "default", description = "It was not done", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(
    State(admin): State<Arc<Admin>>,
    RequestPath(id): RequestPath,
) -> Result<Json<Invocation>, Refusal> {
    let found = admin.deployer.table().records.find(id);
    let places = places(&admin, &found).await;
    let attempts = found.iter().rev().map(|record| shown(record, &places));
    let last = attempts.reduce(|earlier, last| Invocation { earlier: Some(Box::new(earlier)), ..last });
    let last = last.ok_or_else(|| {
        let detail = format!(
            "nothing is recorded of request `{id}`: kept are the newest failures of each function and code, and a sample of \
             the calls that went well, since this server started; a request that was rejected ran no function"
        );
        Refusal::new(Code::NoSuchRecord, detail)
    })?;
    Ok(Json(last))
}

/// `/v1/invocations/{request_id}`.
pub(super) struct RequestPath(RequestId);

impl<S: Send + Sync> FromRequestParts<S> for RequestPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let refuse = |why: &str| Refusal::new(Code::InvalidRequestId, cut(why));
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|error| refuse(&error.body_text()))?;
        let id = text.parse().map_err(|why: NoRequestId| refuse(&why.to_string()))?;
        Ok(Self(id))
    }
}

/// The lines of source that these records' frames stand for. They are looked for only now: most records are never read.
async fn places(admin: &Admin, records: &[Arc<Record>]) -> Known {
    let offsets = |record: &Arc<Record>| {
        let digest = record.digest;
        let frames = record.backtrace.iter().filter_map(|frame| frame.offset);
        frames.map(move |offset| (digest, offset)).collect::<Vec<_>>()
    };
    admin.deployer.loader().places(records.iter().flat_map(offsets)).await
}

/// A record in full; what a guest wrote is made harmless here, not when it was kept.
fn shown(record: &Record, places: &Known) -> Invocation {
    let place = |frame: &Frame| frame.offset.and_then(|offset| places.get(&(record.digest, offset)));
    let told = |frame: &Frame| format!("{frame}{}", place(frame).map_or("", |place| place));
    let (limit, spent, phases) = (record.limit, record.spent, record.phases);
    Invocation {
        request_id: record.id.to_string(),
        tenant: record.tenant.to_string(),
        function: record.function.to_string(),
        version: record.version,
        at_ms: record.at_ms,
        code: record.code.to_owned(),
        attempt: record.attempt,
        retried: record.retried.map(str::to_owned),
        earlier: None,
        breaker: record.breaker.map(Effect::as_str).map(str::to_owned),
        breaker_ms: record.breaker.and_then(Effect::open_ms),
        detail: harmless(record.detail.as_bytes()),
        start: record.start.map(Start::as_str).map(str::to_owned),
        limit_key: limit.map(|limit| limit.key.to_owned()),
        limit: limit.map(|limit| limit.limit),
        used: limit.map(|limit| limit.used),
        cpu_ms: ms(spent.cpu_ns),
        wall_ms: ms(spent.wall_ns),
        peak_memory_bytes: spent.peak_memory_bytes,
        phases: Phases {
            route: ms(phases.route_ns),
            queue: ms(phases.queue_ns),
            load: ms(phases.load_ns),
            spawn: ms(phases.spawn_ns),
            lane: ms(phases.lane_ns),
            guest: ms(phases.guest_ns),
            first_byte: phases.first_byte_ns.map(ms),
        },
        backtrace: record.backtrace.iter().map(told).collect(),
        log: record.log.iter().map(|line| harmless(line)).collect(),
    }
}

/// Milliseconds, exact to the microsecond for what takes less than an hour.
fn ms(ns: u64) -> f64 {
    match u32::try_from(ns / 1_000) {
        Ok(us) => f64::from(us) / 1_000.0,
        Err(_) => f64::from(u32::try_from(ns / 1_000_000).unwrap_or(u32::MAX)),
    }
}
