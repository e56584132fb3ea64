//! A component as tools write it becomes a module that does the same; any other one is left alone; places stay known.

use std::sync::Arc;

use proptest::prelude::*;
use wasmparser::{Parser, Payload};
use wasmtime::{Engine, Extern, Instance, Linker, Memory, Module, Store};

use super::{HANDLE, Lowered, MEMORY, RESET, Why, lower};
use crate::engine::profile::{self, Purpose};
use crate::host::account::Accounts;
use crate::host::logs::GuestLog;
use crate::host::meter::Meter;
use crate::host::{Grant, HostState, lowered};
use crate::model::version::Profile;

/// What stands before the modules: the host's functions.
const IMPORTS: &str = r#"
  (import "wasi:http/types@0.2.3" (instance $types
    (export "incoming-request" (type $ir (sub resource)))
    (export "response-outparam" (type $ro (sub resource)))
    (export "fields" (type $f (sub resource)))
    (export "[constructor]fields" (func (result (own $f))))))
  (import "wasi:cli/environment@0.2.9" (instance $environment
    (export "get-environment" (func (result (list (tuple string string)))))))
  (alias export $types "fields" (type $fields))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $out))
"#;

/// A function of a shim, and what fills its table.
const SHIM: &str = r#"
  (core module $shim
    (type $one (func (param i32)))
    (table (export "$imports") 1 1 funcref)
    (func (export "0") (param i32) local.get 0 i32.const 0 call_indirect (type $one)))
  (core module $filler
    (import "" "0" (func (param i32)))
    (import "" "$imports" (table 1 1 funcref))
    (elem (i32.const 0) func 0))
"#;

