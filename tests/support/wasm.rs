//! WebAssembly made by the byte: stamps that make equal functions differ, modules of any size, a component by hand.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// A number as WebAssembly writes it (LEB128).
pub fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &leb(content.len()), content].concat()
}

/// The same program with other bytes: a custom section that nobody reads is added.
pub fn stamped(wasm: &[u8], stamp: impl std::fmt::Display) -> Vec<u8> {
    let content = [b"\x05stamp", stamp.to_string().as_bytes()].concat();
    [wasm, &section(0, &content)].concat()
}

/// `sha256:HEX`.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// A core module of `count` functions that do nothing.
pub fn module_of(count: usize) -> Vec<u8> {
    let types = section(1, b"\x01\x60\x00\x00");
    let functions = section(3, &[leb(count), vec![0; count]].concat());
    let code = section(10, &[leb(count), b"\x02\x00\x0b".repeat(count)].concat());
    [&b"\0asm\x01\0\0\0"[..], &types, &functions, &code].concat()
}

/// A component with a handler, around a core module that `inside` adds something to.
pub fn component(inside: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $outparam))
  (core module $m
    {inside}
    (func (export "handle") (param i32 i32)))
  (core instance $i (instantiate $m))
  (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))
    (canon lift (core func $i "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// A component with a handler and so many functions beside it.
pub fn component_of(count: usize) -> Vec<u8> {
    let mut functions = String::new();
    for number in 0..count {
        let _ = writeln!(functions, "(func (param i32) (result i32) local.get 0 i32.const {number} i32.add)");
    }
    component(&functions)
}

/// A component with two functions of so many loops, behind which as many variables are read: their product is what the
/// compiler has to remember of each.
pub fn bomb(loops: usize) -> Vec<u8> {
    let mut body = format!("(func (param i32) (local {})\n", "i32 ".repeat(loops));
    body.push_str(&"loop local.get 0 br_if 0 end\n".repeat(loops));
    for local in 1..=loops {
        let _ = writeln!(body, "local.get {local} drop");
    }
    body.push(')');
    component(&body.repeat(2))
}

/// A component with a function of so many loads and stores: what was loaded before is looked for at each, unless the
/// compiler does not optimise.
pub fn optimisers_bomb(loads: usize) -> Vec<u8> {
    let mut body = String::from("(memory 1) (func (param i32) (result i32) i32.const 0\n");
    for number in 0..loads {
        let (load, store) = (number % 1_000 * 4, number % 999 * 4);
        let _ = writeln!(body, "local.get 0 i32.load offset={load} i32.add");
        let _ = writeln!(body, "local.get 0 i32.const {number} i32.store offset={store}");
    }
    body.push(')');
    component(&body)
}

/// A component with a function of so many blocks, each in the one before it.
pub fn nested(blocks: usize) -> Vec<u8> {
    // Unfolded: folded text would overflow the stack of whoever reads it.
    component(&format!("(func {} {})", "block ".repeat(blocks), "end ".repeat(blocks)))
}
