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
    let text = shell(&format!("{inside} (func (export \"handle\") (param i32 i32))"));
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

fn shell(module: &str) -> String {
    format!(
        r#"(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $outparam))
  (core module $m {module})
  (core instance $i (instantiate $m))
  (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))
    (canon lift (core func $i "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#
    )
}

/// A component with a handler and so many functions beside it.
pub fn component_of(count: usize) -> Vec<u8> {
    let mut functions = String::new();
    for number in 0..count {
        let _ = writeln!(
            functions,
            "(func (param i32) (result i32) local.get 0 i32.const {number} i32.add)"
        );
    }
    component(&functions)
}

/// A component whose one function is long: so many operations, each on what the one before it gave.
pub fn bomb(operations: usize) -> Vec<u8> {
    let mut body = String::from("(func (param i64) (result i64) local.get 0\n");
    for number in 0..operations {
        let _ = writeln!(body, "i64.const {} i64.mul local.get 0 i64.rotl", number * 2 + 3);
    }
    body.push(')');
    component(&body)
}

/// A component with a function of so many blocks, each in the one before it.
pub fn nested(blocks: usize) -> Vec<u8> {
    // (func (block (block ...))) by the byte: as text it would overflow the stack of whoever reads it.
    let body = [&b"\0"[..], &b"\x02\x40".repeat(blocks), &b"\x0b".repeat(blocks + 1)].concat();
    let plain = module_of(0);
    let types = section(1, b"\x02\x60\x00\x00\x60\x02\x7f\x7f\x00");
    let functions = section(3, b"\x02\x00\x01");
    let exports = section(7, b"\x01\x06handle\x00\x01");
    let code = section(10, &[&b"\x02"[..], &leb(body.len()), &body, b"\x02\x00\x0b"].concat());
    let module = [&plain[..8], &types, &functions, &exports, &code].concat();
    let quoted: String = module.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let text = shell(&format!("binary \"{quoted}\""));
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}
