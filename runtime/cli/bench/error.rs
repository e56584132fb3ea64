//! Why a measurement could not be made, and what to do about it. Must never stand for a refusal of the admin API, which
//! has names of its own.

use std::io;
use std::path::PathBuf;

use crate::model::name::TenantName;

/// Why there are no figures, or why they mean nothing.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum BenchError {
    /// Nobody listens where calls were to go.
    #[error("no server answers at `{place}`")]
    Unreachable {
        place: String,
        #[source]
        source: io::Error,
    },
    /// The page has no place.
    #[error("`{path}` cannot be written")]
    Page {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Not one good answer.
    #[error("no call was answered with 200 to 299; the first failure: {0}")]
    AllFailed(String),
    /// Ended before the first call.
    #[error("nothing was measured")]
    Nothing,
    /// Copies are to be made of something that is not here.
    #[error("what `{function}` was made of is not on this machine")]
    NoUpload { function: String },
    /// The temporary tenant stays.
    #[error("the temporary tenant `{tenant}` could not be removed")]
    LeftOver {
        tenant: TenantName,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl BenchError {
    /// What to do about it.
    pub(in crate::cli) fn hint(&self) -> String {
        match self {
            Self::Unreachable { .. } => {
                "check host and port; a server starts with `spawnpoint serve`, which prints where functions answer"
                    .to_owned()
            }
            Self::Page { .. } => "name a file in a folder that exists and may be written".to_owned(),
            Self::AllFailed(_) => {
                "call it once by hand: `spawnpoint invoke FUNCTION PATH`; `spawnpoint failures FUNCTION` has the reasons"
                    .to_owned()
            }
            Self::Nothing => "it was ended before the first answer: let it run for longer".to_owned(),
            Self::NoUpload { .. } => {
                "give the file instead: `spawnpoint bench FILE.wasm --functions N`".to_owned()
            }
            Self::LeftOver { tenant, .. } => {
                format!("remove it with `spawnpoint tenant delete {tenant}`")
            }
        }
    }
}
