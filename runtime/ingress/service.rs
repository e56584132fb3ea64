//! The life of a request, top to bottom; the only branching on the data plane.
//! Must never answer without an id, a log line and a count, and never let an error pass unmapped.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, Scheme, Uri};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::admit::Permit;
use super::asked::Asked;
use super::body::{Body, Gathered, GuestBody};
use super::busy_poll::Doorbell;
use super::flight::{Flight, NoHead};
use super::reply::{self, Form};
use super::retry::Given;
use super::turnstile::Gate;
use super::visit::{Ids, Visit};
use super::watch::Watch;
use super::{Face, head, retry};
use crate::deploy::live::Live;
use crate::deploy::loader::LoadFailure;
use crate::deploy::table::Route;
use crate::engine::lanes::Group;
use crate::engine::lease::{Lease, Terms};
use crate::engine::pool::{Shelf, Taken, Wish};
use crate::engine::program::Program;
use crate::host::meter::{Meter, now_ns};
use crate::model::heaviness::Expected;
use crate::model::outcome::{Outcome, Rejection};
use crate::model::request_id::RequestId;
use crate::model::version::Handler;
use crate::net::body::{Bounded, Teller};
use crate::net::outbox::Outbox;
use crate::net::socket::Link;
use crate::telemetry::times::Times;

/// What the requests of one thread share.
pub struct Desk {
    /// What all threads share.
    pub face: Arc<Face>,
    /// This thread's instances.
    pub shelf: Rc<Shelf>,
    /// This thread's watch.
    pub watch: Rc<Watch>,
    /// This thread's answers on their way out.
    pub outbox: Rc<Outbox>,
    /// Where this thread hears of each request.
    pub doorbell: Rc<Doorbell>,
    /// This thread's request ids.
    pub ids: Ids,
    /// How long this thread's requests took.
    pub times: Arc<Times>,
}

/// Where the requests of one connection come from.
pub struct Caller {
    /// Its socket.
    pub link: Rc<Link>,
    /// Through which it comes to its turns.
    pub gate: Rc<Gate>,
}

