//! The functions that a lowered guest can import, by their types, as `wit-parser` says of the WIT and `wit-bindgen` makes of
//! it. Must never be written from what is linked: a test compares the two.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Known;

/// Every function by its interface, with the types of its parameters and of its result: `i` is an i32, `l` an i64.
const SIGNATURES: &str = "
wasi:cli/environment
  get-arguments i> allocates
  get-environment i> allocates
  initial-cwd i> allocates
wasi:cli/exit
  exit i>
  exit-with-code i>
wasi:cli/stderr
  get-stderr >i
wasi:cli/stdin
  get-stdin >i
wasi:cli/stdout
  get-stdout >i
wasi:cli/terminal-input
  [resource-drop]terminal-input i>
wasi:cli/terminal-output
  [resource-drop]terminal-output i>
wasi:cli/terminal-stderr
  get-terminal-stderr i>
wasi:cli/terminal-stdin
  get-terminal-stdin i>
wasi:cli/terminal-stdout
  get-terminal-stdout i>
wasi:clocks/monotonic-clock
  now >l
  resolution >l
  subscribe-duration l>i
  subscribe-instant l>i
wasi:clocks/wall-clock
  now i>
  resolution i>
wasi:http/types
  [constructor]fields >i
  [constructor]outgoing-response i>i
  [method]fields.append iiiiii>
  [method]fields.clone i>i
  [method]fields.delete iiii>
  [method]fields.entries ii> allocates
  [method]fields.get iiii> allocates
  [method]fields.has iii>i
  [method]fields.set iiiiii>
  [method]incoming-body.stream ii>
  [method]incoming-request.authority ii> allocates
  [method]incoming-request.consume ii>
  [method]incoming-request.headers i>i
  [method]incoming-request.method ii> allocates
  [method]incoming-request.path-with-query ii> allocates
  [method]incoming-request.scheme ii> allocates
  [method]outgoing-body.write ii>
  [method]outgoing-response.body ii>
  [method]outgoing-response.headers i>i
  [method]outgoing-response.set-status-code ii>i
  [method]outgoing-response.status-code i>i
  [resource-drop]fields i>
  [resource-drop]future-trailers i>
  [resource-drop]incoming-body i>
  [resource-drop]incoming-request i>
  [resource-drop]outgoing-body i>
  [resource-drop]outgoing-response i>
  [resource-drop]response-outparam i>
  [static]fields.from-list iii>
  [static]incoming-body.finish i>i
  [static]outgoing-body.finish iiii> allocates
  [static]response-outparam.set iiiiliiii>
wasi:io/error
  [method]error.to-debug-string ii> allocates
  [resource-drop]error i>
wasi:io/poll
  [method]pollable.block i>
  [method]pollable.ready i>i
  [resource-drop]pollable i>
  poll iii> allocates
wasi:io/streams
  [method]input-stream.blocking-read ili> allocates
  [method]input-stream.blocking-skip ili>
  [method]input-stream.read ili> allocates
  [method]input-stream.skip ili>
  [method]input-stream.subscribe i>i
  [method]output-stream.blocking-flush ii>
  [method]output-stream.blocking-splice iili>
  [method]output-stream.blocking-write-and-flush iiii>
  [method]output-stream.blocking-write-zeroes-and-flush ili>
  [method]output-stream.check-write ii>
  [method]output-stream.flush ii>
  [method]output-stream.splice iili>
  [method]output-stream.subscribe i>i
  [method]output-stream.write iiii>
  [method]output-stream.write-zeroes ili>
  [resource-drop]input-stream i>
  [resource-drop]output-stream i>
wasi:random/insecure
  get-insecure-random-bytes li> allocates
  get-insecure-random-u64 >l
wasi:random/insecure-seed
  insecure-seed i>
wasi:random/random
  get-random-bytes li> allocates
  get-random-u64 >l
wasi:http/types@0.3
  [constructor]fields >i
  [method]fields.append iiiiii>
  [method]fields.clone i>i
  [method]fields.copy-all ii> allocates
  [method]fields.delete iiii>
  [method]fields.get iiii> allocates
  [method]fields.has iii>i
  [method]fields.set iiiiii>
  [method]request.get-authority ii> allocates
  [method]request.get-headers i>i
  [method]request.get-method ii> allocates
  [method]request.get-path-with-query ii> allocates
  [method]request.get-scheme ii> allocates
  [method]response.get-headers i>i
  [method]response.get-status-code i>i
  [method]response.set-status-code ii>i
  [resource-drop]fields i>
  [resource-drop]request i>
  [resource-drop]response i>
  [static]request.consume-body iii>
  [static]response.new iiiii>
wasi:clocks/monotonic-clock@0.3
  [async]wait-for l>i
  [async]wait-until l>i
  get-resolution >l
  now >l
async
  context.get-0 >i
  context.get-1 >i
  context.set-0 i>
  context.set-1 i>
  future.cancel-read i>i
  future.cancel-write i>i
  future.drop-readable i>
  future.drop-writable i>
  future.new >l
  future.read ii>i
  future.write ii>i
  stream.cancel-read i>i
  stream.cancel-write i>i
  stream.drop-readable i>
  stream.drop-writable i>
  stream.new >l
  stream.read iii>i
  stream.write iii>i
  subtask.cancel i>i
  subtask.drop i>
  task.cancel >
  task.return iiiliiii>
  waitable-set.drop i>
  waitable-set.new >i
  waitable-set.poll ii>i
  waitable.join ii>
";

type Interfaces = HashMap<&'static str, HashMap<&'static str, Known>>;

static ALL: LazyLock<Interfaces> = LazyLock::new(|| {
    let (mut all, mut interface) = (Interfaces::new(), "");
    for line in SIGNATURES.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some(name), Some(signature)) => {
                let known = Known { signature, allocates: words.next().is_some() };
                all.entry(interface).or_default().insert(name, known);
            }
            _ => interface = line,
        }
    }
    all
});

/// Interfaces of which no function is needed: they have types alone, or what has no function here.
const OTHERS: [&str; 6] = [
    "wasi:clocks/types@0.3",
    "wasi:cli/types@0.3",
    "wasi:cli/stdin@0.3",
    "wasi:cli/stdout@0.3",
    "wasi:cli/stderr@0.3",
    "wasi:http/outgoing-handler",
];

/// What is known of a function.
pub(super) fn find(interface: &str, name: &str) -> Option<Known> {
    ALL.get(interface)?.get(name).copied()
}

/// Whether the host has an interface of this name, though a lowered guest may have no function of it.
pub(super) fn has(interface: &str) -> bool {
    ALL.contains_key(interface) || OTHERS.contains(&interface)
}

/// Every function there is.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static str, Known)> {
    let functions = |(interface, functions): (&&'static str, &'static HashMap<&'static str, Known>)| {
        let interface = *interface;
        functions.iter().map(move |(name, known)| (interface, *name, *known))
    };
    ALL.iter().flat_map(functions)
}
