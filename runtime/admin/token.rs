//! The admin token: 32 random bytes in a file that only this user may read, made on the first start.
//! Must never be printed, nor compared in a time that tells how much of a guess was right.

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::faults;

/// What a client must know to change anything.
#[derive(Clone)]
pub struct Token {
    text: String,
    hash: [u8; 32],
}

/// The file's name in the data directory.
pub const FILE: &str = "admin-token";
/// Random bytes in a token.
const BYTES: usize = 32;
/// More than a token and a line end: the file is some other one.
const FILE_BYTES: u64 = 256;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file holds something else.
    #[error(
        "`{path}` holds no admin token: allowed is one line of {digits} lower-case hexadecimal digits; remove the \
         file, and the next start makes a new token",
        digits = BYTES * 2
    )]
    Invalid {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("cannot {action} `{path}`")]
    File {
        /// A verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes")]
    Random(#[source] io::Error),
}

impl Token {
    /// The token of a data directory that this process has locked; makes one if there is none. Blocks.
    ///
    /// # Errors
    /// See [`TokenError`]; a file that is there and wrong is never replaced.
    pub fn open(data_dir: &Path) -> Result<Self, TokenError> {
        let path = data_dir.join(FILE);
        match Self::read(data_dir) {
            Ok(token) => {
                close_to_others(&path)?;
                Ok(token)
            }
            Err(TokenError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                make(data_dir, &path)
            }
            Err(error) => Err(error),
        }
    }

    /// The token of a data directory, for the command line on the same machine. Makes and changes nothing. Blocks.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn read(data_dir: &Path) -> Result<Self, TokenError> {
        let path = data_dir.join(FILE);
        let mut text = String::new();
        match File::open(&path).and_then(|file| file.take(FILE_BYTES).read_to_string(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(TokenError::Invalid { path });
            }
            Err(error) => return Err(failed("read", &path)(error)),
        }
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != BYTES * 2 || !text.bytes().all(digit) {
            return Err(TokenError::Invalid { path });
        }
        Ok(Self::of(text.to_owned()))
    }

    /// The token itself, for an `authorization` header.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Whether this is the token. Hashes are compared, so that neither length nor content shows in the time taken.
    #[must_use]
    pub fn is(&self, presented: &[u8]) -> bool {
        let presented: [u8; 32] = Sha256::digest(presented).into();
        self.hash.ct_eq(&presented).into()
    }

    fn of(text: String) -> Self {
        let hash = Sha256::digest(text.as_bytes()).into();
        Self { text, hash }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Content first, then the name, then the folder that holds the name: a token that a client has seen survives a crash.
fn make(data_dir: &Path, path: &Path) -> Result<Token, TokenError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|error| TokenError::Random(error.into()))?;
    let token = Token::of(hex::encode(bytes));
    let temp = data_dir.join(".admin-token.new");
    // Left by a process that died here; with the folder locked, nobody else is writing it.
    drop(fs::remove_file(&temp));
    let written =
        OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temp).and_then(|mut file| {
            faults::at("token.write")?;
            file.write_all(token.text.as_bytes())?;
            file.write_all(b"\n")?;
            faults::at("token.sync")?;
            file.sync_all()
        });
    written.map_err(failed("write", &temp))?;
    let renamed = faults::at("token.rename").and_then(|()| fs::rename(&temp, path));
    renamed.map_err(failed("rename", &temp))?;
    let opened = faults::at("token.folder_sync").and_then(|()| File::open(data_dir));
    let synced = opened.and_then(|folder| folder.sync_all());
    synced.map_err(failed("sync folder", data_dir))?;
    Ok(token)
}

/// Takes the file away from other users, who may have read it: that is worth a word.
fn close_to_others(path: &Path) -> Result<(), TokenError> {
    let about = fs::metadata(path).map_err(failed("look at", path))?;
    let mode = about.permissions().mode() & 0o777;
    // The lower six bits are the group's and everybody's.
    if mode.trailing_zeros() >= 6 {
        return Ok(());
    }
    tracing::warn!(
        path = %path.display(),
        mode = format!("{mode:o}"),
        "other users could read the admin token; its mode is 600 now: remove the file for a new token"
    );
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed("change the mode of", path))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TokenError {
    let path = path.to_path_buf();
    move |source| TokenError::File { action, path, source }
}
