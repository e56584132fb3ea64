//! Spawnpoint: an HTTP front end routes each request to a tenant's WebAssembly function, which runs in a
//! ready-made wasmtime instance; an instance that fails is thrown away and the next one has already spawned.
//!
//! The modules stand in floor order: a floor uses only floors below it (ARCHITECTURE.md, checked by `tests/tidy.rs`).

// Floor 0: shared words; pure.
pub mod model;

// Floor 2: keys, values and blobs.
pub mod storage;

// Floor 3: what is deployed.
pub mod catalog;
