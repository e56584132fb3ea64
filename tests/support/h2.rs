//! HTTP/2 with prior knowledge: one connection of hyper's client, on a runtime of its own.

use std::future::Future;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::runtime::{Builder, Runtime};

use super::PATIENCE;
use super::client::Answer;

/// A request with its body.
pub type Request = http::Request<Full<Bytes>>;

/// One connection.
pub struct H2 {
    runtime: Runtime,
    sender: SendRequest<Full<Bytes>>,
}

impl H2 {
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let (sender, connection) = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await.expect("the server accepts");
            handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a handshake")
        });
        // It ends when this connection is dropped; how is what the requests on it tell.
        drop(runtime.spawn(connection));
        Self { runtime, sender }
    }

    /// The means to send requests from several tasks.
    pub fn sender(&self) -> SendRequest<Full<Bytes>> {
        self.sender.clone()
    }

    /// Runs this to its end.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let bounded = async { tokio::time::timeout(PATIENCE, future).await };
        self.runtime.block_on(bounded).expect("an end in time")
    }

    /// Starts this beside everything else.
    pub fn start<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.runtime.spawn(future)
    }

    /// One request and its whole answer; the error is the stream's.
    pub fn send(&self, request: Request) -> Result<Answer, hyper::Error> {
        self.run(exchange(self.sender(), request))
    }

    /// GET.
    pub fn get(&self, uri: &str) -> Result<Answer, hyper::Error> {
        self.send(get(uri))
    }
}

/// A GET without a body; the authority goes into `:authority`.
pub fn get(uri: &str) -> Request {
    http::Request::get(uri).body(Full::default()).expect("a request")
}

/// Sends a request and reads its answer to the end. A body that breaks off is told in `Answer::whole`.
pub async fn exchange(
    mut sender: SendRequest<Full<Bytes>>,
    request: Request,
) -> Result<Answer, hyper::Error> {
    sender.ready().await?;
    let (head, mut body) = sender.send_request(request).await?.into_parts();
    let mut answer = Answer {
        status: head.status.as_u16(),
        headers: texts(&head.headers),
        body: Vec::new(),
        trailers: Vec::new(),
        whole: true,
    };
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => bytes.extend_from_slice(&data),
            Ok(Err(frame)) => answer.trailers = frame.into_trailers().map_or(vec![], |map| texts(&map)),
            Err(_) => {
                answer.whole = false;
                break;
            }
        }
    }
    answer.body = bytes.to_vec();
    Ok(answer)
}

fn texts(map: &http::HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    map.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}
