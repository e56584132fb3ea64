//! What a guest has under way, step by step: what each operation tells, that nothing is left behind, and that no order of
//! operations does harm. Must never ask the engine: the guest here is whoever writes the test.

use std::task::Waker;

use http_body_util::{BodyExt as _, Full};
use proptest::prelude::*;

use super::carrier::{Feeder, Taken, carrier};
use super::*;
use crate::host::lowered::tests::state;

const STREAM: (bool, bool) = (false, false);
const WRITES: (bool, bool) = (false, true);
const FUTURE: (bool, bool) = (true, false);
const WRITES_FUTURE: (bool, bool) = (true, true);

/// A guest: its memory, and what the host keeps for it.
struct Guest {
    memory: Vec<u8>,
    state: HostState,
}

impl Guest {
    fn new() -> Self {
        let mut state = state();
        state.lowered_begin(::http::Request::new(body(""))).unwrap();
        Self { memory: vec![0; 256], state }
    }

    fn run<T>(&mut self, what: impl FnOnce(&mut Running<'_, '_>) -> T) -> T {
        what(&mut Running::of(&mut self.memory, &mut self.state, Waker::noop()))
    }

    fn tasks(&mut self) -> &mut Tasks {
        &mut self.state.lowered.tasks
    }

    fn event(&mut self, set: u32) -> Poll<Result<Event>> {
        self.state.lowered_event(&mut self.memory, set, &mut Context::from_waker(Waker::noop()))
    }
}

fn body(text: &'static str) -> WasiBody {
    Full::new(text.as_bytes().into()).map_err(|never| match never {}).boxed_unsync()
}

fn taken(feeder: &Feeder, bytes: &[u8]) -> Option<usize> {
    match feeder.take(bytes, &mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Taken::Bytes(count)) => Some(count),
        Poll::Ready(Taken::Gone) => None,
        Poll::Pending => Some(usize::MAX),
    }
}

#[test]
fn bytes_go_from_one_end_of_a_guest_to_the_other() {
    let mut guest = Guest::new();
    guest.memory[..4].copy_from_slice(b"abcd");
    let (read, write) = guest.tasks().open(false).unwrap();
    // The writer waits, the reader takes less than there is: both are told how much.
    assert_eq!(guest.run(|run| run.operate(write, (0, 4), WRITES)).unwrap(), BLOCKED);
    assert!(guest.run(|run| run.operate(write, (0, 4), WRITES)).is_err(), "one at a time");
    assert_eq!(guest.run(|run| run.operate(read, (100, 3), STREAM)).unwrap(), 3 << 4);
    assert_eq!(&guest.memory[100..104], b"abc\0");
    let set = guest.tasks().insert(Slot::Set).unwrap();
    let Slot::End(waitable, _) = guest.tasks().slot(write).unwrap() else { panic!() };
    waitable.set = Some(set);
    assert!(matches!(guest.event(set), Poll::Ready(Ok((STREAM_WRITE, handle, 0x30))) if handle == write));
    // A reader that waits learns that the writer has gone; then there is nothing left.
    assert_eq!(guest.run(|run| run.operate(read, (100, 3), STREAM)).unwrap(), BLOCKED);
    guest.run(|run| run.drop_end(write, WRITES)).unwrap();
    assert_eq!(guest.run(|run| run.cancel(read, STREAM)).unwrap(), 1, "dropped, and not cancelled");
    assert!(guest.run(|run| run.operate(read, (100, 3), STREAM)).is_err(), "it was told");
    guest.run(|run| run.drop_end(read, STREAM)).unwrap();
    guest.tasks().free(set).unwrap();
    assert!(guest.tasks().pipes.iter().all(Option::is_none) && guest.tasks().slots.is_empty());
}

