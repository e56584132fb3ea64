//! The shared words. Pure: no I/O, no async, nothing above is known here.

pub mod limits;
pub mod manifest;
pub mod name;
pub mod outcome;
pub mod version;

#[cfg(test)]
mod tests;
