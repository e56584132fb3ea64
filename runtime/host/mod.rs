//! What a guest may call: the state of one store and the whole import list on one screen.
//! Must never give a guest anything of the host: no file, no socket, no environment but its own variables.

pub mod account;
pub mod gate;
pub mod logs;
pub mod lowered;
pub mod memory;
pub mod meter;
pub mod notes;
pub mod pages;
pub mod taken;

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use http::HeaderName;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error as HttpError, ForbiddenHeaderFilter, RequestOptions, WasiBody,
    WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use crate::faults;
use crate::model::limits;
use crate::model::version::Profile;
use account::Account;
use logs::GuestLog;
use memory::MemoryAccount;
use meter::Meter;
use pages::Runs;

/// What every instance of one program is given.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The environment, as name and value.
    pub variables: Arc<[(String, String)]>,
    /// Memory and tables of one instance together, in bytes.
    pub memory_bytes: u64,
    /// Elements of one table.
    pub table_elements: u64,
    /// Where standard output and error go.
    pub log: GuestLog,
    /// Who pays for it.
    pub account: Arc<Account>,
}

/// The data of one store.
pub struct HostState {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    /// What an instance that is put back asks for.
    written: Runs,
    /// What is kept for a guest that is a core module.
    lowered: lowered::State,
    /// Memory and tables of this store, bounded.
    pub memory: MemoryAccount,
    /// CPU time and incidents, shared with whoever polls the guest.
    pub meter: Arc<Meter>,
}

impl HostState {
    /// The state of a fresh store: nothing inherited, everything bounded.
    #[must_use]
    pub fn new(grant: &Grant, meter: Arc<Meter>) -> Self {
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits::FIELD_BYTES);
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::HANDLES);
        Self {
            table,
            wasi: wasi(grant, &meter),
            http,
            hooks: Hooks,
            written: Runs::default(),
            lowered: lowered::State::default(),
            memory: MemoryAccount::new(grant, meter.clone()),
            meter,
        }
    }

    /// Whether the guest holds nothing of the host's: no handle leads anywhere.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.table.is_empty() && self.lowered.is_idle()
    }

    /// Makes this the state of a fresh store, for a guest that was put back and holds nothing.
    pub fn renew(&mut self, grant: &Grant, meter: Arc<Meter>) {
        self.wasi = wasi(grant, &meter);
        self.memory.renew(meter.clone());
        self.meter = meter;
        self.lowered.renew();
    }
}

fn wasi(grant: &Grant, meter: &Arc<Meter>) -> WasiCtx {
    let mut wasi = WasiCtxBuilder::new();
    wasi.stdout(grant.log.of(meter))
        .stderr(grant.log.of(meter))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(limits::RANDOM_BYTES);
    if !grant.variables.is_empty() {
        wasi.envs(&grant.variables);
    }
    wasi.build()
}

/// wasmtime drops this before it frees the instance's slot: a panic that got through would cost the slot for good.
impl Drop for HostState {
    fn drop(&mut self) {
        // Everything with a destructor of its own that a guest was handed stands in one of these.
        let gone = (std::mem::take(&mut self.table), std::mem::take(&mut self.lowered));
        if catch_unwind(AssertUnwindSafe(|| drop(gone))).is_err() {
            tracing::error!("a destructor panicked");
        }
    }
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for HostState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Everything a guest of this profile can import. What is not here does not link.
///
/// # Errors
/// wasmtime's own, when two definitions clash.
pub fn link(linker: &mut Linker<HostState>, profile: Profile) -> wasmtime::Result<()> {
    // A Rust std guest imports wasi:cli and wasi:filesystem even in a proxy world: linked, and empty.
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    pages::link(linker)?;
    if let Profile::Async = profile {
        wasmtime_wasi::p3::add_to_linker(linker)?;
        wasmtime_wasi_http::p3::add_to_linker(linker)?;
    }
    Ok(())
}

/// What `wasi:http` asks of its host.
struct Hooks;

/// Made once: the default makes a new one for each head.
static FORBIDDEN: LazyLock<ForbiddenHeaderFilter> = LazyLock::new(|| Arc::new(is_forbidden));

fn is_forbidden(name: &HeaderName) -> bool {
    faults::pass("host.field");
    DEFAULT_FORBIDDEN_HEADERS.contains(name)
}

type Sent = wasmtime_wasi_http::Result<(
    http::Response<WasiBody>,
    Box<dyn Future<Output = wasmtime_wasi_http::Result<()>> + Send>,
)>;

impl WasiHttpHooks for Hooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        FORBIDDEN.clone()
    }

    /// No version has a grant for outbound requests yet: each is refused, by the name wasi:http has for it.
    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _done: Box<dyn Future<Output = wasmtime_wasi_http::Result<()>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        faults::pass("host.send");
        Box::new(async { Err(HttpError::HttpRequestDenied) })
    }

    /// Four chunks let a small answer be written whole before anything waits.
    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        4
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        64 * 1024
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        64 * 1024
    }
}
