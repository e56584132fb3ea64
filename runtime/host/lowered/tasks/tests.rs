//! What a guest has under way: streams, futures and timers, step by step.
