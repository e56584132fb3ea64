//! The deploy floor.
