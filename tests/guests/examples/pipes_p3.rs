//! wasi:http 0.3 and what goes through streams and futures; each behaviour is a word in `?do=`: `echo`, `gather`, `head`,
//! `big`, `short`, `long`, `trailers`, `broken`, `sent`, `across`, `cancelled`, `unread`, `dropped`, `late`, `turns`, `forever`,
//! `forward`, `nobody`, `restless`, `status`, `pass`, `pass-unread`, `hoard`, `release`. It must
//! never trap by itself: an answer that breaks off is the host's doing.

use core::cell::Cell;
use core::future::Future as _;
use core::pin::pin;
use core::task::Poll;

use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response, Trailers};
use wasip3::wit_bindgen::{self, FutureReader, StreamReader, StreamResult};
use wasip3::{wit_future, wit_stream};

thread_local! {
    /// What an instance that is reused finds of its call before.
    static KEPT: Cell<Option<Request>> = const { Cell::new(None) };
}

struct Pipes;

wasip3::http::service::export!(Pipes);

impl Guest for Pipes {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let (_, what) = target.split_once("do=").unwrap_or(("", "gather"));
        match what {
            "echo" => return Ok(echo(request)),
            "head" => return Ok(answer(head(&request), &[])),
            "big" => return Ok(answer("0123456789".repeat(30_000), &[])),
            "short" => return Ok(answer("four".to_owned(), &[("content-length", "7")])),
            "long" => return Ok(answer("four".to_owned(), &[("content-length", "3")])),
            "exact" => return Ok(answer("four".to_owned(), &[("content-length", "4")])),
            "trailers" => return Ok(ends(Ok(Some(tail("x-tail", "yes"))))),
            "broken" => return Ok(ends(Err(ErrorCode::HttpProtocolError))),
            "unread" => {
                drop(request);
                return Ok(answer("unread".to_owned(), &[]));
            }
            "dropped" => {
                let (never, sent) = response("never seen".to_owned(), &[]);
                drop(never);
                sent.await.expect("nobody failed to send it");
            }
            "forward" | "nobody" | "restless" => return Ok(other(what, request)),
            "hoard" => {
                KEPT.set(Some(request));
                return Ok(answer("kept".to_owned(), &[]));
            }
            // Then it reads its own as any other.
            "release" => drop(KEPT.take().expect("a request of an earlier call")),
            "pass" | "pass-unread" => return Ok(pass(what, request).await),
            "status" => {
                let response = answer("a status".to_owned(), &[]);
                let refused = [600, 999, 99, 1_000].map(|code| response.set_status_code(code).is_err());
                assert_eq!(refused, [true; 4]);
                return Ok(response);
            }
            "late" => {
                wait_for(3_000_000).await;
                wait_for(0).await;
            }
            "turns" => {
                for _ in 0..5 {
                    wit_bindgen::yield_async().await;
                }
            }
            "forever" => loop {
                wit_bindgen::yield_async().await;
            },
            "across" => return Ok(answer(across().await, &[])),
            "cancelled" => return Ok(answer(cancelled(), &[])),
            "sent" => return Ok(sent()),
            _ => {}
        }
        let (_, read) = wit_future::new(|| Ok(()));
        let (body, trailers) = Request::consume_body(request, read);
        let length = body.collect().await.len();
        let tail = match trailers.await {
            Ok(Some(trailers)) => format!("{} trailers", trailers.copy_all().len()),
            Ok(None) => "no trailers".to_owned(),
            Err(code) => format!("{code:?}"),
        };
        Ok(answer(format!("{what}: {length} bytes, {tail}"), &[]))
    }
}

fn fields(all: &[(&str, &str)]) -> Fields {
    let fields = Fields::new();
    for (name, value) in all {
        fields.append(name, value.as_bytes()).expect("a field");
    }
    fields
}

fn tail(name: &str, value: &str) -> Trailers {
    fields(&[(name, value)])
}

fn answer(text: String, head: &[(&str, &str)]) -> Response {
    response(text, head).0
}

fn response(text: String, head: &[(&str, &str)]) -> (Response, FutureReader<Result<(), ErrorCode>>) {
    let (mut body, read) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, sent) = Response::new(fields(head), Some(read), trailers);
    response.set_status_code(203).expect("a status");
    wit_bindgen::spawn_local(async move {
        let _ = body.write_all(text.into_bytes()).await;
    });
    (response, sent)
}

