//! The real binary, started on port 0 in a temp dir, and its admin API.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use super::client::{Answer, get, request};
use super::{PATIENCE, eventually};

/// A server's settings file, line by line.
#[derive(Clone, Default)]
pub struct Config {
    text: String,
    arguments: Vec<String>,
    failpoints: bool,
    ulimit: Option<String>,
}

impl Config {
    /// Adds lines of TOML.
    pub fn toml(mut self, text: &str) -> Self {
        let _ = writeln!(self.text, "{text}");
        self
    }

    /// Arms the failpoints of a build that has them: [`Server::fault`] says which fail.
    pub fn failpoints(mut self) -> Self {
        self.failpoints = true;
        self
    }

    /// Starts it under a limit, as the shell's `ulimit` takes it.
    pub fn ulimit(mut self, limit: &str) -> Self {
        self.ulimit = Some(limit.to_owned());
        self
    }

    /// Adds a flag.
    pub fn flag(mut self, flag: &str, value: &str) -> Self {
        self.arguments.extend([flag.to_owned(), value.to_owned()]);
        self
    }
}

/// A running server. Killed, and its directory removed, when it is dropped.
pub struct Server {
    pub ingress: SocketAddr,
    pub admin: SocketAddr,
    pub token: String,
    child: Child,
    dir: tempfile::TempDir,
    config: Config,
}

impl Server {
    #[track_caller]
    pub fn start() -> Self {
        Self::with(Config::default())
    }

    #[track_caller]
    pub fn with(config: Config) -> Self {
        Self::within(tempfile::tempdir().expect("a temp dir"), config)
    }

