//! What a user can see, through the real binary. One test program, so that the engine is linked once.
//!
//! Each module is a chapter; each test's name is a sentence, and a promise of SPECIFICATION.md names it.

mod support;

// The tree itself: house rules, floors, documents.
mod tidy;