/// A failure before any byte of an answer.
pub(super) enum Failure {
    Rejected(Rejection),
    Failed(Outcome),
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

/// Names the request, has it answered, and maps whatever went wrong. Never fails.
pub async fn serve(desk: Rc<Desk>, from: Rc<Caller>, request: Request<Incoming>) -> Response<Body> {
    let link = &from.link;
    link.request_begins(request.version() == http::Version::HTTP_2);
    desk.doorbell.ring();
    let form = Form::of(request.headers());
    let mut visit = Visit::new(&desk.ids, link, request.method() == Method::HEAD);
    match respond(&desk, &from, &mut visit, request).await {
        Ok((response, flight)) => finish(&desk.times, visit, response, &flight),
        Err((Failure::Rejected(rejection), _)) => {
            visit.rejected(&rejection, &desk.face.table.rejected);
            let mut response = reply::rejected(&rejection, form, visit.id);
            if let Rejection::Draining = rejection {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            visit.mark(&desk.times, response.headers_mut(), None);
            response
        }
        Err((Failure::Failed(outcome), flight)) => {
            let mut response = reply::failed(&outcome, form, visit.id);
            visit.mark(&desk.times, response.headers_mut(), flight.as_deref());
            visit.ends(&outcome, flight.as_deref());
            response
        }
    }
}

/// The last step of a request that went well: a whole answer ends here, a streamed one takes the visit along.
fn finish(times: &Times, visit: Visit, mut response: Response<Body>, flight: &Flight) -> Response<Body> {
    visit.mark(times, response.headers_mut(), Some(flight));
    match response.body_mut() {
        Body::Guest(guest) => guest.hold(visit),
        Body::Whole(_) => visit.ends(&Outcome::Completed, Some(flight)),
    }
    response
}

pub(super) type Answered = Result<(Response<Body>, Rc<Flight>), (Failure, Option<Rc<Flight>>)>;

/// Route, admit, lease, invoke: each step takes what the one before it gave.
async fn respond(desk: &Rc<Desk>, from: &Caller, visit: &mut Visit, request: Request<Incoming>) -> Answered {
    let refused = |rejection: Rejection| (Failure::Rejected(rejection), None);
    let (mut parts, body) = request.into_parts();
    let (permit, prefix) = admit(desk, (from, &parts), visit).await.map_err(refused)?;
    visit.phases.routed = now_ns();
    let (route, live) = (permit.route.clone(), permit.live.clone());
    visit.admit(permit).await.map_err(refused)?;
    let body = if live.retries.is_some() && retry::may_be_repeated(&parts.method) {
        let gathered = Box::pin(retry::gather(&live, visit.phases.began, body)).await;
        gathered.map_err(|failure| (failure, None))?
    } else {
        Given::Streamed(body)
    };
    let (program, cold) = match live.loaded() {
        Some(program) => (program, false),
        // Boxed, so that a request whose program is at hand carries nothing of it.
        None => Box::pin(load(desk, visit, &live)).await.map_err(refused)?,
    };
    let wish = if cold { Wish::Cold } else { Wish::Any };
    let taken = match desk.shelf.take(&program, live.limits.cpu_ms, wish) {
        Some(taken) => taken,
        None => Box::pin(desk.shelf.wait(&program)).await.ok_or(Rejection::Overloaded).map_err(refused)?,
    };
    visit.phases.admitted = now_ns();
    live.touch(visit.phases.admitted);

    // HTTP/2 has no host field, only an authority.
    let of_authority = || HeaderValue::from_str(parts.uri.authority()?.as_str()).ok();
    let host = parts.headers.get(header::HOST).cloned().or_else(of_authority);
    rewrite(&mut parts, (prefix, &route), live.handler);
    introduce(&mut parts.headers, host, &from.link, visit.id);
    let call = Calling { desk, live, program, group: route.group, cold };
    let body = match body {
        Given::Kept(bytes) => return Box::pin(retry::twice(&call, visit, taken, (parts, bytes))).await,
        Given::Streamed(body) => body,
    };
    let limit = call.live.limits.request_body_bytes;
    call.once(visit, taken, parts, |meter| Asked::Streamed(Bounded::new(body, limit, Tell(meter.clone()))))
        .await
}

/// The program of a version that has none in memory; and whether it was loaded for this request.
async fn load(desk: &Desk, visit: &mut Visit, live: &Live) -> Result<(Arc<Program>, bool), Rejection> {
    let began = now_ns();
    let mut loaded = live.program(&desk.face.loader).await;
    if loaded.as_ref().is_err_and(LoadFailure::may_pass) {
        // No guest has run and no byte of the body is gone: whatever was asked for may be tried again.
        loaded = live.program(&desk.face.loader).await;
    }
    visit.phases.load_ns = now_ns().saturating_sub(began).max(1);
    loaded.map_err(|failure| {
        Rejection::HostError(format!("version {} of {}: {failure}", live.number, live.digest))
    })
}

/// One request on its way to a guest.
pub(super) struct Calling<'a> {
    /// The thread's.
    pub desk: &'a Rc<Desk>,
    /// Which version.
    pub live: Arc<Live>,
    /// Its program.
    pub program: Arc<Program>,
    /// Whose turn it takes in the heavy lane.
    pub group: Group,
    /// Whether the program was loaded for it.
    pub cold: bool,
}

impl Calling<'_> {
    /// Runs a guest on what was taken, until its answer is under way.
    pub(super) async fn once(
        &self,
        visit: &mut Visit,
        taken: Taken,
        parts: Parts,
        body: impl FnOnce(&Arc<Meter>) -> Asked,
    ) -> Answered {
        let Self { desk, live, program, group, cold } = self;
        let headless = parts.method == Method::HEAD;
        let hogged = taken.is_hogged(visit.phases.admitted);
        let terms = Terms {
            cpu_ms: live.limits.cpu_ms,
            max_requests: live.max_requests,
            cold: *cold,
            group: *group,
            heavy: match live.expected() {
                // There each tenant has its turn.
                Expected::Light => hogged && live.is_long(),
                // Each waits for its turn there with an instance of its own: a thousand calls would leave none for others,
                // for a doubt that may be the machine's doing.
                Expected::New => hogged || !(program.code.is_light() || desk.shelf.is_crowded()),
                Expected::Doubtful => hogged || !desk.shelf.is_crowded(),
                Expected::Heavy => true,
            },
        };
        let ask = |meter: &Arc<Meter>| Request::from_parts(parts, body(meter));
        let lease = Lease::new(&desk.shelf, program, (taken, terms), ask);
        let flight = Flight::new(lease, visit.phases.began, live.limits.wall_ms * 1_000_000);
        visit.flight = Some(flight.clone());
        match invoke(desk, (&flight, visit), live, headless).await {
            Ok(response) => Ok((response, flight)),
            Err(NoHead::Rejected(rejection)) => Err((rejection.into(), None)),
            Err(NoHead::Failed(outcome)) => Err((Failure::Failed(flight.judge(&outcome)), Some(flight))),
        }
    }
}

