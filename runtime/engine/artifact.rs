//! Keeps compiled components as files and loads those that this installation sealed. As wasmtime cannot check them, that is `unsafe`.
//! Must never hand wasmtime a byte that was not sealed with our key for exactly this program and engine.
//!
//! A file is the artifact (an ELF image, which wasmtime maps) and a seal behind its end: a keyed BLAKE3 over what it
//! is and its bytes. The seal is in the file and not beside it, so that one rename makes both appear.

mod key;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use dashmap::DashMap;
use wasmtime::component::Component;
use wasmtime::{Engine, Module, Precompiled};

use crate::engine::compile::EngineHash;
use crate::engine::program::{Image, Loaded};
use crate::engine::reset::Moves;
use crate::faults;
use crate::model::version::{Digest, Profile, Tier};
pub use key::KeyError;

/// The artifacts of one installation.
pub struct ArtifactStore {
    dir: PathBuf,
    key: [u8; 32],
    /// Files whose seal was right, as they were then: hashing 40 MB at each cold start would cost 15 ms.
    verified: DashMap<String, Stamp>,
}

/// Which artifact: everything its seal binds it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArtifactId {
    /// Of the bytes that were uploaded.
    pub digest: Digest,
    /// The engine it runs on.
    pub profile: Profile,
    /// How thoroughly it was compiled.
    pub tier: Tier,
    /// The engine it was compiled for, which is the same for both tiers.
    pub engine: EngineHash,
}

/// Why an artifact was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is none: compile.
    #[error("there is no such artifact")]
    Absent,
    /// The file is not what was sealed: compile again.
    #[error("the artifact is damaged: {why}")]
    Corrupt {
        /// What is wrong.
        why: &'static str,
    },
    /// Sealed by us, for another engine: compile again.
    #[error("the artifact was compiled for another engine: {why}")]
    Incompatible {
        /// wasmtime's message.
        why: String,
    },
    /// No pool's slot is large enough for it: compiling again changes nothing.
    #[error("the component is larger than an instance may be: {why}")]
    Limit {
        /// wasmtime's message.
        why: String,
    },
    /// The file could not be read or mapped.
    #[error("the artifact could not be read")]
    Io(#[source] io::Error),
}

/// What changes when a file does.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// The seal's first bytes.
const MAGIC: &[u8; 8] = b"spwnseal";
/// Bytes of a seal: the magic and the hash.
const SEAL_BYTES: u64 = 40;
/// What the key is used for, so that no other use of it can make a seal.
const DOMAIN: &[u8] = b"spawnpoint artifact, version 2\0";
/// Stamps remembered. At more, all are forgotten: a file is then hashed once more.
const STAMPS: usize = 16_384;
/// Bytes in front of the seal that are read at once for the moves: most have a dozen.
const MOVES_BYTES: usize = 512;
/// How the name of an artifact's file ends.
const SUFFIX: &str = ".cwasm";

impl ArtifactId {
    fn file_name(&self) -> String {
        let (digest, profile) = (self.digest.hex(), self.profile.as_str());
        let (tier, engine) = (self.tier.as_str(), self.engine.short());
        format!("{digest}.{profile}-{tier}.{engine}{SUFFIX}")
    }
}

impl From<&fs::Metadata> for Stamp {
    fn from(m: &fs::Metadata) -> Self {
        Self { device: m.dev(), inode: m.ino(), size: m.size(), changed: (m.ctime(), m.ctime_nsec()) }
    }
}

impl ArtifactStore {
    /// Opens `data_dir/artifacts` and `data_dir/artifact-key`, makes what is missing, and removes what a crash left half
    /// written. The caller holds the directory's lock: nobody else is writing there.
    ///
    /// # Errors
    /// A key that is none, or what the file system says.
    pub fn open(data_dir: &Path) -> Result<Self, KeyError> {
        let dir = data_dir.join("artifacts");
        key::private_dir(&dir)?;
        let key = key::open(data_dir)?;
        remove_leftovers(&dir)?;
        Ok(Self { dir, key, verified: DashMap::new() })
    }

