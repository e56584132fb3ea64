//! What a core module gets that calls by hand, as the wrapper of a lowered guest does. Must never need a component.

use wasmtime::{Engine, Instance, Linker, Memory, Module, Store};

use super::{link, number, state};
use crate::host::HostState;

/// Makes fields, and has them listed; waits; writes.
const GUEST: &str = r#"(module
    (import "wasi:http/types" "[constructor]fields" (func $fields (result i32)))
    (import "wasi:http/types" "[method]fields.append" (func $append (param i32 i32 i32 i32 i32 i32)))
    (import "wasi:http/types" "[method]fields.entries" (func $entries (param i32 i32)))
    (import "wasi:http/types" "[resource-drop]fields" (func $drop (param i32)))
    (import "wasi:clocks/monotonic-clock" "subscribe-duration" (func $after (param i64) (result i32)))
    (import "wasi:io/poll" "poll" (func $poll (param i32 i32 i32)))
    (import "wasi:io/poll" "[resource-drop]pollable" (func $forget (param i32)))
    (import "wasi:cli/stdout" "get-stdout" (func $stdout (result i32)))
    (import "wasi:io/streams" "[method]output-stream.blocking-write-and-flush"
        (func $write (param i32 i32 i32 i32)))
    (import "wasi:io/streams" "[resource-drop]output-stream" (func $close (param i32)))
    (import "spawnpoint" "pending" (func $pending (result i64)))
    (import "spawnpoint" "place" (func $place (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 16) "namevalue")
    (global $free (mut i32) (i32.const 1024))
    (func (export "run") (param $length i32) (result i32)
        (local $it i32)
        (local.set $it (call $fields))
        (call $append (local.get $it)
            (i32.const 16) (i32.const 4) (i32.const 20) (local.get $length) (i32.const 0))
        (call $entries (local.get $it) (i32.const 8))
        (call $room)
        (call $drop (local.get $it))
        (local.get $it))
    (func $room (local $next i64)
        (block $done (loop $more
            (br_if $done (i64.eqz (local.tee $next (call $pending))))
            (call $place (global.get $free))
            (global.set $free (i32.add (global.get $free) (i32.const 64)))
            (br $more))))
    (func (export "wait")
        (i32.store (i32.const 32) (call $after (i64.const 0)))
        (i32.store (i32.const 36) (call $after (i64.const 1000000)))
        (call $poll (i32.const 32) (i32.const 2) (i32.const 8))
        (call $room)
        (call $forget (i32.load (i32.const 32)))
        (call $forget (i32.load (i32.const 36))))
    (func (export "write") (param $length i32)
        (local $it i32)
        (local.set $it (call $stdout))
        (call $write (local.get $it) (i32.const 16) (local.get $length) (i32.const 64))
        (call $close (local.get $it))))"#;

async fn guest() -> (Store<HostState>, Instance, Memory) {
    let engine = Engine::default();
    let module = Module::new(&engine, wat::parse_str(GUEST).unwrap()).unwrap();
    let mut linker = Linker::new(&engine);
    link(&mut linker).unwrap();
    let mut store = Store::new(&engine, state());
    let instance = linker.instantiate_async(&mut store, &module).await.unwrap();
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    (store, instance, memory)
}

#[tokio::test]
async fn a_guest_gets_its_answers() {
    let (mut store, instance, memory) = guest().await;
    store.data_mut().lowered_memory(memory);
    let run = instance.get_typed_func::<u32, u32>(&mut store, "run").unwrap();
    assert_eq!(run.call_async(&mut store, 5).await.unwrap(), 1, "the first place of the table");
    let bytes = memory.data(&store);
    assert_eq!(bytes[..2], [0, 0], "it was appended");
    assert_eq!((number(bytes, 8), number(bytes, 12)), (1024, 1));
    let list: Vec<u32> = (0..4).map(|index| number(bytes, 1024 + index * 4)).collect();
    assert_eq!(list, [1088, 4, 1152, 5]);
    assert_eq!((&bytes[1088..1092], &bytes[1152..1157]), (&b"name"[..], &b"value"[..]));
    assert!(store.data().is_bare(), "and it was dropped");
    assert!(run.call_async(&mut store, u32::MAX).await.is_err(), "a value that ends outside of the memory");
}

#[tokio::test]
async fn a_guest_that_waits_gets_its_answers() {
    let (mut store, instance, memory) = guest().await;
    store.data_mut().lowered_memory(memory);
    let wait = instance.get_typed_func::<(), ()>(&mut store, "wait").unwrap();
    wait.call_async(&mut store, ()).await.unwrap();
    let bytes = memory.data(&store);
    assert_eq!(
        (number(bytes, 8), number(bytes, 12), number(bytes, 1024)),
        (1024, 1, 0),
        "the first is ready"
    );
    memory.write(&mut store, 64, &[0xee; 12]).unwrap();
    let write = instance.get_typed_func::<u32, ()>(&mut store, "write").unwrap();
    write.call_async(&mut store, 9).await.unwrap();
    assert_eq!(memory.data(&store)[64..76], [0; 12], "it was written");
    assert!(store.data().is_bare(), "and all was dropped");
    assert!(write.call_async(&mut store, 4097).await.is_err(), "as a component may not");
}

#[tokio::test]
async fn a_guest_without_a_memory_is_told_so() {
    let (mut store, instance, _) = guest().await;
    let run = instance.get_typed_func::<u32, u32>(&mut store, "run").unwrap();
    let error = run.call_async(&mut store, 5).await.unwrap_err();
    assert!(format!("{error:#}").contains("no memory"), "{error:#}");
}
