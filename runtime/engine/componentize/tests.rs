//! What is accepted, and that everything else is named.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_PROXY_ADAPTER,
};
use wasmtime::Store;
use wasmtime::component::{Component, Linker, ResourceTable, ResourceType};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::*;
use crate::engine::profile::Purpose;

/// The interface as a guest's bindings see it, small.
const WIT: &str = "
    package wasi:http@0.2.4;
    interface types { resource incoming-request; resource response-outparam; }
    interface incoming-handler {
        use types.{incoming-request, response-outparam};
        handle: func(request: incoming-request, response-out: response-outparam);
    }
    world proxy { export incoming-handler; }
";

/// A core module whose `_initialize` asks preview 1 for what a standard library asks for, and traps on an error.
const PREVIEW1: &str = r#"(module
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 8)
    (data (i32.const 0) "hello")
    (func $ok (param i32) (if (local.get 0) (then unreachable)))
    (func (export "_initialize")
        (call $ok (call $environ (i32.const 64) (i32.const 68)))
        ;; The host gives one variable.
        (call $ok (i32.sub (i32.load (i32.const 64)) (i32.const 1)))
        (call $ok (call $clock (i32.const 0) (i64.const 1) (i32.const 64)))
        (call $ok (call $random (i32.const 64) (i32.const 8)))
        (i32.store (i32.const 36) (i32.const 5))
        (call $ok (call $write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 64)))
        ;; There is no preopened folder: EBADF (8) is the answer a libc expects.
        (call $ok (i32.sub (call $prestat (i32.const 3) (i32.const 64)) (i32.const 8))))
    (global $free (mut i32) (i32.const 65536))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (global.get $free)
        (global.set $free (i32.and (i32.add (global.get $free) (i32.add (local.get 3) (i32.const 15))) (i32.const -16))))
    (func (export "wasi:http/incoming-handler@0.2.4#handle") (param i32 i32)
        (call $exit (i32.const 0))))"#;

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

fn with_component_type(module: &str, wit: &str, world: &str) -> Vec<u8> {
    let mut bytes = wat(module);
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    embed_component_metadata(&mut bytes, &resolve, world, StringEncoding::UTF8).unwrap();
    bytes
}

/// A component that exports an instance under this name.
pub(in crate::engine) fn exporting(name: &str) -> Vec<u8> {
    wat(&format!("(component (instance) (export \"{name}\" (instance 0)))"))
}

fn refused(bytes: &[u8]) -> (Code, String) {
    let refused = componentize(bytes).expect_err("it is accepted");
    (refused.code(), refused.to_string())
}

#[test]
fn every_wrong_kind_of_file_is_named() {
    let table: &[(&[u8], &str)] = &[
        (b"", "an empty file"),
        (b"\x1f\x8b\x08rest", "a gzip archive"),
        (b"PK\x03\x04rest", "a zip archive"),
        (b"\x28\xb5\x2f\xfdrest", "a zstd archive"),
        (b"\x7fELF\x02\x01\x01\x00rest", "a Linux executable or library (ELF)"),
        (b"\x7fELF\x02\x01\x01\xc8rest", "precompiled by wasmtime"),
        (b"MZ\x90\x00", "a Windows executable"),
        (b"\xcf\xfa\xed\xfe\x07", "a macOS executable"),
        (b"\xca\xfe\xba\xbe\0\0", "universal macOS executable or a Java class"),
        (b"!<arch>\nfoo.o", "a static library"),
        (b"  (module (func))", "WebAssembly text (WAT)"),
        (b";; a comment\n(component)", "WebAssembly text (WAT)"),
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"<?xml version=\"1.0\"?>", "an XML document"),
        (b"{\"a\": 1}", "JSON"),
        (b"#!/usr/bin/env python3\nimport os", "a script (`#!/usr/bin/env python3`)"),
        (b"# a comment\nimport os\n", "Python source"),
        (b"from http import X\n", "Python source"),
        (b"def handle(request):\n", "Python source"),
        (b"import { a } from 'b';\n", "JavaScript or TypeScript source"),
        (b"// handler\nexport default {}", "JavaScript or TypeScript source"),
        (b"use std::io;\nfn main() {}", "Rust source"),
        (b"package main\n", "Go or Java source"),
        (b"package wasi:http@0.2.0;\n", "a WIT definition"),
        (b"#include <stdio.h>\n", "C or C++ source"),
        (b"Dear all,\nhello", "text that starts with `Dear all,`"),
        (b"\x00\x01\x02\x03", "a file of an unknown kind that starts with `00010203`"),
        ("caf\u{e9} `\u{202e}".as_bytes(), "text that starts with `caf\u{e9} '\\u{202e}`"),
    ];
    for (bytes, expected) in table {
        let (code, message) = refused(bytes);
        assert_eq!(code, Code::NotWasm, "{message}");
        assert!(message.contains(expected), "{expected:?} is not in {message:?}");
        assert!(message.contains("; what works is "), "{message}");
    }
    let mut tar = vec![b'a'; 600];
    tar[257..262].copy_from_slice(b"ustar");
    assert!(refused(&tar).1.contains("a tar archive"));
    // A character that the bound cuts in two is still text.
    let long = format!("{}\u{e9}", "x".repeat(4095));
    assert!(refused(long.as_bytes()).1.contains("text that starts with"));
}

