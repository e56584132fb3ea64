//! How a function of the host's is listed. Must never hold a
//! function itself.

use wasmtime::{IntoFunc, Linker, Result, WasmRet, WasmTyList};

use super::abi::{Caller, Guest};
use crate::host::HostState;

/// A function of the host's.
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) link: fn(Slot<'_>) -> Result<()>,
}

/// A function of this name.
pub(super) const fn function(name: &'static str, link: fn(Slot<'_>) -> Result<()>) -> Function {
    Function { name, link }
}

/// Where a function belongs.
pub(super) struct Slot<'l> {
    pub(super) linker: &'l mut Linker<HostState>,
    pub(super) module: &'static str,
    pub(super) name: &'static str,
}

impl Slot<'_> {
    /// One that never waits.
    pub(super) fn sync<P, A>(self, function: impl IntoFunc<HostState, P, A>) -> Result<()> {
        self.linker.func_wrap(self.module, self.name, function)?;
        Ok(())
    }

    /// One that takes nothing.
    pub(super) fn none<R>(self, function: fn(&mut HostState) -> Result<R>) -> Result<()>
    where
        Result<R>: WasmRet,
        R: 'static,
    {
        self.sync(move |mut caller: Caller<'_>| function(caller.data_mut()))
    }

    /// One that takes a handle, or a number.
    pub(super) fn one<R>(self, function: fn(&mut HostState, u32) -> Result<R>) -> Result<()>
    where
        Result<R>: WasmRet,
        R: 'static,
    {
        self.sync(move |mut caller: Caller<'_>, it: u32| function(caller.data_mut(), it))
    }

    /// One that takes where its answer belongs.
    pub(super) fn answering(self, function: fn(&mut Guest<'_>, u32) -> Result<()>) -> Result<()> {
        self.sync(move |mut caller: Caller<'_>, answer: u32| function(&mut Guest::of(&mut caller)?, answer))
    }

    /// One that takes a handle, and where its answer belongs.
    pub(super) fn one_answering(self, function: fn(&mut Guest<'_>, u32, u32) -> Result<()>) -> Result<()> {
        self.sync(move |mut caller: Caller<'_>, it: u32, answer: u32| {
            function(&mut Guest::of(&mut caller)?, it, answer)
        })
    }

    /// One that may wait.
    pub(super) fn waiting<P, A, F>(self, function: F) -> Result<()>
    where
        P: WasmTyList,
        A: WasmRet,
        F: for<'a> Fn(Caller<'a>, P) -> Box<dyn Future<Output = A> + Send + 'a> + Send + Sync + 'static,
    {
        self.linker.func_wrap_async(self.module, self.name, function)?;
        Ok(())
    }
}
