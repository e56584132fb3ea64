//! What a call leaves behind: its use in its function's ledger, and a record if it failed, decided about its breaker, or is one
//! of the sample.
//! Must never allocate or lock for a call that leaves no record, nor show any of this to the public.

use super::admit::Permit;
use super::flight::Flight;
use super::visit::Visit;
use crate::host::meter::{Used, now_ns};
use crate::model::breaker::Effect;
use crate::model::limits::Limits;
use crate::model::outcome::Outcome;
use crate::model::phase::Phase;
use crate::records::{self, Phases, Record, Spent, Use};

/// Counts a call that ended. Gives its record if it is to leave one.
pub(super) fn account(
    visit: &Visit,
    permit: &Permit,
    (outcome, breaker): (&Outcome, Option<Effect>),
    (flight, used): (Option<&Flight>, Used),
) -> Option<Record> {
    let ledger = &permit.route.shared.ledger;
    let ended_ns = match visit.head_ns.get() {
        // A whole answer ends where its head is made, without another look at the clock.
        head_ns if head_ns > 0 && !visit.streams => head_ns,
        _ => now_ns(),
    };
    let wall_ns = ended_ns.saturating_sub(visit.phases.began);
    let leaves_record = match outcome {
        Outcome::Completed => ledger.good(used.cpu_ns, wall_ns, ended_ns),
        failure => ledger.failed(failure.code(), used.cpu_ns, wall_ns, ended_ns),
    };
    if !leaves_record && breaker.is_none() {
        return None;
    }
    let (log, backtrace) = flight.map(Flight::take_notes).unwrap_or_default().into_parts();
    let spent = Spent { cpu_ns: used.cpu_ns, wall_ns, peak_memory_bytes: used.memory_peak };
    let answer_bytes = flight.map_or(0, |flight| flight.answer_bytes.get());
    Some(Record {
        id: visit.id,
        tenant: permit.route.tenant.clone(),
        function: permit.route.function.clone(),
        version: permit.live.number,
        digest: permit.live.digest,
        at_ms: records::unix_ms(),
        attempt: visit.attempt(),
        retried: None,
        code: outcome.code(),
        detail: outcome.detail().to_owned(),
        start: flight.map(Flight::start),
        breaker,
        limit: limit(outcome, &permit.live.limits, &used, (wall_ns, answer_bytes)),
        spent,
        phases: phases(visit, &used, ended_ns),
        backtrace,
        log,
    })
}

/// Which limit ended the call, and how much of it was used or asked for.
fn limit(
    outcome: &Outcome,
    limits: &Limits,
    used: &Used,
    (wall_ns, answer_bytes): (u64, u64),
) -> Option<Use> {
    let of = |key, limit, used| Some(Use { key, limit, used });
    match outcome {
        Outcome::CpuLimit => of("cpu_ms", limits.cpu_ms, used.cpu_ns / 1_000_000),
        Outcome::Timeout { .. } | Outcome::Overloaded => of("wall_ms", limits.wall_ms, wall_ns / 1_000_000),
        Outcome::MemoryLimit if used.asked_elements > 0 && used.asked_bytes == 0 => {
            of("table_elements", limits.table_elements, used.asked_elements)
        }
        Outcome::MemoryLimit => {
            of("memory_bytes", limits.memory_bytes, used.asked_bytes.max(used.memory_peak))
        }
        Outcome::PayloadTooLarge => of("request_body_bytes", limits.request_body_bytes, used.request_body),
        Outcome::ResponseTooLarge => of("response_body_bytes", limits.response_body_bytes, answer_bytes),
        Outcome::Completed
        | Outcome::Trapped(_)
        // The server's, not the function's.
        | Outcome::MemoryShort
        | Outcome::BadRequest
        | Outcome::NoResponse
        | Outcome::BadResponse(_)
        | Outcome::GuestError(_)
        | Outcome::ClientGone
        | Outcome::HostError(_) => None,
    }
}

/// Where the time went; a phase that was not reached took none.
fn phases(visit: &Visit, used: &Used, ended_ns: u64) -> Phases {
    let laps = visit.phases.laps(used.times, ended_ns);
    let head_ns = visit.head_ns.get();
    Phases {
        route_ns: laps.of(Phase::Route),
        queue_ns: laps.of(Phase::Queue),
        load_ns: laps.of(Phase::Load),
        spawn_ns: laps.of(Phase::Spawn),
        lane_ns: laps.of(Phase::Lane),
        guest_ns: laps.of(Phase::Guest),
        first_byte_ns: (head_ns > 0).then(|| head_ns.saturating_sub(visit.phases.began)),
    }
}