    /// In a directory that the test has prepared; the data directory is its `data`.
    #[track_caller]
    pub fn within(dir: tempfile::TempDir, config: Config) -> Self {
        let (child, ingress, admin) = spawn(dir.path(), &config);
        let token = std::fs::read_to_string(dir.path().join("data/admin-token")).expect("a token");
        Self { ingress, admin, token: token.trim().to_owned(), child, dir, config }
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The directory whose `log` holds what the server said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts again on the same data directory, on new ports.
    #[track_caller]
    pub fn start_again(&mut self) {
        (self.child, self.ingress, self.admin) = spawn(self.dir.path(), &self.config);
    }

    /// As [`Server::start_again`], with other settings.
    #[track_caller]
    pub fn start_again_with(&mut self, config: Config) {
        self.config = config;
        self.start_again();
    }

    /// Has failpoints fail from now on, instead of those before: a line `POINT=ACTION` for each.
    pub fn fault(&self, text: &str) {
        let (new, file) = (self.dir.path().join("faults.new"), self.dir.path().join("faults"));
        std::fs::write(&new, text).expect("a file");
        std::fs::rename(new, file).expect("a file");
    }

    /// The faults that are to come.
    pub fn faults(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("faults")).unwrap_or_default()
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Any signal, such as `-INT`.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()));
    }

    /// Waits for the process to end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the server does not end");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Whether the process still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// One request to the admin API, with the token.
    #[track_caller]
    pub fn admin(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let mut all = vec![("authorization", bearer.as_str())];
        all.extend_from_slice(headers);
        request(self.admin, method, target, &all, body)
    }

    /// Uploads to the default tenant; whatever the answer is.
    #[track_caller]
    pub fn upload(&self, function: &str, wasm: &[u8]) -> Answer {
        self.admin("PUT", &format!("/v1/tenants/default/functions/{function}"), &[], wasm)
    }

    /// Uploads to the default tenant, which must work.
    #[track_caller]
    pub fn deploy(&self, function: &str, wasm: &[u8]) -> Answer {
        let answer = self.upload(function, wasm);
        assert!(matches!(answer.status, 200 | 201), "{}: {}", answer.status, answer.text());
        answer
    }

    /// Uploads with a manifest; whatever the answer is.
    #[track_caller]
    pub fn upload_with(&self, tenant: &str, function: &str, wasm: &[u8], manifest: &str) -> Answer {
        let mut body = Vec::new();
        body.extend_from_slice(b"--xx\r\ncontent-disposition: form-data; name=\"manifest\"\r\ncontent-type: application/json\r\n\r\n");
        body.extend_from_slice(manifest.as_bytes());
        body.extend_from_slice(b"\r\n--xx\r\ncontent-disposition: form-data; name=\"wasm\"; filename=\"f.wasm\"\r\ncontent-type: application/wasm\r\n\r\n");
        body.extend_from_slice(wasm);
        body.extend_from_slice(b"\r\n--xx--\r\n");
        let target = format!("/v1/tenants/{tenant}/functions/{function}");
        self.admin("PUT", &target, &[("content-type", "multipart/form-data; boundary=xx")], &body)
    }

    /// Uploads to the default tenant with a manifest, which must work.
    #[track_caller]
    pub fn deploy_with(&self, function: &str, wasm: &[u8], manifest: &str) -> Answer {
        let answer = self.upload_with("default", function, wasm, manifest);
        assert!(matches!(answer.status, 200 | 201), "{}: {}", answer.status, answer.text());
        answer
    }

    /// Makes a tenant.
    #[track_caller]
    pub fn tenant(&self, name: &str) {
        let answer = self.admin("PUT", &format!("/v1/tenants/{name}"), &[], &[]);
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
    }

    /// Calls a function of the default tenant by path.
    #[track_caller]
    pub fn call(&self, function: &str) -> Answer {
        get(self.ingress, &format!("/default/{function}/"))
    }

    /// Waits until this metric is at least that.
    #[track_caller]
    pub fn reaches(&self, name: &str, label: &str, count: f64) {
        eventually(&format!("{name} {label} >= {count}"), || self.metric(name, label) >= count);
    }

    /// Requests whose guest failed with this code.
    pub fn failed(&self, code: &str) -> f64 {
        self.metric("spawnpoint_requests_failed_total", &format!("code=\"{code}\""))
    }

    /// A gauge or counter, summed over its labels that contain `label`.
    pub fn metric(&self, name: &str, label: &str) -> f64 {
        let text = get(self.admin, "/metrics").text();
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Resident memory, in bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }

    /// What the kernel says of each thread: its name, and a file of its own.
    fn threads(&self, file: &str) -> Vec<(String, String)> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("the threads of a child");
        let read =
            |task: &std::path::Path, file| std::fs::read_to_string(task.join(file)).unwrap_or_default();
        let threads = tasks.flatten().map(|task| task.path());
        threads.map(|task| (read(&task, "comm").trim().to_owned(), read(&task, file))).collect()
    }

    /// CPU time of the threads whose names begin like that, in nanoseconds.
    pub fn cpu_ns_of(&self, name: &str) -> u64 {
        let threads = self.threads("schedstat");
        let those = threads.iter().filter(|(thread, _)| thread.starts_with(name));
        those.filter_map(|(_, stat)| stat.split(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// CPU time of the threads that answer requests, in nanoseconds.
    pub fn workers_cpu_ns(&self) -> u64 {
        self.cpu_ns_of("worker-")
    }

    /// Each thread's name, and the cores that it may run on, as the kernel writes them.
    pub fn cores_of_threads(&self) -> Vec<(String, String)> {
        let all = self.threads("status").into_iter();
        let cores = |status: &str| {
            status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:").map(str::to_owned))
        };
        all.filter_map(|(thread, status)| Some((thread, cores(&status)?.trim().to_owned()))).collect()
    }

    /// Each thread's name, and how much it steps back.
    pub fn nice_of_threads(&self) -> Vec<(String, i32)> {
        self.number_of_threads(19)
    }

    /// Each thread's name, and its real-time priority; zero where it has none.
    pub fn real_time_of_threads(&self) -> Vec<(String, i32)> {
        self.number_of_threads(40)
    }

    /// The field of this number, of each thread's `stat`.
    fn number_of_threads(&self, number: usize) -> Vec<(String, i32)> {
        let all = self.threads("stat").into_iter();
        // Behind the name, which may hold anything; the third field is the first one there.
        let read =
            |stat: &str| stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(number - 3)?.parse().ok();
        all.filter_map(|(thread, stat)| Some((thread, read(&stat)?))).collect()
    }

    /// Open file descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- what the server said:\n{}", self.log());
        }
    }
}

#[track_caller]
fn spawn(dir: &Path, config: &Config) -> (Child, SocketAddr, SocketAddr) {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log")).expect("a log");
    std::fs::write(dir.join("settings.toml"), &config.text).expect("a settings file");
    let binary = env!("CARGO_BIN_EXE_spawnpoint");
    let mut command = Command::new(binary);
    if let Some(limit) = &config.ulimit {
        command = Command::new("sh");
        command.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\""), binary]);
    }
    if config.failpoints {
        command.env("SPAWNPOINT_FAULTS", dir.join("faults"));
    }
    let mut child = command
        .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.join("data"))
        .arg("--config")
        .arg(dir.join("settings.toml"))
        .args(&config.arguments)
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .expect("the binary");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("a pipe");
    let read = BufReader::new(stdout).read_line(&mut line);
    let said = || std::fs::read_to_string(dir.join("log")).unwrap_or_default();
    let addresses: Vec<SocketAddr> =
        line.split_whitespace().filter_map(|word| word.split_once("=http://")?.1.parse().ok()).collect();
    let [ingress, admin] = addresses[..] else {
        panic!("not ready ({read:?}): {line}\n{}", said());
    };
    eventually("the admin API answers", || get(admin, "/livez").status == 200);
    (child, ingress, admin)
}