#[test]
fn whoever_asks_for_nothing_asks_whether_the_other_one_is_there() {
    let mut guest = Guest::new();
    let (read, write) = guest.tasks().open(false).unwrap();
    assert_eq!(guest.run(|run| run.operate(write, (0, 0), WRITES)).unwrap(), BLOCKED);
    assert_eq!(guest.run(|run| run.operate(read, (8, 4), STREAM)).unwrap(), BLOCKED);
    assert_eq!(guest.run(|run| run.cancel(write, WRITES)).unwrap(), 2, "it had ended, with nothing");
    assert_eq!(guest.run(|run| run.operate(write, (0, 2), WRITES)).unwrap(), 2 << 4);
    assert_eq!(guest.run(|run| run.cancel(read, STREAM)).unwrap(), 2 << 4 | 2);
}

#[test]
fn what_makes_no_sense_is_an_error() {
    let mut guest = Guest::new();
    let (read, write) = guest.tasks().open(false).unwrap();
    let (reads_value, writes_value) = guest.tasks().open(true).unwrap();
    for wrong in [0, 99, u32::MAX] {
        assert!(guest.run(|run| run.operate(wrong, (0, 1), STREAM)).is_err());
        assert!(guest.run(|run| run.drop_end(wrong, STREAM)).is_err());
    }
    assert!(guest.run(|run| run.operate(read, (0, 1), WRITES)).is_err(), "the other end");
    assert!(guest.run(|run| run.operate(reads_value, (0, 1), STREAM)).is_err(), "a future");
    assert!(guest.run(|run| run.operate(write, (250, 7), WRITES)).is_err(), "beyond the memory");
    assert!(guest.run(|run| run.operate(write, (0, 1 << 28), WRITES)).is_err(), "too much");
    assert!(guest.run(|run| run.cancel(write, WRITES)).is_err(), "nothing to cancel");
    assert!(guest.run(|run| run.drop_end(writes_value, WRITES_FUTURE)).is_err(), "a future without a value");
    let set = guest.tasks().insert(Slot::Set).unwrap();
    assert!(matches!(guest.event(set), Poll::Ready(Err(_))), "it would wait for ever");
    assert!(matches!(guest.event(read), Poll::Ready(Err(_))), "no set");
    assert!(guest.tasks().end().is_err(), "it has not answered");
}

#[test]
fn a_guest_has_no_more_handles_than_it_may_have() {
    let mut guest = Guest::new();
    let opened = std::iter::repeat_with(|| guest.tasks().open(true)).take(limits::HANDLES).flatten().count();
    assert_eq!(opened, limits::HANDLES / 2);
    assert!(guest.tasks().pipes.len() <= limits::HANDLES);
}

#[test]
fn a_requests_body_is_read_in_pieces_and_then_its_end() {
    let mut guest = Guest::new();
    guest.tasks().begin(body("hello"));
    let contents = guest.tasks().push(Pipe::new(false, Peer::Held, Peer::Request));
    let end = guest.tasks().push(Pipe::new(true, Peer::Held, Peer::RequestTrailers));
    let (read, end) = (guest.tasks().give(contents, false).unwrap(), guest.tasks().give(end, false).unwrap());
    assert_eq!(guest.run(|run| run.operate(end, (128, 0), FUTURE)).unwrap(), BLOCKED);
    assert_eq!(guest.run(|run| run.operate(read, (0, 3), STREAM)).unwrap(), 3 << 4);
    assert_eq!(guest.run(|run| run.operate(read, (3, 3), STREAM)).unwrap(), 2 << 4);
    assert_eq!(&guest.memory[..6], b"hello\0");
    assert_eq!(guest.run(|run| run.operate(read, (0, 3), STREAM)).unwrap(), 1, "it is over");
    guest.memory[128] = 7;
    Running::of(&mut guest.memory, &mut guest.state, Waker::noop()).progress().unwrap();
    assert_eq!(guest.run(|run| run.cancel(end, FUTURE)).unwrap(), 0, "it was there");
    assert_eq!(guest.memory[128], 0, "no error");
}

