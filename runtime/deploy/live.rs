//! One version on the data plane: what it may use, and its program once somebody has called it.
//! Must never hold a program that was dropped on request, nor load one twice at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use tokio::sync::Mutex;

use super::fuse::Fuse;
use super::loader::{LoadFailure, Loader};
use crate::engine::lanes::HEAVY_NS;
use crate::engine::program::{Program, ProgramId};
use crate::host::Grant;
use crate::host::meter::now_ns;
use crate::model::breaker::Rules;
use crate::model::heaviness::{Expected, Heaviness};
use crate::model::length::Length;
use crate::model::limits::Limits;
use crate::model::rate::Rate;
use crate::model::retry::RetryBudget;
use crate::model::version::{Digest, Handler, Profile, VersionNumber};

/// One version that can answer.
pub struct Live {
    /// For pools, with the tier of its program: never used twice in one process.
    pub id: ProgramId,
    /// Its number within its function.
    pub number: VersionNumber,
    /// What was uploaded.
    pub digest: Digest,
    /// How it answers.
    pub handler: Handler,
    /// On which engine.
    pub profile: Profile,
    /// What one call may use.
    pub limits: Limits,
    /// Calls one instance may answer; 1 unless the manifest says more.
    pub max_requests: u32,
    /// What failed calls may still be tried again; none unless the manifest asks for it.
    pub retries: Option<RetryBudget>,
    /// What its instances are given.
    pub grant: Grant,
    /// How often it may be called, if there is a limit.
    pub rate: Option<Rate>,
    /// Whether it is called at all.
    pub fuse: Fuse,
    /// Whether its answers tell where their time went.
    pub server_timing: bool,
    /// `x-spawnpoint-version`.
    pub header: HeaderValue,
    program: ArcSwapOption<Program>,
    /// Held by the one that loads; why the last one failed.
    loading: Mutex<Option<Arc<LoadFailure>>>,
    /// Loads that failed.
    failed: AtomicU64,
    /// Whether the last one did.
    broken: AtomicBool,
    used_ns: AtomicU64,
    heaviness: Heaviness,
    length: Length,
}

/// What it takes to be live.
pub struct Facts {
    /// See [`Live::number`].
    pub number: VersionNumber,
    /// See [`Live::digest`].
    pub digest: Digest,
    /// See [`Live::handler`].
    pub handler: Handler,
    /// See [`Live::profile`].
    pub profile: Profile,
    /// See [`Live::limits`].
    pub limits: Limits,
    /// See [`Live::max_requests`].
    pub max_requests: u32,
    /// Whether failed calls are tried again.
    pub retry: bool,
    /// See [`Live::grant`].
    pub grant: Grant,
    /// When it is left alone.
    pub breaker: Rules,
    /// See [`Live::server_timing`].
    pub server_timing: bool,
}

impl Live {
    /// A version nobody has called yet.
    #[must_use]
    pub fn new(id: ProgramId, facts: Facts) -> Arc<Self> {
        let Facts {
            number,
            digest,
            handler,
            profile,
            limits,
            max_requests,
            retry,
            grant,
            breaker,
            server_timing,
        } = facts;
        Arc::new(Self {
            id,
            number,
            digest,
            handler,
            profile,
            limits,
            max_requests,
            retries: retry.then(RetryBudget::default),
            grant,
            rate: limits.rate(),
            fuse: Fuse::new(breaker),
            server_timing,
            header: header(number),
            program: ArcSwapOption::empty(),
            loading: Mutex::new(None),
            failed: AtomicU64::new(0),
            broken: AtomicBool::new(false),
            used_ns: AtomicU64::new(0),
            heaviness: Heaviness::default(),
            length: Length::default(),
        })
    }

    /// Takes a program that was loaded to be proven ready.
    pub fn adopt(&self, program: Arc<Program>) {
        self.used_ns.store(now_ns(), Relaxed);
        self.program.store(Some(program));
    }

    /// The program, if it is loaded.
    #[must_use]
    pub fn loaded(&self) -> Option<Arc<Program>> {
        self.program.load_full()
    }

