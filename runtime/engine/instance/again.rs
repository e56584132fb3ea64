//! How an instance that has answered comes to answer as a new one: it is put back to how it was made.
//! Must never take one for new that could hold anything of the call before.

use std::sync::Arc;

use wasmtime::component::{self, ComponentExportIndex};
use wasmtime::{Extern, ModuleExport, Store};

use super::Instance;
use crate::host::{Grant, HostState};

/// The guest's own function that puts it back; looked up when it is called first.
pub(in crate::engine) enum Resetter {
    Export(component::Instance, ComponentExportIndex),
    Function(component::TypedFunc<(), (u32,)>),
    /// Of a lowered component.
    Lowered(wasmtime::Instance, ModuleExport),
    Direct(wasmtime::TypedFunc<(), u32>),
}

/// What an instance may have grown by and still be put back: it keeps that, and the kernel is asked about each page.
const GROWN: usize = 1 << 20;

impl Instance {
    /// Whether it can be put back before it answers again: it is one that ended cleanly, holds nothing of the host's and has
    /// not grown too large.
    pub fn retire(&mut self) -> bool {
        // What a 0.3 guest has left behind of tasks, streams and what waits for them.
        let tasks = self.store.concurrent_resource_table().is_some_and(|table| !table.is_empty());
        let data = self.store.data();
        if tasks
            || self.resetter.is_none()
            || !data.is_bare()
            || data.memory.used() > self.began_with + GROWN
            || !self.code.may_reset()
        {
            return false;
        }
        self.used = true;
        true
    }

    /// Has it account for another call, of a function that gives it this. What it did until now is on the old account.
    pub fn renew(&mut self, grant: &Grant) {
        self.meter = Arc::default();
        self.store.data_mut().renew(grant, self.meter.clone());
    }

    /// Readies it for a call: puts it back if one has left its traces. `None` if that failed, and it is gone.
    pub(super) async fn as_new(mut self: Box<Self>) -> Option<Box<Self>> {
        self.store.set_epoch_deadline(1);
        if self.used && !self.reset().await {
            metrics::counter!("spawnpoint_resets_given_up_total").increment(1);
            self.code.spoils();
            return None;
        }
        Some(self)
    }

    /// Puts it back to how it was made. Returns whether it is as new; if not, it must not be called.
    async fn reset(&mut self) -> bool {
        let Some(resetter) = &mut self.resetter else { return false };
        let reset = resetter.call(&mut self.store).await == Some(0);
        self.used = !reset;
        self.answered = 0;
        reset
    }
}

impl Resetter {
    /// Calls it. `None` if there is none, or it trapped.
    async fn call(&mut self, store: &mut Store<HostState>) -> Option<u32> {
        match self {
            Self::Function(function) => function.call_async(store, ()).await.ok().map(|(answer,)| answer),
            Self::Direct(function) => function.call_async(store, ()).await.ok(),
            Self::Export(instance, export) => {
                let function = instance.get_typed_func(&mut *store, *export).ok()?;
                *self = Self::Function(function);
                function.call_async(store, ()).await.ok().map(|(answer,): (u32,)| answer)
            }
            Self::Lowered(instance, export) => {
                let export = instance.get_module_export(&mut *store, export);
                let function = export.and_then(Extern::into_func)?.typed(&*store).ok()?;
                *self = Self::Direct(function.clone());
                function.call_async(store, ()).await.ok()
            }
        }
    }
}
