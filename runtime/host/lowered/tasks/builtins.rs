//! The functions of the component model that a guest of 0.3 calls, as its core module imports them. Must never wait: what
//! does not end at once is told later.

use std::task::Waker;
use std::time::Duration;

use wasmtime::{Result, Trap, bail};

use super::{CANCELLED_BEFORE_RETURN, Running, Slot, Waitable};
use crate::host::lowered::abi::{Caller, Guest, Range, write};
use crate::host::lowered::table::{Function, function};

pub(in crate::host::lowered) const BUILTINS: &[Function] = &[
    function("context.get-0", |slot| slot.none(|state| Ok(state.lowered.tasks.context[0]))),
    function("context.get-1", |slot| slot.none(|state| Ok(state.lowered.tasks.context[1]))),
    function("context.set-0", |slot| {
        slot.one(|state, value| {
            state.lowered.tasks.context[0] = value;
            Ok(())
        })
    }),
    function("context.set-1", |slot| {
        slot.one(|state, value| {
            state.lowered.tasks.context[1] = value;
            Ok(())
        })
    }),
    function("task.cancel", |slot| slot.none(|_| -> Result<()> { bail!(Trap::TaskCancelNotCancelled) })),
    function("waitable-set.new", |slot| slot.none(|state| state.lowered.tasks.insert(Slot::Set))),
    function("waitable-set.poll", |slot| {
        slot.sync(|mut caller: Caller<'_>, set, at| poll(&mut caller, set, at))
    }),
    function("waitable-set.drop", |slot| {
        slot.one(|state, set| {
            let tasks = &mut state.lowered.tasks;
            tasks.is_set(set)?;
            for slot in &mut tasks.slots {
                if let Slot::End(waitable, _) | Slot::Timer(waitable, _) = slot {
                    waitable.set = waitable.set.filter(|other| *other != set);
                }
            }
            tasks.free(set)
        })
    }),
    function("waitable.join", |slot| {
        slot.sync(|mut caller: Caller<'_>, handle: u32, set: u32| -> Result<()> {
            let tasks = &mut caller.data_mut().lowered.tasks;
            if set != 0 {
                tasks.is_set(set)?;
            }
            match tasks.slot(handle)? {
                Slot::End(waitable, _) | Slot::Timer(waitable, _) => {
                    waitable.set = (set != 0).then_some(set);
                    Ok(())
                }
                Slot::Free | Slot::Set => bail!("handle index {handle} is nothing to wait for"),
            }
        })
    }),
    function("subtask.cancel", |slot| slot.one(|state, handle| state.lowered.tasks.give_up(handle))),
    function("subtask.drop", |slot| {
        slot.one(|state, handle| {
            let tasks = &mut state.lowered.tasks;
            match tasks.slot(handle)? {
                Slot::Timer(Waitable { event: None, .. }, None) => tasks.free(handle),
                Slot::Timer(..) => bail!(Trap::SubtaskDropNotResolved),
                _ => bail!("handle index {handle} is no subtask"),
            }
        })
    }),
    function("stream.new", |slot| slot.none(|state| state.lowered.tasks.open(false).map(both))),
    function("stream.read", |slot| {
        slot.sync(|mut caller: Caller<'_>, it, at, length| {
            operate(&mut caller, it, (at, length), (false, false))
        })
    }),
    function("stream.write", |slot| {
        slot.sync(|mut caller: Caller<'_>, it, at, length| {
            operate(&mut caller, it, (at, length), (false, true))
        })
    }),
    function("stream.cancel-read", |slot| {
        slot.sync(|mut caller: Caller<'_>, it| cancel(&mut caller, it, (false, false)))
    }),
    function("stream.cancel-write", |slot| {
        slot.sync(|mut caller: Caller<'_>, it| cancel(&mut caller, it, (false, true)))
    }),
    function("stream.drop-readable", |slot| {
        slot.sync(|mut caller: Caller<'_>, it| drop_end(&mut caller, it, (false, false)))
    }),
    function("stream.drop-writable", |slot| {
        slot.sync(|mut caller: Caller<'_>, it| drop_end(&mut caller, it, (false, true)))
    }),
    function("future.new", |slot| slot.none(|state| state.lowered.tasks.open(true).map(both))),
    function("future.read", |slot| {
        slot.sync(|mut caller: Caller<'_>, it, at| operate(&mut caller, it, (at, 0), (true, false)))
    }),
    function("future.write", |slot| {
        slot.sync(|mut caller: Caller<'_>, it, at| operate(&mut caller, it, (at, 0), (true, true)))
    }),
    function("future.cancel-read", |slot| {
        slot.sync(|mut caller: Caller<'_>, it| cancel(&mut caller, it, (true, false)))
    }),
    function("future.cancel-write", |slot| {
        slot.sync(|mut caller: Caller<'_>, it| cancel(&mut caller, it, (true, true)))
    }),
    function("future.drop-readable", |slot| {
        slot.sync(|mut caller: Caller<'_>, it| drop_end(&mut caller, it, (true, false)))
    }),
    function("future.drop-writable", |slot| {
        slot.sync(|mut caller: Caller<'_>, it| drop_end(&mut caller, it, (true, true)))
    }),
];

/// Two handles as one number, the one that reads in its lower half.
fn both((reads, writes): (u32, u32)) -> u64 {
    u64::from(writes) << 32 | u64::from(reads)
}

/// Runs what needs the memory. It is not what waits, so that nobody need be woken.
pub(super) fn running<T>(
    caller: &mut Caller<'_>,
    what: impl FnOnce(&mut Running<'_, '_>) -> Result<T>,
) -> Result<T> {
    let Guest { memory, state } = Guest::of(caller)?;
    what(&mut Running::of(memory, state, Waker::noop()))
}

fn operate(caller: &mut Caller<'_>, handle: u32, range: Range, kind: (bool, bool)) -> Result<u32> {
    running(caller, |running| running.operate(handle, range, kind))
}

fn cancel(caller: &mut Caller<'_>, handle: u32, kind: (bool, bool)) -> Result<u32> {
    running(caller, |running| running.cancel(handle, kind))
}

fn drop_end(caller: &mut Caller<'_>, handle: u32, kind: (bool, bool)) -> Result<()> {
    running(caller, |running| running.drop_end(handle, kind))
}

/// Looks what has happened; writes to what and how it ended.
fn poll(caller: &mut Caller<'_>, set: u32, at: u32) -> Result<u32> {
    running(caller, |running| {
        running.tasks.is_set(set)?;
        running.progress()?;
        let (kind, handle, code) = running.tasks.ready(set).unwrap_or(super::NOTHING);
        let mut answer = [0; 8];
        answer[..4].copy_from_slice(&handle.to_le_bytes());
        answer[4..].copy_from_slice(&code.to_le_bytes());
        write(running.memory, at, 4, &answer)?;
        Ok(kind)
    })
}

impl super::Tasks {
    /// A timer of so many nanoseconds: how it stands, and its handle in the upper bits.
    pub(super) fn wait_for(&mut self, nanoseconds: u64) -> Result<u32> {
        if nanoseconds == 0 {
            return Ok(super::RETURNED);
        }
        let sleep = tokio::time::sleep(Duration::from_nanos(nanoseconds));
        let handle = self.insert(Slot::Timer(Waitable::default(), Some(Box::pin(sleep))))?;
        Ok(handle << 4 | super::STARTED)
    }

    /// Gives up a timer, or tells that it is over.
    fn give_up(&mut self, handle: u32) -> Result<u32> {
        match self.slot(handle)? {
            Slot::Timer(waitable, sleep) => {
                if let Some((_, status)) = waitable.event.take() {
                    return Ok(status);
                }
                if sleep.take().is_none() {
                    bail!(Trap::SubtaskCancelAfterTerminal);
                }
                Ok(CANCELLED_BEFORE_RETURN)
            }
            _ => bail!("handle index {handle} is no subtask"),
        }
    }
}
