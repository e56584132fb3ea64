//! What a user can see, through the real binary. One test program, so that the engine is linked once.
//!
//! Each module is a chapter; each test's name is a sentence, and a promise of SPECIFICATION.md names it.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::float_cmp,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    clippy::format_collect,
    clippy::needless_pass_by_value,
    clippy::duration_suboptimal_units,
    unreachable_pub,
    reason = "a test that cannot go on fails where it stands, and reads better for being plain"
)]

mod support;

// Who is let in: rates, requests at once, instances, memory.
mod admission;
// A version that only fails is left alone, and heals.
mod breaker;
// What the platform answers where a function does not.
mod answers;
// A client that goes away takes its guest along.
mod cancellation;
// Bounds of a connection: how many, how slow, how idle, how stuck.
mod connections;
// What is left in a slot for whoever has it next.
mod canary;
// The end of a server.
mod drain;
// Clients that mean harm.
mod floods;
// What one run of a guest can see or spoil of another.
mod isolation;
mod lanes;
// Every limit of a guest.
mod limits;

// What calls leave behind.
mod records;
// Lines of source in backtraces.
mod lines;
mod lowering;

// Which function a request reaches, and what it is told.
mod routing;
// What is left in an instance that is put back.
mod resetting;
// Requests at the edge of what is routed.
mod routing_edges;
// The fail sample under load.
mod soak;
// Whom the metrics name.
mod metrics;

// Where the time went.
mod timing;

// Programs that nobody wrote.
mod storm;
// Bodies in both directions, while they are made.
mod streaming;
// The tree itself: house rules, floors, documents.
mod tidy;

// An upload becomes a function that answers.
mod deploying;

// Many functions of few programs.
mod sharing;

// Compiled quickly first, and for speed once it answers.
#[cfg(any(debug_assertions, feature = "failpoints"))]
mod tiers;

// Which version answers, and for whom.
mod activating;

// A function that is to answer nobody for a while.
mod pausing;

// What is taken away is gone: routes, records, files.
mod removing;

// The admin API as a whole: health, lists, its description.
mod admin_api;

// Whatever is uploaded, it gets a named refusal, and what answered before still does.
mod hostile_uploads;

// Whatever an upload's head, name or manifest says.
mod hostile_requests;

// A compiler that is asked for too much.
mod compile_bombs;

// What was acknowledged is there after a crash.
mod durability;

// The machine fails at any step of what the server does. A release has no failpoints, so these are for debug builds.
#[cfg(any(debug_assertions, feature = "failpoints"))]
mod host_faults;

// The machine has too little, or somebody else has it.
mod host_shortages;

// The host's own code panics, in a call of a guest.
#[cfg(any(debug_assertions, feature = "failpoints"))]
mod host_panics;

// A server that cannot start says why.
mod starting;

// Deploys and rollbacks that no request notices.
mod retry;
mod rollback_under_load;

// The commands, as a script sees them.
mod cli;

// The load, the cold calls and the crowd that a user measures with.
mod bench;

// The demo, as a newcomer sees it.
mod demo;

// What is read from strangers, without the fuzzer that the targets are written for.
mod fuzzing;
extern crate self as libfuzzer_sys;
use fuzzing::plain::fuzz_target;

// The commands of the README.
mod readme;
