//! One version, ready to instantiate; and the engines it is loaded into.
//! Must never compile, and never touch a file: it is given a loaded component.

mod link;
mod seats;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use wasmtime::{Engine, PoolConcurrencyLimitError, Store, UpdateDeadline};

use super::instance::Instance;
use super::profile::Slots;
use super::reset::Moves;
use super::ticker::Ticker;
use super::verdict;
use crate::host::meter::{Meter, Tick};
use crate::host::{Grant, HostState};
use crate::model::limits;
use crate::model::version::{Handler, Profile, Tier};
pub(super) use link::Guest;
pub use link::Image;
use link::{Linked, Pre};
use seats::Seats;
pub(super) use seats::{SPARE, Seat};

/// An engine with its linker and its pool of slots. The async one is made when the first program needs it.
pub struct Engines {
    slots: Slots,
    ticker: Arc<Ticker>,
    lean: Linked,
    concurrent: OnceLock<Linked>,
}

/// A version as the data plane sees it, named by a number that this process never uses twice, and how thoroughly it was
/// compiled: instances of the two are never taken for each other, so that one can take the place of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProgramId(u64);

impl ProgramId {
    /// The next number.
    #[must_use]
    pub fn next() -> Self {
        // The lowest bit is the tier.
        static NEXT: AtomicU64 = AtomicU64::new(2);
        Self(NEXT.fetch_add(2, Relaxed))
    }

    /// The same version, compiled like this.
    #[must_use]
    pub fn at(self, tier: Tier) -> Self {
        Self(self.0 & !1 | u64::from(tier == Tier::Speed))
    }

    /// How thoroughly it was compiled.
    #[must_use]
    pub fn tier(self) -> Tier {
        if self.0 & 1 == 1 { Tier::Speed } else { Tier::Fast }
    }

    /// Every program that this version may have.
    #[must_use]
    pub fn all(self) -> [Self; 2] {
        [self.at(Tier::Fast), self.at(Tier::Speed)]
    }

    /// The number; never zero.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    /// The id of this number, if it can be one.
    #[must_use]
    pub fn of_number(number: u64) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }
}

/// An artifact, loaded and linked: instantiating it needs no name to be looked up. It never changes and knows no tenant,
/// so that every version of the same upload runs the same one.
pub struct Code {
    engine: Engine,
    /// Where its instances find a place.
    seats: Arc<Seats>,
    pre: Pre,
    /// Where it was in what was uploaded, if something was put in.
    moves: Option<Moves>,
    /// How many of its instances are thrown away without trying.
    spoilt: AtomicU32,
    /// Whether the last call that told anything new was short.
    light: AtomicBool,
}

/// Instances that are not even tried after one could not be put back: a guest that reads or writes all its memory does so
/// each time.
const SPOILT: u32 = 64;

/// One version's code, and what its instances are given.
pub struct Program {
    /// Which version this is, for pools.
    pub id: ProgramId,
    /// What each of its instances is given.
    pub grant: Grant,
    /// What they run.
    pub code: Arc<Code>,
}

/// What an artifact holds.
#[derive(Debug)]
pub struct Loaded {
    /// The machine code.
    pub image: Image,
    /// Where the code was in what was uploaded, if instances can be put back.
    pub moves: Option<Moves>,
}

/// Why a component could not become a program.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// An import that no host here has, or an export of the wrong type.
    #[error("the component does not fit this platform")]
    Unfit(#[source] wasmtime::Error),
    /// The engine of the profile could not be made.
    #[error("the `{profile}` engine cannot be made")]
    Engine {
        /// Which one.
        profile: &'static str,
        /// Why.
        #[source]
        source: wasmtime::Error,
    },
}

/// Why there is no instance.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// Every slot is taken.
    #[error("no instance slot is free")]
    Full,
    /// The guest's own start-up failed.
    #[error("the guest failed to start")]
    Guest(#[source] wasmtime::Error),
}

impl SpawnError {
    /// What made it was given up for this reason.
    #[must_use]
    pub fn given_up(why: &'static str) -> Self {
        Self::Guest(wasmtime::Error::msg(why))
    }
}

impl Engines {
    /// The lean engine now, the other one later.
    ///
    /// # Errors
    /// When the machine does not have the address space for the slots.
    pub fn new(slots: Slots, ticker: Arc<Ticker>) -> Result<Self, LinkError> {
        let lean = Linked::new(Profile::Lean, &slots, &ticker)?;
        Ok(Self { slots, ticker, lean, concurrent: OnceLock::new() })
    }

    fn linked(&self, profile: Profile) -> Result<&Linked, LinkError> {
        match profile {
            Profile::Lean => Ok(&self.lean),
            Profile::Async => {
                if let Some(linked) = self.concurrent.get() {
                    return Ok(linked);
                }
                let linked = Linked::new(profile, &self.slots, &self.ticker)?;
                Ok(self.concurrent.get_or_init(|| linked))
            }
        }
    }

