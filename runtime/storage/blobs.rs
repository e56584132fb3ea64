//! Files named by the SHA-256 of what is in them: `DIR/blobs/ab/HEX`, written in `DIR/tmp` and renamed when whole.
//! Must never know what a blob is for or who refers to it. File work goes through `spawn_blocking`, which only this
//! floor may use: it ends by itself and holds nothing that a drain would have to wait for.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::dir::{DataDir, FileError, make_folder, sync_folder};
use crate::faults;
use crate::model::version::Digest;

/// The blobs of one data directory; a clone is another handle to the same ones.
#[derive(Clone, Debug)]
pub struct Blobs(Arc<Folders>);

/// A blob on its way in. Dropped unfinished, it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter {
    folders: Arc<Folders>,
    // Away while a blocking task has it; gone for good after an error or a write that was not awaited to its end.
    partial: Option<Partial>,
    buffer: Vec<u8>,
}

/// One blob in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobInfo {
    /// Its name.
    pub digest: Digest,
    /// Its size.
    pub size_bytes: u64,
    /// When it was last put: a collector should spare what is too young to be referred to yet.
    pub modified: SystemTime,
}

/// Why a blob could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There is no such blob.
    #[error("there is no blob `{0}`")]
    Missing(Digest),
    /// The file's content does not have the hash that is its name.
    #[error("blob `{0}` is corrupt: its content has another hash")]
    Corrupt(Digest),
    /// A write failed before or was not awaited to its end, so the blob can no longer be finished.
    #[error("the blob was interrupted while it was being written")]
    Interrupted,
    /// What the operating system said.
    #[error(transparent)]
    File(#[from] FileError),
}

#[derive(Debug)]
struct Folders {
    blobs: PathBuf,
    temp: PathBuf,
    // Held for its lock: nobody else sweeps or deletes here.
    _dir: DataDir,
}

#[derive(Debug)]
struct Partial {
    file: File,
    path: TempPath,
    hash: Sha256,
    size_bytes: u64,
}

/// A file that goes when this is dropped, unless it was renamed before.
#[derive(Debug)]
struct TempPath(PathBuf);

/// Bytes collected before they go to a blocking thread, so that small chunks cost no hop each.
const BUFFER_BYTES: usize = 256 * 1024;
/// Of the data directory.
const FOLDER: &str = "blobs";

/// Where the blob is, or would be, in the data directory of a server: for who may look, and holds no lock.
#[must_use]
pub fn kept_at(dir: &Path, digest: Digest) -> PathBuf {
    below(&dir.join(FOLDER), digest)
}

fn below(blobs: &Path, digest: Digest) -> PathBuf {
    let hex = digest.hex();
    blobs.join(&hex[..2]).join(hex)
}

impl Blobs {
    /// Opens the folders, makes them if they are missing, and removes what an interrupted process left half
    /// written. Once per data directory and process: it would remove what another handle is writing. Blocks.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(dir: &DataDir) -> Result<Self, FileError> {
        let folders =
            Folders { blobs: dir.path().join(FOLDER), temp: dir.path().join("tmp"), _dir: dir.clone() };
        make_folder(&folders.blobs)?;
        make_folder(&folders.temp)?;
        sync_folder(dir.path())?;
        folders.sweep_temp()?;
        Ok(Self(Arc::new(folders)))
    }

    /// Begins a blob whose bytes come in parts.
    ///
    /// # Errors
    /// What the file system says.
    pub async fn writer(&self) -> Result<BlobWriter, BlobError> {
        let folders = Arc::clone(&self.0);
        let partial = blocking(move || folders.create_temp()).await?;
        Ok(BlobWriter { folders: Arc::clone(&self.0), partial: Some(partial), buffer: Vec::new() })
    }

    /// Stores bytes that are all here; durable when this returns.
    ///
    /// # Errors
    /// What the file system says.
    pub async fn put(&self, bytes: impl AsRef<[u8]> + Send + 'static) -> Result<Digest, BlobError> {
        let folders = Arc::clone(&self.0);
        blocking(move || {
            let mut partial = folders.create_temp()?;
            partial.append(bytes.as_ref())?;
            folders.keep(partial).map(|(digest, _)| digest)
        })
        .await
    }

    /// The file, to read at one's own pace, once all of its content is seen to be what its name says.
    ///
    /// # Errors
    /// [`BlobError::Missing`] or [`BlobError::Corrupt`], or what the file system says.
    pub async fn open_file(&self, digest: Digest) -> Result<File, BlobError> {
        let path = self.path(digest);
        blocking(move || {
            let opened = faults::at("blob.open").and_then(|()| File::open(&path));
            let mut file = opened.map_err(|error| not_found(digest, "open", &path, error))?;
            let mut hash = Sha256::new();
            let read = io::copy(&mut file, &mut hash).and_then(|_| file.rewind());
            read.map_err(FileError::of("read", &path))?;
            if Digest(hash.finalize().into()) == digest { Ok(file) } else { Err(BlobError::Corrupt(digest)) }
        })
        .await
    }

    /// Where the blob is, or would be.
    #[must_use]
    pub fn path(&self, digest: Digest) -> PathBuf {
        self.0.path(digest)
    }

    /// Removes a blob; says whether there was one. Whoever has it open can read it to its end.
    ///
    /// # Errors
    /// What the file system says.
    pub async fn delete(&self, digest: Digest) -> Result<bool, BlobError> {
        let path = self.path(digest);
        blocking(move || match faults::at("blob.remove").and_then(|()| fs::remove_file(&path)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(FileError::of("remove", &path)(error).into()),
        })
        .await
    }

    /// Every blob, in no order. A file whose name is no digest is not ours and is left out.
    ///
    /// # Errors
    /// What the file system says.
    pub async fn list(&self) -> Result<Vec<BlobInfo>, BlobError> {
        let folders = Arc::clone(&self.0);
        blocking(move || Ok(folders.list()?)).await
    }
}

