//! What a lowered guest of 0.3 has under way: streams, futures, timers, and what it waits for. The host is the only one it
//! talks to, and answers when it is asked or when the guest waits. Must never let a guest have more of anything than it
//! may have handles, nor wait for what cannot happen.

mod builtins;
mod carrier;
mod fields;
mod http;
mod incoming;
mod payload;
mod pipe;
mod running;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::Sleep;
use wasmtime::{Result, Trap, bail, error::Context as _};
use wasmtime_wasi_http::WasiBody;

use crate::host::HostState;
use crate::model::limits;
pub(super) use builtins::BUILTINS;
pub(super) use fields::FIELDS;
pub(super) use http::{CLOCKS, RETURN, TYPES};
use incoming::Incoming;
use pipe::{Done, Peer, Pipe, Verdict};
use running::Running;

/// What a guest answers.
pub type Answer = std::result::Result<::http::Response<WasiBody>, String>;

/// What happened, as a callback is told: what kind of thing, to which handle, and how it ended.
pub type Event = (u32, u32, u32);

/// Nothing happened; the guest only gave way.
pub const NOTHING: Event = (0, 0, 0);

const SUBTASK: u32 = 1;
const STREAM_READ: u32 = 2;
const STREAM_WRITE: u32 = 3;
const FUTURE_READ: u32 = 4;
const FUTURE_WRITE: u32 = 5;

/// How a call of a function that may wait stands.
const STARTED: u32 = 1;
const RETURNED: u32 = 2;
const CANCELLED_BEFORE_RETURN: u32 = 4;

/// An operation that did not end at once.
const BLOCKED: u32 = u32::MAX;

/// All of it, of one instance.
#[derive(Default)]
pub(super) struct Tasks {
    /// By handle, from 1 on.
    slots: Vec<Slot>,
    pipes: Vec<Option<Pipe>>,
    /// What the guest keeps for itself while it runs.
    context: [u32; 2],
    stage: Stage,
    incoming: Incoming,
    answer: Option<Answer>,
    /// Numbers requests and responses, so that none is taken for another one.
    count: u64,
    /// Of the request that is being answered.
    request: u64,
}

/// How far the guest is with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// There is none.
    #[default]
    Idle,
    /// It has not answered.
    Asked,
    /// It has, and goes on.
    Answered,
}

/// What a handle stands for.
enum Slot {
    Free,
    Set,
    Timer(Waitable, Option<Pin<Box<Sleep>>>),
    End(Waitable, End),
}

/// What a set can wait for.
#[derive(Default)]
struct Waitable {
    set: Option<u32>,
    /// What happened and was not told.
    event: Option<(u32, u32)>,
}

/// One end of a pipe.
#[derive(Clone, Copy)]
struct End {
    pipe: usize,
    writes: bool,
    /// Something was begun, and its end was not told.
    is_busy: bool,
    /// The other end is gone, or the future's value went over.
    is_done: bool,
}

impl Tasks {
    /// Whether nothing is under way or kept.
    pub(super) fn is_idle(&self) -> bool {
        self.stage == Stage::Idle
            && self.slots.iter().all(|slot| matches!(slot, Slot::Free))
            && self.pipes.iter().all(Option::is_none)
    }

    /// A request comes: its number. What is left of the one before stands for nothing any more.
    fn begin(&mut self, body: WasiBody) -> u64 {
        self.context = [0; 2];
        self.stage = Stage::Asked;
        (self.incoming, self.answer) = (Incoming::new(body), None);
        for pipe in self.pipes.iter_mut().flatten() {
            for end in [&mut pipe.reader, &mut pipe.writer] {
                if !matches!(end, Peer::Guest(_) | Peer::Held) {
                    *end = Peer::Gone;
                }
            }
        }
        for pipe in &mut self.pipes {
            *pipe = pipe.take().filter(|pipe| !pipe.is_over());
        }
        self.request = self.number();
        self.request
    }

    fn number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// The guest has ended.
    fn end(&mut self) -> Result<()> {
        if self.stage == Stage::Asked {
            bail!(Trap::NoAsyncResult);
        }
        self.stage = Stage::Idle;
        self.incoming.close();
        Ok(())
    }

