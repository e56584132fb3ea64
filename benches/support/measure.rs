//! One measurement: a load in a process of its own, on the cores that it was given.
//! Must never take the harness's own work into a figure.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::load::{Load, Measured, Mixed};
use super::process::Launch;

/// How a round's measurements are made.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    pub(crate) measured: Duration,
    /// Cores of the load.
    pub(crate) cpus: Vec<usize>,
}

impl Shape {
    /// What is thrown away before anything is measured.
    pub(crate) fn warm_up(&self) -> Duration {
        (self.measured / 5).max(Duration::from_millis(100))
    }
}

/// What is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) server: u32,
    pub(crate) paths: &'a [String],
    /// See [`Load::zipf`].
    pub(crate) zipf: f64,
    pub(crate) expected: &'a str,
    /// See [`Load::mixed`].
    pub(crate) mixed: Option<&'a Mixed>,
}

/// Measures one server once.
pub(crate) fn measure(target: Target<'_>, shape: &Shape, dir: &Path) -> Result<Measured> {
    let load = Load {
        address: target.address,
        paths: target.paths.to_vec(),
        zipf: target.zipf,
        expected: target.expected.to_owned(),
        mixed: target.mixed.cloned(),
        connections: shape.connections,
        threads: shape.threads.min(shape.connections),
        warm_up: shape.warm_up(),
        measured: shape.measured,
        server: target.server,
    };
    let job = dir.join("load.json");
    std::fs::write(&job, serde_json::to_vec(&load)?)?;
    let launch = Launch::new(std::env::current_exe()?, &shape.cpus).arg("__load").arg(job.to_string_lossy());
    let child = launch.start("the load", &dir.join("load.log"))?;
    let text = child.finish(load.warm_up + load.measured + Duration::from_secs(30))?;
    let line = text.lines().rev().find(|line| line.starts_with('{')).context("the load says nothing")?;
    Ok(serde_json::from_str(line)?)
}

impl Measured {
    pub(crate) fn rps(&self) -> f64 {
        self.count() / self.seconds.max(1e-9)
    }

    /// CPU time of the server for each request, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.server_cpu_seconds * 1e6 / self.count().max(1.0)
    }

    /// How much of a core the load took: near 1, it is the load that is measured.
    pub(crate) fn client_busy(&self) -> f64 {
        self.client_cpu_seconds / self.seconds.max(1e-9)
    }

    fn count(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "fewer requests than 2^52")]
        let requests = self.requests as f64;
        requests
    }
}
