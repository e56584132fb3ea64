//! The admin listener: a bounded number of connections, each bounded in what it may wait for.
//! Must never cut off a refusal: a client that is still sending when it is refused would otherwise lose the answer.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::socket::Patient;
use crate::{faults, tasks};

/// Open connections; above that, clients wait in the kernel's queue.
const CONNECTIONS: u32 = 256;
/// From accept, or from the end of the last answer, until a whole head must have arrived.
const HEAD: Duration = Duration::from_secs(10);
/// Fields of a head.
const HEAD_FIELDS: usize = 100;
/// Bytes of a head, and of what is read of a body at once.
const READ_BYTES: usize = 64 * 1024;
/// A client that takes no byte of its answer for this long is cut off.
const STALL: Duration = Duration::from_secs(30);
/// How long a client that was refused while it was sending may go on.
const LINGER: Duration = Duration::from_secs(3);
/// What the end waits for requests in progress.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves until told to stop, then until the requests in progress are answered, but not for long.
///
/// # Errors
/// When the listener cannot be watched at all; errors of single connections are survived.
pub async fn serve(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let room = Arc::new(Semaphore::new(CONNECTIONS as usize));
    loop {
        let arrival = async {
            let place = room.clone().acquire_owned().await.map_err(io::Error::other)?;
            let (stream, _) = listener.accept().await?;
            faults::at("admin.accept")?;
            stream.set_nodelay(true)?;
            io::Result::Ok((stream, place))
        };
        let arrived = tokio::select! {
            arrived = arrival => arrived,
            // An error means that nobody is left to say stop.
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match arrived {
            Ok((stream, place)) => {
                drop(tasks::detached(connection(stream, router.clone(), stop.clone(), place)));
            }
            Err(error) => {
                tracing::debug!(%error, "the admin listener cannot accept a connection");
                // Out of file descriptors, most likely: accepting again at once would only spin.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    drop(listener);
    // Every place is free when every connection has ended.
    let ended = tokio::time::timeout(DRAIN, room.acquire_many(CONNECTIONS)).await;
    if ended.is_err() {
        tracing::warn!("admin requests were cut off at the end of the drain");
    }
    Ok(())
}

async fn connection(
    stream: TcpStream,
    router: Router,
    mut stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| Box::pin(router.call(request)));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(HEAD_FIELDS)
        .max_buf_size(READ_BYTES)
        .serve_connection(TokioIo::new(Patient::new(stream, STALL)), service);
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            ended = std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    match ended {
        Ok(()) => linger(connection.into_parts().io.into_inner().into_inner()).await,
        Err(error) => tracing::debug!(%error, "an admin connection broke"),
    }
}

/// Ends a connection such that the other end gets to read the answer: closing while bytes of its request are still
/// coming would make the kernel reset the connection, and throw away what the client has not read yet (RFC 9112,
/// section 9.6).
async fn linger(mut stream: TcpStream) {
    let mut sink = [0; 4 * 1024];
    let reading = async {
        stream.shutdown().await?;
        while stream.read(&mut sink).await? > 0 {}
        io::Result::Ok(())
    };
    // However it ends, the connection is over.
    let _ = tokio::time::timeout(LINGER, reading).await;
}
