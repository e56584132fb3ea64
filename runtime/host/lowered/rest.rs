//! `wasi:cli`, `wasi:clocks` and `wasi:random`. Must never give a guest more than the component path does: the same traits
//! answer.

use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::cli::WasiCliView as _;
use wasmtime_wasi::clocks::WasiClocksView as _;
use wasmtime_wasi::p2::bindings::cli::terminal_input::HostTerminalInput;
use wasmtime_wasi::p2::bindings::cli::terminal_output::HostTerminalOutput;
use wasmtime_wasi::p2::bindings::cli::{
    environment, exit, stderr, stdin, stdout, terminal_stderr, terminal_stdin, terminal_stdout,
};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::random::WasiRandomView as _;

use super::abi::{Caller, Guest, handle, is_second, joined, own};
use super::delivery::At;
use super::table::{Function, function};

pub(super) const ENVIRONMENT: &[Function] = &[
    function("get-environment", |slot| slot.answering(get_environment)),
    function("get-arguments", |slot| slot.answering(get_arguments)),
    function("initial-cwd", |slot| {
        slot.answering(|guest, answer| {
            let cwd = environment::Host::initial_cwd(&mut guest.state.cli())?;
            guest.deliver_option(answer, cwd)
        })
    }),
];

fn get_environment(guest: &mut Guest<'_>, answer: u32) -> Result<()> {
    let variables = environment::Host::get_environment(&mut guest.state.cli())?;
    let delivery = &mut guest.state.lowered.delivery;
    delivery.begin(answer, 4, 8)?;
    let list = delivery.list(At::root(0), variables.len(), 16)?;
    for (index, (name, value)) in variables.into_iter().enumerate() {
        delivery.bytes(At::block(list, index * 16), name.into_bytes())?;
        delivery.bytes(At::block(list, index * 16 + 8), value.into_bytes())?;
    }
    delivery.settle(guest.memory)
}

fn get_arguments(guest: &mut Guest<'_>, answer: u32) -> Result<()> {
    let arguments = environment::Host::get_arguments(&mut guest.state.cli())?;
    let delivery = &mut guest.state.lowered.delivery;
    delivery.begin(answer, 4, 8)?;
    let list = delivery.list(At::root(0), arguments.len(), 8)?;
    for (index, argument) in arguments.into_iter().enumerate() {
        delivery.bytes(At::block(list, index * 8), argument.into_bytes())?;
    }
    delivery.settle(guest.memory)
}

pub(super) const EXIT: &[Function] = &[
    function("exit", |slot| {
        slot.one(|state, status| {
            let status = if is_second(status)? { Err(()) } else { Ok(()) };
            exit::Host::exit(&mut state.cli(), status)
        })
    }),
    function("exit-with-code", |slot| {
        slot.one(|state, code| exit::Host::exit_with_code(&mut state.cli(), code.to_le_bytes()[0]))
    }),
];

pub(super) const STDIN: &[Function] = &[function("get-stdin", |slot| {
    slot.none(|state| Ok(handle(&stdin::Host::get_stdin(&mut state.cli())?)))
})];

pub(super) const STDOUT: &[Function] = &[function("get-stdout", |slot| {
    slot.none(|state| Ok(handle(&stdout::Host::get_stdout(&mut state.cli())?)))
})];

pub(super) const STDERR: &[Function] = &[function("get-stderr", |slot| {
    slot.none(|state| Ok(handle(&stderr::Host::get_stderr(&mut state.cli())?)))
})];

pub(super) const TERMINAL_INPUT: &[Function] = &[function("[resource-drop]terminal-input", |slot| {
    slot.one(|state, it| HostTerminalInput::drop(&mut state.cli(), own(it)?))
})];

pub(super) const TERMINAL_OUTPUT: &[Function] = &[function("[resource-drop]terminal-output", |slot| {
    slot.one(|state, it| HostTerminalOutput::drop(&mut state.cli(), own(it)?))
})];

pub(super) const TERMINAL_STDIN: &[Function] = &[function("get-terminal-stdin", |slot| {
    slot.answering(|guest, answer| {
        let terminal = terminal_stdin::Host::get_terminal_stdin(&mut guest.state.cli())?;
        write_option(guest, answer, terminal)
    })
})];

