//! One request's account: its name, its phases, and the one place where its end is counted and logged.
//! Must never cost a request that went well more than a few additions.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::admit::Permit;
use super::flight::Flight;
use super::timing::Timing;
use super::{head, recorder};
use crate::deploy::table::Route;
use crate::host::meter::now_ns;
use crate::model::outcome::{Loud, Outcome, Rejection, Row};
use crate::model::phase::Marks;
use crate::model::request_id::RequestId;
use crate::net::socket::Link;
use crate::records::{self, Record};
use crate::telemetry::rejected::Rejected;
use crate::telemetry::times::Times;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const START: HeaderName = HeaderName::from_static("x-spawnpoint-start");
const VERSION: HeaderName = HeaderName::from_static("x-spawnpoint-version");
/// Tells a client that its answer, whatever it is, took two attempts.
const RETRIES: HeaderName = HeaderName::from_static("x-spawnpoint-retries");

/// Makes request ids: node and worker first, then a number that one thread never gives twice.
pub struct Ids {
    node: u32,
    worker: u8,
    next: Cell<u64>,
}

impl Ids {
    /// Ids of one thread. `node` differs from process to process.
    #[must_use]
    pub fn new(node: u32, worker: u8) -> Self {
        Self { node, worker, next: Cell::new(0) }
    }

    fn next(&self) -> RequestId {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        RequestId::new(self.node, self.worker, number)
    }
}

/// A request in progress. Dropping it frees its place; [`Visit::ends`] says how it went first.
pub struct Visit {
    /// The platform's name for it.
    pub id: RequestId,
    /// Its phases.
    pub phases: Marks,
    /// Whether the client wants no body: it asked with HEAD.
    headless: bool,
    link: Rc<Link>,
    permit: Option<Permit>,
    /// The function that did not let it in.
    pub(super) refused_by: Option<Arc<Route>>,
    /// Whether its end was counted.
    told: bool,
    /// The call, so that one whose client leaves before a head is accounted for too.
    pub flight: Option<Rc<Flight>>,
    /// When the answer's head was made; zero before.
    pub(super) head_ns: Cell<u64>,
    /// Whether the answer goes on after its head.
    pub(super) streams: bool,
    /// The attempt before this one, if there was one.
    first: Option<Box<Attempt>>,
}

/// An attempt at a call that failed and was made again.
struct Attempt {
    /// Kept only once it can say how the next one ended.
    record: Option<Record>,
}

impl Visit {
    /// A request whose head is whole.
    #[must_use]
    pub fn new(ids: &Ids, link: &Rc<Link>, headless: bool) -> Self {
        Self {
            id: ids.next(),
            phases: Marks { began: now_ns(), ..Marks::default() },
            headless,
            link: link.clone(),
            permit: None,
            refused_by: None,
            told: false,
            flight: None,
            head_ns: Cell::new(0),
            streams: false,
            first: None,
        }
    }

    /// Whether the answer's body is not sent at all.
    #[must_use]
    pub fn wants_no_body(&self) -> bool {
        self.headless
    }

    /// Keeps the permit until the end, and has the request counted among those in progress.
    ///
    /// # Errors
    /// [`Rejection::Throttled`] if there are as many as there may be, and a little later still are.
    pub async fn admit(&mut self, mut permit: Permit) -> Result<(), Rejection> {
        let sits = permit.sit();
        let permit = self.permit.insert(permit);
        // Boxed, so that a request that does not wait carries nothing of it.
        if sits { Ok(()) } else { Box::pin(permit.wait_to_sit()).await }
    }

    /// Adds what every answer carries, and takes note of how long it took until now.
    pub fn mark(&self, times: &Times, headers: &mut HeaderMap, flight: Option<&Flight>) {
        if let Ok(id) = HeaderValue::from_bytes(&self.id.digits()) {
            headers.insert(head::REQUEST_ID, id);
        }
        if self.first.is_some() {
            headers.insert(RETRIES, HeaderValue::from_static("1"));
        }
        let head_ns = now_ns();
        self.head_ns.set(head_ns);
        let guest = flight.map(Flight::guest_times).unwrap_or_default();
        let laps = self.phases.laps(guest, head_ns);
        let start = flight.map(Flight::start);
        times.record(start, &laps);
        if self.tells_times()
            && let Ok(timing) = HeaderValue::from_bytes(Timing::new(&laps, start).text())
        {
            headers.append(SERVER_TIMING, timing);
        }
        if let (Some(flight), Some(permit)) = (flight, &self.permit) {
            headers.insert(START, HeaderValue::from_static(flight.start().as_str()));
            headers.insert(VERSION, permit.live.header.clone());
        }
    }

