//! Core modules: adapts the one that carries its component type, and tells every other what it is.
//! Must never guess a component type: a module without one has no interface that could be checked.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload, TypeRef, Validator, WasmFeatures};
use wit_component::ComponentEncoder;

use super::sniff::{self, bounded, listed};
use super::{COMPONENT, Refused, invalid};

/// What a core module tells about itself.
#[derive(Default)]
struct Core<'a> {
    imports: Vec<&'a str>,
    exports: Vec<&'a str>,
    component_type: bool,
}

impl<'a> Core<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Refused> {
        let mut core = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(|e| invalid(&e))? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import.map_err(|e| invalid(&e))?;
                        if matches!(import.ty, TypeRef::Func(_)) {
                            core.imports.push(import.module);
                        }
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        core.exports.push(export.map_err(|e| invalid(&e))?.name);
                    }
                }
                Payload::CustomSection(section) => {
                    core.component_type |= section.name().starts_with("component-type");
                }
                _ => {}
            }
        }
        core.imports.dedup();
        Ok(core)
    }

    fn imports_from(&self, modules: &[&str]) -> bool {
        self.imports.iter().any(|m| modules.contains(m))
    }

    /// Why a core module without a component type is none that can be served.
    fn refused(&self) -> Refused {
        let wasi = self.imports_from(&["wasi_snapshot_preview1", "wasi_unstable"]);
        if wasi && self.exports.contains(&"_start") {
            return Refused::Wasip1Command;
        }
        if self.exports.iter().any(|name| name.contains("wasi:http/")) {
            return Refused::WrongWorld {
                found: "a core module that exports a request handler without its `component-type` section"
                    .to_owned(),
                works: "the module as the compiler wrote it: a strip or optimise step removed its custom sections",
            };
        }
        if let Some(refused) = self.foreign() {
            return refused;
        }
        let found = if self.exports.is_empty() {
            "a core module that exports nothing".to_owned()
        } else {
            format!("a core module that exports {}", listed(self.exports.iter().copied()))
        };
        Refused::WrongWorld { found, works: COMPONENT }
    }

    /// A module whose imports give away a toolchain that builds for something else.
    fn foreign(&self) -> Option<Refused> {
        let (what, works) = if self.imports_from(&["wbg", "__wbindgen_placeholder__"]) {
            ("wasm-bindgen, for a browser", "a build for wasm32-wasip2 without wasm-bindgen")
        } else if self.imports_from(&["gojs", "go"]) {
            ("Go, for JavaScript hosts (GOOS=js)", COMPONENT)
        } else if self.imports_from(&["env", "a"]) {
            ("Emscripten or a bare linker, for a host of its own (imports from `env`)", COMPONENT)
        } else {
            return None;
        };
        let found = format!("a core module built with {what}");
        Some(Refused::UnsupportedImport { found, works })
    }
}

/// Makes a component of a core module that carries its component type.
///
/// The reactor adapter, not the proxy one: that one answers for an environment and file system that are always empty,
/// while a component built for preview 2 sees the host's. Parts of the adapter that a module does not use are dropped.
pub(super) fn adapt(bytes: &[u8]) -> Result<Vec<u8>, Refused> {
    let core = Core::read(bytes)?;
    if !core.component_type {
        // Nonsense is told as such before it is told what it exports.
        Validator::new_with_features(WasmFeatures::all()).validate_all(bytes).map_err(|e| invalid(&e))?;
        return Err(core.refused());
    }
    ComponentEncoder::default()
        .validate(false)
        .module(bytes)
        .and_then(|encoder| {
            encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
        })
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| {
            core.foreign()
                .unwrap_or_else(|| Refused::InvalidWasm { why: bounded(&format!("{error:#}"), sniff::TEXT) })
        })
}
