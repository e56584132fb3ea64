//! What a user can see, through the real binary. One test program, so that the engine is linked once.
//!
//! Each module is a chapter; each test's name is a sentence, and a promise of SPECIFICATION.md names it.

mod support;

// What the platform answers where a function does not.
mod answers;
// Bounds of a connection: how many, how slow, how idle, how stuck.
mod connections;
// Every limit of a guest.
mod limits;

// Which function a request reaches, and what it is told.
mod routing;
// Requests at the edge of what is routed.
mod routing_edges;
// The tree itself: house rules, floors, documents.
mod tidy;
