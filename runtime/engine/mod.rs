//! wasmtime: two engine profiles, and everything that turns an artifact into an answered request.
//! Must never know a tenant's name, an HTTP status or where a version is stored.

pub mod artifact;
pub mod compile;
pub mod componentize;
pub mod crew;
pub mod instance;
pub mod lanes;
pub mod lease;
pub mod locate;
pub mod lower;
pub mod party;
pub mod pool;
pub mod profile;
pub mod program;
pub mod reset;
pub mod room;
pub mod sizing;
pub mod ticker;
pub mod verdict;
