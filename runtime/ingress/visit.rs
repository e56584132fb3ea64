//! One request's account: its name, its phases, and the one place where its end is counted and logged.
//! Must never cost a request that went well more than a few additions.

use std::cell::Cell;
use std::rc::Rc;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::admit::Permit;
use super::flight::Flight;
use super::{head, recorder};
use crate::host::meter::now_ns;
use crate::model::outcome::{Loud, Outcome, Rejection, Row, Start};
use crate::model::request_id::RequestId;
use crate::net::socket::Link;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const START: HeaderName = HeaderName::from_static("x-spawnpoint-start");
const VERSION: HeaderName = HeaderName::from_static("x-spawnpoint-version");

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

/// When each phase ended, on the clock of `now_ns`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Phases {
    /// The head was whole.
    pub began: u64,
    /// A function was found.
    pub routed: u64,
    /// The request was let in, its program at hand.
    pub admitted: u64,
}

/// A request in progress. Dropping it frees its place; [`Visit::ends`] says how it went first.
pub struct Visit {
    /// The platform's name for it.
    pub id: RequestId,
    /// Its phases.
    pub phases: Phases,
    /// Whether the client wants no body: it asked with HEAD.
    headless: bool,
    link: Rc<Link>,
    permit: Option<Permit>,
    /// Whether its end was counted.
    told: bool,
    /// The call, so that one whose client leaves before a head is accounted for too.
    pub flight: Option<Rc<Flight>>,
    /// When the answer's head was made; zero before.
    pub(super) head_ns: Cell<u64>,
    /// Whether the answer goes on after its head.
    pub(super) streams: bool,
}

impl Visit {
    /// A request whose head is whole.
    #[must_use]
    pub fn new(ids: &Ids, link: &Rc<Link>, headless: bool) -> Self {
        Self {
            id: ids.next(),
            phases: Phases { began: now_ns(), ..Phases::default() },
            headless,
            link: link.clone(),
            permit: None,
            told: false,
            flight: None,
            head_ns: Cell::new(0),
            streams: false,
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

    /// Adds what every answer carries.
    pub fn mark(&self, headers: &mut HeaderMap, flight: Option<&Flight>) {
        if let Ok(id) = HeaderValue::from_bytes(&self.id.digits()) {
            headers.insert(head::REQUEST_ID, id);
        }
        let mut timing = Timing::default();
        self.head_ns.set(now_ns());
        self.time(&mut timing, flight, self.head_ns.get());
        if let Ok(timing) = HeaderValue::from_bytes(timing.text()) {
            headers.append(SERVER_TIMING, timing);
        }
        if let (Some(flight), Some(permit)) = (flight, &self.permit) {
            headers.insert(START, HeaderValue::from_static(flight.start().as_str()));
            headers.insert(VERSION, permit.live.header.clone());
        }
    }

    fn time(&self, timing: &mut Timing, flight: Option<&Flight>, now: u64) {
        let Phases { began, routed, admitted } = self.phases;
        let routed = if routed == 0 { now } else { routed };
        timing.phase("route", began, routed);
        if admitted == 0 {
            return;
        }
        timing.phase(", queue", routed, admitted);
        if let Some(flight) = flight {
            let spawned = flight.spawned_at_ns();
            let spawned = if spawned == 0 { now } else { spawned };
            timing.phase(", spawn", admitted, spawned);
            timing.push(match flight.start() {
                Start::Cold => ";desc=\"cold\"",
                Start::Spawned => ";desc=\"spawned\"",
                Start::Warm => ";desc=\"warm\"",
                Start::Reused => ";desc=\"reused\"",
            });
            timing.phase(", guest", spawned, now);
        }
    }

    /// Counts and logs how the guest ended.
    pub fn ends(mut self, outcome: &Outcome, flight: Option<&Flight>) {
        self.tell(outcome, flight);
    }

    fn tell(&mut self, outcome: &Outcome, flight: Option<&Flight>) {
        self.told = true;
        if let Some(permit) = &mut self.permit {
            permit.report(outcome);
        }
        let Some(permit) = &self.permit else { return };
        let account = &permit.route.shared;
        let used = flight.map(Flight::used).unwrap_or_default();
        let (cpu_ns, memory_peak) = (used.cpu_ns, used.memory_peak);
        recorder::account(self, permit, outcome, (flight, used));
        account.cpu_us.increment(cpu_ns / 1_000);
        let Permit { route, live, .. } = permit;
        if !flight.is_some_and(|flight| flight.weighed.get()) {
            live.weigh(cpu_ns);
        }
        let cpu_ms = cpu_ns / 1_000_000;
        if let Outcome::Completed = outcome {
            account.completed.increment(1);
            tracing::debug!(id = %self.id, tenant = %route.tenant, function = %route.function, cpu_ns, "answered");
            return;
        }
        let Row { code, metric, .. } = outcome.row();
        let (tenant, function) = (route.tenant.to_string(), route.function.to_string());
        metrics::counter!(metric, "tenant" => tenant, "function" => function, "code" => code).increment(1);
        if account.may_log(now_ns()) {
            let detail = outcome.detail();
            tracing::info!(id = %self.id, tenant = %route.tenant, function = %route.function, version = %live.number, code, detail, cpu_ms, memory_peak, "a call failed");
        }
    }

    /// Counts and logs how a guest ended whose call is tried again.
    pub fn fails_once(&mut self, outcome: &Outcome, flight: Option<&Flight>) {
        self.tell(outcome, flight);
        self.told = false;
    }

    /// Counts and logs why no guest ran.
    pub fn rejected(&mut self, rejection: &Rejection) {
        self.told = true;
        let Row { code, metric, loud, .. } = rejection.row();
        metrics::counter!(metric, "code" => code).increment(1);
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

/// A `server-timing` field in the making, without an allocation.
struct Timing {
    text: [u8; Self::ROOM],
    used: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Self { text: [0; Self::ROOM], used: 0 }
    }
}

impl Timing {
    /// Room for four phases of twenty digits each, with their names.
    const ROOM: usize = 192;

    fn push(&mut self, text: &str) {
        let end = self.used + text.len();
        if let Some(room) = self.text.get_mut(self.used..end) {
            room.copy_from_slice(text.as_bytes());
            self.used = end;
        }
    }

    /// Milliseconds with three decimals, without going through floating point.
    fn phase(&mut self, name: &str, from_ns: u64, to_ns: u64) {
        let us = to_ns.saturating_sub(from_ns) / 1_000;
        self.push(name);
        self.push(";dur=");
        let mut digits = itoa::Buffer::new();
        self.push(digits.format(us / 1_000));
        // A thousand more, for the zeros in front.
        let decimals = digits.format(1_000 + us % 1_000);
        self.push(".");
        self.push(decimals.get(1..).unwrap_or(""));
    }

    fn text(&self) -> &[u8] {
        self.text.get(..self.used).unwrap_or_default()
    }
}
