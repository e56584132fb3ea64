//! `wasi:http/types`: requests, responses and bodies. Must never decide anything of HTTP: that is for the host traits,
//! which the component path calls, too.

use wasmtime::Result;
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::http::types::{
    Host, HostFutureTrailers, HostIncomingBody, HostIncomingRequest, HostOutgoingBody, HostOutgoingResponse,
    HostResponseOutparam, Method, Scheme,
};

use super::abi::{Caller, Guest, borrow, handle, is_second, low_u16, own};
use super::delivery::At;
use super::error_code::{self, Flat};
use super::table::{Function, function};

pub(super) const INCOMING: &[Function] = &[
    function("[method]incoming-request.method", |slot| slot.one_answering(method)),
    function("[method]incoming-request.path-with-query", |slot| {
        slot.one_answering(|guest, this, answer| {
            let path = HostIncomingRequest::path_with_query(&mut guest.state.http(), borrow(this)?)?;
            guest.deliver_option(answer, path)
        })
    }),
    function("[method]incoming-request.scheme", |slot| slot.one_answering(scheme)),
    function("[method]incoming-request.authority", |slot| {
        slot.one_answering(|guest, this, answer| {
            let authority = HostIncomingRequest::authority(&mut guest.state.http(), borrow(this)?)?;
            guest.deliver_option(answer, authority)
        })
    }),
    function("[method]incoming-request.headers", |slot| {
        slot.one(|state, it| Ok(handle(&HostIncomingRequest::headers(&mut state.http(), borrow(it)?)?)))
    }),
    function("[method]incoming-request.consume", |slot| {
        slot.one_answering(|guest, this, answer| {
            let body = HostIncomingRequest::consume(&mut guest.state.http(), borrow(this)?)?;
            guest.write_handle(answer, body)
        })
    }),
    function("[resource-drop]incoming-request", |slot| {
        slot.one(|state, it| HostIncomingRequest::drop(&mut state.http(), own(it)?))
    }),
    function("[method]incoming-body.stream", |slot| {
        slot.one_answering(|guest, this, answer| {
            let stream = HostIncomingBody::stream(&mut guest.state.http(), borrow(this)?)?;
            guest.write_handle(answer, stream)
        })
    }),
    function("[static]incoming-body.finish", |slot| {
        slot.one(|state, it| Ok(handle(&HostIncomingBody::finish(&mut state.http(), own(it)?)?)))
    }),
    function("[resource-drop]incoming-body", |slot| {
        slot.one(|state, it| HostIncomingBody::drop(&mut state.http(), own(it)?))
    }),
    function("[resource-drop]future-trailers", |slot| {
        slot.one(|state, it| HostFutureTrailers::drop(&mut state.http(), own(it)?))
    }),
];

pub(super) const OUTGOING: &[Function] = &[
    function("[constructor]outgoing-response", |slot| {
        slot.one(|state, it| Ok(handle(&HostOutgoingResponse::new(&mut state.http(), own(it)?)?)))
    }),
    function("[method]outgoing-response.status-code", |slot| {
        slot.one(|state, it| HostOutgoingResponse::status_code(&mut state.http(), borrow(it)?).map(u32::from))
    }),
    function("[method]outgoing-response.set-status-code", |slot| {
        slot.sync(|mut caller: Caller<'_>, this: u32, status: u32| -> Result<u32> {
            let mut http = caller.data_mut().http();
            let done = HostOutgoingResponse::set_status_code(&mut http, borrow(this)?, low_u16(status))?;
            Ok(u32::from(done.is_err()))
        })
    }),
    function("[method]outgoing-response.headers", |slot| {
        slot.one(|state, it| Ok(handle(&HostOutgoingResponse::headers(&mut state.http(), borrow(it)?)?)))
    }),
    function("[method]outgoing-response.body", |slot| {
        slot.one_answering(|guest, this, answer| {
            let body = HostOutgoingResponse::body(&mut guest.state.http(), borrow(this)?)?;
            guest.write_handle(answer, body)
        })
    }),
    function("[resource-drop]outgoing-response", |slot| {
        slot.one(|state, it| HostOutgoingResponse::drop(&mut state.http(), own(it)?))
    }),
    function("[method]outgoing-body.write", |slot| {
        slot.one_answering(|guest, this, answer| {
            let stream = HostOutgoingBody::write(&mut guest.state.http(), borrow(this)?)?;
            guest.write_handle(answer, stream)
        })
    }),
    function("[static]outgoing-body.finish", |slot| {
        slot.sync(|mut caller: Caller<'_>, this: u32, some: u32, trailers: u32, answer: u32| {
            let trailers = is_second(some)?.then_some(trailers);
            finish(&mut Guest::of(&mut caller)?, this, trailers, answer)
        })
    }),
    function("[resource-drop]outgoing-body", |slot| {
        slot.one(|state, it| HostOutgoingBody::drop(&mut state.http(), own(it)?))
    }),
    function("[static]response-outparam.set", |slot| {
        // The parameters of `result<own<outgoing-response>, error-code>`, joined: what is the handle of a response or the
        // case of an error comes first, and then what any case of an error has.
        slot.sync(
            |mut caller: Caller<'_>,
             this: u32,
             error: u32,
             case: u32,
             a: u32,
             b: u64,
             c: u32,
             d: u32,
             e: u32,
             f: u32| {
                let flat = Flat::new([a.into(), b, c.into(), d.into(), e.into(), f.into()]);
                set(&mut Guest::of(&mut caller)?, this, is_second(error)?, case, flat)
            },
        )
    }),
    function("[resource-drop]response-outparam", |slot| {
        slot.one(|state, it| HostResponseOutparam::drop(&mut state.http(), own(it)?))
    }),
];

