//! The control: plain hyper, a thread for each core, the same 14 bytes and nothing else.
//! Must never do anything that the servers under test are spared, or spare itself what they must do.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::Result;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

/// How the control is run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Native {
    pub(crate) threads: usize,
}

const ANSWER: Bytes = Bytes::from_static(crate::subjects::HELLO.as_bytes());

/// Serves until it is killed.
pub(crate) fn serve(native: Native) -> Result<()> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let mut seats = vec![];
    for _ in 0..native.threads {
        let (seat, arrivals) = mpsc::channel(64);
        std::thread::spawn(move || work(arrivals));
        seats.push(seat);
    }
    say!("ready native=http://{}", listener.local_addr()?);
    for seat in seats.iter().cycle() {
        let (connection, _) = listener.accept()?;
        connection.set_nodelay(true)?;
        connection.set_nonblocking(true)?;
        seat.blocking_send(connection)?;
    }
    Ok(())
}

fn work(mut arrivals: mpsc::Receiver<TcpStream>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    runtime.block_on(local.run_until(async {
        while let Some(connection) = arrivals.recv().await {
            local.spawn_local(converse(connection));
        }
    }));
    Ok(())
}

async fn converse(connection: TcpStream) {
    let Ok(connection) = tokio::net::TcpStream::from_std(connection) else { return };
    // No timer, so no time limits either: the control gets every advantage there is.
    // A client that hangs up is the end of a round.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service_fn(answer)).await;
}

async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(ANSWER));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}
