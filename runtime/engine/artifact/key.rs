//! The key that seals artifacts, and the private files and folders around it.
//! Must never show the key, and never replace one that exists: that would discard every artifact there is.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file that is no key.
    #[error("`{path}` has {bytes} bytes and not 32: remove it, and artifacts are compiled again")]
    Length {
        /// Its path.
        path: String,
        /// What it has.
        bytes: usize,
    },
    /// What the file system says.
    #[error("the folder of the artifacts or its key cannot be used")]
    Io(#[from] io::Error),
}

const NAME: &str = "artifact-key";
const TEMPORARY: &str = ".new-";

/// Reads the key of this data folder, or makes one.
pub(super) fn open(data_dir: &Path) -> Result<[u8; 32], KeyError> {
    let path = data_dir.join(NAME);
    match read(&path) {
        Err(KeyError::Io(e)) if e.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let temporary = data_dir.join(temporary_name()?);
    super::write_new(&temporary, &[&key])?;
    // A link fails where a rename would replace: of two processes that start at once, one makes the key for both.
    let linked = fs::hard_link(&temporary, &path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e.into()),
        _ => sync_dir(data_dir)?,
    }
    read(&path)
}

fn read(path: &Path) -> Result<[u8; 32], KeyError> {
    make_private(path, 0o600)?;
    let bytes = fs::read(path)?;
    <[u8; 32]>::try_from(bytes.as_slice())
        .map_err(|_| KeyError::Length { path: path.display().to_string(), bytes: bytes.len() })
}

/// Makes a folder that is ours alone, or makes an existing one so.
pub(super) fn private_dir(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => make_private(dir, 0o700),
        Err(e) => Err(e),
        Ok(()) => dir.parent().map_or(Ok(()), sync_dir),
    }
}

/// Takes from others what they may do. Orchestrators open volumes up to a group at each mount, so that this heals and
/// does not refuse: reading the key helps nobody who cannot write into the folder beside it.
fn make_private(path: &Path, mode: u32) -> io::Result<()> {
    let found = fs::metadata(path)?.permissions().mode() & 0o7777;
    if found & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        tracing::warn!(path = %path.display(), "others could use a private file (mode {found:o}); it is private now");
    }
    Ok(())
}

/// A new name for a file that is renamed or linked when it is whole.
pub(super) fn temporary_name() -> io::Result<String> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(format!("{TEMPORARY}{}", hex::encode(random)))
}

pub(super) fn is_temporary(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes())
}

/// Puts the names in a folder on the disk.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
