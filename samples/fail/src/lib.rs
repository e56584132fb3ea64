//! Fails in the way that the path asks for, to show what the platform makes of it. It must never spoil the next call:
//! whatever happens here, a request to `/ok` answers.

use spawnpoint_sdk::http::StatusCode;
use spawnpoint_sdk::{Error, Request, Response};
use wasip2::clocks::monotonic_clock;

const HOUR_NS: u64 = 3_600_000_000_000;
const MIB: usize = 1 << 20;

fn fail(request: Request) -> Result<Response, Error> {
    let (head, _body) = request.into_parts();
    match head.uri.path() {
        "/ok" => Ok(Response::new("ok\n".into())),
        "/error" => Err(Error::new(StatusCode::IM_A_TEAPOT, "the function says no")),
        "/trap" => trap(),
        "/panic" => panic!("asked to panic"),
        "/loop" => turn_for_ever(),
        "/memory" => take_all_memory(),
        "/sleep" => sleep_for_ever(),
        _ => Err(Error::new(
            StatusCode::NOT_FOUND,
            "ask for /ok, /error, /trap, /panic, /loop, /memory or /sleep",
        )),
    }
}

fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

fn turn_for_ever() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

fn take_all_memory() -> ! {
    let mut taken = Vec::new();
    loop {
        // Bytes other than zero, so that every page is really there.
        taken.push(std::hint::black_box(vec![1_u8; MIB]));
    }
}

fn sleep_for_ever() -> ! {
    loop {
        monotonic_clock::subscribe_duration(HOUR_NS).block();
    }
}

spawnpoint_sdk::handler!(fail);
