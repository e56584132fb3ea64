//! One thread of the data plane: its runtime, its connections, its instances. Nothing on it is shared but the face.
//! Must never block: what waits, waits in a future.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::Face;
use super::busy_poll::Doorbell;
use super::service::{Caller, Desk, serve};
use super::turnstile::{Gate, Turnstile};
use super::visit::Ids;
use super::watch::{Watch, now_ms};
use crate::engine::crew::Order;
use crate::engine::lanes::HeavyLane;
use crate::engine::pool::{Bounds, Shelf};
use crate::engine::ticker::Ticker;
use crate::host::meter::now_ns;
use crate::model::limits::{self, ServerLimits};
use crate::net::listen::Arrival;
use crate::net::outbox::Outbox;
use crate::net::shed::Shed;
use crate::net::socket::{Link, Socket};
use crate::tasks::precedence::Slept;
use crate::tasks::{self, Rank};
use crate::telemetry::times::Times;

/// Bytes hyper may buffer of one connection: above what a head may have, so that a large head is refused by name.
const BUFFER: usize = 64 * 1024;
/// The same for HTTP/2.
const HTTP2_HEAD: u32 = 64 * 1024;
/// Fields hyper parses: above what a head may have, for the same reason.
const FIELDS: usize = 200;

/// What a thread is started with.
pub struct Hire {
    /// What all threads share.
    pub face: Arc<Face>,
    /// The epoch thread.
    pub ticker: Arc<Ticker>,
    /// Where calls go on that are not short.
    pub heavy: HeavyLane,
    /// Connections for this thread.
    pub arrivals: mpsc::Receiver<Arrival>,
    /// Where it is asked for the places of connections that do nothing.
    pub shed: Arc<Shed>,
    /// Orders of the control plane.
    pub orders: mpsc::Receiver<Order>,
    /// Where this thread's requests leave how long they took.
    pub times: Arc<Times>,
    /// Differs from process to process.
    pub node: u32,
    /// Which thread this is, and of how many.
    pub index: (usize, usize),
    /// Where it stays.
    pub core: Option<usize>,
}

/// Starts a thread. It ends when nobody can send it orders any more.
///
/// # Errors
/// When the operating system gives no thread, or no event queue for it.
pub fn start(hire: Hire) -> io::Result<JoinHandle<()>> {
    // What blocks, blocks on threads that come after this one.
    let start = || {
        tasks::take(Rank::Administers);
        tasks::roam();
    };
    let slept = Arc::<Slept>::default();
    let (begins, ends) = (slept.clone(), slept.clone());
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.on_thread_park(move || begins.begins(now_ns())).on_thread_unpark(move || ends.ends(now_ns()));
    let runtime = builder.on_thread_start(start).enable_all().build()?;
    tasks::thread(&format!("worker-{}", hire.index.0), move || {
        tasks::take(Rank::Answers);
        let ticker = hire.ticker.clone();
        let _member = ticker.precedence().join(slept);
        hire.core.into_iter().for_each(tasks::stay_on);
        let set = LocalSet::new();
        set.block_on(&runtime, run(hire));
        // Dropping the set here ends every connection that outlived the drain, on the thread it lives on.
        drop(set);
        runtime.shutdown_background();
    })
}

async fn run(hire: Hire) {
    let Hire { face, ticker, heavy, mut arrivals, shed, mut orders, times, node, index: (index, of), .. } =
        hire;
    let share = u32::try_from(of).unwrap_or(1).max(1);
    let bounds = Bounds {
        live: (face.limits.instances / share).max(1),
        ready_per_program: face.limits.ready_per_program,
    };
    let budget = face.table.accounts.budget().clone();
    let doorbell = Rc::new(Doorbell::default());
    tasks::local(doorbell.clone().busy_poll(face.limits.busy_poll_us * 1_000, heavy.clone()));
    let shelf = Shelf::new(ticker.pulse(), heavy, (bounds, budget));
    let watch = Rc::new(Watch::default());
    let server_limits = face.limits;
    let ids = Ids::new(node, u8::try_from(index).unwrap_or(u8::MAX));
    let outbox = Rc::new(Outbox::default());
    tasks::local(outbox.clone().run());
    let turnstile = Turnstile::new(shelf.parties().clone(), outbox.clone());
    tasks::local(turnstile.clone().run());
    let turns = turnstile.clone();
    let desk =
        Rc::new(Desk { face, shelf: shelf.clone(), watch: watch.clone(), outbox, doorbell, ids, times });
    tasks::local(shelf.clone().janitor(async move || turns.sweeps().await));
    tasks::local(watch.clone().run(server_limits));
    tasks::local(watch.clone().shed(shed));
    let mut settle = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            // None comes once the acceptor has stopped, which is when the drain begins: what runs goes on.
            Some(arrival) = arrivals.recv() => tasks::local(connection(desk.clone(), Gate::new(&turnstile), arrival)),
            order = orders.recv() => match order {
                Some(Order::Forget { programs, stay, done }) => {
                    for program in programs {
                        if stay { shelf.clear(program) } else { shelf.forget(program) }
                    }
                    // Whoever ordered it may have given up waiting.
                    let _ = done.send(());
                }
                Some(Order::Prepare(all)) => all.iter().for_each(|(new, old)| shelf.prepare(new, *old)),
                Some(Order::Drain) => watch.close_all(),
                None => return,
            },
            _ = settle.tick() => shelf.settle(),
        }
    }
}