/// Answers that this guest does not write by itself, or after which it goes on.
fn other(what: &str, request: Request) -> Response {
    match what {
        "forward" => {
            let (_, result) = wit_future::new(|| Ok(()));
            let (body, trailers) = Request::consume_body(request, result);
            Response::new(fields(&[("trailer", "x-tail")]), Some(body), trailers).0
        }
        "nobody" => {
            let (_, trailers) = wit_future::new(|| Ok(None));
            Response::new(fields(&[("content-length", "5")]), None, trailers).0
        }
        _ => {
            let response = answer("whole".to_owned(), &[("content-length", "5")]);
            wit_bindgen::spawn_local(async {
                loop {
                    wit_bindgen::yield_async().await;
                }
            });
            response
        }
    }
}

/// What comes after the request's body comes after an answer of this guest's own.
async fn pass(what: &str, request: Request) -> Response {
    let (_, result) = wit_future::new(|| Ok(()));
    let (body, trailers) = Request::consume_body(request, result);
    let text =
        if what == "pass" { format!("{} bytes", body.collect().await.len()) } else { "unread".to_owned() };
    let (mut written, read) = wit_stream::new();
    let (response, _) = Response::new(fields(&[("trailer", "x-tail")]), Some(read), trailers);
    wit_bindgen::spawn_local(async move {
        let _ = written.write_all(text.into_bytes()).await;
    });
    response
}

fn ends(end: Result<Option<Trailers>, ErrorCode>) -> Response {
    let (mut body, read) = wit_stream::new();
    let (written, trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(fields(&[("trailer", "x-tail")]), Some(read), trailers);
    wit_bindgen::spawn_local(async move {
        let _ = body.write_all(b"a body".to_vec()).await;
        drop(body);
        let _ = written.write(end).await;
    });
    response
}

fn sent() -> Response {
    let (mut body, read) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, sent) = Response::new(fields(&[("content-length", "5")]), Some(read), trailers);
    wit_bindgen::spawn_local(async move {
        let _ = body.write_all(b"a few".to_vec()).await;
        drop(body);
        sent.await.expect("it was sent");
    });
    response
}

fn head(request: &Request) -> String {
    let mut text = format!(
        "{:?} {:?} {:?} {:?}\n",
        request.get_method(),
        request.get_path_with_query(),
        request.get_scheme(),
        request.get_authority()
    );
    let headers = request.get_headers();
    for (name, value) in headers.copy_all() {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(&value));
    }
    text += &format!("{:?} {:?}\n", headers.append("x-more", b"1"), headers.has("host"));
    let own = headers.clone();
    text += &format!(
        "{:?} {:?} {:?} {:?}\n",
        own.append("x-more", b"1"),
        own.append("in valid", b"1"),
        own.append("connection", b"close"),
        own.append("x-large", &vec![b'x'; 1 << 20])
    );
    text += &format!("{:?} {:?} {:?}\n", own.get("x-more"), own.set("x-more", &[]), own.delete("host"));
    text
}

fn echo(request: Request) -> Response {
    let (_, result) = wit_future::new(|| Ok(()));
    let (body, end) = Request::consume_body(request, result);
    let (mut written, read) = wit_stream::new();
    let (told, trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(fields(&[("trailer", "x-tail")]), Some(read), trailers);
    wit_bindgen::spawn_local(async move {
        let mut body: StreamReader<u8> = body;
        let mut buffer = Vec::with_capacity(1_000);
        loop {
            let (result, mut piece) = body.read(buffer).await;
            if !piece.is_empty() {
                piece = written.write_all(piece).await;
            }
            if result == StreamResult::Dropped {
                break;
            }
            piece.clear();
            piece.reserve(1_000);
            buffer = piece;
        }
        drop(written);
        let _ = told.write(end.await).await;
    });
    response
}

/// From one end of this guest to another, in pieces of another size.
async fn across() -> String {
    let (mut write, mut read) = wit_stream::new::<u8>();
    wit_bindgen::spawn_local(async move {
        for n in 0..10_u8 {
            let _ = write.write_all(vec![b'a' + n; 7]).await;
        }
    });
    let mut text = Vec::new();
    loop {
        let (result, piece) = read.read(Vec::with_capacity(4)).await;
        text.extend(piece);
        if result == StreamResult::Dropped {
            return String::from_utf8(text).expect("letters");
        }
    }
}

/// Begins to read where nobody writes, and gives up.
fn cancelled() -> String {
    let (write, mut read) = wit_stream::new::<u8>();
    let mut reading = pin!(read.read(Vec::with_capacity(4)));
    let mut context = core::task::Context::from_waker(core::task::Waker::noop());
    let first = matches!(reading.as_mut().poll(&mut context), Poll::Pending);
    let (result, buffer) = reading.cancel();
    drop(write);
    format!("{first} {result:?} {}", buffer.len())
}
