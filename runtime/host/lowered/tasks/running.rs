//! Steps of what a guest has under way: each operation of its own, and what goes on without it. Must never wait: what cannot
//! be done now is done when it is asked again.

use std::task::{Context, Waker};

use wasmtime::component::ResourceTable;
use wasmtime::{Result, Trap, bail};
use wasmtime_wasi_http::WasiHttpHooks;

use super::payload::Fields;
use super::pipe::{Done, Peer, Pipe, Surroundings};
use super::{BLOCKED, RETURNED, SUBTASK, Slot, Tasks};
use crate::host::HostState;
use crate::host::lowered::abi::Range;

/// A step of anything needs the guest's memory and what else the host keeps.
pub(super) struct Running<'a, 'w> {
    pub(super) tasks: &'a mut Tasks,
    pub(super) memory: &'a mut [u8],
    pub(super) table: &'a mut ResourceTable,
    hooks: &'a mut dyn WasiHttpHooks,
    cx: Context<'w>,
}

impl<'a, 'w> Running<'a, 'w> {
    pub(super) fn of(memory: &'a mut [u8], state: &'a mut HostState, waker: &'w Waker) -> Self {
        let HostState { lowered, table, hooks, .. } = state;
        Self { tasks: &mut lowered.tasks, memory, table, hooks, cx: Context::from_waker(waker) }
    }

    /// Does what can be done of one pipe. Whether anything ended.
    pub(super) fn step(&mut self, index: usize) -> Result<bool> {
        let Tasks { pipes, incoming, .. } = &mut *self.tasks;
        let Some(pipe) = pipes.get_mut(index).and_then(Option::as_mut) else { return Ok(false) };
        let mut fields = Fields { table: self.table, hooks: self.hooks };
        let mut around =
            Surroundings { memory: self.memory, incoming, fields: &mut fields, cx: &mut self.cx };
        let (written, read) = pipe.step(&mut around)?;
        let is_future = pipe.is_future;
        let holder = |peer: &Peer| if let Peer::Guest(handle) = peer { Some(*handle) } else { None };
        let (writer, reader) = (holder(&pipe.writer), holder(&pipe.reader));
        if pipe.is_over() && !pipe.is_outside() {
            pipes[index] = None;
        }
        for (done, holder) in [(written, writer), (read, reader)] {
            if let (Some(done), Some(holder)) = (done, holder) {
                self.tasks.tell(holder, is_future, done);
            }
        }
        Ok(written.is_some() || read.is_some())
    }

    /// Begins to read or to write. The code for the guest.
    pub(super) fn operate(
        &mut self,
        handle: u32,
        range: Range,
        (is_future, writes): (bool, bool),
    ) -> Result<u32> {
        let end = self.tasks.end_of(handle, is_future, writes)?;
        if end.is_busy {
            bail!(Trap::ConcurrentFutureStreamOp);
        }
        if end.is_done {
            bail!("cannot read or write after the other end was dropped, or the future's value went over");
        }
        self.tasks.pipe(end.pipe)?.begin(self.memory, range, writes)?;
        self.step(end.pipe)?;
        if let Some((_, code)) = self.tasks.told(handle) {
            return Ok(code);
        }
        if let Slot::End(_, end) = self.tasks.slot(handle)? {
            end.is_busy = true;
        }
        Ok(BLOCKED)
    }

    /// Gives up what was begun, or tells how it ended.
    pub(super) fn cancel(&mut self, handle: u32, (is_future, writes): (bool, bool)) -> Result<u32> {
        let end = self.tasks.end_of(handle, is_future, writes)?;
        if !end.is_busy {
            bail!("a read or write is cancelled when none is pending");
        }
        if let Some((_, code)) = self.tasks.told(handle) {
            // What a stream had got to when it was cancelled; a future's value and an end stay what they are.
            let is_cancelled = !is_future && code & 0xf == Done::Completed(0).code();
            return Ok(if is_cancelled { code | Done::Cancelled(0).code() } else { code });
        }
        let pipe = self.tasks.pipe(end.pipe)?;
        *(if writes { &mut pipe.write } else { &mut pipe.read }) = None;
        if let Slot::End(_, end) = self.tasks.slot(handle)? {
            end.is_busy = false;
        }
        Ok(Done::Cancelled(0).code())
    }

    /// The guest drops an end.
    pub(super) fn drop_end(&mut self, handle: u32, (is_future, writes): (bool, bool)) -> Result<()> {
        let end = self.tasks.end_of(handle, is_future, writes)?;
        if end.is_busy {
            bail!("cannot drop a stream or future while something is pending");
        }
        if is_future && writes && !end.is_done {
            bail!("cannot drop future write end without first writing a value");
        }
        self.tasks.free(handle)?;
        self.close(end.pipe, writes)
    }

    /// One end of a pipe is gone: the other one is told, and the pipe goes with the last.
    pub(super) fn close(&mut self, index: usize, writes: bool) -> Result<()> {
        let Tasks { pipes, incoming, .. } = &mut *self.tasks;
        let Some(pipe) = pipes.get_mut(index).and_then(Option::as_mut) else { return Ok(()) };
        if writes {
            if let Peer::Body(feeder) = &mut pipe.reader {
                feeder.close();
            }
            (pipe.writer, pipe.write) = (Peer::Gone, None);
        } else {
            if let Peer::Request = pipe.writer {
                incoming.close();
            }
            (pipe.reader, pipe.read) = (Peer::Gone, None);
        }
        if pipe.is_over() {
            pipes[index] = None;
            return Ok(());
        }
        self.step(index)?;
        Ok(())
    }

    /// Lets everything go on that can.
    pub(super) fn progress(&mut self) -> Result<()> {
        for slot in &mut self.tasks.slots {
            if let Slot::Timer(waitable, sleep) = slot
                && let Some(sleeping) = sleep
                && sleeping.as_mut().poll(&mut self.cx).is_ready()
            {
                *sleep = None;
                waitable.event = Some((SUBTASK, RETURNED));
            }
        }
        // What ends one may let another end; each does so once, so that this ends.
        let mut goes_on = true;
        while goes_on {
            goes_on = false;
            for index in 0..self.tasks.pipes.len() {
                if self.tasks.pipes.get(index).and_then(Option::as_ref).is_some_and(Pipe::is_outside) {
                    goes_on |= self.step(index)?;
                }
            }
        }
        Ok(())
    }
}
