//! Operators and developers: the admin API on a listener of its own.
//! Must never serve a tenant's traffic, nor answer without a token but for health, metrics and the API's own description.

pub mod wire;
