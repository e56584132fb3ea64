//! What is measured: a URL, a function that is deployed, or a file that is deployed for the time of the run.
//! Must never send the admin token where functions answer.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::Uri;
use http::header::HeaderValue;
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::{BenchArgs, BenchError, Guests, target_of};
use crate::admin::wire::{Function, Versions};
use crate::bench::caller;
use crate::cli::at::{At, Target};
use crate::cli::client::{Client, Origin};
use crate::cli::{Usage, diagnose, invoke};
use crate::model::manifest::Manifest;
use crate::model::name::FunctionName;
use crate::model::version::Digest;
use crate::settings::default_data_dir;
use crate::storage::kept_at;

/// What was typed.
#[derive(Clone, Debug)]
pub(super) enum Subject {
    /// `http://..`
    Url(Uri),
    /// A function of the tenant that is named beside it.
    Function(FunctionName),
    /// `..wasm`
    File(PathBuf),
}

/// What copies are made of.
pub(super) struct Upload {
    pub(super) wasm: Bytes,
    pub(super) manifest: Option<Manifest>,
}

/// What was found.
pub(super) enum Place {
    Url(Uri),
    File(PathBuf, Client),
    /// The URL of its root, and where the admin API has it.
    Function {
        url: String,
        target: Target,
        client: Client,
    },
}

/// Bytes of the largest file that copies are made of.
const UPLOAD_BYTES: u64 = 256 << 20;
/// How long a server may take to accept.
const CONNECT: Duration = Duration::from_secs(5);

impl Subject {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.contains("://") {
            return text.parse().map(Self::Url).map_err(|_| "allowed is `http://HOST:PORT/PATH`".to_owned());
        }
        let path = Path::new(text);
        if text.contains('/') || path.extension().is_some_and(|extension| extension == "wasm") {
            return Ok(Self::File(path.to_owned()));
        }
        text.parse().map(Self::Function).map_err(|error: crate::model::name::NameError| error.to_string())
    }
}

impl Place {
    /// Finds what is named; of a function, that there is one.
    pub(super) async fn find(args: &BenchArgs) -> anyhow::Result<Self> {
        match &args.subject {
            Subject::Url(uri) => {
                Origin::of(uri)?;
                Ok(Self::Url(uri.clone()))
            }
            Subject::File(path) => {
                diagnose::open(path)?;
                Ok(Self::File(path.clone(), args.at.client()?))
            }
            Subject::Function(function) => {
                let target = Target { function: function.clone(), owner: args.owner.clone() };
                let client = args.at.client()?;
                let found: Function = client.get(&target.path()).await?;
                Ok(Self::Function { url: found.url, target, client })
            }
        }
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self, Self::File(..))
    }

    pub(super) fn client(&self) -> Result<&Client, Usage> {
        match self {
            Self::File(_, client) | Self::Function { client, .. } => Ok(client),
            Self::Url(_) => Err(Usage("this wants a function, and not a URL".to_owned())),
        }
    }

    /// Who makes the function cold, and under which path.
    pub(super) fn cold(&self) -> Result<(&Client, String), Usage> {
        match self {
            Self::Function { target, client, .. } => Ok((client, format!("{}/cold", target.path()))),
            Self::Url(_) | Self::File(..) => Err(Usage("--cold wants a function".to_owned())),
        }
    }

    /// A file becomes a function of the temporary tenant.
    pub(super) async fn deployed(self, guests: &Guests, upload: &Upload) -> anyhow::Result<Self> {
        let client = self.client()?.clone();
        let deployed = guests.deploy("subject", upload, None).await?;
        let function: Function = client.get(&guests.path("subject")).await?;
        Ok(Self::Function { url: deployed.url, target: target_of(&function)?, client })
    }

    /// What is called, for the report.
    pub(super) fn shown(&self, args: &BenchArgs) -> String {
        match self {
            Self::Url(uri) => uri.to_string(),
            Self::File(path, _) => path.display().to_string(),
            Self::Function { url, .. } => {
                invoke::below(url, &args.path).map_or_else(|_| url.clone(), |uri| uri.to_string())
            }
        }
    }

    /// Where calls go.
    pub(super) async fn target(&self, args: &BenchArgs) -> anyhow::Result<caller::Target> {
        let uri = match self {
            Self::Url(uri) => uri.clone(),
            Self::Function { url, .. } => invoke::below(url, &args.path)?,
            Self::File(path, _) => anyhow::bail!("`{}` is not deployed", path.display()),
        };
        reach(&[uri], args.timeout).await
    }

    /// What copies are made of: the file, or what the server on this machine keeps of the version that answers.
    pub(super) async fn upload(&self, at: &At) -> anyhow::Result<Upload> {
        match self {
            Self::File(path, _) => {
                let (file, _) = diagnose::open(path)?;
                let wasm = bounded(file).with_context(|| format!("`{}` cannot be read", path.display()))?;
                Ok(Upload { wasm, manifest: None })
            }
            Self::Function { target, client, .. } => kept(client, target, at).await,
            Self::Url(uri) => Err(Usage(format!("`{uri}` is no function")).into()),
        }
    }
}

/// The upload of the version that answers, from the data directory of a server on this machine.
async fn kept(client: &Client, target: &Target, at: &At) -> anyhow::Result<Upload> {
    let versions: Versions = client.all(&format!("{}/versions", target.path()), "versions").await?;
    let no_upload = || BenchError::NoUpload { function: target.to_string() };
    let version = versions.versions.into_iter().rfind(|version| version.active).ok_or_else(no_upload)?;
    let digest: Digest = version.digest.parse().map_err(|_| no_upload())?;
    let dir = at.data_dir.clone().unwrap_or_else(default_data_dir);
    let file = std::fs::File::open(kept_at(&dir, digest)).map_err(|_| no_upload())?;
    let wasm = bounded(file).map_err(|_| no_upload())?;
    if Digest(Sha256::digest(&wasm).into()) != digest {
        return Err(no_upload().into());
    }
    Ok(Upload { wasm, manifest: Some(version.manifest) })
}

fn bounded(file: impl io::Read) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    file.take(UPLOAD_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > UPLOAD_BYTES {
        return Err(io::Error::other("it is too large to be copied"));
    }
    Ok(bytes.into())
}

/// The one server of these URLs, if it accepts.
pub(super) async fn reach(urls: &[Uri], patience: Duration) -> anyhow::Result<caller::Target> {
    let first = urls.first().ok_or(BenchError::Nothing)?;
    let origin = Origin::of(first)?;
    let place = origin.to_string();
    let unreachable = |source| BenchError::Unreachable { place: place.clone(), source };
    let (host, port) = origin.target();
    let silent = || io::Error::from(io::ErrorKind::TimedOut);
    let addresses = timeout(CONNECT, lookup_host((host, port))).await;
    let addresses = addresses.unwrap_or_else(|_| Err(silent())).map_err(unreachable)?;
    let mut last = io::Error::other("the name has no address");
    for address in addresses {
        match timeout(CONNECT, TcpStream::connect(address)).await.unwrap_or_else(|_| Err(silent())) {
            Ok(_) => {
                let host = HeaderValue::try_from(origin.authority())?;
                let paths = urls.iter().map(path_of).collect::<Result<_, _>>()?;
                return Ok(caller::Target { address, host, paths, patience });
            }
            Err(error) => last = error,
        }
    }
    Err(unreachable(last).into())
}

fn path_of(uri: &Uri) -> Result<Uri, http::uri::InvalidUri> {
    uri.path_and_query().map_or_else(|| Ok(Uri::from_static("/")), |path| path.as_str().parse())
}
