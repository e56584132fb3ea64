//! Spawnpoint: an HTTP front end routes each request to a tenant's WebAssembly function, which runs in a
//! ready-made wasmtime instance; an instance that fails is thrown away and the next one has already spawned.
//!
//! The modules stand in floor order: a floor uses only floors below it (ARCHITECTURE.md, checked by `tests/tidy.rs`).

// Floor 0: shared words; pure.
pub mod model;

// Floor 1: what was configured | what is observed | what calls left behind | what is running | what a test has fail.
pub mod faults;
pub mod records;
pub mod settings;
pub mod tasks;
pub mod telemetry;

// Floor 2: sockets and bytes | keys, values, blobs.
pub mod net;
pub mod storage;

// Floor 3: what a guest may call | what is deployed.
pub mod catalog;
pub mod host;

// Floor 4: wasmtime: compile, pool, invoke, limit.
pub mod engine;

// Floor 5: source to component to artifact to version to activation.
pub mod deploy;

// Floor 6: the two faces: tenants' traffic | operators and developers.
pub mod admin;
pub mod ingress;

// Floor 7: which processes exist; wiring; shutdown | load from outside, and what came of it.
pub mod bench;
pub mod process;

// Floor 8: what a person types.
pub mod cli;
