//! `wasi:http/types`: fields. Must never decide what a field may hold: that is for the host traits, which the component
//! path calls, too.

use wasmtime::Result;
use wasmtime_wasi_http::p2::bindings::http::types::{HeaderError, Host, HostFields};
use wasmtime_wasi_http::p2::{HeaderError as Raised, HeaderResult};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView as _};

use super::abi::{Caller, Guest, Range, borrow, handle, joined, own, range};
use super::delivery::At;
use super::table::{Function, function};

/// Those that are the same in 0.2 and 0.3.
pub(super) const BOTH: &[Function] = &[
    function("[constructor]fields", |slot| {
        slot.none(|state| Ok(handle(&HostFields::new(&mut state.http())?)))
    }),
    function("[method]fields.get", |slot| {
        slot.sync(|mut caller: Caller<'_>, this: u32, at: u32, length: u32, answer: u32| {
            get(&mut Guest::of(&mut caller)?, this, (at, length), answer)
        })
    }),
    function("[method]fields.has", |slot| {
        slot.sync(|mut caller: Caller<'_>, this: u32, at: u32, length: u32| -> Result<u32> {
            let guest = Guest::of(&mut caller)?;
            let name = guest.lift().string((at, length))?;
            HostFields::has(&mut guest.state.http(), borrow(this)?, name).map(u32::from)
        })
    }),
    function("[method]fields.clone", |slot| {
        slot.one(|state, it| Ok(handle(&HostFields::clone(&mut state.http(), borrow(it)?)?)))
    }),
    function("[resource-drop]fields", |slot| {
        slot.one(|state, it| HostFields::drop(&mut state.http(), own(it)?))
    }),
];

/// Those of 0.2.
pub(super) const FIELDS: &[Function] = &[
    function("[static]fields.from-list", |slot| {
        slot.sync(|mut caller: Caller<'_>, at: u32, length: u32, answer: u32| {
            from_list(&mut Guest::of(&mut caller)?, (at, length), answer)
        })
    }),
    function("[method]fields.set", |slot| {
        slot.sync(
            |mut caller: Caller<'_>, this: u32, at: u32, length: u32, list: u32, count: u32, answer: u32| {
                set(&mut Guest::of(&mut caller)?, this, (at, length), (list, count), answer)
            },
        )
    }),
    function("[method]fields.delete", |slot| {
        slot.sync(|mut caller: Caller<'_>, this: u32, at: u32, length: u32, answer: u32| -> Result<()> {
            let mut guest = Guest::of(&mut caller)?;
            let name = guest.lift().string((at, length))?;
            let done = HostFields::delete(&mut guest.state.http(), borrow(this)?, name);
            write_done(&mut guest, answer, done)
        })
    }),
    function("[method]fields.append", |slot| {
        slot.sync(
            |mut caller: Caller<'_>, this: u32, at: u32, length: u32, value: u32, bytes: u32, answer: u32| {
                append(&mut Guest::of(&mut caller)?, this, (at, length), (value, bytes), answer)
            },
        )
    }),
    function("[method]fields.entries", |slot| slot.one_answering(entries)),
];

fn from_list(guest: &mut Guest<'_>, list: Range, answer: u32) -> Result<()> {
    let mut lift = guest.lift();
    let elements = lift.list::<16, (String, Vec<u8>)>(list)?;
    let mut entries = Vec::with_capacity(elements.len());
    for element in elements {
        let ([name, value], _) = element.as_chunks::<8>() else { continue };
        entries.push((lift.string(range(*name))?, lift.bytes(range(*value))?.to_vec()));
    }
    let mut http = guest.state.http();
    let made = HostFields::from_list(&mut http, entries);
    let answered = match kept(&mut http, made)? {
        Ok(fields) => joined(0, handle(&fields)),
        Err(error) => joined(1, u32::from(error)),
    };
    guest.write(answer, 4, &answered)
}

fn get(guest: &mut Guest<'_>, this: u32, name: Range, answer: u32) -> Result<()> {
    let name = guest.lift().string(name)?;
    let values = HostFields::get(&mut guest.state.http(), borrow(this)?, name)?;
    let delivery = &mut guest.state.lowered.delivery;
    delivery.begin(answer, 4, 8)?;
    let list = delivery.list(At::root(0), values.len(), 8)?;
    for (index, value) in values.into_iter().enumerate() {
        delivery.bytes(At::block(list, index * 8), value)?;
    }
    delivery.settle(guest.memory)
}

fn set(guest: &mut Guest<'_>, this: u32, name: Range, list: Range, answer: u32) -> Result<()> {
    let (name, values) = named(guest, name, list)?;
    let done = HostFields::set(&mut guest.state.http(), borrow(this)?, name, values);
    write_done(guest, answer, done)
}

/// Reads a name, and a list of values for it.
pub(super) fn named(guest: &Guest<'_>, name: Range, list: Range) -> Result<(String, Vec<Vec<u8>>)> {
    let mut lift = guest.lift();
    let name = lift.string(name)?;
    let elements = lift.list::<8, Vec<u8>>(list)?;
    let values = elements.iter().map(|value| lift.bytes(range(*value)).map(<[u8]>::to_vec));
    Ok((name, values.collect::<Result<_>>()?))
}

fn append(guest: &mut Guest<'_>, this: u32, name: Range, value: Range, answer: u32) -> Result<()> {
    let mut lift = guest.lift();
    let (name, value) = (lift.string(name)?, lift.bytes(value)?.to_vec());
    let done = HostFields::append(&mut guest.state.http(), borrow(this)?, name, value);
    write_done(guest, answer, done)
}

pub(super) fn entries(guest: &mut Guest<'_>, this: u32, answer: u32) -> Result<()> {
    let entries = HostFields::entries(&mut guest.state.http(), borrow(this)?)?;
    let delivery = &mut guest.state.lowered.delivery;
    delivery.begin(answer, 4, 8)?;
    let list = delivery.list(At::root(0), entries.len(), 16)?;
    for (index, (name, value)) in entries.into_iter().enumerate() {
        delivery.bytes(At::block(list, index * 16), name.into_bytes())?;
        delivery.bytes(At::block(list, index * 16 + 8), value)?;
    }
    delivery.settle(guest.memory)
}

/// `result<_, header-error>`.
fn write_done(guest: &mut Guest<'_>, answer: u32, done: HeaderResult<()>) -> Result<()> {
    let answered = match kept(&mut guest.state.http(), done)? {
        Ok(()) => [0, 0],
        Err(error) => [1, error],
    };
    guest.write(answer, 1, &answered)
}

/// An error that the guest is told of, by its discriminant; any other is a trap.
fn kept<T>(http: &mut WasiHttpCtxView<'_>, result: Result<T, Raised>) -> Result<Result<T, u8>> {
    Ok(match result {
        Ok(value) => Ok(value),
        Err(error) => Err(match Host::convert_header_error(http, error)? {
            HeaderError::InvalidSyntax => 0,
            HeaderError::Forbidden => 1,
            HeaderError::Immutable => 2,
        }),
    })
}
