//! What a user can see, through the real binary. One test program, so that the engine is linked once.
//!
//! Each module is a chapter; each test's name is a sentence, and a promise of SPECIFICATION.md names it.

mod support;

// What the platform answers where a function does not.
mod answers;
// A client that goes away takes its guest along.
mod cancellation;
// Bounds of a connection: how many, how slow, how idle, how stuck.
mod connections;
// The end of a server.
mod drain;
// What one run of a guest can see or spoil of another.
mod isolation;
// Every limit of a guest.
mod limits;

// Which function a request reaches, and what it is told.
mod routing;
// Requests at the edge of what is routed.
mod routing_edges;
// The fail sample under load.
mod soak;
// Bodies in both directions, while they are made.
mod streaming;
// The tree itself: house rules, floors, documents.
mod tidy;
