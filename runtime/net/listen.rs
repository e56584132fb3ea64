//! Listening: one socket, one acceptor on a thread of its own, which hands each connection to the least loaded thread.
//! Must never queue without a bound: a connection nobody has room for is answered and closed at once.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{SocketAddrAny, SocketFlags, acceptfrom_with};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};

use super::shed::Shed;
use crate::faults;

/// Connections waiting to be accepted by the kernel.
const BACKLOG: i32 = 1024;
/// Accepted connections on their way to one thread.
pub const HANDOVER: usize = 256;
/// Connections that are taken before the end is looked for.
const AT_ONCE: usize = 64;
/// Those who come within this time of others, whom nobody has looked at yet, wait for as long.
const MOMENT: Duration = Duration::from_micros(300);
/// Of so many places one is kept free, at the expense of connections that do nothing.
const SPARE: usize = 16;
/// Bytes of an answer that the kernel keeps and has not sent: who takes them slowly is seen to take something.
const UNSENT: u32 = 128 * 1024;
/// What is said to a connection there is no room for.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nx-spawnpoint-error: overloaded\r\nretry-after: 1\r\ncontent-type: text/plain\r\ncontent-length: 11\r\nconnection: close\r\n\r\noverloaded\n";

/// A thread that serves connections.
#[derive(Clone)]
pub struct Seat {
    /// Where its connections go.
    pub sender: mpsc::Sender<Arrival>,
    /// Its open connections.
    pub open: Arc<AtomicUsize>,
    /// Where it is asked for the places of those that do nothing.
    pub shed: Arc<Shed>,
}

impl Seat {
    /// Whether connections wait that it has not seen.
    fn is_behind(&self) -> bool {
        self.sender.capacity() < self.sender.max_capacity()
    }
}

/// One accepted connection, counted until it is dropped.
pub struct Arrival {
    /// The socket, non-blocking.
    pub stream: TcpStream,
    /// The other end.
    pub peer: SocketAddr,
    /// Keeps the connection counted.
    pub count: Counted,
}

/// One open connection of one thread.
pub struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Binds, with a backlog of our own and without sharing the port with anybody.
///
/// # Errors
/// The operating system's, for an address that is taken or not ours.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    // A port whose last owner's connections linger may be taken again; one with a live owner may not.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Accepts until told to stop. Blocks its thread for a moment where connections come faster than they are
/// served.
///
/// # Errors
/// When the listener cannot be watched at all; errors of single connections are survived.
pub async fn accept(
    listener: TcpListener,
    seats: Vec<Seat>,
    most: usize,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    #[expect(
        deprecated,
        reason = "a listener stays the same descriptor, which its successor has one swear to"
    )]
    let listener = AsyncFd::with_interest(listener, Interest::READABLE)?;
    let mut last = Instant::now();
    loop {
        let mut ready = tokio::select! {
            ready = listener.readable() => ready?,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        // Each look takes a core from a thread that answers: while those are behind, who comes within a moment is taken together.
        if last.elapsed() < MOMENT && seats.iter().any(Seat::is_behind) {
            std::thread::sleep(MOMENT);
        }
        last = Instant::now();
        let outcome = accept_all(listener.get_ref(), &seats, most);
        match outcome {
            Ok(Waiting::None) => ready.clear_ready(),
            Ok(Waiting::Some) => {}
            Err(error) => {
                // Out of file descriptors, most likely: accepting again at once would only spin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Whether connections may be left.
enum Waiting {
    None,
    Some,
}

/// Takes those that wait, up to a bound.
fn accept_all(listener: &TcpListener, seats: &[Seat], most: usize) -> io::Result<Waiting> {
    for _ in 0..AT_ONCE {
        match acceptfrom_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok((socket, peer)) => {
                faults::at("ingress.accept")?;
                seat(TcpStream::from(socket), peer, seats, most);
            }
            Err(Errno::AGAIN) => return Ok(Waiting::None),
            Err(Errno::CONNABORTED | Errno::CONNRESET | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Waiting::Some)
}

fn seat(stream: TcpStream, peer: Option<SocketAddrAny>, seats: &[Seat], most: usize) {
    let load = |seat: &Seat| seat.open.load(Relaxed);
    let open: usize = seats.iter().map(load).sum();
    if open >= most - most / SPARE
        && let Some(fullest) = seats.iter().max_by_key(|seat| load(seat))
    {
        fullest.shed.ask();
    }
    let Some(least) = seats.iter().min_by_key(|seat| load(seat)).filter(|_| open < most) else {
        return refuse(stream);
    };
    let set = stream.set_nodelay(true).and_then(|()| SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT));
    let (Some(Ok(peer)), Ok(())) = (peer.map(SocketAddr::try_from), set) else {
        tracing::debug!("a connection was gone before it was served");
        return;
    };
    least.open.fetch_add(1, Relaxed);
    let count = Counted(least.open.clone());
    if let Err(full) = least.sender.try_send(Arrival { stream, peer, count }) {
        refuse(full.into_inner().stream);
    }
}

/// What one thread may be asked for at once where there are so many places.
#[must_use]
pub fn spare(most: usize) -> usize {
    (most / SPARE).max(1)
}

fn refuse(mut stream: TcpStream) {
    metrics::counter!("spawnpoint_connections_refused_total").increment(1);
    // It does not wait for a client that there is no room for.
    let _ = stream.write_all(FULL);
}