    /// Whether its function lets anybody know where the time went. What reached no function is nobody's secret.
    fn tells_times(&self) -> bool {
        match (&self.permit, &self.refused_by) {
            (Some(permit), _) => permit.live.server_timing,
            (None, Some(route)) => route.versions.iter().all(|(live, _)| live.server_timing),
            (None, None) => true,
        }
    }

    /// Calls of its function that have ended.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.permit.as_ref().map_or(0, |permit| permit.route.shared.ledger.totals().invocations())
    }

    /// Counts and logs how the guest ended.
    pub fn ends(mut self, outcome: &Outcome, flight: Option<&Flight>) {
        self.tell(outcome, flight);
    }

    fn tell(&mut self, outcome: &Outcome, flight: Option<&Flight>) {
        self.told = true;
        let record = self.count(outcome, flight);
        self.keep(outcome.code(), record);
    }

    /// Which guest of this call it is about.
    pub(super) fn attempt(&self) -> u8 {
        if self.first.is_some() { 2 } else { 1 }
    }

    /// Keeps the record of the call, and before it the one of the attempt that this was the second to.
    fn keep(&mut self, code: &'static str, record: Option<Record>) {
        let first = self.first.as_mut().and_then(|first| first.record.take());
        let first = first.map(|first| Record { retried: Some(code), ..first });
        let Some(permit) = &self.permit else { return };
        for record in first.into_iter().chain(record) {
            permit.route.shared.ledger.keep(record);
        }
    }

    /// Counts, weighs and logs how a guest ended. Gives the record that it leaves.
    fn count(&mut self, outcome: &Outcome, flight: Option<&Flight>) -> Option<Record> {
        let breaker = self.permit.as_mut()?.report(outcome);
        let permit = self.permit.as_ref()?;
        let account = &permit.route.shared;
        let used = flight.map(Flight::used).unwrap_or_default();
        let (cpu_ns, memory_peak) = (used.cpu_ns, used.memory_peak);
        let record = recorder::account(self, permit, (outcome, breaker), (flight, used));
        let Permit { route, live, .. } = permit;
        if let Some(flight) = flight.filter(|flight| !flight.weighed.get()) {
            let cut_off =
                matches!(outcome, Outcome::ClientGone | Outcome::Timeout { .. } | Outcome::Overloaded);
            let how = (flight.began_heavy, cut_off && !self.streams);
            live.weigh(cpu_ns, how, || route.shared.ledger.totals().invocations());
        }
        let cpu_ms = cpu_ns / 1_000_000;
        if let Outcome::Completed = outcome {
            tracing::debug!(id = %self.id, tenant = %route.tenant, function = %route.function, cpu_ns, "answered");
            return record;
        }
        if account.may_log(now_ns()) {
            let (code, detail, attempt) = (outcome.code(), outcome.detail(), self.attempt());
            tracing::info!(id = %self.id, tenant = %route.tenant, function = %route.function, version = %live.number, attempt, code, detail, cpu_ms, memory_peak, "a call failed");
        }
        record
    }

    /// Counts and logs how a guest ended whose call is tried again.
    pub fn fails_once(&mut self, outcome: &Outcome, flight: Option<&Flight>) {
        let record = self.count(outcome, flight);
        self.first = Some(Box::new(Attempt { record }));
        self.phases.again = now_ns();
    }

    /// Counts and logs why no guest ran: with its function, or with those that reached none.
    pub fn rejected(&mut self, rejection: &Rejection, unrouted: &Rejected) {
        self.told = true;
        let Row { code, loud, .. } = rejection.row();
        let route = self.permit.as_ref().map(|permit| &permit.route).or(self.refused_by.as_ref());
        route.map_or(unrouted, |route| &route.shared.rejected).add(code, records::unix_ms());
        self.keep(code, None);
        let why = rejection.detail();
        match loud {
            Loud::Debug => tracing::debug!(id = %self.id, code, why, "rejected"),
            Loud::Info => tracing::info!(id = %self.id, code, why, "rejected"),
            Loud::Error => tracing::error!(id = %self.id, code, why, "a request could not be served"),
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        // hyper drops the service itself when a client leaves before there is a head.
        if !self.told {
            let flight = self.flight.take();
            self.tell(&Outcome::ClientGone, flight.as_deref());
        }
        self.link.request_ends();
    }
}
