//! `wasi:http/types` of 0.3, and the clock that waits: requests and responses as a guest that is given one and makes the
//! other needs them. Must never let a guest send what the host keeps for itself: fields are checked as everywhere.

use ::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use wasmtime::component::Resource;
use wasmtime::{Result, Trap, bail};
use wasmtime_wasi::clocks::WasiClocksView as _;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{FieldMap, WasiBody};

use super::builtins::running;
use super::carrier::carrier;
use super::incoming::Forwarded;
use super::pipe::{Peer, Pipe, Verdict};
use super::{Answer, Running, Stage, Tasks};
use crate::host::HostState;
use crate::host::lowered::abi::{Caller, Guest, borrow, handle, is_second, low_u16, own};
use crate::host::lowered::error_code::{self, Flat};
use crate::host::lowered::http::{deliver_method, deliver_scheme};
use crate::host::lowered::table::{Function, function};

/// A request, but for its body.
struct Request {
    head: ::http::request::Parts,
    fields: FieldMap,
    number: u64,
}

/// A response that the guest has made.
struct Response {
    status: StatusCode,
    fields: FieldMap,
    contents: Contents,
    /// The pipe of what comes after its body, if the guest has a say in that.
    trailers: Option<usize>,
    number: u64,
}

/// What a response's body is made of.
enum Contents {
    None,
    /// What the guest writes.
    Pipe(usize),
    /// What is left of the request's body.
    Request(Bytes, Option<WasiBody>),
}

pub(in crate::host::lowered) const CLOCKS: &[Function] = &[
    function("now", |slot| slot.none(|state| monotonic_clock::Host::now(&mut state.clocks()))),
    function("get-resolution", |slot| {
        slot.none(|state| monotonic_clock::Host::resolution(&mut state.clocks()))
    }),
    function("[async]wait-for", |slot| {
        slot.sync(|mut caller: Caller<'_>, how_long: u64| caller.data_mut().lowered.tasks.wait_for(how_long))
    }),
    function("[async]wait-until", |slot| {
        slot.sync(|mut caller: Caller<'_>, when: u64| -> Result<u32> {
            let state = caller.data_mut();
            let now = monotonic_clock::Host::now(&mut state.clocks())?;
            state.lowered.tasks.wait_for(when.saturating_sub(now))
        })
    }),
];

pub(in crate::host::lowered) const TYPES: &[Function] = &[
    function("[method]request.get-method", |slot| slot.one_answering(get_method)),
    function("[method]request.get-path-with-query", |slot| {
        slot.one_answering(|guest, this, answer| {
            let request = guest.state.table.get::<Request>(&borrow(this)?)?;
            let path = request.head.uri.path_and_query().map(|path| path.as_str().to_owned());
            guest.deliver_option(answer, path)
        })
    }),
    function("[method]request.get-scheme", |slot| slot.one_answering(get_scheme)),
    function("[method]request.get-authority", |slot| {
        slot.one_answering(|guest, this, answer| {
            let request = guest.state.table.get::<Request>(&borrow(this)?)?;
            let authority = request.head.uri.authority().map(|authority| authority.as_str().to_owned());
            guest.deliver_option(answer, authority)
        })
    }),
    function("[method]request.get-headers", |slot| {
        slot.one(|state, it| {
            let fields = state.table.get::<Request>(&borrow(it)?)?.fields.clone();
            Ok(handle(&state.table.push(fields)?))
        })
    }),
    function("[static]request.consume-body", |slot| {
        slot.sync(|mut caller: Caller<'_>, this: u32, result: u32, answer: u32| -> Result<()> {
            let pair = running(&mut caller, |running| consume_body(running, this, result))?;
            write_pair(&mut caller, answer, pair)
        })
    }),
    function("[resource-drop]request", |slot| {
        slot.one(|state, it| {
            let request: Request = state.table.delete(own(it)?)?;
            if request.number == state.lowered.tasks.request {
                state.lowered.tasks.incoming.close();
            }
            Ok(())
        })
    }),
    function("[static]response.new", |slot| {
        slot.sync(
            |mut caller: Caller<'_>,
             fields: u32,
             some: u32,
             contents: u32,
             trailers: u32,
             answer: u32|
             -> Result<()> {
                let contents = is_second(some)?.then_some(contents);
                let pair = running(&mut caller, |running| new_response(running, fields, contents, trailers))?;
                write_pair(&mut caller, answer, pair)
            },
        )
    }),
    function("[method]response.get-status-code", |slot| {
        slot.one(|state, it| Ok(u32::from(state.table.get::<Response>(&borrow(it)?)?.status.as_u16())))
    }),
    function("[method]response.set-status-code", |slot| {
        slot.sync(|mut caller: Caller<'_>, this: u32, status: u32| -> Result<u32> {
            let response = caller.data_mut().table.get_mut::<Response>(&borrow(this)?)?;
            let status = low_u16(status);
            let Some(status) = StatusCode::from_u16(status).ok().filter(|_| status < 600) else {
                return Ok(1);
            };
            response.status = status;
            Ok(0)
        })
    }),
    function("[method]response.get-headers", |slot| {
        slot.one(|state, it| {
            let fields = state.table.get::<Response>(&borrow(it)?)?.fields.clone();
            Ok(handle(&state.table.push(fields)?))
        })
    }),
    function("[resource-drop]response", |slot| {
        slot.sync(|mut caller: Caller<'_>, it: u32| {
            running(&mut caller, |running| {
                let response: Response = running.table.delete(own(it)?)?;
                if let Contents::Pipe(contents) = response.contents {
                    running.close(contents, false)?;
                }
                if let Some(trailers) = response.trailers {
                    running.close(trailers, false)?;
                }
                // Nobody failed to send it.
                running.tasks.settle(response.number, Verdict::Well);
                Ok(())
            })
        })
    }),
];

