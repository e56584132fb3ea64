//! Operators and developers: the admin API on a listener of its own.
//! Must never serve a tenant's traffic, nor answer without a token but for health, metrics and the API's own description.

mod activation;
mod addresses;
mod auth;
mod cold;
mod content_digest;
mod deploys;
mod failures;
mod functions;
mod health;
mod instant;
mod json;
mod listen;
pub mod multipart;
mod names;
mod openapi;
mod paging;
mod pause;
mod precondition;
mod problem;
mod refusals;
mod service;
mod socket;
mod state;
mod tenants;
mod token;
mod upload;
mod usage;
mod versions;
pub mod wire;

#[cfg(test)]
mod tests;

pub use addresses::Addresses;
pub use listen::serve;
pub use service::router;
pub use state::AdminState;
pub use token::{FILE as TOKEN_FILE, Token, TokenError};