#[test]
fn a_body_carries_one_piece_and_no_more_than_was_declared() {
    let (feeder, mut outgoing) = carrier(Some(4));
    assert_eq!(taken(&feeder, b"abc"), Some(3));
    assert_eq!(taken(&feeder, b"d"), Some(usize::MAX), "one at a time");
    let now = |outgoing: &mut carrier::Outgoing| futures_util::FutureExt::now_or_never(outgoing.frame());
    assert_eq!(now(&mut outgoing).unwrap().unwrap().unwrap().into_data().unwrap(), "abc");
    assert_eq!(taken(&feeder, b"de"), None, "more than it declared");
    assert!(now(&mut outgoing).unwrap().unwrap().is_err());
    assert_eq!(feeder.verdict(), Some(Err(5)));

    let (feeder, mut outgoing) = carrier(None);
    assert_eq!(taken(&feeder, &vec![1; 100_000]), Some(65_536));
    feeder.close();
    assert_eq!(now(&mut outgoing).unwrap().unwrap().unwrap().into_data().unwrap().len(), 65_536);
    assert!(now(&mut outgoing).is_none(), "its trailers are not known");
    feeder.trailers(Ok(None));
    assert!(now(&mut outgoing).unwrap().is_none());

    let (feeder, _outgoing) = carrier(Some(2));
    assert_eq!((taken(&feeder, b"x"), feeder.verdict()), (Some(1), None), "it may go on");
    feeder.close();
    assert_eq!(feeder.verdict(), Some(Err(1)));

    let (feeder, outgoing) = carrier(None);
    drop(outgoing);
    assert_eq!(taken(&feeder, b"x"), None, "nobody takes it");
}

/// What a guest may do, with numbers that may or may not be handles.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Open(bool),
    Set,
    Operate(u32, u32, u32, (bool, bool)),
    Cancel(u32, (bool, bool)),
    Drop(u32, (bool, bool)),
    Join(u32, u32),
    Wait(u32),
    Take(u32, bool),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let kind = || (any::<bool>(), any::<bool>());
    let handle = || 0..12_u32;
    let deed = prop_oneof![
        2 => any::<bool>().prop_map(Deed::Open),
        1 => Just(Deed::Set),
        6 => (handle(), 0..260_u32, 0..20_u32, kind()).prop_map(|(it, at, length, kind)| Deed::Operate(it, at, length, kind)),
        2 => (handle(), kind()).prop_map(|(it, kind)| Deed::Cancel(it, kind)),
        2 => (handle(), kind()).prop_map(|(it, kind)| Deed::Drop(it, kind)),
        2 => (handle(), handle()).prop_map(|(it, set)| Deed::Join(it, set)),
        2 => handle().prop_map(Deed::Wait),
        1 => (handle(), any::<bool>()).prop_map(|(it, is_future)| Deed::Take(it, is_future)),
    ];
    prop::collection::vec(deed, 0..60)
}

proptest! {
    #[test]
    fn no_order_of_operations_panics_or_leaves_a_pipe_without_an_end(deeds in deeds()) {
        let mut guest = Guest::new();
        for deed in deeds {
            match deed {
                Deed::Open(is_future) => drop(guest.tasks().open(is_future)),
                Deed::Set => drop(guest.tasks().insert(Slot::Set)),
                Deed::Operate(it, at, length, kind) => drop(guest.run(|run| run.operate(it, (at, length), kind))),
                Deed::Cancel(it, kind) => drop(guest.run(|run| run.cancel(it, kind))),
                Deed::Drop(it, kind) => drop(guest.run(|run| run.drop_end(it, kind))),
                Deed::Wait(set) => drop(guest.event(set)),
                Deed::Join(it, set) => {
                    let is_set = guest.tasks().is_set(set).is_ok();
                    if let (true, Ok(Slot::End(waitable, _))) = (is_set, guest.tasks().slot(it)) {
                        waitable.set = Some(set);
                    }
                }
                Deed::Take(it, is_future) => {
                    if let Ok(pipe) = guest.tasks().take(it, is_future) {
                        drop(guest.run(|run| run.close(pipe, false)));
                    }
                }
            }
            let tasks = guest.tasks();
            let held: Vec<_> = tasks.slots.iter().filter_map(|slot| match slot {
                Slot::End(_, end) => Some(end.pipe),
                _ => None,
            }).collect();
            for (index, pipe) in tasks.pipes.iter().enumerate() {
                prop_assert_eq!(pipe.is_some(), held.contains(&index), "{:?}", deed);
            }
        }
    }
}