    /// Seals and keeps an artifact that our own compiling child made. After a crash it is there whole, or not at all.
    ///
    /// # Errors
    /// What the file system says; a full one leaves nothing behind.
    pub fn put(&self, id: &ArtifactId, artifact: &[u8]) -> io::Result<()> {
        let name = id.file_name();
        let seal = self.seal(id, artifact.len() as u64, artifact)?;
        let temporary = self.dir.join(key::temporary_name()?);
        let written = write_new(&temporary, &[artifact, MAGIC, seal.as_bytes()])
            .and_then(|()| faults::at("artifact.rename"))
            .and_then(|()| fs::rename(&temporary, self.dir.join(name)));
        if let Err(error) = written {
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        faults::at("artifact.folder_sync")?;
        key::sync_dir(&self.dir)
    }

    /// The bytes of the artifact's file, if there is one: a large one is verified off the serving threads.
    ///
    /// # Errors
    /// What the file system says.
    pub fn size(&self, id: &ArtifactId) -> io::Result<Option<u64>> {
        match fs::metadata(self.path(id)) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Removes an artifact; one that is loaded stays usable.
    ///
    /// # Errors
    /// What the file system says; that there is none is no error.
    pub fn remove(&self, id: &ArtifactId) -> io::Result<()> {
        self.verified.remove(&id.file_name());
        match faults::at("artifact.remove").and_then(|()| fs::remove_file(self.path(id))) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// Removes every artifact but these, which is how those of an older engine go. What is loaded stays usable. Returns
    /// how many went.
    ///
    /// # Errors
    /// What the file system says; what went before stays away.
    pub fn keep_only(&self, kept: &HashSet<ArtifactId>) -> io::Result<usize> {
        let kept: HashSet<_> = kept.iter().map(ArtifactId::file_name).collect();
        let mut gone = 0;
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            // What no artifact is called is not ours to remove, nor is what is being written.
            if name.ends_with(SUFFIX) && !kept.contains(name) {
                self.verified.remove(name);
                fs::remove_file(&path)?;
                gone += 1;
            }
        }
        Ok(gone)
    }

    /// Loads an artifact into `engine`: verifies its seal, once for each file and process, and maps it.
    ///
    /// # Errors
    /// Absent, damaged, for another engine, too large for a slot of the pool, or unreadable.
    pub fn load(&self, engine: &Engine, id: &ArtifactId) -> Result<Loaded, LoadError> {
        let mut file = match faults::at("artifact.open").and_then(|()| File::open(self.path(id))) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(LoadError::Absent),
            Err(e) => return Err(LoadError::Io(e)),
        };
        self.verify(&mut file, id)?;
        faults::at("artifact.map").map_err(LoadError::Io)?;
        let image = deserialize(engine, &file).map_err(|e| classify(&e))?;
        let moves = moves(&file).map_err(LoadError::Io)?;
        Ok(Loaded { image, moves })
    }

    fn path(&self, id: &ArtifactId) -> PathBuf {
        self.dir.join(id.file_name())
    }

    /// Checks the seal of an open file, unless this very file was found right before under the same name.
    fn verify(&self, file: &mut File, id: &ArtifactId) -> Result<(), LoadError> {
        let name = id.file_name();
        // The stamp is taken first: a file that changes while it is hashed has another one when it is seen again.
        let stamp = Stamp::from(&file.metadata().map_err(LoadError::Io)?);
        if self.verified.get(&name).is_some_and(|known| *known == stamp) {
            return Ok(());
        }
        let Some(length) = stamp.size.checked_sub(SEAL_BYTES) else {
            return Err(LoadError::Corrupt { why: "it is too short" });
        };
        faults::at("artifact.read").map_err(LoadError::Io)?;
        let (magic, found) = read_seal(file, length).map_err(LoadError::Io)?;
        if magic != *MAGIC {
            return Err(LoadError::Corrupt { why: "it has no seal at its end" });
        }
        file.seek(SeekFrom::Start(0)).map_err(LoadError::Io)?;
        let seal = self.seal(id, length, file.take(length)).map_err(LoadError::Io)?;
        // blake3 compares hashes in constant time.
        if seal != found {
            return Err(LoadError::Corrupt { why: "its seal is wrong" });
        }
        if self.verified.len() >= STAMPS {
            self.verified.clear();
        }
        self.verified.insert(name, stamp);
        Ok(())
    }

    /// The hash over everything an artifact is bound to; each part has a fixed or a written length.
    fn seal(&self, id: &ArtifactId, length: u64, bytes: impl Read) -> io::Result<blake3::Hash> {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(DOMAIN).update(id.engine.as_bytes());
        for part in [id.profile.as_str(), id.tier.as_str()] {
            hasher.update(part.as_bytes()).update(b"\0");
        }
        hasher.update(&id.digest.0).update(&length.to_le_bytes());
        hasher.update_reader(bytes)?;
        Ok(hasher.finalize())
    }
}

/// Loads what a verified file holds.
#[expect(unsafe_code, reason = "wasmtime cannot check machine code; the seal on it was checked")]
fn deserialize(engine: &Engine, file: &File) -> wasmtime::Result<Image> {
    // The path leads back to the open file itself, whatever its name stands for by now. wasmtime 48 has no call that
    // takes an open file for a component; reading it into memory would lose the mapping from page cache.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let is_module = Engine::detect_precompiled_file(&path)? == Some(Precompiled::Module);
    // SAFETY: wasmtime asks that the bytes were made by `precompile_component` or `precompile_module` and do not change while they are mapped.
    // The seal says that `put` wrote them, with the key of this installation, for this engine; only `put` seals, and
    // only what our own child compiled. There `compile/traps.rs` changed instructions that raise traps, and nothing else, for
    // another that no program gets past, of the same length, at the same address. They do not change: files are 0600 in a folder that is 0700, are written once
    // under another name before anyone opens them, and are replaced by rename and removed by unlink, which leave the
    // inode that is mapped alone. wasmtime itself checks version, target and settings of what it maps.
    unsafe {
        if is_module {
            Module::deserialize_file(engine, path).map(Image::Lowered)
        } else {
            Component::deserialize_file(engine, path).map(Image::Component)
        }
    }
}

/// What stands between the image and the seal of a verified file, if there is anything.
fn moves(file: &File) -> io::Result<Option<Moves>> {
    let end = file.metadata()?.len().saturating_sub(SEAL_BYTES);
    let mut length = MOVES_BYTES;
    loop {
        let start = end.saturating_sub(length as u64);
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(0)];
        file.read_exact_at(&mut bytes, start)?;
        match Moves::read(&bytes) {
            Ok(moves) => return Ok(moves),
            Err(wanted) if wanted > length && start > 0 => length = wanted,
            Err(_) => return Ok(None),
        }
    }
}