/// The right to run a guest, and how much of the path is the platform's.
type Admitted = (Permit, usize);

/// Everything that can be refused without a guest.
async fn admit(
    desk: &Desk,
    (from, parts): (&Caller, &Parts),
    visit: &mut Visit,
) -> Result<Admitted, Rejection> {
    let (mut route, mut prefix) = find(&desk.face, parts).inspect_err(|_| from.gate.is_lost())?;
    let mut now = visit.phases.began;
    if from.gate.enters(&route.shared.account).await {
        // Much may have changed meanwhile.
        (route, prefix) = find(&desk.face, parts)?;
        now = now_ns();
    }
    let declared = head::declared_length(&parts.headers).unwrap_or(0);
    let entered = Permit::enter(route.clone(), now).and_then(|permit| {
        let fits = declared <= permit.live.limits.request_body_bytes;
        if fits { Ok(permit) } else { Err(Rejection::PayloadTooLarge) }
    });
    let permit = entered.inspect_err(|_| visit.refused_by = Some(route))?;
    Ok((permit, prefix))
}

/// Whose request it is, and how much of its path is the platform's.
fn find(face: &Face, parts: &Parts) -> Result<(Arc<Route>, usize), Rejection> {
    if face.is_draining() {
        return Err(Rejection::Draining);
    }
    head::check(parts, face.limits.header_bytes as usize, face.limits.header_fields as usize)?;
    // Names are kept in lower case, and a host is compared without: few hosts come in any other.
    let host = head::host(parts)?.map(|host| match host.name() {
        name if name.bytes().any(|b| b.is_ascii_uppercase()) => Cow::Owned(name.to_ascii_lowercase()),
        name => Cow::Borrowed(name),
    });
    let target = head::target(host.as_deref(), parts.uri.path(), &face.base_domain)?;
    let routes = face.table.now();
    let route = routes.find(target.tenant, target.function).ok_or(Rejection::NoRoute)?;
    Ok((route.clone(), target.prefix))
}

/// Makes the target what the guest is to see: without the platform's prefix, and whole where 0.3 reads it whole.
fn rewrite(parts: &mut Parts, (prefix, route): (usize, &Route), handler: Handler) {
    let whole = matches!(handler, Handler::Http03) || !parts.headers.contains_key(header::HOST);
    let authority = if whole { head::authority(parts) } else { None };
    head::strip(&mut parts.headers);
    if prefix > 0
        && let Some(prefix) = route.shared.prefix(route)
    {
        parts.headers.insert(head::FORWARDED_PREFIX, prefix);
    }
    if prefix > 0 || whole {
        let mut uri = http::uri::Parts::default();
        uri.path_and_query = Some(head::strip_prefix(&parts.uri, prefix));
        if whole {
            uri.scheme = Some(Scheme::HTTP);
            // HTTP/1.0 without a host: the guest is told the one name that is always true.
            uri.authority = authority.or_else(|| Some(Authority::from_static("localhost")));
        }
        if let Ok(uri) = Uri::from_parts(uri) {
            parts.uri = uri;
        }
    }
}