impl BlobWriter {
    /// Adds bytes. A caller that stops waiting for this cannot go on with the writer.
    ///
    /// # Errors
    /// What the file system says; the writer is of no use afterwards.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<(), BlobError> {
        self.buffer.extend_from_slice(chunk);
        if self.buffer.len() < BUFFER_BYTES {
            return Ok(());
        }
        let mut partial = self.partial.take().ok_or(BlobError::Interrupted)?;
        let buffer = std::mem::take(&mut self.buffer);
        let (partial, mut buffer) = blocking(move || {
            partial.append(&buffer)?;
            Ok((partial, buffer))
        })
        .await?;
        buffer.clear();
        (self.partial, self.buffer) = (Some(partial), buffer);
        Ok(())
    }

    /// Makes the blob durable under its name; gives the name and the size. A blob that was there already is
    /// replaced by these same bytes, which mends it should it have been damaged.
    ///
    /// # Errors
    /// What the file system says; nothing is left then.
    pub async fn finish(mut self) -> Result<(Digest, u64), BlobError> {
        let mut partial = self.partial.take().ok_or(BlobError::Interrupted)?;
        let (folders, buffer) = (self.folders, self.buffer);
        blocking(move || {
            partial.append(&buffer)?;
            folders.keep(partial)
        })
        .await
    }
}

impl Folders {
    fn path(&self, digest: Digest) -> PathBuf {
        below(&self.blobs, digest)
    }

    fn create_temp(&self) -> Result<Partial, BlobError> {
        let path = self.temp.join(Uuid::now_v7().simple().to_string());
        let file = faults::at("blob.create")
            .and_then(|()| OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path))
            .map_err(FileError::of("make", &path))?;
        Ok(Partial { file, path: TempPath(path), hash: Sha256::new(), size_bytes: 0 })
    }

    /// Content first, then the name, then the folder that holds the name: whatever is found under a name is whole.
    fn keep(&self, partial: Partial) -> Result<(Digest, u64), BlobError> {
        let digest = Digest(partial.hash.finalize().into());
        let (path, temp) = (self.path(digest), &partial.path.0);
        let synced = faults::at("blob.sync").and_then(|()| partial.file.sync_all());
        synced.map_err(FileError::of("sync", temp))?;
        let folder = path.parent().unwrap_or(&self.blobs);
        if !folder.exists() {
            faults::at("blob.folder").map_err(FileError::of("make folder", folder))?;
            make_folder(folder)?;
            sync_folder(&self.blobs)?;
        }
        let renamed = faults::at("blob.rename").and_then(|()| fs::rename(temp, &path));
        renamed.map_err(FileError::of("rename", temp))?;
        faults::at("blob.folder_sync").map_err(FileError::of("sync folder", folder))?;
        sync_folder(folder)?;
        Ok((digest, partial.size_bytes))
    }

    fn sweep_temp(&self) -> Result<(), FileError> {
        for file in read_folder(&self.temp)? {
            fs::remove_file(&file).map_err(FileError::of("remove", &file))?;
        }
        Ok(())
    }

    fn list(&self) -> Result<Vec<BlobInfo>, FileError> {
        let mut blobs = Vec::new();
        for folder in read_folder(&self.blobs)? {
            for path in read_folder(&folder)? {
                let name = path.file_name().and_then(|name| name.to_str());
                let digest = name.and_then(|hex| format!("sha256:{hex}").parse().ok());
                // One that was deleted since the folder was read is no error.
                if let (Some(digest), Ok(about)) = (digest, fs::metadata(&path)) {
                    blobs.push(BlobInfo {
                        digest,
                        size_bytes: about.len(),
                        modified: about.modified().map_err(FileError::of("date", &path))?,
                    });
                }
            }
        }
        Ok(blobs)
    }
}

impl Partial {
    fn append(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        let written = faults::at("blob.write").and_then(|()| self.file.write_all(bytes));
        written.map_err(FileError::of("write", &self.path.0))?;
        self.hash.update(bytes);
        self.size_bytes += bytes.len() as u64;
        Ok(())
    }
}

impl Drop for TempPath {
    fn drop(&mut self) {
        // After a rename there is nothing under this name; what cannot be removed now is swept at the next start.
        drop(fs::remove_file(&self.0));
    }
}

fn read_folder(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(FileError::of("list", path))
}

fn not_found(digest: Digest, action: &'static str, path: &Path, error: io::Error) -> BlobError {
    if error.kind() == io::ErrorKind::NotFound {
        BlobError::Missing(digest)
    } else {
        FileError::of(action, path)(error).into()
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    // The runtime refuses or drops blocking work only when it is going down.
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(BlobError::Interrupted))
}
