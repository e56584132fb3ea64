//! The real binary as a command: run to its end, with what it said on both outputs and how it ended.
//! Must never read the data directory, token or colours of whoever runs the tests.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use super::{PATIENCE, Server};

/// One run of the command line.
pub struct Cli {
    command: Command,
    stdin: Vec<u8>,
    patience: Duration,
    _home: tempfile::TempDir,
}

/// How it ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Cli {
    pub fn new(arguments: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("a temp dir");
        let mut command = Command::new(env!("CARGO_BIN_EXE_spawnpoint"));
        command.args(arguments);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SPAWNPOINT_")) {
            command.env_remove(name);
        }
        command.env("XDG_DATA_HOME", home.path()).env("HOME", home.path()).env_remove("NO_COLOR");
        // rustup keeps its toolchains below the real home.
        if let Some(real) = std::env::var_os("HOME") {
            let real = std::path::PathBuf::from(real);
            for (name, folder) in [("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo")] {
                if std::env::var_os(name).is_none() {
                    command.env(name, real.join(folder));
                }
            }
        }
        Self { command, stdin: Vec::new(), patience: PATIENCE, _home: home }
    }

    /// Against this server, found as a newcomer's is: through its data directory.
    pub fn at(server: &Server, arguments: &[&str]) -> Self {
        let dir = server.data_dir();
        Self::new(arguments).argument("--data-dir").argument(dir.to_str().expect("text"))
    }

    pub fn argument(mut self, argument: &str) -> Self {
        self.command.arg(argument);
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn stdin(mut self, bytes: &[u8]) -> Self {
        self.stdin = bytes.to_vec();
        self
    }

    /// Waits for longer than usual.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The command itself, for what a run to its end does not show.
    pub fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(mut self) -> Said {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("the binary");
        // A command that reads no stdin closes it.
        let _ = child.stdin.take().expect("a pipe").write_all(&self.stdin);
        // One that was expected to fail and serves instead would never end.
        let pid = child.id().to_string();
        let (ended, waits) = std::sync::mpsc::sync_channel::<()>(1);
        let watchdog = std::thread::spawn(move || {
            if waits.recv_timeout(self.patience) == Err(RecvTimeoutError::Timeout) {
                let _ = Command::new("kill").args(["-KILL", &pid]).status();
            }
        });
        let Output { status, stdout, stderr } = child.wait_with_output().expect("its end");
        drop(ended);
        watchdog.join().expect("no panic");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Said { code: status.code(), out: text(stdout), err: text(stderr) }
    }

    /// Runs it, and expects it to have done what it was asked for.
    #[track_caller]
    pub fn ok(self) -> Said {
        let said = self.run();
        assert_eq!(said.code, Some(0), "{said:?}");
        said
    }
}

impl Said {
    /// All of stdout as one JSON value.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e} in {self:?}"))
    }
}
