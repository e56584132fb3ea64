//! What holds of sockets.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Rig, UPLOAD};
use crate::tasks;

const SOON: Duration = Duration::from_secs(5);

struct Served {
    rig: Rig,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    ended: JoinHandle<std::io::Result<()>>,
}

async fn served() -> Served {
    let rig = Rig::new().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let ended = tasks::detached(crate::admin::serve(listener, rig.router.clone(), stopped));
    Served { rig, address, stop, ended }
}

impl Served {
    fn upload(&self, headers: &str) -> String {
        let token = &self.rig.token;
        format!(
            "PUT /v1/tenants/default/functions/f HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n{headers}\r\n\r\n"
        )
    }
}

/// Everything until the other end closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    tokio::time::timeout(SOON, stream.read_to_end(&mut text)).await.expect("no end").expect("reset");
    String::from_utf8(text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_refused_while_it_sends_gets_to_read_why() {
    let served = served().await;
    let size = UPLOAD * 8;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(served.upload(&format!("content-length: {size}")).as_bytes()).await.unwrap();
    // All of it is sent before anything is read, as a simple client does.
    stream.write_all(&vec![0; size]).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("upload_too_large"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_first_is_refused_before_it_sends() {
    let served = served().await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let headers = format!("content-length: {}\r\nexpect: 100-continue", UPLOAD * 8);
    stream.write_all(served.upload(&headers).as_bytes()).await.unwrap();
    let mut buffer = vec![0; 4096];
    let read = tokio::time::timeout(SOON, stream.read(&mut buffer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&buffer[..read]);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_whose_client_leaves_leaves_nothing() {
    let served = served().await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(served.upload(&format!("content-length: {UPLOAD}")).as_bytes()).await.unwrap();
    stream.write_all(&vec![0; UPLOAD / 2]).await.unwrap();
    while served.rig.kept() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(stream);
    let gone = async {
        while served.rig.kept() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, gone).await.expect("the half of an upload stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_idle_connections_and_lets_requests_finish() {
    let served = served().await;
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut buffer = vec![0; 4096];
    let read = idle.read(&mut buffer).await.unwrap();
    assert!(buffer[..read].starts_with(b"HTTP/1.1 200 "));
    let mut busy = TcpStream::connect(served.address).await.unwrap();
    busy.write_all(served.upload("content-length: 5").as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    served.stop.send(true).unwrap();
    assert_eq!(rest(&mut idle).await, "");
    drop(idle);
    busy.write_all(b"bytes").await.unwrap();
    let answer = rest(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    drop(busy);
    tokio::time::timeout(SOON, served.ended).await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}
