//! Tells the linker to stop at the core module. It must never do anything else: the flag is the whole point of this
//! package, and only a package of its own keeps it away from the other guests.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-cdylib=--skip-wit-component");
}
