//! The shared words. Pure: it must never do I/O, wait, or know anything above it.

pub mod allowance;
pub mod audience;
pub mod breaker;
pub mod busy_poll;
pub mod fair;
pub mod few;
pub mod frame;
pub mod heaviness;
pub mod lately;
pub mod length;
pub mod limits;
pub mod manifest;
pub mod name;
pub mod outcome;
pub mod pace;
pub mod paging;
pub mod phase;
pub mod place;
pub mod portion;
pub mod rate;
pub mod request_id;
pub mod retry;
pub mod roster;
pub mod share;
pub mod turns;
pub mod version;

#[cfg(test)]
mod tests;