    /// The program; loads it if nobody else is already at it. Says whether it had to be loaded.
    ///
    /// # Errors
    /// [`LoadFailure`] when neither the artifact nor the kept wasm gives a program.
    pub async fn program(&self, loader: &Loader) -> Result<(Arc<Program>, bool), LoadFailure> {
        if let Some(program) = self.loaded() {
            return Ok((program, false));
        }
        let failed = self.failed.load(Relaxed);
        let mut last = self.loading.lock().await;
        if let Some(program) = self.loaded() {
            return Ok((program, false));
        }
        if let Some(why) = last.as_ref().filter(|_| self.failed.load(Relaxed) != failed) {
            // It failed while this one waited: a crowd of callers is one compilation and not one for each.
            return Err(LoadFailure::Shared(why.clone()));
        }
        self.used_ns.store(now_ns(), Relaxed);
        let program = match loader.load(self).await {
            Ok(program) => Arc::new(program),
            Err(failure) => {
                let why = Arc::new(failure);
                *last = Some(why.clone());
                self.failed.fetch_add(1, Relaxed);
                self.broken.store(true, Relaxed);
                return Err(LoadFailure::Shared(why));
            }
        };
        self.program.store(Some(program.clone()));
        self.mended();
        Ok((program, true))
    }

    /// Whether its last load failed: its next call tries again.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken.load(Relaxed)
    }

    /// Takes note that it was loaded, for it or beside it.
    pub fn mended(&self) {
        self.broken.store(false, Relaxed);
    }

    /// Has another program take the place of this one, if it still is the one; calls in progress keep it until they end.
    /// Returns whether it did.
    pub fn replace(&self, old: &Arc<Program>, new: Arc<Program>) -> bool {
        let expected = Some(old.clone());
        let found = self.program.compare_and_swap(&expected, Some(new));
        found.as_ref().is_some_and(|found| Arc::ptr_eq(found, old))
    }

    /// Lets go of the program; calls in progress keep it until they end. Returns whether there was one.
    pub fn unload(&self) -> bool {
        self.program.swap(None).is_some()
    }

    /// Marks the program as called just now. Coarse: it is what residency goes by.
    pub fn touch(&self, now_ns: u64) {
        let seen = self.used_ns.load(Relaxed);
        if now_ns.saturating_sub(seen) > 1_000_000_000 {
            self.used_ns.store(now_ns, Relaxed);
        }
    }

    /// Takes note of how much CPU time a call used that has ended, or was ended: one that had not come to anything shows
    /// nothing by having used little.
    pub fn weigh(
        &self,
        cpu_ns: u64,
        (began_heavy, came_to_nothing): (bool, bool),
        calls: impl FnOnce() -> u64,
    ) {
        self.length.took(cpu_ns);
        match (cpu_ns > HEAVY_NS, began_heavy) {
            (false, _) if came_to_nothing => {}
            (false, _) => {
                if self.heaviness.was_light() {
                    self.tell_code(true);
                }
            }
            (true, true) => {
                self.heaviness.was_heavy();
                self.tell_code(false);
            }
            (true, false) => self.surprises(calls()),
        }
    }

    /// Lets versions of the same code that nobody has called yet know how this one's call went.
    fn tell_code(&self, light: bool) {
        if let Some(program) = self.loaded() {
            program.code.showed(light);
        }
    }

    /// Takes note of a call that goes on in the heavy lane, the last of so many.
    pub fn surprises(&self, calls: u64) {
        self.heaviness.surprised(calls);
        if self.expected() != Expected::Light {
            self.tell_code(false);
        }
    }

    /// What its next call is expected to be.
    #[must_use]
    pub fn expected(&self) -> Expected {
        self.heaviness.expected()
    }

    /// Whether its next call is expected to take longer than others on a thread may well wait for.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.length.is_long()
    }

    /// When it was last called, on the clock of `now_ns`.
    #[must_use]
    pub fn used_ns(&self) -> u64 {
        self.used_ns.load(Relaxed)
    }
}

/// A number as a header says it. The first ones, which most functions never get beyond, take no memory of their own.
fn header(number: VersionNumber) -> HeaderValue {
    const FIRST: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let first = usize::try_from(number.0).ok().and_then(|number| FIRST.get(number));
    first.map_or_else(|| HeaderValue::from(number.0), |text| HeaderValue::from_static(text))
}