    /// Tells how it went with a response to whoever may ask.
    fn settle(&mut self, response: u64, verdict: Verdict) {
        let is_it = |pipe: &&mut Pipe| matches!(pipe.writer, Peer::Sent(number, _) if number == response);
        if let Some(pipe) = self.pipes.iter_mut().flatten().find(is_it) {
            pipe.writer = Peer::Sent(response, verdict);
        }
    }

    fn insert(&mut self, slot: Slot) -> Result<u32> {
        let free = self.slots.iter().position(|slot| matches!(slot, Slot::Free));
        let index = free.unwrap_or(self.slots.len());
        if index >= limits::HANDLES {
            bail!("too many handles");
        }
        if let Some(place) = self.slots.get_mut(index) {
            *place = slot;
        } else {
            self.slots.push(slot);
        }
        Ok(u32::try_from(index + 1)?)
    }

    fn slot(&mut self, handle: u32) -> Result<&mut Slot> {
        let index = (handle as usize).checked_sub(1);
        let slot =
            index.and_then(|index| self.slots.get_mut(index)).filter(|slot| !matches!(slot, Slot::Free));
        slot.with_context(|| format!("unknown handle index {handle}"))
    }

    fn free(&mut self, handle: u32) -> Result<()> {
        *self.slot(handle)? = Slot::Free;
        while matches!(self.slots.last(), Some(Slot::Free)) {
            self.slots.pop();
        }
        Ok(())
    }

    fn end_of(&mut self, handle: u32, is_future: bool, writes: bool) -> Result<End> {
        let Slot::End(_, end) = self.slot(handle)? else {
            bail!("handle index {handle} is no stream or future");
        };
        let end = *end;
        let fits = self.pipe(end.pipe)?.is_future == is_future && end.writes == writes;
        if fits { Ok(end) } else { bail!("handle index {handle} is another kind of end") }
    }

    fn pipe(&mut self, pipe: usize) -> Result<&mut Pipe> {
        self.pipes.get_mut(pipe).and_then(Option::as_mut).context("a stream or future that is gone")
    }

    fn push(&mut self, pipe: Pipe) -> usize {
        // No more than there are handles, or twice that.
        let free = self.pipes.iter().position(Option::is_none).unwrap_or(self.pipes.len());
        if let Some(place) = self.pipes.get_mut(free) {
            *place = Some(pipe);
        } else {
            self.pipes.push(Some(pipe));
        }
        free
    }

    /// A pipe with both ends the guest's: the handle of the end that reads, and of the other.
    fn open(&mut self, is_future: bool) -> Result<(u32, u32)> {
        let pipe = self.push(Pipe::new(is_future, Peer::Held, Peer::Held));
        let reads = self.give(pipe, false)?;
        Ok((reads, self.give(pipe, true)?))
    }

    /// Gives an end of a pipe to the guest.
    fn give(&mut self, pipe: usize, writes: bool) -> Result<u32> {
        let end = End { pipe, writes, is_busy: false, is_done: false };
        let handle = self.insert(Slot::End(Waitable::default(), end))?;
        let pipe = self.pipe(pipe)?;
        *(if writes { &mut pipe.writer } else { &mut pipe.reader }) = Peer::Guest(handle);
        Ok(handle)
    }

    /// Takes the end that reads from the guest.
    fn take(&mut self, handle: u32, is_future: bool) -> Result<usize> {
        let end = self.end_of(handle, is_future, false)?;
        if end.is_busy || end.is_done {
            bail!("handle index {handle} cannot be given away");
        }
        if let Slot::End(Waitable { set: Some(_), .. }, _) = self.slot(handle)? {
            bail!("cannot lift a stream or future while it's in a waitable set");
        }
        self.free(handle)?;
        self.pipe(end.pipe)?.reader = Peer::Held;
        Ok(end.pipe)
    }

