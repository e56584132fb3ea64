//! Write a function for Spawnpoint in ten lines: a plain Rust function that takes a request and gives a response,
//! compiled for `wasm32-wasip2`. It stands on nothing but the standard `wasi:http` 0.2, so the component that comes out
//! runs on any host of that interface; it must never use anything that only Spawnpoint has.
//!
//! ```no_run
//! # fn main() {}
//! fn hello() -> &'static str {
//!     "Hello, World!\n"
//! }
//!
//! spawnpoint_sdk::handler!(hello);
//! ```
//!
//! The crate of the function needs `crate-type = ["cdylib"]` and this crate, no more.
//!
//! # Requests and responses
//!
//! A function takes nothing, or one value that is [made from the request](FromRequest): a [`Request`], which is the
//! well-known type of the crate `http`, or a `Json`. It gives anything that is a [`Reply`]: text, bytes, `Json`, a
//! [`Response`], or a `Result` of one of them.
//!
//! ```no_run
//! # fn main() {}
//! use spawnpoint_sdk::http::{self, StatusCode};
//! use spawnpoint_sdk::{Body, Error, Request, Response};
//!
//! fn greet(request: Request) -> Result<Response, Error> {
//!     let name = request.uri().path().trim_start_matches('/');
//!     if name.is_empty() {
//!         return Err(Error::new(StatusCode::BAD_REQUEST, "whom?"));
//!     }
//!     let response = http::Response::builder().header("content-language", "en");
//!     Ok(response.body(Body::from(format!("Hello, {name}!\n")))?)
//! }
//!
//! spawnpoint_sdk::handler!(greet);
//! ```
//!
//! # Errors and panics
//!
//! `?` turns any error of the standard kind into an [`Error`]: a 500 that tells the client nothing, with its cause on
//! standard error. [`Error::new`] and [`OrStatus`] choose the status and say what the client may read. A panic is never
//! answered: it traps, the host throws the instance away and answers in its place.
//!
//! # Streams
//!
//! A [`Body`] is read chunk by chunk as it arrives, and written chunk by chunk from a closure that runs once the head
//! is on its way. A response may also simply be the body of the request. Nothing here is asynchronous: an instance
//! serves one request at a time, and waiting in the host costs it nothing.
//!
//! # Size
//!
//! A function that takes nothing and gives a `&'static str` or a `&'static [u8]` is a component of 23 KB with three
//! imports, and instantiates the fastest. One that takes a [`Request`] has 130 KB and a dozen imports more: the crate
//! `http`, and the standard library's way to panic, which comes with the first panic that the compiler cannot rule out.
//! Build with `lto = true`, `codegen-units = 1`, `strip = true` and `opt-level = "s"`.

mod body;
mod error;
mod guest;
#[cfg(feature = "json")]
mod json;
mod reply;
mod request;
mod text;

pub use body::{Body, Writer};
pub use error::{Error, OrStatus};
pub use guest::Handler;
pub use http;
#[cfg(feature = "json")]
pub use json::{JSON_LIMIT, Json};
pub use reply::{Reply, Responder};
pub use request::{FromRequest, Incoming};

/// A request whose body is still on its way.
pub type Request = http::Request<Body>;

/// A response, with a body that is known, or still to be written.
pub type Response = http::Response<Body>;

/// What [`handler!`] expands to. No part of the interface.
#[doc(hidden)]
pub mod export {
    pub use crate::guest::run;
    pub use wasip2;
}

/// Makes a function the component's handler of HTTP requests. Once in a crate.
///
/// ```no_run
/// # fn main() {}
/// use spawnpoint_sdk::{Error, Request, Response};
///
/// fn echo(request: Request) -> Result<Response, Error> {
///     Ok(Response::new(request.into_body()))
/// }
///
/// spawnpoint_sdk::handler!(echo);
/// ```
#[macro_export]
macro_rules! handler {
    ($function:path) => {
        const _: () = {
            struct Function;

            impl $crate::export::wasip2::exports::http::incoming_handler::Guest for Function {
                fn handle(
                    request: $crate::export::wasip2::http::types::IncomingRequest,
                    answer: $crate::export::wasip2::http::types::ResponseOutparam,
                ) {
                    $crate::export::run($function, request, answer);
                }
            }

            $crate::export::wasip2::http::proxy::export!(
                Function with_types_in $crate::export::wasip2
            );
        };
    };
}
