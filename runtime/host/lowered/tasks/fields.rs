//! `wasi:http/types` of 0.3: what differs from 0.2 for fields. Must never decide what a field may hold.

use wasmtime::Result;
use wasmtime_wasi_http::{FieldMap, FieldMapError};

use crate::host::HostState;
use crate::host::lowered::abi::{Caller, Guest, Range, borrow};
use crate::host::lowered::fields::{entries, named};
use crate::host::lowered::table::{Function, function};

pub(in crate::host::lowered) const FIELDS: &[Function] = &[
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
            let HostState { table, hooks, .. } = &mut *guest.state;
            let done = table.get_mut::<FieldMap>(&borrow(this)?)?.remove_all(hooks, name);
            write_done(&mut guest, answer, done.map(drop))
        })
    }),
    function("[method]fields.append", |slot| {
        slot.sync(
            |mut caller: Caller<'_>, this: u32, at: u32, length: u32, value: u32, bytes: u32, answer: u32| {
                append(&mut Guest::of(&mut caller)?, this, (at, length), (value, bytes), answer)
            },
        )
    }),
    function("[method]fields.copy-all", |slot| slot.one_answering(entries)),
];

fn set(guest: &mut Guest<'_>, this: u32, name: Range, list: Range, answer: u32) -> Result<()> {
    let (name, values) = named(guest, name, list)?;
    let HostState { table, hooks, .. } = &mut *guest.state;
    let done = table.get_mut::<FieldMap>(&borrow(this)?)?.set(hooks, name, values);
    write_done(guest, answer, done)
}

fn append(guest: &mut Guest<'_>, this: u32, name: Range, value: Range, answer: u32) -> Result<()> {
    let mut lift = guest.lift();
    let (name, value) = (lift.string(name)?, lift.bytes(value)?.to_vec());
    let HostState { table, hooks, .. } = &mut *guest.state;
    let done = table.get_mut::<FieldMap>(&borrow(this)?)?.append(hooks, name, value);
    write_done(guest, answer, done.map(drop))
}

/// `result<_, header-error>`.
fn write_done(
    guest: &mut Guest<'_>,
    answer: u32,
    done: std::result::Result<(), FieldMapError>,
) -> Result<()> {
    let mut answered = [0; 20];
    if let Err(error) = done {
        answered[0] = 1;
        answered[4] = match error {
            FieldMapError::InvalidHeaderName | FieldMapError::InvalidHeaderValue => 0,
            FieldMapError::Forbidden => 1,
            FieldMapError::Immutable => 2,
            FieldMapError::TooManyFields | FieldMapError::TotalSizeTooBig => 3,
        };
    }
    guest.write(answer, 4, &answered)
}
