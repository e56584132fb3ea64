//! What waits for memory is written as the canonical ABI has it, whatever a guest does; what is read is bounded; and what
//! is linked is what real guests import. Must never take a signature from the code that it checks: those here are what
//! `wit-parser` says of the WIT, and what `wit-bindgen` made of it.

mod calls;

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::{Engine, Extern, ExternType, Store, ValType};

use http_body_util::BodyExt as _;

use super::abi::Lift;
use super::delivery::At;
use super::*;
use crate::host::account::Accounts;
use crate::host::logs::GuestLog;
use crate::host::{Grant, HostState};
use crate::model::limits;

pub(super) fn state() -> HostState {
    let log = GuestLog::new("default/f".to_owned());
    let account = Accounts::unlimited().of(&"acme".parse().unwrap());
    let grant = Grant { variables: Arc::new([]), memory_bytes: 1 << 20, table_elements: 1, log, account };
    HostState::new(&grant, Arc::default())
}

fn letters(types: impl Iterator<Item = ValType>) -> String {
    let letter = |of: ValType| match of {
        ValType::I32 => 'i',
        ValType::I64 => 'l',
        _ => '?',
    };
    types.map(letter).collect()
}

#[test]
fn what_is_linked_is_what_guests_import() {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    link(&mut linker).unwrap();
    let mut store = Store::new(&engine, state());
    let all: Vec<(String, String, Extern)> =
        linker.iter(&mut store).map(|(module, name, it)| (module.to_owned(), name.to_owned(), it)).collect();
    let mut linked = BTreeMap::new();
    for (module, name, it) in all {
        let ExternType::Func(of) = it.ty(&store) else { panic!("{name} is a function") };
        let signature = format!("{}>{}", letters(of.params()), letters(of.results()));
        linked.insert((module, name), signature);
    }
    for (interface, name, known) in signatures::all() {
        let found = linked.remove(&(interface.to_owned(), name.to_owned()));
        assert_eq!(found.as_deref(), Some(known.signature), "{interface} {name}");
        assert_eq!(find(interface, name), Some(known), "{interface} {name}");
    }
    let ours = [(PENDING, ">l"), (PLACE, "i>"), (WRITTEN, "iiii>l")];
    for (name, signature) in ours {
        let found = linked.remove(&(INTERNAL.to_owned(), name.to_owned()));
        assert_eq!(found.as_deref(), Some(signature), "{name}");
        assert_eq!(find(INTERNAL, name), None, "no guest may import it");
    }
    assert!(linked.is_empty(), "{linked:?}");
    assert_eq!(find("wasi:http/types", "http-error-code"), None);
    assert_eq!(find("wasi:sockets/tcp", "[resource-drop]tcp-socket"), None);
}

/// Numbers as a guest may make them up.
fn dice(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

#[test]
fn whatever_a_guest_passes_to_any_function_is_an_answer_or_an_error() {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    link(&mut linker).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _inside = runtime.enter();
    for seed in 0..40 {
        let mut dice = dice(seed);
        let mut store = Store::new(&engine, state());
        let memory = Memory::new(&mut store, wasmtime::MemoryType::new(1, Some(1))).unwrap();
        store.data_mut().lowered_memory(memory);
        let body = http_body_util::BodyExt::boxed_unsync(
            http_body_util::Empty::new().map_err(|never| match never {}),
        );
        store.data_mut().lowered_begin(::http::Request::new(body)).unwrap();
        let all: Vec<_> = linker
            .iter(&mut store)
            .filter_map(|(_, name, it)| Some((name.to_owned(), it.into_func()?)))
            .collect();
        for _ in 0..600 {
            let (_, function) = &all[usize::try_from(dice(all.len() as u64)).unwrap()];
            let of = function.ty(&store);
            // Few, so that they are handles of something, of whatever type; and now and then something wild.
            let number = |dice: &mut dyn FnMut(u64) -> u64| match dice(12) {
                0 => u64::MAX - dice(70_000),
                1 => 65_536 - dice(64),
                _ => dice(24),
            };
            let arguments = of.params().map(|ty| match ty {
                ValType::I64 => wasmtime::Val::I64(number(&mut dice).cast_signed()),
                _ => {
                    wasmtime::Val::I32(u32::try_from(number(&mut dice) & 0xffff_ffff).unwrap().cast_signed())
                }
            });
            let arguments: Vec<_> = arguments.collect();
            let mut results = vec![wasmtime::Val::I32(0); of.results().len()];
            // What panics fails the test; what waits is given up, and what fails is what a guest would trap at.
            let called = function.call_async(&mut store, &arguments, &mut results);
            let _ = futures_util::FutureExt::now_or_never(called);
        }
    }
}

/// A list of two fields, at 8: "a" is "12", and the name of the other is empty.
fn two_fields(delivery: &mut Delivery) {
    delivery.begin(8, 4, 8).unwrap();
    let list = delivery.list(At::root(0), 2, 16).unwrap();
    delivery.bytes(At::block(list, 0), b"a".to_vec()).unwrap();
    delivery.bytes(At::block(list, 8), b"12".to_vec()).unwrap();
    delivery.bytes(At::block(list, 16), Vec::new()).unwrap();
    delivery.bytes(At::block(list, 24), b"345".to_vec()).unwrap();
}

fn number(memory: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*memory[at..].first_chunk().unwrap())
}