pub(in crate::host::lowered) const RETURN: &[Function] = &[function("task.return", |slot| {
    // As `response-outparam.set` of 0.2 has it.
    slot.sync(
        |mut caller: Caller<'_>,
         error: u32,
         case: u32,
         a: u32,
         b: u64,
         c: u32,
         d: u32,
         e: u32,
         f: u32|
         -> Result<()> {
            if is_second(error)? {
                let flat = Flat::new([a.into(), b, c.into(), d.into(), e.into(), f.into()]);
                let guest = Guest::of(&mut caller)?;
                let code = error_code::lift(&mut guest.lift(), case, flat)?;
                return answered(&mut caller.data_mut().lowered.tasks, Err(format!("{code:?}")));
            }
            running(&mut caller, |running| respond(running, case))
        },
    )
})];

fn answered(tasks: &mut Tasks, answer: Answer) -> Result<()> {
    if tasks.stage != Stage::Asked {
        bail!(Trap::TaskCancelOrReturnTwice);
    }
    tasks.stage = Stage::Answered;
    tasks.answer = Some(answer);
    Ok(())
}

/// The guest has answered with this response: its body goes out from now on.
fn respond(running: &mut Running<'_, '_>, response: u32) -> Result<()> {
    let Response { status, fields, contents, trailers, number } = running.table.delete(own(response)?)?;
    let fields = HeaderMap::from(fields);
    let declared =
        fields.get(header::CONTENT_LENGTH).map(|value| -> Result<u64> { Ok(value.to_str()?.parse()?) });
    let declared = declared.transpose()?;
    // Without contents the length is that of what would be there otherwise.
    let is_piped = matches!(contents, Contents::Pipe(_));
    let (feeder, outgoing) = carrier(declared.filter(|_| is_piped));
    let is_open = is_piped && declared.is_some();
    running.tasks.settle(number, if is_open { Verdict::Of(feeder.clone()) } else { Verdict::Well });
    if let Some(trailers) = trailers {
        running.tasks.pipe(trailers)?.reader = Peer::Trailers(feeder.clone());
    }
    let (piped, body) = match contents {
        Contents::None => (None, outgoing.boxed_unsync()),
        Contents::Pipe(contents) => (Some(contents), outgoing.boxed_unsync()),
        Contents::Request(left, body) => (None, Forwarded::new((left, body), declared).boxed_unsync()),
    };
    let mut response = ::http::Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    answered(running.tasks, Ok(response))?;
    match piped {
        Some(contents) if !matches!(running.tasks.pipe(contents)?.writer, Peer::Gone) => {
            running.tasks.pipe(contents)?.reader = Peer::Body(feeder);
            running.step(contents)?;
        }
        // Nothing will be written.
        Some(contents) => {
            feeder.close();
            running.close(contents, false)?;
        }
        None => feeder.close(),
    }
    if let Some(trailers) = trailers {
        running.step(trailers)?;
    }
    Ok(())
}