/// Spawns the streams of an HTTP/2 connection on this thread, where each has its turns.
#[derive(Clone)]
struct Streams(Rc<Gate>);

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        tasks::local(self.0.clone().stream(stream));
    }
}

fn builder(limits: &ServerLimits, streams: Streams) -> Builder<Streams> {
    let mut builder = Builder::new(streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        // The watch bounds the time of a head, without a timer for each request.
        .header_read_timeout(None)
        .max_headers(FIELDS)
        // No `pipeline_flush`: with it hyper buffers an answer without a bound and holds it back behind a pipelined byte.
        .max_buf_size(BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::HTTP2_STREAMS)
        .max_header_list_size(limits.header_bytes.max(HTTP2_HEAD))
        .max_pending_accept_reset_streams(Some(20))
        .keep_alive_interval(Some(Duration::from_secs(20)));
    builder
}

async fn connection(desk: Rc<Desk>, gate: Gate, arrival: Arrival) {
    let Arrival { stream, peer, count } = arrival;
    let stream = match tokio::net::TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(%error, "a connection could not be watched");
            return;
        }
    };
    let link = Link::new(stream, peer.ip(), now_ms, desk.outbox.clone());
    desk.watch.link(&link);
    let gate = Rc::new(gate);
    let builder = builder(&desk.face.limits, Streams(gate.clone()));
    let io = TokioIo::new(Socket(link.clone()));
    let caller = Rc::new(Caller { link, gate: gate.clone() });
    let from = caller.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (desk, from) = (desk.clone(), from.clone());
        async move { Ok::<_, Infallible>(serve(desk, from, request).await) }
    });
    let serving = Box::pin(builder.serve_connection(io, service));
    let mut connection = Connection { serving, caller };
    let closed = (&mut connection).await;
    gate.ends();
    // Clearing it up takes a turn, too: it may have a hundred streams.
    let turn = poll_fn(|cx| gate.opens(cx).map_or(Poll::Pending, Poll::Ready)).await;
    drop(connection);
    gate.closes(&turn);
    if let Err(error) = closed {
        tracing::debug!(%error, "a connection ended early");
    }
    drop(count);
}

/// A connection that can be cut and asked to close from outside.
struct Connection<C> {
    serving: Pin<Box<C>>,
    caller: Rc<Caller>,
}

/// What hyper's connections have in common.
trait Closing {
    /// Ends after the requests in progress.
    fn close(self: Pin<&mut Self>);
}

impl<I, S, E> Closing for hyper_util::server::conn::auto::Connection<'_, I, S, E>
where
    S: hyper::service::HttpService<Incoming>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S::ResBody: 'static,
    <S::ResBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, S::ResBody>,
{
    fn close(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<C, E> Future for Connection<C>
where
    C: Future<Output = Result<(), E>> + Closing,
{
    type Output = Result<(), E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { serving, caller } = &mut *self;
        let link = &caller.link;
        if link.is_cut() {
            return Poll::Ready(Ok(()));
        }
        link.remember(cx.waker());
        let Some(turn) = caller.gate.opens(cx) else { return Poll::Pending };
        // The first bytes of a connection may be of either.
        link.may_read(caller.gate.may_read(&turn, link.http2.get() || !link.used.get()));
        if link.take_closing() {
            serving.as_mut().close();
        }
        // Only what the kernel did not take at once; the HTTP library believes it gone.
        if link.is_blocked() && matches!(link.poll_held(cx), Poll::Ready(Err(_))) {
            return Poll::Ready(Ok(()));
        }
        let polled = serving.as_mut().poll(cx);
        let took_ns = caller.gate.closes(&turn);
        caller.gate.has_read(took_ns, link.has_read_all());
        if polled.is_ready() {
            link.leave();
        }
        polled
    }
}