fn set(guest: &mut Guest<'_>, this: u32, is_error: bool, case: u32, flat: Flat) -> Result<()> {
    let response =
        if is_error { Err(error_code::lift(&mut guest.lift(), case, flat)?) } else { Ok(own(case)?) };
    HostResponseOutparam::set(&mut guest.state.http(), own(this)?, response)
}

fn method(guest: &mut Guest<'_>, this: u32, answer: u32) -> Result<()> {
    let method = HostIncomingRequest::method(&mut guest.state.http(), borrow(this)?)?;
    deliver_method(guest, answer, method)
}

/// Answers with a method.
pub(super) fn deliver_method(guest: &mut Guest<'_>, answer: u32, method: Method) -> Result<()> {
    let (case, other) = match method {
        Method::Get => (0, None),
        Method::Head => (1, None),
        Method::Post => (2, None),
        Method::Put => (3, None),
        Method::Delete => (4, None),
        Method::Connect => (5, None),
        Method::Options => (6, None),
        Method::Trace => (7, None),
        Method::Patch => (8, None),
        Method::Other(name) => (9, Some(name)),
    };
    let delivery = &mut guest.state.lowered.delivery;
    delivery.begin(answer, 4, 12)?;
    delivery.put(At::root(0), &[case])?;
    if let Some(other) = other {
        delivery.bytes(At::root(4), other.into_bytes())?;
    }
    delivery.settle(guest.memory)
}

fn scheme(guest: &mut Guest<'_>, this: u32, answer: u32) -> Result<()> {
    let scheme = HostIncomingRequest::scheme(&mut guest.state.http(), borrow(this)?)?;
    deliver_scheme(guest, answer, scheme)
}

/// Answers with a scheme, or none.
pub(super) fn deliver_scheme(guest: &mut Guest<'_>, answer: u32, scheme: Option<Scheme>) -> Result<()> {
    let delivery = &mut guest.state.lowered.delivery;
    delivery.begin(answer, 4, 16)?;
    if let Some(scheme) = scheme {
        delivery.put(At::root(0), &[1])?;
        match scheme {
            Scheme::Http => delivery.put(At::root(4), &[0])?,
            Scheme::Https => delivery.put(At::root(4), &[1])?,
            Scheme::Other(name) => {
                delivery.put(At::root(4), &[2])?;
                delivery.bytes(At::root(8), name.into_bytes())?;
            }
        }
    }
    delivery.settle(guest.memory)
}

fn finish(guest: &mut Guest<'_>, this: u32, trailers: Option<u32>, answer: u32) -> Result<()> {
    let trailers = trailers.map(own).transpose()?;
    let mut http = guest.state.http();
    let failed = match HostOutgoingBody::finish(&mut http, own(this)?, trailers) {
        Ok(()) => None,
        Err(error) => Some(Host::convert_error_code(&mut http, error)?),
    };
    let delivery = &mut guest.state.lowered.delivery;
    delivery.begin(answer, 8, 40)?;
    if let Some(error) = failed {
        delivery.put(At::root(0), &[1])?;
        error_code::lower(delivery, At::root(8), error)?;
    }
    delivery.settle(guest.memory)
}