    /// What happened to an end that the guest holds.
    fn tell(&mut self, peer: u32, is_future: bool, done: Done) {
        let Ok(Slot::End(waitable, end)) = self.slot(peer) else { return };
        let kind = match (is_future, end.writes) {
            (false, false) => STREAM_READ,
            (false, true) => STREAM_WRITE,
            (true, false) => FUTURE_READ,
            (true, true) => FUTURE_WRITE,
        };
        end.is_done |= matches!(done, Done::Dropped(_)) || is_future && matches!(done, Done::Completed(_));
        waitable.event = Some((kind, done.code()));
    }

    /// What was not told of a handle, which is told by this.
    fn told(&mut self, handle: u32) -> Option<(u32, u32)> {
        match self.slot(handle).ok()? {
            Slot::End(waitable, end) => {
                let event = waitable.event.take();
                end.is_busy &= event.is_none();
                event
            }
            Slot::Timer(waitable, _) => waitable.event.take(),
            Slot::Free | Slot::Set => None,
        }
    }

    /// What happened to anything in this set.
    fn ready(&mut self, set: u32) -> Option<Event> {
        let is_ready = |slot: &Slot| match slot {
            Slot::End(waitable, _) | Slot::Timer(waitable, _) => {
                waitable.set == Some(set) && waitable.event.is_some()
            }
            Slot::Free | Slot::Set => false,
        };
        let index = self.slots.iter().position(is_ready)?;
        let handle = u32::try_from(index + 1).ok()?;
        let (kind, code) = self.told(handle)?;
        Some((kind, handle, code))
    }

    /// Whether anything may happen without the guest.
    fn is_outside(&self) -> bool {
        let runs = |slot: &Slot| matches!(slot, Slot::Timer(_, Some(_)));
        self.slots.iter().any(runs) || self.pipes.iter().flatten().any(Pipe::is_outside)
    }

    fn is_set(&mut self, set: u32) -> Result<()> {
        match self.slot(set)? {
            Slot::Set => Ok(()),
            _ => bail!("handle index {set} is no waitable set"),
        }
    }
}

impl HostState {
    /// Whether the guest has answered, and how: once.
    pub fn lowered_answer(&mut self) -> Option<Answer> {
        self.lowered.tasks.answer.take()
    }

    /// The guest has ended.
    ///
    /// # Errors
    /// When it has not answered.
    pub fn lowered_end(&mut self) -> Result<()> {
        self.lowered.tasks.end()
    }

    /// Whether the guest still runs: it has not ended though nobody waits for it.
    #[must_use]
    pub fn lowered_runs(&self) -> bool {
        self.lowered.tasks.stage != Stage::Idle
    }

    /// Lets a response go on whose guest has ended, until all that it wrote has gone.
    ///
    /// # Errors
    /// When a payload is not what it says it is.
    pub fn lowered_rest(&mut self, memory: &mut [u8], cx: &mut Context<'_>) -> Poll<Result<()>> {
        let is_sending = |pipe: &Pipe| {
            matches!(pipe.reader, Peer::Body(_) | Peer::Trailers(_)) && !matches!(pipe.writer, Peer::Gone)
        };
        if let Err(error) = Running::of(memory, self, cx.waker()).progress() {
            return Poll::Ready(Err(error));
        }
        // An end that the guest never dropped is open as long as the instance is there.
        let is_sending = self.lowered.tasks.pipes.iter().flatten().any(is_sending);
        if is_sending { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    /// What happened to anything in a set that the guest waits for.
    ///
    /// # Errors
    /// When that is no set, a payload is not what it says it is, or nothing can happen any more.
    pub fn lowered_event(
        &mut self,
        memory: &mut [u8],
        set: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Event>> {
        let mut running = Running::of(memory, self, cx.waker());
        if let Err(error) = running.tasks.is_set(set) {
            return Poll::Ready(Err(error));
        }
        if let Some(event) = running.tasks.ready(set) {
            return Poll::Ready(Ok(event));
        }
        if let Err(error) = running.progress() {
            return Poll::Ready(Err(error));
        }
        match running.tasks.ready(set) {
            Some(event) => Poll::Ready(Ok(event)),
            None if running.tasks.stage == Stage::Asked && !running.tasks.is_outside() => {
                Poll::Ready(Err(Trap::AsyncDeadlock.into()))
            }
            None => Poll::Pending,
        }
    }
}
