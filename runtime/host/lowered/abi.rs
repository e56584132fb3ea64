//! The canonical ABI by hand: what a guest passes is read out of its memory, and answers of a fixed size are written into
//! it. Must never trust a number of the guest's: each pointer, length, discriminant and handle is checked.

use wasmtime::component::Resource;
use wasmtime::{Result, bail, error::Context as _};

use super::delivery::At;
use crate::host::HostState;
use crate::model::limits;

/// Who calls.
pub(super) type Caller<'a> = wasmtime::Caller<'a, HostState>;
/// Pointer and length.
pub(super) type Range = (u32, u32);

/// A guest that calls: its memory beside the state of its store.
pub(super) struct Guest<'c> {
    pub(super) memory: &'c mut [u8],
    pub(super) state: &'c mut HostState,
}

impl<'c> Guest<'c> {
    /// The one that calls.
    pub(super) fn of(caller: &'c mut Caller<'_>) -> Result<Self> {
        let memory = caller.data().lowered.memory.context("the guest has no memory")?;
        let (memory, state) = memory.data_and_store_mut(caller);
        Ok(Self { memory, state })
    }

    /// Reads what it passes.
    pub(super) fn lift(&self) -> Lift<'_> {
        Lift::new(self.memory)
    }

    /// Writes an answer that needs no room to be made.
    pub(super) fn write(&mut self, at: u32, align: u32, bytes: &[u8]) -> Result<()> {
        write(self.memory, at, align, bytes)
    }

    /// Writes a `result` of a handle, or of an error that says nothing.
    pub(super) fn write_handle<T>(&mut self, at: u32, result: Result<Resource<T>, ()>) -> Result<()> {
        let (discriminant, handle) = match result {
            Ok(resource) => (0, handle(&resource)),
            Err(()) => (1, 0),
        };
        self.write(at, 4, &joined(discriminant, handle))
    }

    /// Answers with a string, or with a list of bytes.
    pub(super) fn deliver_bytes(&mut self, answer: u32, bytes: Vec<u8>) -> Result<()> {
        let delivery = &mut self.state.lowered.delivery;
        delivery.begin(answer, 4, 8)?;
        delivery.bytes(At::root(0), bytes)?;
        delivery.settle(self.memory)
    }

    /// Answers with a string that may be none.
    pub(super) fn deliver_option(&mut self, answer: u32, text: Option<String>) -> Result<()> {
        let delivery = &mut self.state.lowered.delivery;
        delivery.begin(answer, 4, 12)?;
        delivery.option_text(At::root(0), text)?;
        delivery.settle(self.memory)
    }
}

/// A discriminant, and a number of four bytes after it.
pub(super) fn joined(discriminant: u8, number: u32) -> [u8; 8] {
    let [a, b, c, d] = number.to_le_bytes();
    [discriminant, 0, 0, 0, a, b, c, d]
}

/// The guest's handle for a resource: 0 is none.
#[must_use]
pub fn handle<T>(resource: &Resource<T>) -> u32 {
    // The table holds far fewer.
    resource.rep().saturating_add(1)
}

/// What a handle stands for. Whether it is there, and of this type, is for the table to say.
pub(super) fn own<T: 'static>(handle: u32) -> Result<Resource<T>> {
    Ok(Resource::new_own(rep(handle)?))
}

/// What a handle stands for, lent.
pub(super) fn borrow<T: 'static>(handle: u32) -> Result<Resource<T>> {
    Ok(Resource::new_borrow(rep(handle)?))
}

fn rep(handle: u32) -> Result<u32> {
    handle.checked_sub(1).context("unknown handle index 0")
}

/// So many bytes of the guest's memory, to be written.
pub(super) fn target(memory: &mut [u8], at: u32, align: u32, size: usize) -> Result<&mut [u8]> {
    aligned(at, align)?;
    let place = memory.get_mut(at as usize..).and_then(|memory| memory.get_mut(..size));
    place.context("pointer out of bounds")
}

/// Writes into the guest's memory.
pub(super) fn write(memory: &mut [u8], at: u32, align: u32, bytes: &[u8]) -> Result<()> {
    target(memory, at, align, bytes.len())?.copy_from_slice(bytes);
    Ok(())
}

fn aligned(at: u32, align: u32) -> Result<()> {
    if !at.is_multiple_of(align) {
        bail!("pointer not aligned");
    }
    Ok(())
}

/// Whether an `option` is some, or a `result` an error.
pub(super) fn is_second(discriminant: u32) -> Result<bool> {
    match discriminant {
        0 => Ok(false),
        1 => Ok(true),
        other => bail!("unexpected discriminant: {other}"),
    }
}

/// The lower half, as the canonical ABI takes what is wider than it should be.
pub(super) fn low_u16(number: u32) -> u16 {
    let [a, b, ..] = number.to_le_bytes();
    u16::from_le_bytes([a, b])
}

/// Pointer and length of a list in memory.
pub(super) fn range(bytes: [u8; 8]) -> Range {
    let [p0, p1, p2, p3, n0, n1, n2, n3] = bytes;
    (u32::from_le_bytes([p0, p1, p2, p3]), u32::from_le_bytes([n0, n1, n2, n3]))
}

/// Reads what one call passes, up to as many bytes of the host's as the component path takes.
pub(super) struct Lift<'m> {
    memory: &'m [u8],
    left: usize,
}

impl<'m> Lift<'m> {
    /// Out of this memory.
    pub(super) fn new(memory: &'m [u8]) -> Self {
        Self { memory, left: limits::HOSTCALL_BYTES }
    }

    /// A list of bytes.
    pub(super) fn bytes(&mut self, list: Range) -> Result<&'m [u8]> {
        let bytes = self.get(list.0, list.1 as usize)?;
        self.pay(bytes.len(), 1)?;
        Ok(bytes)
    }

    /// A string.
    pub(super) fn text(&mut self, text: Range) -> Result<&'m str> {
        Ok(std::str::from_utf8(self.bytes(text)?)?)
    }

    /// A string of the host's own.
    pub(super) fn string(&mut self, text: Range) -> Result<String> {
        self.text(text).map(str::to_owned)
    }

    /// The elements of a list, each of `N` bytes, that become as many `T`.
    pub(super) fn list<const N: usize, T>(&mut self, list: Range) -> Result<&'m [[u8; N]]> {
        aligned(list.0, 4)?;
        let elements = list.1 as usize;
        let bytes = self.get(list.0, elements.checked_mul(N).context("list too long")?)?;
        // As the component path counts: what the host makes of them.
        self.pay(elements, size_of::<T>())?;
        Ok(bytes.as_chunks().0)
    }

    fn get(&self, at: u32, size: usize) -> Result<&'m [u8]> {
        let bytes = self.memory.get(at as usize..).and_then(|memory| memory.get(..size));
        bytes.context("pointer/length out of bounds of memory")
    }

    fn pay(&mut self, elements: usize, size: usize) -> Result<()> {
        let left = elements.checked_mul(size).and_then(|bytes| self.left.checked_sub(bytes));
        self.left = left.context("too much data is being copied between the host and the guest")?;
        Ok(())
    }
}
