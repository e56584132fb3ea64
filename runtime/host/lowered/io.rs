//! `wasi:io`: errors, pollables and streams. Must never wait while it holds the guest's memory: what is passed is copied
//! out before, and the answer written after.

use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::io::{error, poll, streams};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamResult};

use error::HostError;
use poll::HostPollable;
use streams::{HostInputStream, HostOutputStream};

use super::abi::{Caller, Guest, Range, borrow, handle, joined, own};
use super::delivery::At;
use super::table::{Function, function};
use crate::host::HostState;

pub(super) const ERROR: &[Function] = &[
    function("[method]error.to-debug-string", |slot| {
        slot.one_answering(|guest, this, answer| {
            let text = HostError::to_debug_string(&mut guest.state.table, borrow(this)?)?;
            guest.deliver_bytes(answer, text.into_bytes())
        })
    }),
    function("[resource-drop]error", |slot| {
        slot.one(|state, it| HostError::drop(&mut state.table, own(it)?))
    }),
];

pub(super) const POLL: &[Function] = &[
    function("poll", |slot| {
        slot.waiting(|caller, (at, length, answer): (u32, u32, u32)| {
            Box::new(poll_all(caller, (at, length), answer))
        })
    }),
    function("[method]pollable.ready", |slot| {
        slot.waiting(|mut caller, (this,): (u32,)| {
            Box::new(async move {
                HostPollable::ready(&mut caller.data_mut().table, borrow(this)?).await.map(u32::from)
            })
        })
    }),
    function("[method]pollable.block", |slot| {
        slot.waiting(|mut caller, (this,): (u32,)| {
            Box::new(async move { HostPollable::block(&mut caller.data_mut().table, borrow(this)?).await })
        })
    }),
    function("[resource-drop]pollable", |slot| {
        slot.one(|state, it| HostPollable::drop(&mut state.table, own(it)?))
    }),
];

async fn poll_all(mut caller: Caller<'_>, list: Range, answer: u32) -> Result<()> {
    let pollables = {
        let guest = Guest::of(&mut caller)?;
        let handles = guest.lift().list::<4, Resource<DynPollable>>(list)?;
        let pollables = handles.iter().map(|handle| borrow(u32::from_le_bytes(*handle)));
        pollables.collect::<Result<Vec<_>>>()?
    };
    let ready = poll::Host::poll(&mut caller.data_mut().table, pollables).await?;
    let guest = Guest::of(&mut caller)?;
    let delivery = &mut guest.state.lowered.delivery;
    delivery.begin(answer, 4, 8)?;
    let block = delivery.list(At::root(0), ready.len(), 4)?;
    for (index, ready) in ready.into_iter().enumerate() {
        delivery.put(At::block(block, index * 4), &ready.to_le_bytes())?;
    }
    delivery.settle(guest.memory)
}

pub(super) const INPUT: &[Function] = &[
    function("[method]input-stream.read", |slot| {
        slot.sync(|mut caller: Caller<'_>, this: u32, length: u64, answer: u32| -> Result<()> {
            let read = HostInputStream::read(&mut caller.data_mut().table, borrow(this)?, length);
            deliver_read(&mut Guest::of(&mut caller)?, answer, read)
        })
    }),
    function("[method]input-stream.blocking-read", |slot| {
        slot.waiting(|mut caller, (this, length, answer): (u32, u64, u32)| {
            Box::new(async move {
                let table = &mut caller.data_mut().table;
                let read = HostInputStream::blocking_read(table, borrow(this)?, length).await;
                deliver_read(&mut Guest::of(&mut caller)?, answer, read)
            })
        })
    }),
    function("[method]input-stream.skip", |slot| {
        slot.sync(|mut caller: Caller<'_>, this: u32, length: u64, answer: u32| -> Result<()> {
            let skipped = HostInputStream::skip(&mut caller.data_mut().table, borrow(this)?, length);
            write_count(&mut Guest::of(&mut caller)?, answer, skipped)
        })
    }),
    function("[method]input-stream.blocking-skip", |slot| {
        slot.waiting(|mut caller, (this, length, answer): (u32, u64, u32)| {
            Box::new(async move {
                let table = &mut caller.data_mut().table;
                let skipped = HostInputStream::blocking_skip(table, borrow(this)?, length).await;
                write_count(&mut Guest::of(&mut caller)?, answer, skipped)
            })
        })
    }),
    function("[method]input-stream.subscribe", |slot| {
        slot.one(|state, it| {
            // Whoever subscribes checks only that there is something.
            state.table.get::<DynInputStream>(&borrow(it)?)?;
            Ok(handle(&HostInputStream::subscribe(&mut state.table, borrow(it)?)?))
        })
    }),
    function("[resource-drop]input-stream", |slot| {
        slot.waiting(|mut caller, (this,): (u32,)| {
            Box::new(async move { HostInputStream::drop(&mut caller.data_mut().table, own(this)?).await })
        })
    }),
];