#[test]
fn a_list_of_fields_is_laid_out_as_the_abi_has_it() {
    let (mut delivery, mut memory) = (Delivery::default(), vec![0xee; 256]);
    two_fields(&mut delivery);
    delivery.settle(&mut memory).unwrap();
    assert!(memory.iter().all(|byte| *byte == 0xee), "nothing is written before there is room for all");
    for (align, size, address) in [(4, 32, 64), (1, 1, 101), (1, 2, 103), (1, 0, 256), (1, 3, 110)] {
        assert_eq!(delivery.pending(), align << 32 | size);
        delivery.place(&mut memory, address).unwrap();
    }
    assert_eq!(delivery.pending(), 0);
    assert_eq!((number(&memory, 8), number(&memory, 12)), (64, 2));
    let list: Vec<u32> = (0..8).map(|index| number(&memory, 64 + index * 4)).collect();
    assert_eq!(list, [101, 1, 103, 2, 256, 0, 110, 3]);
    assert_eq!(
        (&memory[101..102], &memory[103..105], &memory[110..113]),
        (&b"a"[..], &b"12"[..], &b"345"[..])
    );
    let written = [8..16, 64..96, 101..102, 103..105, 110..113];
    let untouched = |at: &usize| !written.iter().any(|range| range.contains(at));
    assert!((0..256).filter(untouched).all(|at| memory[at] == 0xee), "and nothing else");
}

#[test]
fn an_address_that_is_not_the_guests_is_refused() {
    let (mut delivery, mut memory) = (Delivery::default(), vec![0; 256]);
    two_fields(&mut delivery);
    for address in [1, 2, 3, 228, 256, 0x8000_0000, u32::MAX - 3, u32::MAX] {
        assert!(delivery.place(&mut memory, address).is_err(), "{address}");
    }
    assert_eq!(delivery.pending(), 4 << 32 | 32, "and still waited for");
    delivery.place(&mut memory, 224).unwrap();
    for address in [256, u32::MAX] {
        assert!(delivery.place(&mut memory, address).is_err(), "{address}");
    }
    for (answer, align) in [(2, 4), (252, 4), (256, 8), (u32::MAX, 1)] {
        delivery.begin(answer, align, 8).unwrap();
        assert!(delivery.settle(&mut memory).is_err(), "{answer}");
        delivery.begin(answer, align, 8).unwrap();
        delivery.bytes(At::root(0), vec![1]).unwrap();
        assert!(delivery.place(&mut memory, 0).is_err(), "{answer}");
    }
    assert!(memory.iter().all(|byte| *byte == 0));
}

#[test]
fn a_guest_that_mixes_up_its_calls_confuses_nobody_else() {
    let (mut delivery, mut memory) = (Delivery::default(), vec![0; 256]);
    assert_eq!(delivery.pending(), 0);
    assert!(delivery.place(&mut memory, 0).is_err(), "nothing was asked for");
    two_fields(&mut delivery);
    delivery.place(&mut memory, 64).unwrap();
    // What it calls while it makes room answers, too.
    delivery.begin(200, 4, 12).unwrap();
    delivery.option_text(At::root(0), Some("text".to_owned())).unwrap();
    assert_eq!(delivery.pending(), 1 << 32 | 4);
    delivery.place(&mut memory, 90).unwrap();
    assert_eq!((memory[200], number(&memory, 204), number(&memory, 208)), (1, 90, 4));
    assert_eq!(&memory[90..94], b"text");
    assert_eq!(number(&memory, 8), 0, "the first answer is gone");
    assert_eq!(delivery.pending(), 0);
    assert!(delivery.place(&mut memory, 64).is_err());
    two_fields(&mut delivery);
    delivery.clear();
    assert_eq!(delivery.pending(), 0, "and so it is when the instance is put back");
    delivery.begin(0, 1, 41).unwrap_err();
    assert!(delivery.put(At::root(0), &[1]).is_err(), "no answer has a place outside of itself");
    assert!(delivery.put(At::block(7, 0), &[1]).is_err());
}

#[test]
fn what_is_read_is_the_guests_and_not_too_much() {
    let memory = vec![b'a'; 64];
    let mut lift = Lift::new(&memory);
    assert_eq!(lift.text((60, 4)).unwrap(), "aaaa");
    assert_eq!(lift.text((64, 0)).unwrap(), "");
    for range in [(65, 0), (61, 4), (0, 65), (u32::MAX, 1), (1, u32::MAX), (u32::MAX, u32::MAX)] {
        assert!(lift.bytes(range).is_err(), "{range:?}");
    }
    assert_eq!(lift.list::<8, u64>((56, 1)).unwrap().len(), 1);
    for range in [(57, 0), (60, 1), (0, 9), (0, u32::MAX), (64, 1), (68, 0)] {
        assert!(lift.list::<8, u64>(range).is_err(), "{range:?}");
    }
    assert!(Lift::new(&[0xff, 0xfe]).text((0, 2)).is_err(), "not UTF-8");
}

#[test]
fn what_one_call_reads_is_bounded() {
    let memory = vec![0; limits::HOSTCALL_BYTES + 1];
    let most = u32::try_from(limits::HOSTCALL_BYTES).unwrap();
    assert!(Lift::new(&memory).bytes((0, most + 1)).is_err());
    let mut lift = Lift::new(&memory);
    lift.bytes((0, most)).unwrap();
    assert!(lift.bytes((0, 1)).is_err(), "all that it passes counts");
    assert!(Lift::new(&memory).list::<8, Vec<u8>>((0, most / 8)).is_err(), "and so does a list of nothing");
}

#[test]
fn zero_is_no_handle() {
    assert!(abi::own::<String>(0).is_err());
    assert!(abi::borrow::<String>(0).is_err());
    let resource = abi::own::<String>(1).unwrap();
    assert_eq!((resource.rep(), handle(&resource)), (0, 1));
}
