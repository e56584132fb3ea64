//! Which operating system processes exist, how a server is wired together, and how it ends.
//! Must never decide anything that a floor below could.

mod heap;
mod machine;
mod scrape;
mod serve;

pub use serve::{Running, ServeError, start};