/// What an error of `deserialize_file` means for the caller. wasmtime has no types for these; the texts are tested.
fn classify(error: &wasmtime::Error) -> LoadError {
    for cause in error.chain() {
        if let Some(errno) = cause.downcast_ref::<rustix::io::Errno>() {
            return LoadError::Io(io::Error::from(*errno));
        }
        if let Some(e) = cause.downcast_ref::<io::Error>() {
            return LoadError::Io(io::Error::new(e.kind(), e.to_string()));
        }
        if cause.is::<wasmtime::OutOfMemory>() {
            return LoadError::Io(io::ErrorKind::OutOfMemory.into());
        }
    }
    let why = format!("{error:#}");
    if why.contains("pooling allocator") { LoadError::Limit { why } } else { LoadError::Incompatible { why } }
}

fn read_seal(file: &mut File, length: u64) -> io::Result<([u8; 8], [u8; 32])> {
    let (mut magic, mut hash) = ([0; 8], [0; 32]);
    file.seek(SeekFrom::Start(length))?;
    file.read_exact(&mut magic)?;
    file.read_exact(&mut hash)?;
    Ok((magic, hash))
}

/// Writes a file that nobody else can read, to the disk.
fn write_new(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    faults::at("artifact.create")?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    for part in parts {
        faults::at("artifact.write")?;
        file.write_all(part)?;
    }
    faults::at("artifact.sync")?;
    file.sync_all()
}

fn remove_leftovers(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if key::is_temporary(&entry.file_name()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
