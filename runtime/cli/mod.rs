//! What a person types: one command a file, and which exit code it ends with.
//! Must never need a terminal, nor write to stdout anything but what was asked for.

mod at;
mod bench;
mod client;
mod cold;
mod completions;
mod delete;
mod demo;
mod deploy;
mod diagnose;
mod explain;
mod failures;
mod form;
pub mod guests;
mod internal;
mod invoke;
mod list;
mod pause;
mod print;
mod rollback;
mod serve;
mod tenants;
mod usage;
mod versions;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use demo::DemoArgs;
pub use serve::{LogFormat, ServeArgs};

use client::{ClientError, OriginError};

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "spawnpoint", version, about, long_about = None, after_help = EXIT_CODES)]
pub struct Cli {
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the platform in the foreground
    Serve(ServeArgs),
    /// Run the platform with the samples deployed, and show what it does
    Demo(DemoArgs),
    /// Publish a version of a function and let it answer; prints the URL
    Deploy(deploy::DeployArgs),
    /// List a tenant's functions
    List(list::ListArgs),
    /// List a function's versions
    Versions(versions::VersionsArgs),
    /// Let an older version answer
    Rollback(rollback::RollbackArgs),
    /// Have a function answer nobody until it is resumed
    Pause(pause::PauseArgs),
    /// Have a paused function answer again
    Resume(pause::PauseArgs),
    /// Delete a function and all its versions
    Delete(delete::DeleteArgs),
    /// Call a function; prints the body
    Invoke(invoke::InvokeArgs),
    /// List what went wrong lately with a function, the newest of each kind first
    Failures(failures::FailuresArgs),
    /// Tell all that is known of one call, and what to do about it
    Explain(explain::ExplainArgs),
    /// Show what a tenant's calls used since the server started
    Usage(usage::UsageArgs),
    /// Drop what is kept ready for a function, so that the next call starts cold
    Cold(cold::ColdArgs),
    /// Measure a URL or a function under load, cold, or among many
    Bench(bench::BenchArgs),
    /// List tenants
    Tenants(tenants::TenantsArgs),
    /// Create or delete a tenant
    Tenant(tenants::TenantArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Compile one upload from stdin to stdout, within limits
    #[command(name = crate::engine::compile::SUBCOMMAND, hide = true)]
    Compile(internal::CompileArgs),
    /// Tell the lines of source of some instructions of one upload on stdin, within limits
    #[command(name = crate::engine::locate::SUBCOMMAND, hide = true)]
    Locate(internal::LocateArgs),
}

/// A mistake in what was typed that clap cannot see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage, 4 not allowed (token).\n\
    The server is found through --server or SPAWNPOINT_SERVER, the token through --token or SPAWNPOINT_TOKEN; \
    both are read from the data directory of a server on this machine.";

const DONE: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const AUTH: u8 = 4;

/// Does what `arguments` ask for; the whole of `main`.
pub fn main(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            print::usage(&error);
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
    };
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            let code = exit_code(&error);
            if code != DONE {
                print::error(&error);
            }
            ExitCode::from(code)
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => serve::run(args),
        Command::Demo(args) => demo::run(&args),
        Command::Compile(args) => Ok(internal::compile(&args)),
        Command::Locate(args) => Ok(internal::locate(&args)),
        Command::Completions(args) => completions::run(&args),
        Command::Deploy(args) => wait(deploy::run(args)),
        Command::List(args) => wait(list::run(args)),
        Command::Versions(args) => wait(versions::run(args)),
        Command::Rollback(args) => wait(rollback::run(args)),
        Command::Pause(args) => wait(pause::run(args, pause::To::Paused)),
        Command::Resume(args) => wait(pause::run(args, pause::To::Answering)),
        Command::Delete(args) => wait(delete::run(args)),
        Command::Invoke(args) => wait(invoke::run(args)),
        Command::Failures(args) => wait(failures::run(args)),
        Command::Explain(args) => wait(explain::run(args)),
        Command::Usage(args) => wait(usage::run(args)),
        Command::Cold(args) => wait(cold::run(args)),
        Command::Bench(args) => wait(bench::run(args)),
        Command::Tenants(args) => wait(tenants::list(args)),
        Command::Tenant(args) => wait(tenants::run(args)),
    }
}

/// Runs a client command on a runtime of its own: a command that serves brings its own, and a child that compiles has none.
fn wait(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(command);
    // A name that is still being looked up must not hold the exit.
    runtime.shutdown_background();
    done
}

/// What a failed command ends with.
fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<print::Closed>() {
        // Whoever read our output has what they wanted: `spawnpoint list | head -1`.
        return DONE;
    }
    if error.is::<Usage>() || error.is::<OriginError>() {
        return USAGE;
    }
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Denied { .. } | ClientError::NoToken { .. }) => AUTH,
        _ => FAILED,
    }
}