pub(super) const TERMINAL_STDOUT: &[Function] = &[function("get-terminal-stdout", |slot| {
    slot.answering(|guest, answer| {
        let terminal = terminal_stdout::Host::get_terminal_stdout(&mut guest.state.cli())?;
        write_option(guest, answer, terminal)
    })
})];

pub(super) const TERMINAL_STDERR: &[Function] = &[function("get-terminal-stderr", |slot| {
    slot.answering(|guest, answer| {
        let terminal = terminal_stderr::Host::get_terminal_stderr(&mut guest.state.cli())?;
        write_option(guest, answer, terminal)
    })
})];

fn write_option<T>(guest: &mut Guest<'_>, answer: u32, resource: Option<Resource<T>>) -> Result<()> {
    let answered = resource.map_or(joined(0, 0), |resource| joined(1, handle(&resource)));
    guest.write(answer, 4, &answered)
}

pub(super) const MONOTONIC_CLOCK: &[Function] = &[
    function("now", |slot| slot.none(|state| monotonic_clock::Host::now(&mut state.clocks()))),
    function("resolution", |slot| slot.none(|state| monotonic_clock::Host::resolution(&mut state.clocks()))),
    function("subscribe-instant", |slot| {
        slot.sync(|mut caller: Caller<'_>, when: u64| -> Result<u32> {
            let mut clocks = caller.data_mut().clocks();
            Ok(handle(&monotonic_clock::Host::subscribe_instant(&mut clocks, when)?))
        })
    }),
    function("subscribe-duration", |slot| {
        slot.sync(|mut caller: Caller<'_>, duration: u64| -> Result<u32> {
            let mut clocks = caller.data_mut().clocks();
            Ok(handle(&monotonic_clock::Host::subscribe_duration(&mut clocks, duration)?))
        })
    }),
];

pub(super) const WALL_CLOCK: &[Function] = &[
    function("now", |slot| {
        slot.answering(|guest, answer| {
            let now = wall_clock::Host::now(&mut guest.state.clocks())?;
            write_time(guest, answer, now)
        })
    }),
    function("resolution", |slot| {
        slot.answering(|guest, answer| {
            let resolution = wall_clock::Host::resolution(&mut guest.state.clocks())?;
            write_time(guest, answer, resolution)
        })
    }),
];

fn write_time(guest: &mut Guest<'_>, answer: u32, time: Datetime) -> Result<()> {
    write_pair(guest, answer, (time.seconds, time.nanoseconds.into()))
}

/// Two numbers of eight bytes; of the second one's upper half nobody reads more than its type has.
fn write_pair(guest: &mut Guest<'_>, answer: u32, (first, second): (u64, u64)) -> Result<()> {
    let answered = u128::from(first) | u128::from(second) << 64;
    guest.write(answer, 8, &answered.to_le_bytes())
}

pub(super) const RANDOM: &[Function] = &[
    function("get-random-bytes", |slot| {
        slot.sync(|mut caller: Caller<'_>, length: u64, answer: u32| -> Result<()> {
            let mut guest = Guest::of(&mut caller)?;
            let bytes = random::Host::get_random_bytes(guest.state.random(), length)?;
            guest.deliver_bytes(answer, bytes)
        })
    }),
    function("get-random-u64", |slot| slot.none(|state| random::Host::get_random_u64(state.random()))),
];

pub(super) const INSECURE: &[Function] = &[
    function("get-insecure-random-bytes", |slot| {
        slot.sync(|mut caller: Caller<'_>, length: u64, answer: u32| -> Result<()> {
            let mut guest = Guest::of(&mut caller)?;
            let bytes = insecure::Host::get_insecure_random_bytes(guest.state.random(), length)?;
            guest.deliver_bytes(answer, bytes)
        })
    }),
    function("get-insecure-random-u64", |slot| {
        slot.none(|state| insecure::Host::get_insecure_random_u64(state.random()))
    }),
];

pub(super) const INSECURE_SEED: &[Function] = &[function("insecure-seed", |slot| {
    slot.answering(|guest, answer| {
        let seed = insecure_seed::Host::insecure_seed(guest.state.random())?;
        write_pair(guest, answer, seed)
    })
})];