/// Makes and drops a `fields`, asks for the variables, and counts its calls.
const MAIN: &str = r#"
  (core module $main
    (type $one (func (param i32)))
    (import "wasi:http/types@0.2.3" "[constructor]fields" (func $new (result i32)))
    (import "wasi:http/types@0.2.3" "[resource-drop]fields" (func $drop (param i32)))
    (import "wasi:cli/environment@0.2.9" "get-environment" (func $get (param i32)))
    (memory (export "memory") 1)
    (global $top (mut i32) (i32.const 1024))
    (global $calls (mut i32) (i32.const 0))
    (table 2 2 funcref)
    (elem (i32.const 0) func $drop $get)
    (data (i32.const 512) "before")
    (func $handle (export "handle") (param $request i32) (param $out i32)
      (if (i32.eq (local.get $request) (i32.const 99)) (then (call $fails)))
      (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (i32.store (i32.const 4) (global.get $calls))
      (call_indirect (type $one) (call $new) (i32.const 0))
      (call $get (i32.const 16)))
    (func (export "more"))
    (func $fails (drop (memory.grow (i32.const 1))) unreachable)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
      (global.set $top (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
"#;

/// What joins them.
const REST: &str = r#"
  (core instance $shimmed (instantiate $shim))
  (core func $new (canon lower (func $types "[constructor]fields")))
  (core func $drop (canon resource.drop $fields))
  (core instance $it (instantiate $main
    (with "wasi:http/types@0.2.3" (instance
      (export "[constructor]fields" (func $new)) (export "[resource-drop]fields" (func $drop))))
    (with "wasi:cli/environment@0.2.9" (instance (export "get-environment" (func $shimmed "0"))))))
  (alias core export $it "memory" (core memory $memory))
  (core func $get (canon lower (func $environment "get-environment")
    (memory $memory) (realloc (func $it "cabi_realloc"))))
  (core instance (instantiate $filler (with "" (instance
    (export "0" (func $get)) (export "$imports" (table $shimmed "$imports"))))))
  (func $handle (param "request" (own $request)) (param "response-out" (own $out))
    (canon lift (core func $it "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.3" (instance $handler))
"#;

fn text() -> String {
    format!("(component {IMPORTS} {SHIM} {MAIN} {REST})")
}

fn bytes(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// Why a component like ours but for this stays one.
fn refused(from: &str, to: &str) -> String {
    let text = text();
    assert!(text.contains(from), "{from}");
    lower(&bytes(&text.replace(from, to))).unwrap_err().to_string()
}

struct Live {
    store: Store<HostState>,
    instance: Instance,
    memory: Memory,
}

impl Live {
    fn of(lowered: &Lowered) -> Self {
        let engine: Engine = profile::engine(Profile::Lean, Purpose::Compile).unwrap();
        let mut linker = Linker::new(&engine);
        lowered::link(&mut linker).unwrap();
        let module = Module::new(&engine, &lowered.module).unwrap();
        let mut store = Store::new(&engine, HostState::new(&grant(), Arc::new(Meter::default())));
        store.set_epoch_deadline(1);
        let instance = now(linker.instantiate_async(&mut store, &module)).unwrap();
        let Some(Extern::Memory(memory)) = instance.get_export(&mut store, MEMORY) else { panic!() };
        store.data_mut().lowered_memory(memory);
        Self { store, instance, memory }
    }

    fn handle(&mut self, request: u32) -> wasmtime::Result<()> {
        let handle = self.instance.get_typed_func::<(u32, u32), ()>(&mut self.store, HANDLE)?;
        now(handle.call_async(&mut self.store, (request, 0)))
    }

    fn reset(&mut self) -> u32 {
        let reset = self.instance.get_typed_func::<(), u32>(&mut self.store, RESET).unwrap();
        now(reset.call_async(&mut self.store, ())).unwrap()
    }

    fn word(&self, at: usize) -> usize {
        let word = self.memory.data(&self.store)[at..at + 4].try_into().unwrap();
        u32::from_le_bytes(word) as usize
    }

    fn string(&self, at: usize) -> String {
        let (start, length) = (self.word(at), self.word(at + 4));
        String::from_utf8(self.memory.data(&self.store)[start..start + length].to_vec()).unwrap()
    }
}

fn grant() -> Grant {
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Grant {
        variables: Arc::from([variable("GREETING", "hello"), variable("EMPTY", "")]),
        memory_bytes: 64 << 20,
        table_elements: 1_000,
        log: GuestLog::new("lower/tests".to_owned()),
        account: Accounts::unlimited().of(&"lower".parse().unwrap()),
    }
}

/// Nothing here waits for anything.
fn now<T>(future: impl Future<Output = T>) -> T {
    futures_util::FutureExt::now_or_never(future).expect("it waits")
}

#[test]
fn a_component_as_tools_write_it_becomes_a_module_that_calls_the_host() {
    let mut live = Live::of(&lower(&bytes(&text())).unwrap());
    live.handle(0).unwrap();
    assert_eq!(live.word(4), 1);
    let (list, length) = (live.word(16), live.word(20));
    assert_eq!(length, 2);
    assert_eq!((live.string(list), live.string(list + 8)), ("GREETING".to_owned(), "hello".to_owned()));
    assert_eq!((live.string(list + 16), live.string(list + 24)), ("EMPTY".to_owned(), String::new()));
    assert!(live.store.data().is_bare());
}

#[test]
fn an_instance_is_put_back_with_its_memory_and_globals() {
    let mut live = Live::of(&lower(&bytes(&text())).unwrap());
    for _ in 0..3 {
        live.handle(0).unwrap();
        live.handle(0).unwrap();
        assert_eq!(live.word(4), 2);
        let memory = live.memory;
        memory.write(&mut live.store, 512, b"after!").unwrap();
        assert_eq!(live.reset(), 0);
        let data = memory.data(&live.store);
        assert_eq!(&data[512..518], b"before");
        assert!(data[..512].iter().chain(&data[518..]).all(|byte| *byte == 0));
    }
}

#[test]
fn where_it_trapped_is_told_in_the_component() {
    let component = bytes(&text());
    let lowered = lower(&component).unwrap();
    let mut live = Live::of(&lowered);
    let error = live.handle(99).unwrap_err();
    let frames = error.downcast_ref::<wasmtime::WasmBacktrace>().unwrap().frames();
    let place = |index: usize| {
        let offset = frames[index].module_offset().unwrap() as u64;
        usize::try_from(lowered.moves.origin(offset).unwrap()).unwrap()
    };
    // `unreachable`, and the `call` that led to it.
    assert_eq!(component[place(0)], 0x00);
    assert_eq!(component[place(1)], 0x10);
    let names: Vec<_> = frames.iter().map(wasmtime::FrameInfo::func_name).collect();
    assert_eq!(names, [Some("fails"), Some("handle")]);
}

#[test]
fn what_is_built_otherwise_stays_a_component() {
    let several = "it has several modules of code";
    // A shim that does something else, a table that is filled otherwise, one that is filled by somebody else.
    assert_eq!(refused("i32.const 0 call_indirect", "i32.const 0 i32.eqz call_indirect"), several);
    assert_eq!(refused("local.get 0 i32.const 0", "i32.const 7 i32.const 0"), several);
    assert_eq!(
        refused("(elem (i32.const 0) func 0))", "(elem (i32.const 0) func))"),
        "it has a shim without an end"
    );
    assert_eq!(refused("func 0))", "func 0) (global i32 (i32.const 0)))"), several);
    // Code that runs at its start; what is exported besides; what nobody here knows.
    let start = refused("(func $fails ", "(func $nothing) (start $nothing) (func $fails ");
    assert_eq!(start, "it has a section that is not known here");
    let twice = refused(
        "(instance $handler ",
        "(func (export \"more\") (canon lift (core func $it \"more\"))) (instance $handler ",
    );
    assert_eq!(twice, "it has not one function of its own but several, or none");
    assert_eq!(
        refused("wasi:cli/environment@0.2.9", "wasi:cli/environment@0.3.0"),
        "it imports `wasi:cli/environment@0.3.0#`"
    );
    assert_eq!(
        refused("get-environment", "get-nothing"),
        "it imports `wasi:cli/environment@0.2.9#get-nothing`"
    );
    assert_eq!(
        refused(
            "(realloc (func $it \"cabi_realloc\"))",
            "(realloc (func $it \"cabi_realloc\")) string-encoding=utf16"
        ),
        "it has functions that are called in another way"
    );
    // A module that another name stands for moves the index of those that follow.
    let main = "(core module $main";
    let aliased = format!(
        "(instance $mods (export \"m\" (core module $shim))) (alias export $mods \"m\" (core module)) {main}"
    );
    let lowered = lower(&bytes(&text().replace(main, &aliased))).unwrap();
    Live::of(&lowered).handle(0).unwrap();
    // A function that is declared of another type than the host's.
    let mut typed = text();
    for (from, to) in [
        ("(func (result (own $f)))", "(func (param \"more\" u32) (result (own $f)))"),
        ("(func $new (result i32))", "(func $new (param i32) (result i32))"),
        ("(call $new)", "(call $new (i32.const 1))"),
    ] {
        assert!(typed.contains(from), "{from}");
        typed = typed.replace(from, to);
    }
    assert_eq!(lower(&bytes(&typed)).unwrap_err().to_string(), "it has a function of another type");
    assert!(matches!(lower(b"\0asm\x0d\0\x01\0\xff"), Err(Why::Unreadable(_))));
    assert!(lower(&bytes("(component)")).is_err());
}

proptest! {
    #[test]
    fn bytes_that_were_changed_are_lowered_or_refused_and_never_worse(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut bytes = bytes(&text());
        for (at, byte) in changes {
            let length = bytes.len();
            bytes[at.index(length)] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        // What comes out is valid, or it is an error; nothing here panics.
        if let Ok(lowered) = lower(&bytes) {
            prop_assert!(wasmparser::validate(&lowered.module).is_ok());
        }
    }
}

#[test]
fn nothing_is_imported_but_what_is_known_and_ours() {
    let lowered = lower(&bytes(&text())).unwrap();
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(&lowered.module) {
        if let Payload::ImportSection(section) = payload.unwrap() {
            for import in section.into_imports() {
                let import = import.unwrap();
                names.push(format!("{}#{}", import.module, import.name));
            }
        }
    }
    assert_eq!(
        names,
        [
            "spawnpoint#pending",
            "spawnpoint#place",
            "spawnpoint#written",
            "wasi:http/types#[constructor]fields",
            "wasi:http/types#[resource-drop]fields",
            "wasi:cli/environment#get-environment",
        ]
    );
}