    /// The engine of a profile, for loading an artifact.
    ///
    /// # Errors
    /// When it has to be made and cannot.
    pub fn engine(&self, profile: Profile) -> Result<&Engine, LinkError> {
        Ok(&self.linked(profile)?.engine)
    }

    /// Links a loaded component.
    ///
    /// # Errors
    /// [`LinkError::Unfit`] names the import or export that does not fit.
    pub fn link(
        &self,
        loaded: Loaded,
        (profile, handler): (Profile, Handler),
    ) -> Result<Arc<Code>, LinkError> {
        let linked = self.linked(profile)?;
        let Loaded { image, moves } = loaded;
        // Only what our own child put in is trusted to put anything back.
        let resets = self.slots.resets && moves.is_some();
        let (pre, form) = match image {
            Image::Component(component) => (linked.component(&component, handler, resets), "component"),
            Image::Lowered(module) => (linked.lowered(&module, resets), "lowered"),
        };
        metrics::counter!("spawnpoint_programs_linked_total", "form" => form).increment(1);
        Ok(Arc::new(Code {
            engine: linked.engine.clone(),
            seats: linked.seats.clone(),
            pre: pre.map_err(LinkError::Unfit)?,
            moves,
            spoilt: AtomicU32::new(0),
            light: AtomicBool::new(false),
        }))
    }
}

impl Code {
    /// Whether trying to put an instance back is worth it.
    pub(super) fn may_reset(&self) -> bool {
        let spoilt = self.spoilt.load(Relaxed);
        if spoilt > 0 {
            // Two at once may count as one. Where nothing is spoilt nothing is written: all threads read this at each call.
            self.spoilt.store(spoilt - 1, Relaxed);
        }
        spoilt == 0
    }

    /// One of its instances could not be put back.
    pub(super) fn spoils(&self) {
        self.spoilt.store(SPOILT, Relaxed);
    }

    /// Takes note of how a call went whose length was in doubt.
    pub fn showed(&self, light: bool) {
        self.light.store(light, Relaxed);
    }

    /// Whether a version of it that nobody has called yet may be taken for light.
    #[must_use]
    pub fn is_light(&self) -> bool {
        self.light.load(Relaxed)
    }

    /// How it answers.
    #[must_use]
    pub fn handler(&self) -> Handler {
        self.pre.handler()
    }
}

impl Program {
    /// A version of this code.
    #[must_use]
    pub fn new(id: ProgramId, code: Arc<Code>, grant: Grant) -> Self {
        Self { id, grant, code }
    }

    /// Makes one instance, running the guest's own start-up on the caller's poll.
    ///
    /// # Errors
    /// [`SpawnError::Full`] when the pool has no slot, [`SpawnError::Guest`] when start-up trapped.
    pub async fn spawn(&self, meter: Arc<Meter>) -> Result<Instance, SpawnError> {
        self.spawn_in(self.code.seats.take(), meter).await
    }

    /// Makes one instance and throws it away, if possible without taking a place from a call.
    ///
    /// # Errors
    /// As [`Program::spawn`].
    pub async fn prove(&self, meter: Arc<Meter>) -> Result<(), SpawnError> {
        self.spawn_in(self.code.seats.take_spare(), meter).await.map(drop)
    }

    async fn spawn_in(&self, seat: Option<Seat>, meter: Arc<Meter>) -> Result<Instance, SpawnError> {
        let seat = seat.ok_or(SpawnError::Full)?;
        let mut store = Store::new(&self.code.engine, HostState::new(&self.grant, meter.clone()));
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(limits::HOSTCALL_BYTES);
        store.set_max_component_handles(limits::HANDLES);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|context| {
            Ok(match context.data().meter.tick() {
                Tick::Stop => UpdateDeadline::Interrupt,
                Tick::GoOn => UpdateDeadline::Continue(1),
                // Not the plain yield: that one goes to the front of the executor's queue and starves the others.
                Tick::Yield => UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())),
            })
        });
        match self.code.pre.instantiate(&mut store).await {
            Ok((guest, resetter)) => {
                Ok(Instance::new((store, seat, guest), meter, self.code.clone(), resetter))
            }
            Err(error) if error.is::<PoolConcurrencyLimitError>() => Err(SpawnError::Full),
            Err(error) => {
                self.failed(&error, &meter);
                Err(SpawnError::Guest(error))
            }
        }
    }

    /// Notes where a guest of this program was when it failed.
    pub(super) fn failed(&self, error: &wasmtime::Error, meter: &Meter) {
        let lowered = self.code.pre.is_lowered();
        meter.failed_at(verdict::backtrace(error, self.code.moves.as_ref(), lowered));
    }
}