pub(super) const OUTPUT: &[Function] = &[
    function("[method]output-stream.check-write", |slot| {
        slot.one_answering(|guest, this, answer| {
            let permit = HostOutputStream::check_write(&mut guest.state.table, borrow(this)?);
            write_count(guest, answer, permit)
        })
    }),
    function("[method]output-stream.write", |slot| {
        slot.sync(|mut caller: Caller<'_>, this: u32, at: u32, length: u32, answer: u32| -> Result<()> {
            let mut guest = Guest::of(&mut caller)?;
            let contents = guest.lift().bytes((at, length))?.to_vec();
            let done = HostOutputStream::write(&mut guest.state.table, borrow(this)?, contents);
            write_done(&mut guest, answer, done)
        })
    }),
    function("[method]output-stream.blocking-write-and-flush", |slot| {
        slot.waiting(|caller, (this, at, length, answer): (u32, u32, u32, u32)| {
            Box::new(write_and_flush(caller, this, (at, length), answer))
        })
    }),
    function("[method]output-stream.flush", |slot| {
        slot.one_answering(|guest, this, answer| {
            let done = HostOutputStream::flush(&mut guest.state.table, borrow(this)?);
            write_done(guest, answer, done)
        })
    }),
    function("[method]output-stream.blocking-flush", |slot| {
        slot.waiting(|mut caller, (this, answer): (u32, u32)| {
            Box::new(async move {
                let table = &mut caller.data_mut().table;
                let done = HostOutputStream::blocking_flush(table, borrow(this)?).await;
                write_done(&mut Guest::of(&mut caller)?, answer, done)
            })
        })
    }),
    function("[method]output-stream.subscribe", |slot| {
        slot.one(|state, it| {
            state.table.get::<DynOutputStream>(&borrow(it)?)?;
            Ok(handle(&HostOutputStream::subscribe(&mut state.table, borrow(it)?)?))
        })
    }),
    function("[method]output-stream.write-zeroes", |slot| {
        slot.sync(|mut caller: Caller<'_>, this: u32, length: u64, answer: u32| -> Result<()> {
            let done = HostOutputStream::write_zeroes(&mut caller.data_mut().table, borrow(this)?, length);
            write_done(&mut Guest::of(&mut caller)?, answer, done)
        })
    }),
    function("[method]output-stream.blocking-write-zeroes-and-flush", |slot| {
        slot.waiting(|mut caller, (this, length, answer): (u32, u64, u32)| {
            Box::new(async move {
                let table = &mut caller.data_mut().table;
                let done =
                    HostOutputStream::blocking_write_zeroes_and_flush(table, borrow(this)?, length).await;
                write_done(&mut Guest::of(&mut caller)?, answer, done)
            })
        })
    }),
    function("[method]output-stream.splice", |slot| {
        slot.sync(|mut caller: Caller<'_>, this: u32, source: u32, length: u64, answer: u32| -> Result<()> {
            let table = &mut caller.data_mut().table;
            let moved = HostOutputStream::splice(table, borrow(this)?, borrow(source)?, length);
            write_count(&mut Guest::of(&mut caller)?, answer, moved)
        })
    }),
    function("[method]output-stream.blocking-splice", |slot| {
        slot.waiting(|mut caller, (this, source, length, answer): (u32, u32, u64, u32)| {
            Box::new(async move {
                let table = &mut caller.data_mut().table;
                let (this, source) = (borrow(this)?, borrow(source)?);
                let moved = HostOutputStream::blocking_splice(table, this, source, length).await;
                write_count(&mut Guest::of(&mut caller)?, answer, moved)
            })
        })
    }),
    function("[resource-drop]output-stream", |slot| {
        slot.waiting(|mut caller, (this,): (u32,)| {
            Box::new(async move { HostOutputStream::drop(&mut caller.data_mut().table, own(this)?).await })
        })
    }),
];

async fn write_and_flush(mut caller: Caller<'_>, this: u32, contents: Range, answer: u32) -> Result<()> {
    let contents = Guest::of(&mut caller)?.lift().bytes(contents)?.to_vec();
    let table = &mut caller.data_mut().table;
    let done = HostOutputStream::blocking_write_and_flush(table, borrow(this)?, contents).await;
    write_done(&mut Guest::of(&mut caller)?, answer, done)
}

/// An error that the guest is told of: its case, and the handle of what it holds; any other is a trap.
fn kept<T>(state: &mut HostState, result: StreamResult<T>) -> Result<Result<T, [u8; 8]>> {
    Ok(match result {
        Ok(value) => Ok(value),
        Err(error) => Err(match streams::Host::convert_stream_error(&mut state.table, error)? {
            streams::StreamError::LastOperationFailed(error) => joined(0, handle(&error)),
            streams::StreamError::Closed => joined(1, 0),
        }),
    })
}

/// `result<_, stream-error>`.
fn write_done(guest: &mut Guest<'_>, answer: u32, done: StreamResult<()>) -> Result<()> {
    let mut answered = [0; 12];
    if let Err(error) = kept(guest.state, done)? {
        answered[0] = 1;
        answered[4..].copy_from_slice(&error);
    }
    guest.write(answer, 4, &answered)
}

/// `result<u64, stream-error>`.
fn write_count(guest: &mut Guest<'_>, answer: u32, count: StreamResult<u64>) -> Result<()> {
    let mut answered = [0; 16];
    match kept(guest.state, count)? {
        Ok(count) => answered[8..].copy_from_slice(&count.to_le_bytes()),
        Err(error) => {
            answered[0] = 1;
            answered[8..].copy_from_slice(&error);
        }
    }
    guest.write(answer, 8, &answered)
}

/// `result<list<u8>, stream-error>`.
fn deliver_read(guest: &mut Guest<'_>, answer: u32, read: StreamResult<Vec<u8>>) -> Result<()> {
    let read = kept(guest.state, read)?;
    let delivery = &mut guest.state.lowered.delivery;
    delivery.begin(answer, 4, 12)?;
    match read {
        Ok(bytes) => delivery.bytes(At::root(4), bytes)?,
        Err(error) => {
            delivery.put(At::root(0), &[1])?;
            delivery.put(At::root(4), &error)?;
        }
    }
    delivery.settle(guest.memory)
}
