//! Uploads that are valid, and too expensive to compile.
//! Must never be large: what they cost is the server's, not the network's.

use std::fmt::Write as _;

use anyhow::Result;

/// A component with a handler and so many functions beside it.
pub(crate) fn component_of(count: usize) -> Result<Vec<u8>> {
    let mut functions = String::new();
    for number in 0..count {
        writeln!(functions, "(func (param i32) (result i32) local.get 0 i32.const {number} i32.add)")?;
    }
    let text = format!(
        r#"(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $outparam))
  (core module $m
    {functions}
    (func (export "handle") (param i32 i32)))
  (core instance $i (instantiate $m))
  (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))
    (canon lift (core func $i "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#
    );
    Ok(wat::parse_str(&text)?)
}
