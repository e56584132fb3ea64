//! Load from outside, and what came of it: requests with a time at which each is due, their answers told apart by what
//! the server said, figures, and a page of them. Must never know the admin API, print, or touch more of a server than
//! its sockets.

pub mod alarm;
pub mod caller;
pub mod load;
pub mod page;
pub mod report;
pub mod salt;
pub mod schedule;
pub mod tally;
pub mod times;
pub mod timing;
pub mod zipf;

#[cfg(test)]
mod tests;
