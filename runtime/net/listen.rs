//! Listening: one socket, one acceptor, which hands each connection to the least loaded thread.
//! Must never queue without a bound: a connection nobody has room for is answered and closed at once.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::faults;

/// Connections waiting to be accepted by the kernel.
const BACKLOG: i32 = 1024;
/// Accepted connections on their way to one thread.
pub const HANDOVER: usize = 256;
/// What is said to a connection there is no room for.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nx-spawnpoint-error: overloaded\r\nretry-after: 1\r\ncontent-type: text/plain\r\ncontent-length: 11\r\nconnection: close\r\n\r\noverloaded\n";

/// A thread that serves connections.
#[derive(Clone)]
pub struct Seat {
    /// Where its connections go.
    pub sender: mpsc::Sender<Arrival>,
    /// Its open connections.
    pub open: Arc<AtomicUsize>,
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

/// Accepts until told to stop.
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
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => faults::at("ingress.accept").and(accepted),
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        // Taken off this thread's event queue: the thread that serves it has its own.
        match accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
            Ok((stream, peer)) => seat(stream, peer, &seats, most),
            Err(error) if is_transient(&error) => {}
            Err(error) => {
                // Out of file descriptors, most likely: accepting again at once would only spin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn is_transient(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

fn seat(stream: TcpStream, peer: SocketAddr, seats: &[Seat], most: usize) {
    let load = |seat: &Seat| seat.open.load(Relaxed);
    let open: usize = seats.iter().map(load).sum();
    let Some(least) = seats.iter().min_by_key(|seat| load(seat)).filter(|_| open < most) else {
        return refuse(stream);
    };
    if let Err(error) = stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)) {
        tracing::debug!(%error, "a connection was gone before it was served");
        return;
    }
    least.open.fetch_add(1, Relaxed);
    let count = Counted(least.open.clone());
    if let Err(full) = least.sender.try_send(Arrival { stream, peer, count }) {
        refuse(full.into_inner().stream);
    }
}

fn refuse(mut stream: TcpStream) {
    metrics::counter!("spawnpoint_connections_refused_total").increment(1);
    // Never wait for a client that there is no room for.
    let _ = stream.set_nonblocking(true).and_then(|()| stream.write_all(FULL));
}
