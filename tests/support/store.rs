//! What a server keeps on disk, looked at from outside: blobs, artifacts, what is half written.
//! Must never write there while a server runs.

use std::path::{Path, PathBuf};

use super::{Answer, Raw, Server};

/// Every file below a folder, in order.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => found.push(entry.path()),
            }
        }
    }
    found.sort();
    found
}

impl Server {
    /// The names of the kept uploads.
    pub fn blobs(&self) -> Vec<String> {
        let name = |path: PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        files(&self.data_dir().join("blobs")).into_iter().filter_map(name).collect()
    }

    /// The compiled programs' files.
    pub fn artifacts(&self) -> Vec<PathBuf> {
        files(&self.data_dir().join("artifacts"))
    }

    /// Waits until whatever answers is compiled for speed, or cannot be: then its files no longer change by themselves.
    #[track_caller]
    pub fn optimised(&self) {
        super::eventually("all is compiled for speed", || {
            self.metric("spawnpoint_optimisations_pending", "") == 0.0
        });
    }

    /// How thoroughly a version of a function of the default tenant is compiled.
    #[track_caller]
    pub fn tier(&self, function: &str, version: usize) -> String {
        let answer = self.admin("GET", &format!("{}/versions", Self::path(function)), &[], &[]);
        answer.json()["versions"][version - 1]["tier"].as_str().unwrap_or("none").to_owned()
    }

    /// Uploads on their way in.
    pub fn half_written(&self) -> Vec<PathBuf> {
        files(&self.data_dir().join("tmp"))
    }

    /// Where a function of the default tenant is in the admin API.
    pub fn path(function: &str) -> String {
        format!("/v1/tenants/default/functions/{function}")
    }

    /// A function of the default tenant, as the admin API shows it.
    #[track_caller]
    pub fn shown(&self, function: &str) -> Answer {
        self.admin("GET", &Self::path(function), &[], &[])
    }

    /// Activates: the body as it stands.
    #[track_caller]
    pub fn activate(&self, function: &str, body: &str) -> Answer {
        self.admin("PUT", &format!("{}/activation", Self::path(function)), &[], body.as_bytes())
    }

    /// Makes a function of the default tenant cold.
    #[track_caller]
    pub fn cool(&self, function: &str, what: &str) -> Answer {
        let body = format!("{{\"drop\":\"{what}\"}}");
        self.admin("POST", &format!("{}/cold", Self::path(function)), &[], body.as_bytes())
    }

    /// The version numbers of a function of the default tenant.
    #[track_caller]
    pub fn versions(&self, function: &str) -> Vec<u64> {
        let answer = self.admin("GET", &format!("{}/versions", Self::path(function)), &[], &[]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let versions = answer.json()["versions"].as_array().expect("a list").clone();
        versions.iter().map(|version| version["version"].as_u64().expect("a number")).collect()
    }
}

impl Raw {
    /// GET on this connection, which stays open.
    pub fn get(&mut self, target: &str) -> Option<Answer> {
        let host = self.stream().peer_addr().ok()?;
        self.send(format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n")).answer()
    }
}