/// A response, and the future that tells whether it was sent.
fn new_response(
    running: &mut Running<'_, '_>,
    fields: u32,
    contents: Option<u32>,
    trailers: u32,
) -> Result<(u32, u32)> {
    let mut fields: FieldMap = running.table.delete(own(fields)?)?;
    fields.set_immutable();
    let contents = contents.map(|contents| running.tasks.take(contents, false)).transpose()?;
    let mut trailers = Some(running.tasks.take(trailers, true)?);
    let contents = match contents {
        None => Contents::None,
        // A request's body goes past the guest, with what comes after it.
        Some(contents) if matches!(running.tasks.pipe(contents)?.writer, Peer::Request) => {
            let (left, body) = running.tasks.incoming.forward();
            running.close(contents, false)?;
            if let Some(trailers) = trailers.take() {
                running.close(trailers, false)?;
            }
            Contents::Request(left, body)
        }
        Some(contents) => Contents::Pipe(contents),
    };
    if let Some(trailers) = trailers
        && let Peer::Sent(..) = running.tasks.pipe(trailers)?.writer
    {
        bail!("future or stream payload types differ");
    }
    let number = running.tasks.number();
    let response = Response { status: StatusCode::OK, fields, contents, trailers, number };
    let response = running.table.push(response)?;
    let sent = running.tasks.push(Pipe::new(true, Peer::Held, Peer::Sent(number, Verdict::Open)));
    Ok((handle(&response), running.tasks.give(sent, false)?))
}

/// The stream of a request's body, and the future of what comes after it.
fn consume_body(running: &mut Running<'_, '_>, this: u32, result: u32) -> Result<(u32, u32)> {
    let request: Request = running.table.delete(own(this)?)?;
    let result = running.tasks.take(result, true)?;
    match running.tasks.pipe(result)?.writer {
        Peer::Guest(_) => {
            running.tasks.pipe(result)?.reader = Peer::Ignored;
            running.step(result)?;
        }
        // What the host would tell itself.
        _ => running.close(result, false)?,
    }
    // One that was kept from an earlier call has nothing any more.
    let is_this = request.number == running.tasks.request;
    let (body, end) = if is_this { (Peer::Request, Peer::RequestTrailers) } else { (Peer::Gone, Peer::Gone) };
    let contents = running.tasks.push(Pipe::new(false, Peer::Held, body));
    let trailers = running.tasks.push(Pipe::new(true, Peer::Held, end));
    Ok((running.tasks.give(contents, false)?, running.tasks.give(trailers, false)?))
}

fn write_pair(caller: &mut Caller<'_>, answer: u32, (first, second): (u32, u32)) -> Result<()> {
    let mut pair = [0; 8];
    pair[..4].copy_from_slice(&first.to_le_bytes());
    pair[4..].copy_from_slice(&second.to_le_bytes());
    Guest::of(caller)?.write(answer, 4, &pair)
}

fn get_method(guest: &mut Guest<'_>, this: u32, answer: u32) -> Result<()> {
    let method = guest.state.table.get::<Request>(&borrow(this)?)?.head.method.clone();
    deliver_method(guest, answer, method.into())
}

fn get_scheme(guest: &mut Guest<'_>, this: u32, answer: u32) -> Result<()> {
    let scheme = guest.state.table.get::<Request>(&borrow(this)?)?.head.uri.scheme();
    let scheme = scheme.map(|scheme| match scheme.as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    });
    deliver_scheme(guest, answer, scheme)
}

impl HostState {
    /// Takes a request for a guest of 0.3: its handle.
    ///
    /// # Errors
    /// When the guest has as many handles as it may.
    pub fn lowered_begin(&mut self, request: ::http::Request<WasiBody>) -> Result<u32> {
        let (mut head, body) = request.into_parts();
        let fields = FieldMap::new_immutable(&mut self.hooks, std::mem::take(&mut head.headers));
        let number = self.lowered.tasks.begin(body);
        let request: Resource<Request> = self.table.push(Request { head, fields, number })?;
        Ok(handle(&request))
    }
}
