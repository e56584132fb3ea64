//! Instances that wait to be put back. Must never give out one that was: it does not know which are.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::{Instance, Room, Share};
use crate::engine::program::{Code, Program};
use crate::engine::sizing::Pace;

/// Instances of one kind that wait to be put back: more than that are at work at once only where calls take long.
const USED: usize = 64;

/// What makes two instances that were put back the same one: what they run, whose they are, and what they may grow to. Which
/// of its tenant's functions one answers for is told to it at each call.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Kind {
    code: *const Code,
    share: *const Share,
    memory_bytes: u64,
    table_elements: u64,
}

impl Kind {
    fn of(program: &Program, share: &Rc<Share>) -> Self {
        let (memory_bytes, table_elements) = (program.grant.memory_bytes, program.grant.table_elements);
        Self { code: Arc::as_ptr(&program.code), share: Rc::as_ptr(share), memory_bytes, table_elements }
    }
}

/// Those of one thread: functions of one tenant that were made of the same upload share theirs.
#[derive(Default)]
pub(super) struct AllUsed(RefCell<HashMap<Kind, Weak<RefCell<Used>>>>);

/// Instances that answered and are to be put back before they answer again; the last one that did is the first to be.
pub(super) struct Used {
    all: Vec<(Box<Instance>, Room)>,
    /// The fewest there were since this was last asked.
    least: usize,
    pace: Pace,
    /// Held, so that nothing else can be taken for them.
    code: Arc<Code>,
    share: Rc<Share>,
}

impl AllUsed {
    /// What this program of this tenant shares with others.
    pub(super) fn of(&self, program: &Program, share: &Rc<Share>) -> Rc<RefCell<Used>> {
        let mut all = self.0.borrow_mut();
        let place = all.entry(Kind::of(program, share)).or_default();
        if let Some(used) = place.upgrade() {
            return used;
        }
        let (code, share) = (program.code.clone(), share.clone());
        let used = Used { all: Vec::new(), least: 0, pace: Pace::default(), code, share };
        let used = Rc::new(RefCell::new(used));
        *place = Rc::downgrade(&used);
        used
    }

    /// Every one that some program has.
    pub(super) fn each(&self, mut what: impl FnMut(&mut Used)) {
        self.0.borrow_mut().retain(|_, used| match used.upgrade() {
            Some(used) => {
                what(&mut used.borrow_mut());
                true
            }
            None => false,
        });
    }
}

impl Used {
    /// A call came that could have one.
    pub(super) fn called(&mut self, now_ms: u64) {
        self.pace.called(now_ms);
    }

    pub(super) fn push(&mut self, instance: Box<Instance>, room: Room) {
        self.all.push((instance, room));
    }

    /// One for this program, which accounts for its next call from now on.
    pub(super) fn pop(&mut self, program: &Program) -> Option<(Box<Instance>, Room)> {
        let (mut instance, room) = self.all.pop()?;
        self.least = self.least.min(self.all.len());
        instance.renew(&program.grant);
        Some((instance, room))
    }

    /// Those that nobody has needed since this was last asked, the oldest; all of them if nobody called.
    pub(super) fn settle(&mut self, now_ms: u64) -> impl Iterator<Item = (Box<Instance>, Room)> {
        let spare = if self.pace.is_past(now_ms) { self.all.len() } else { self.least.min(self.all.len()) };
        self.least = self.all.len() - spare;
        self.all.drain(..spare)
    }

    /// Whether this one is worth keeping: it runs what the others do, the next call is near, and there are not too many.
    pub(super) fn wants(&self, instance: &Instance) -> bool {
        self.all.len() < USED && self.pace.is_frequent() && Arc::ptr_eq(&self.code, &instance.code)
    }

    pub(super) fn all(&mut self) -> &mut Vec<(Box<Instance>, Room)> {
        &mut self.all
    }

    /// Whose they are.
    pub(super) fn share(&self) -> &Share {
        &self.share
    }
}
