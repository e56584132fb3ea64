//! What the figures were made on. Must never name a person, a host or a path.

use std::fs;
use std::process::Command;

use serde::Serialize;

/// Facts that a reader needs to judge a figure.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    pub(crate) compiler: String,
    pub(crate) commit: String,
    pub(crate) wasmtime: String,
    pub(crate) workerd: String,
    /// At the start, over a minute: above the number of idle programs, somebody else was at work.
    pub(crate) load: String,
    /// How server and load were kept apart.
    pub(crate) pinning: String,
}

impl Machine {
    pub(crate) fn look(cores: usize, pinning: String) -> Self {
        let info = read("/proc/cpuinfo");
        let cpu = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let memory = read("/proc/meminfo");
        let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.strip_suffix("kB"));
        Self {
            cpu: cpu.map_or("unknown".to_owned(), |(_, name)| name.to_owned()),
            cores,
            memory_mib: memory.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or(0) / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            compiler: says("rustc", &["--version"]),
            commit: says("git", &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]),
            wasmtime: says("wasmtime", &["--version"]),
            workerd: says("workerd", &["--version"]),
            load: read("/proc/loadavg").split(' ').next().unwrap_or("unknown").to_owned(),
            pinning,
        }
    }

    /// The machine in a sentence.
    pub(crate) fn facts(&self) -> String {
        let Self { cpu, cores, memory_mib, kernel, compiler, commit, load, .. } = self;
        format!(
            "{cpu}, {cores} cores, {memory_mib} MiB, Linux {kernel}; {compiler}; commit {commit}. Load average at the \
             start: {load}."
        )
    }
}

/// Seconds for which the cores of this machine were busy, with whatever.
pub(crate) fn busy_seconds() -> f64 {
    let text = read("/proc/stat");
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; what guests use is in user already.
    let idle = ticks.iter().skip(3).take(2).sum::<f64>();
    (ticks.iter().take(8).sum::<f64>() - idle) / super::process::TICKS_PER_SECOND
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn says(program: &str, args: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(args).output() else {
        return "not on PATH".to_owned();
    };
    String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or("unknown").to_owned()
}
