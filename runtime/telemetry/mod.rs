//! What is observed. Must never slow down or block what it observes.

pub mod logs;
pub mod metrics;
pub mod rejected;
pub mod text;
pub mod times;
