//! From uploaded bytes to an answering version: blob, component, artifact, proof, commit, route. Knows no HTTP.
//! Must never let a version answer before it was proven ready, nor leave anything of a refused one visible.

pub mod backlog;
mod codes;
pub mod fuse;
pub mod live;
pub mod loader;
pub mod optimise;
pub mod pause;
pub mod pipeline;
pub mod places;
pub mod residency;
pub mod rest;
pub mod retire;
mod shards;
pub mod shares;
pub mod standing;
pub mod table;

#[cfg(test)]
mod tests;
