//! wasmtime: two engine profiles, and everything that turns an artifact into an answered request.
//! Must never know a tenant's name, an HTTP status or where a version is stored.

pub mod artifact;
pub mod compile;
pub mod componentize;
pub mod profile;