/// Tells the guest who asks.
fn introduce(headers: &mut HeaderMap, host: Option<HeaderValue>, link: &Link, id: RequestId) {
    if let Some(host) = host {
        headers.insert(head::FORWARDED_HOST, host);
    }
    headers.insert(head::FORWARDED_PROTO, HeaderValue::from_static("http"));
    headers.insert(head::FORWARDED_FOR, link.address.clone());
    if let Ok(id) = HeaderValue::from_bytes(&id.digits()) {
        headers.insert(head::REQUEST_ID, id);
    }
}

/// Runs the guest until its answer is under way.
async fn invoke(
    desk: &Desk,
    (flight, visit): (&Rc<Flight>, &Visit),
    live: &Live,
    headless: bool,
) -> Result<Response<Body>, NoHead> {
    let watched = Cell::new(false);
    let goes_on = || {
        if !watched.replace(true) {
            desk.watch.flight(flight);
        }
        // Told at once: the calls behind it need not find it out for themselves.
        if flight.has_moved() && !flight.weighed.replace(true) {
            live.surprises(visit.calls());
        }
    };
    let response = std::future::poll_fn(|cx| {
        let polled = flight.poll_head(cx);
        if polled.is_pending() {
            goes_on();
        }
        polled
    })
    .await?;
    let (mut parts, body) = response.into_parts();
    let outcome = |text: &str| NoHead::Failed(Outcome::BadResponse(text.to_owned()));
    if parts.status.is_informational() {
        flight.stop(Outcome::BadResponse("an informational status".to_owned()));
        return Err(outcome("an informational status"));
    }
    head::strip_answer(&mut parts.headers);
    let bodiless =
        matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::RESET_CONTENT);
    // An answer to HEAD declares the length of what it does not send.
    let declared = if bodiless || headless { None } else { head::declared_length(&parts.headers) };
    if let Some(declared) = declared.filter(|declared| *declared > live.limits.response_body_bytes) {
        // Told while it still can be: later the answer could only break off.
        flight.answer_bytes.set(declared);
        flight.stop(Outcome::ResponseTooLarge);
        return Err(NoHead::Failed(Outcome::ResponseTooLarge));
    }
    let mut guest = GuestBody::new(flight.clone(), body, live.limits.response_body_bytes, declared);
    let gathered = std::future::poll_fn(|cx| {
        let polled = guest.poll_gather(cx);
        if polled.is_pending() {
            goes_on();
        }
        polled
    });
    let body = match gathered.await {
        Gathered::Failed(outcome) => {
            flight.stop(outcome.clone());
            return Err(NoHead::Failed(outcome));
        }
        Gathered::Whole(bytes) => Body::Whole(Some(bytes)),
        Gathered::Streaming => {
            if bodiless {
                guest.send_nothing();
            }
            if !watched.get() {
                desk.watch.flight(flight);
            }
            Body::Guest(Box::new(guest))
        }
    };
    Ok(Response::from_parts(parts, body).map(|body| match body {
        // hyper would send a length that contradicts the status.
        Body::Whole(_) if bodiless => Body::Whole(None),
        body => body,
    }))
}

/// Tells the guest's account, and the guest, what is wrong with the client's body.
pub struct Tell(pub(super) Arc<Meter>);

impl Teller for Tell {
    type Error = wasmtime_wasi_http::Error;

    fn too_long(&self, seen: u64) -> Self::Error {
        self.0.request_body_is_too_large(seen);
        wasmtime_wasi_http::Error::HttpRequestBodySize(None)
    }

    fn awaits(&self, client: bool) {
        self.0.body_is_awaited(client);
    }

    fn broken(&self, error: &hyper::Error) -> Self::Error {
        tracing::debug!(%error, "a request's body broke off");
        self.0.body_breaks();
        wasmtime_wasi_http::Error::ConnectionTerminated
    }
}
