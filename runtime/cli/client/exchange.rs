//! One request and its answer over a connection of its own, within a time.
//! Must never follow a redirect: a token would go where nobody sent it.

use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{ClientError, Origin, Payload};
use crate::tasks;

/// How long a server may take to accept.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the body waits for a server that does not say whether it wants it (RFC 9110, section 10.1.1).
const CONTINUE: Duration = Duration::from_secs(1);
/// Bodies from this size on are sent only to a server that wants them: one that refuses early and closes would else be
/// seen as a broken connection, and its reason lost.
const EXPECT_FROM: u64 = 16 << 10;

/// Sends a request and waits for the head of its answer, at most `patience`.
pub(crate) async fn exchange(
    origin: &Origin,
    mut request: Request<Payload>,
    patience: Duration,
) -> Result<Response<Incoming>, ClientError> {
    let timed_out =
        |after: Duration| ClientError::Timeout { origin: origin.clone(), seconds: after.as_secs() };
    let broken = |source| ClientError::Broken { origin: origin.clone(), source };
    let (host, port) = origin.target();
    let stream = match timeout(CONNECT, TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(source)) => return Err(ClientError::Unreachable { origin: origin.clone(), source }),
        Err(_) => return Err(timed_out(CONNECT)),
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // What ends a connection also ends the exchange or the body, which say so.
    tasks::detached(async move { drop(connection.await) });
    if request.body().len() >= EXPECT_FROM {
        hold_back(&mut request);
    }
    match timeout(patience, sender.send_request(request)).await {
        Ok(answer) => answer.map_err(broken),
        Err(_) => Err(timed_out(patience)),
    }
}

/// Keeps the body back until the server says `100 Continue`, or says nothing for a while.
fn hold_back(request: &mut Request<Payload>) {
    request.headers_mut().insert(header::EXPECT, HeaderValue::from_static("100-continue"));
    let wanted = Arc::new(Notify::new());
    let heard = wanted.clone();
    hyper::ext::on_informational(request, move |head| {
        if head.status() == StatusCode::CONTINUE {
            heard.notify_one();
        }
    });
    request.body_mut().behind(Box::pin(async move {
        // Silence is consent.
        drop(timeout(CONTINUE, wanted.notified()).await);
    }));
}