#[test]
fn wasm_that_is_cut_short_or_broken_is_named() {
    let whole = exporting("wasi:http/incoming-handler@0.2.0");
    for length in 4..whole.len() {
        let (code, message) = refused(&whole[..length]);
        // A cut between two sections leaves a whole component that exports nothing.
        assert!(matches!(code, Code::InvalidWasm | Code::WrongWorld), "{length}: {message}");
    }
    assert!(refused(&whole[..whole.len() - 1]).1.contains("it ends too early"));
    assert!(refused(b"\0asm\x01").1.contains("it ends after 5 bytes"));
    assert!(refused(b"\0asm\x02\0\0\0").1.contains("its version is 2 (layer 0)"));
    let (code, message) = refused(b"\0asm\x01\0\0\0\x0a\x04\x01\x02\0\x0b");
    assert_eq!(code, Code::InvalidWasm, "{message}");
}

#[test]
fn the_handler_is_read_from_the_export() {
    let handler = |name: &str| componentize(&exporting(name)).map(|c| (c.handler, c.profile));
    for name in ["wasi:http/incoming-handler@0.2.0", "wasi:http/incoming-handler@0.2.12"] {
        assert_eq!(handler(name), Ok((Handler::Http02, Profile::Lean)));
    }
    for name in ["wasi:http/handler@0.3.0", "wasi:http/handler@0.3.7"] {
        assert_eq!(handler(name), Ok((Handler::Http03, Profile::Async)));
    }
    for name in [
        "wasi:http/handler@0.3.0-rc-2025-09-16",
        "wasi:http/incoming-handler@0.2.0-rc-2023-12-05",
        "wasi:http/incoming-handler",
        "wasi:http/incoming-handler@0.3.0",
        "wasi:http/handler@0.4.0",
    ] {
        let error = handler(name).unwrap_err();
        assert_eq!(error.code(), Code::UnsupportedVersion);
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn of_two_handlers_the_newer_one_answers() {
    let both = wat(r#"(component (instance $i)
        (export "wasi:http/incoming-handler@0.2.3" (instance $i))
        (export "wasi:http/handler@0.3.0" (instance $i)))"#);
    let found = componentize(&both).unwrap();
    assert_eq!((found.handler, found.profile), (Handler::Http03, Profile::Async));
}

#[test]
fn a_component_is_passed_on_as_it_is() {
    let bytes = exporting("wasi:http/incoming-handler@0.2.0");
    let found = componentize(&bytes).unwrap();
    assert!(matches!(found.component, Cow::Borrowed(b) if b == bytes));
    assert_eq!(found.source, SourceKind::Component);
}

#[test]
fn a_0_2_handler_that_needs_async_gets_the_async_engine() {
    let bytes = wat(r#"(component
        (core module $m (func (export "f") (result i32) unreachable)
            (func (export "cb") (param i32 i32 i32) (result i32) unreachable))
        (core instance $m (instantiate $m))
        (func $f async (canon lift (core func $m "f") async (callback (func $m "cb"))))
        (instance $i (export "f" (func $f)))
        (export "wasi:http/incoming-handler@0.2.0" (instance $i)))"#);
    let found = componentize(&bytes).unwrap();
    assert_eq!((found.handler, found.profile), (Handler::Http02, Profile::Async));
}

#[test]
fn a_component_that_handles_no_requests_is_told_what_it_exports() {
    let (code, message) = refused(&exporting("wasi:cli/run@0.2.0"));
    assert_eq!(code, Code::WrongWorld);
    assert!(
        message.contains("exports `wasi:cli/run@0.2.0`; what works is the same program as a library"),
        "{message}"
    );
    let (_, message) = refused(&wat("(component)"));
    assert!(message.contains("a component that exports nothing"), "{message}");
    // The exports of a component inside are none of ours; a function of the right name is not an instance.
    let inner =
        r#"(component (component (instance $i) (export "wasi:http/incoming-handler@0.2.0" (instance $i))))"#;
    assert_eq!(refused(&wat(inner)).0, Code::WrongWorld);
}

#[test]
fn lists_and_names_of_hostile_bytes_are_bounded() {
    let many = (0..1000)
        .fold(String::new(), |all, n| all + &format!("(export \"{}{n}\" (func 0))", "x".repeat(500)));
    let (code, message) = refused(&wat(&format!("(module (func) {many})")));
    assert_eq!(code, Code::WrongWorld);
    assert!(message.contains("and 992 more") && message.len() < 1500, "{message}");
    let (_, message) = refused(&wat("(module (func (export \"\\1b[2J`\\n\")))"));
    assert!(message.contains("`\\u{1b}[2J' `"), "{message}");
}

#[test]
fn a_proposal_that_is_off_is_named() {
    let handler = r#"(instance $i) (export "wasi:http/incoming-handler@0.2.0" (instance $i))"#;
    for (module, word) in [
        ("(module (memory 1 1 shared))", "threads"),
        ("(module (memory i64 1))", "memory64"),
        ("(module (memory 1) (memory 1))", "memories"),
        ("(module (type (struct)))", "gc"),
    ] {
        let (code, message) = refused(&wat(&format!("(component (core {} {handler})", &module[1..])));
        assert_eq!(code, Code::UnsupportedFeature, "{message}");
        assert!(message.contains(word), "{word}: {message}");
    }
}

#[test]
fn a_core_module_is_told_what_it_is() {
    let command = wat(r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
        (memory (export "memory") 1) (func (export "_start")))"#);
    let (code, message) = refused(&command);
    assert_eq!(code, Code::Wasip1Command);
    assert!(message.contains("a wasip1 command"), "{message}");

    let (code, message) = refused(&wat(r#"(module (func (export "add")) (func (export "sub")))"#));
    assert_eq!(code, Code::WrongWorld);
    assert!(message.contains("a core module that exports `add`, `sub`"), "{message}");

    let stripped =
        wat(r#"(module (func (export "wasi:http/incoming-handler@0.2.0#handle") (param i32 i32)))"#);
    assert!(refused(&stripped).1.contains("without its `component-type` section"));

    for module in ["wbg", "gojs", "env"] {
        let (code, message) = refused(&wat(&format!("(module (import \"{module}\" \"f\" (func)))")));
        assert_eq!(code, Code::UnsupportedImport, "{message}");
    }
}

#[test]
fn a_core_module_of_the_wrong_world_or_with_strange_imports_is_refused() {
    let wit = "package a:b; world w { export f: func(); }";
    let (code, message) = refused(&with_component_type("(module (func (export \"f\")))", wit, "w"));
    assert_eq!(code, Code::WrongWorld);
    assert!(message.contains("exports `f`"), "{message}");
    let (code, message) = refused(&with_component_type(
        "(module (import \"env\" \"g\" (func)) (func (export \"f\")))",
        wit,
        "w",
    ));
    assert_eq!(code, Code::UnsupportedImport, "{message}");
    let (code, message) = refused(&with_component_type("(module)", wit, "w"));
    assert_eq!(code, Code::InvalidWasm, "{message}");
}

struct Host(WasiCtx, ResourceTable);

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.0, table: &mut self.1 }
    }
}

/// Instantiates on the lean engine with one variable, which runs `_initialize`.
async fn start(component: &[u8]) -> wasmtime::Result<()> {
    let engine = profile::engine(Profile::Lean, Purpose::Compile)?;
    let component = Component::from_binary(&engine, component)?;
    let mut linker = Linker::<Host>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    let mut types = linker.instance("wasi:http/types@0.2.4")?;
    for name in ["incoming-request", "response-outparam"] {
        types.resource(name, ResourceType::host::<()>(), |_, _| Ok(()))?;
    }
    let host = Host(WasiCtx::builder().env("A", "B").build(), ResourceTable::new());
    let mut store = Store::new(&engine, host);
    store.set_epoch_deadline(1_000_000);
    linker.instantiate_async(&mut store, &component).await?;
    Ok(())
}

#[tokio::test]
async fn a_core_module_that_uses_preview1_is_adapted_and_starts() {
    let bytes = with_component_type(PREVIEW1, WIT, "proxy");
    let found = componentize(&bytes).unwrap();
    assert_eq!((found.handler, found.profile), (Handler::Http02, Profile::Lean));
    assert_eq!(found.source, SourceKind::CoreModule);
    start(&found.component).await.unwrap();
}

#[tokio::test]
async fn the_proxy_adapter_would_hide_the_environment() {
    let component = ComponentEncoder::default()
        .module(&with_component_type(PREVIEW1, WIT, "proxy"))
        .and_then(|e| e.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_PROXY_ADAPTER))
        .and_then(|mut e| e.encode());
    let error = start(&component.unwrap()).await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&wasmtime::Trap::UnreachableCodeReached));
}
