//! Sockets and bytes. Must never know what a request means.

pub mod body;
pub mod listen;
pub mod outbox;
pub mod shed;
pub mod socket;
