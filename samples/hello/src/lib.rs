//! Answers `Hello, World!` to every request. It must never take the request: what it does not look at costs nothing.

fn hello() -> &'static str {
    "Hello, World!\n"
}

spawnpoint_sdk::handler!(hello);
