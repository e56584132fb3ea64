//! Joins loaded code to what the host has for it, a component or a lowered one. Must never look at what an instance is
//! for: it makes one, and finds in it what answers.

use std::sync::Arc;

use wasmtime::component::{self, Component, ComponentExportIndex, InstancePre, Linker};
use wasmtime::error::Context as _;
use wasmtime::{Engine, Extern, Memory, Module, ModuleExport, Store, TypedFunc};
use wasmtime_wasi_http::p2::bindings::{Proxy, ProxyIndices};
use wasmtime_wasi_http::p3::bindings::{Service, ServiceIndices};

use super::LinkError;
use super::seats::Seats;
use crate::engine::instance::Resetter;
use crate::engine::profile::{self, Purpose, Slots};
use crate::engine::ticker::Ticker;
use crate::engine::{lower, reset};
use crate::host::{HostState, link, lowered};
use crate::model::version::{Handler, Profile};
use crate::tasks::precedence::hurrying;

/// An engine, and what it links with.
pub(super) struct Linked {
    pub(super) engine: Engine,
    linker: Linker<HostState>,
    /// Places for its instances.
    pub(super) seats: Arc<Seats>,
    /// For lowered components.
    direct: wasmtime::Linker<HostState>,
}

/// Machine code, of either kind.
#[derive(Debug)]
pub enum Image {
    /// A component, as it was uploaded but for what puts it back.
    Component(Component),
    /// A component as one module.
    Lowered(Module),
}

/// What instances are made of.
pub(super) enum Pre {
    /// A component, and what puts its instances back, if they are.
    Component(InstancePre<HostState>, Indices, Option<ComponentExportIndex>),
    /// A lowered one.
    Lowered(wasmtime::InstancePre<HostState>, Exports),
}

/// Where a component has its handler.
pub(super) enum Indices {
    Http02(ProxyIndices),
    Http03(ServiceIndices),
}

/// Where a lowered component has what it exports.
pub(super) struct Exports {
    handle: ModuleExport,
    /// Of 0.3.
    callback: Option<ModuleExport>,
    memory: ModuleExport,
    reset: Option<ModuleExport>,
}

/// The handler of one live guest.
pub(in crate::engine) enum Guest {
    Http02(Proxy),
    Http03(Service),
    /// Given the handles of a request and of where its answer goes.
    Lowered(TypedFunc<(u32, u32), ()>),
    /// Of 0.3: given the handle of a request, and then told what has happened; each says what to do next.
    Concurrent {
        memory: Memory,
        handle: TypedFunc<u32, u32>,
        callback: TypedFunc<(u32, u32, u32), u32>,
    },
}

impl Linked {
    pub(super) fn new(profile: Profile, slots: &Slots, ticker: &Ticker) -> Result<Self, LinkError> {
        let failed = |source| LinkError::Engine { profile: profile.as_str(), source };
        let engine = profile::engine(profile, Purpose::Serve(slots)).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        link(&mut linker, profile).map_err(failed)?;
        let mut direct = wasmtime::Linker::new(&engine);
        lowered::link(&mut direct).map_err(failed)?;
        ticker.add(&engine);
        Ok(Self { engine, linker, seats: Seats::new(slots.instances), direct })
    }

    pub(super) fn component(
        &self,
        component: &Component,
        handler: Handler,
        resets: bool,
    ) -> wasmtime::Result<Pre> {
        let pre = self.linker.instantiate_pre(component)?;
        let indices = match handler {
            Handler::Http02 => Indices::Http02(ProxyIndices::new(&pre)?),
            Handler::Http03 => Indices::Http03(ServiceIndices::new(&pre)?),
        };
        let reset = resets.then(|| component.get_export_index(None, reset::EXPORT)).flatten();
        Ok(Pre::Component(pre, indices, reset))
    }

    pub(super) fn lowered(&self, module: &Module, resets: bool) -> wasmtime::Result<Pre> {
        let pre = self.direct.instantiate_pre(module)?;
        let export = |name| {
            module.get_export_index(name).ok_or_else(|| wasmtime::format_err!("it exports no `{name}`"))
        };
        let reset = resets.then(|| module.get_export_index(lower::RESET)).flatten();
        let callback = module.get_export_index(lower::CALLBACK);
        let exports =
            Exports { handle: export(lower::HANDLE)?, callback, memory: export(lower::MEMORY)?, reset };
        Ok(Pre::Lowered(pre, exports))
    }
}

impl Pre {
    /// How it answers.
    pub(super) fn handler(&self) -> Handler {
        match self {
            Self::Component(_, Indices::Http02(_), _) | Self::Lowered(_, Exports { callback: None, .. }) => {
                Handler::Http02
            }
            Self::Component(_, Indices::Http03(_), _) | Self::Lowered(..) => Handler::Http03,
        }
    }

    /// Whether it is one module.
    pub(super) fn is_lowered(&self) -> bool {
        matches!(self, Self::Lowered(..))
    }

    /// Makes an instance, and finds in it what answers and what puts it back.
    pub(super) async fn instantiate(
        &self,
        store: &mut Store<HostState>,
    ) -> wasmtime::Result<(Guest, Option<Resetter>)> {
        // Memories and tables are mapped. What can be put back has no code that would run then.
        if self.is_put_back() { hurrying(self.make(store)).await } else { self.make(store).await }
    }

    fn is_put_back(&self) -> bool {
        matches!(self, Self::Component(.., Some(_)) | Self::Lowered(_, Exports { reset: Some(_), .. }))
    }

    async fn make(&self, store: &mut Store<HostState>) -> wasmtime::Result<(Guest, Option<Resetter>)> {
        match self {
            Self::Component(pre, indices, reset) => {
                let instance = pre.instantiate_async(&mut *store).await?;
                let guest = indices.load(store, &instance)?;
                Ok((guest, reset.map(|export| Resetter::Export(instance, export))))
            }
            Self::Lowered(pre, exports) => {
                let instance = pre.instantiate_async(&mut *store).await?;
                exports.load(store, instance)
            }
        }
    }
}

impl Indices {
    fn load(&self, store: &mut Store<HostState>, instance: &component::Instance) -> wasmtime::Result<Guest> {
        match self {
            Self::Http02(indices) => indices.load(store, instance).map(Guest::Http02),
            Self::Http03(indices) => indices.load(store, instance).map(Guest::Http03),
        }
    }
}

impl Exports {
    fn load(
        &self,
        store: &mut Store<HostState>,
        instance: wasmtime::Instance,
    ) -> wasmtime::Result<(Guest, Option<Resetter>)> {
        let handle = instance.get_module_export(&mut *store, &self.handle).and_then(Extern::into_func);
        let memory = instance.get_module_export(&mut *store, &self.memory).and_then(Extern::into_memory);
        let (Some(handle), Some(memory)) = (handle, memory) else {
            wasmtime::bail!("what it exports is of another kind");
        };
        store.data_mut().lowered_memory(memory);
        let guest = match &self.callback {
            None => Guest::Lowered(handle.typed(&*store)?),
            Some(callback) => {
                let callback = instance.get_module_export(&mut *store, callback).and_then(Extern::into_func);
                let callback = callback.context("what it exports is of another kind")?.typed(&*store)?;
                Guest::Concurrent { memory, handle: handle.typed(&*store)?, callback }
            }
        };
        Ok((guest, self.reset.map(|export| Resetter::Lowered(instance, export))))
    }
}
