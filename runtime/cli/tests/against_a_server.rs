//! What the client asks of a server, and what it makes of the answers.

use std::convert::Infallible;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use http::header::{self, HeaderMap};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::super::client::{Call, Client, Origin, Payload, Token};
use super::super::{exit_code, form};
use crate::model::manifest::Manifest;
use crate::{admin::wire::Functions, tasks};

/// A request that arrived.
struct Heard {
    method: Method,
    uri: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// How the server answers: a status and a body, before it has read the request's body or after.
#[derive(Clone, Copy)]
struct Script {
    reads: bool,
    answer: fn(&str) -> (u16, String),
}

type Log = Arc<Mutex<Vec<Heard>>>;

async fn serve(script: Script) -> (Client, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = Origin::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    let log = Log::default();
    let heard = log.clone();
    tasks::detached(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let heard = heard.clone();
            let service = service_fn(move |request| answer(request, script, heard.clone()));
            let connection = hyper::server::conn::http1::Builder::new();
            tasks::detached(connection.serve_connection(TokioIo::new(stream), service));
        }
    });
    (Client::new(origin, Some(Token::new("secret").unwrap())), log)
}

async fn answer(
    request: Request<Incoming>,
    script: Script,
    log: Log,
) -> Result<Response<Full<bytes::Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = if script.reads { body.collect().await.unwrap().to_bytes().to_vec() } else { Vec::new() };
    let uri = head.uri.to_string();
    let (status, text) = (script.answer)(&uri);
    log.lock().unwrap().push(Heard { method: head.method, uri, headers: head.headers, body });
    Ok(Response::builder().status(status).body(Full::from(text)).unwrap())
}

fn problem(status: u16, code: &str, detail: &str) -> (u16, String) {
    let text =
        json!({ "type": "about:blank", "title": "t", "status": status, "code": code, "detail": detail });
    (status, text.to_string())
}

fn upload(bytes: usize) -> (tempfile::NamedTempFile, Payload) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&vec![7; bytes]).unwrap();
    let payload = Payload::default().file(file.reopen().unwrap(), bytes as u64);
    (file, payload)
}

#[tokio::test]
async fn a_call_carries_the_token_and_its_length() {
    let (client, log) = serve(Script { reads: true, answer: |_| (200, "{}".into()) }).await;
    let mut call = Call::new(Method::PUT, "/v1/x");
    let sent = Arc::new(Mutex::new(0));
    let counted = sent.clone();
    let (_file, payload) = upload(200_000);
    call.payload = payload.watched(move |bytes| *counted.lock().unwrap() += bytes);
    let _: Value = client.call(call).await.unwrap();
    let log = log.lock().unwrap();
    let heard = &log[0];
    assert_eq!((&heard.method, heard.uri.as_str()), (&Method::PUT, "/v1/x"));
    assert_eq!(heard.headers[header::AUTHORIZATION], "Bearer secret");
    assert_eq!(heard.headers[header::CONTENT_LENGTH], "200000");
    assert_eq!(heard.body.len(), 200_000);
    assert_eq!(*sent.lock().unwrap(), 200_000);
}

#[tokio::test]
async fn a_refusal_before_the_body_is_read_is_heard() {
    let (client, log) = serve(Script { reads: false, answer: |_| problem(401, "unauthorized", "no") }).await;
    let mut call = Call::new(Method::PUT, "/v1/x");
    let (_file, payload) = upload(8 << 20);
    call.payload = payload;
    let error = client.call::<Value>(call).await.unwrap_err();
    assert_eq!(exit_code(&error), 4);
    assert!(error.to_string().ends_with("does not allow this: no (code unauthorized)"), "{error}");
    assert_eq!(log.lock().unwrap()[0].headers[header::EXPECT], "100-continue");
}

#[tokio::test]
async fn a_problem_is_told_with_its_detail_and_code() {
    let (client, _) =
        serve(Script { reads: true, answer: |_| problem(422, "not_wasm", "found a PNG") }).await;
    let error = client.get::<Value>("/").await.unwrap_err();
    assert_eq!(error.to_string(), "found a PNG (code not_wasm)");
    assert_eq!(exit_code(&error), 1);
}

#[tokio::test]
async fn what_is_no_spawnpoint_server_is_said_to_be_none() {
    let (client, _) = serve(Script { reads: true, answer: |_| (200, "<html>".into()) }).await;
    let error = client.get::<Functions>("/").await.unwrap_err();
    assert!(error.to_string().contains("no Spawnpoint admin API"), "{error}");
}

#[tokio::test]
async fn an_answer_without_a_body_is_an_answer() {
    let (client, _) = serve(Script { reads: true, answer: |_| (204, String::new()) }).await;
    assert_eq!(client.get::<Value>("/").await.unwrap(), Value::Null);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_with_what_to_do() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let client = Client::new(Origin::parse(&address).unwrap(), None);
    let error = client.get::<Value>("/").await.unwrap_err();
    assert_eq!(error.to_string(), format!("no server answers at http://{address}"));
    let hint = error.downcast_ref::<super::ClientError>().unwrap().hint().unwrap();
    assert!(hint.contains("spawnpoint serve"), "{hint}");
}

#[tokio::test]
async fn all_pages_of_a_list_are_read() {
    let answer = |uri: &str| {
        let function = |name: &str| {
            let urls = json!({ "path": "p", "host": "h" });
            json!({ "tenant": "t", "function": name, "url": "u", "urls": urls, "created_ms": 1, "activation": null })
        };
        let page = match uri {
            "/f" => json!({ "functions": [function("a")], "next": "a b" }),
            "/f?after=a%20b" => json!({ "functions": [function("b")] }),
            _ => json!({}),
        };
        (200, page.to_string())
    };
    let (client, _) = serve(Script { reads: true, answer }).await;
    let found: Functions = client.all("/f", "functions").await.unwrap();
    let names: Vec<_> = found.functions.iter().map(|each| each.function.as_str()).collect();
    assert_eq!((names, found.next), (vec!["a", "b"], None));
}

#[tokio::test]
async fn a_manifest_goes_before_the_wasm() {
    let (client, log) = serve(Script { reads: true, answer: |_| (200, "{}".into()) }).await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"\0asm").unwrap();
    let (payload, content_type) = form::body(&Manifest::default(), file.reopen().unwrap(), 4).unwrap();
    let mut call = Call::new(Method::PUT, "/");
    call.payload = payload;
    call.content_type = Some(content_type);
    let _: Value = client.call(call).await.unwrap();
    let log = log.lock().unwrap();
    let kind = log[0].headers[header::CONTENT_TYPE].to_str().unwrap();
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
    let text = std::str::from_utf8(&log[0].body).unwrap();
    let parts: Vec<_> = text.split(&format!("--{boundary}")).collect();
    assert_eq!(parts.len(), 4);
    assert!(
        parts[1].contains("name=\"manifest\"") && parts[1].ends_with("\r\n\r\n{\"limits\":{}}\r\n"),
        "{text}"
    );
    assert!(parts[2].contains("name=\"wasm\"") && parts[2].ends_with("\r\n\r\n\0asm\r\n"), "{text}");
    assert_eq!(parts[3], "--\r\n");
}
