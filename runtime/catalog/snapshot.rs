//! The whole catalog at once: what the routing table is built from, and which blobs are referred to.
//! Must never give up on all functions because of one record that cannot be read.

use std::collections::HashSet;

use super::function::Function;
use super::record::{DELETIONS, FUNCTIONS, VERSIONS, decode};
use super::tenant::Tenant;
use super::version::{Stored, Version, active_keys, decode_versions};
use super::{ATTEMPTS, Catalog, CatalogError, Loaded};
use crate::model::version::Digest;
use crate::storage::{Entry, Revision, SCAN_ENTRIES};

/// Every function that answers.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// What was committed up to here is in it; of what was committed while it was taken, some may be.
    pub revision: Revision,
    /// In no order.
    pub functions: Vec<Active>,
    /// Functions left out because of a record that cannot be read or is missing.
    pub damaged: Vec<Damaged>,
}

/// A function that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Active {
    /// The function; its activation is there.
    pub function: Function,
    /// The versions of the activation's weights, in their order.
    pub versions: Vec<Version>,
}

/// A function that cannot be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// The key of its record.
    pub key: String,
    /// What is wrong, for the log.
    pub reason: String,
}

/// Functions of one part of a snapshot.
const PART: usize = 200;

impl Catalog {
    /// Everything that answers, in a few long reads.
    ///
    /// # Errors
    /// The storage fails, or a newer program has written to it.
    pub async fn snapshot(&self) -> Result<Snapshot, CatalogError> {
        let mut all = Snapshot { revision: self.storage.revision(), ..Snapshot::default() };
        let take = |part: Snapshot| {
            all.functions.extend(part.functions);
            all.damaged.extend(part.damaged);
        };
        self.in_parts(take).await?;
        Ok(all)
    }

    /// As [`Catalog::snapshot`], part by part: a record takes many times the memory of the route that is made of it, and
    /// of ten thousand of them at once the process would keep a good deal.
    ///
    /// # Errors
    /// See [`Catalog::snapshot`].
    pub async fn in_parts(&self, mut take: impl FnMut(Snapshot)) -> Result<(), CatalogError> {
        // Functions of deleted tenants, should any be left by a failed removal, answer no more.
        let deletions = self.all::<Tenant>(DELETIONS).await?;
        let gone: HashSet<_> = deletions.into_iter().map(|t| t.record.id).collect();
        let mut after: Option<String> = None;
        loop {
            let page = self.storage.scan(FUNCTIONS, after.as_deref(), PART).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.key.clone());
            let mut snapshot = Snapshot { revision: self.storage.revision(), ..Snapshot::default() };
            let mut answering = Vec::with_capacity(page.len());
            for Entry { key, value, .. } in page {
                match decode::<Function>(&key, &value) {
                    Ok(f) if f.activation.is_none() || gone.contains(&f.tenant_id) => {}
                    Ok(function) => answering.push((key, function)),
                    Err(error) => snapshot.damaged.push(Damaged::of(key, error)?),
                }
            }
            self.add_page(answering, &mut snapshot).await?;
            take(snapshot);
        }
    }

    /// What any version of any function is made of: every other blob may be deleted, but for those of deploys that have
    /// not published yet.
    ///
    /// # Errors
    /// The storage fails or a record cannot be read; then no blob is safe to delete.
    pub async fn referenced_digests(&self) -> Result<HashSet<Digest>, CatalogError> {
        let mut digests = HashSet::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.storage.scan(VERSIONS, after.as_deref(), SCAN_ENTRIES).await?;
            let Some(last) = page.last() else {
                return Ok(digests);
            };
            after = Some(last.key.clone());
            for entry in &page {
                digests.insert(decode::<Stored>(&entry.key, &entry.value)?.digest);
            }
        }
    }

    async fn add_page(
        &self,
        functions: Vec<(String, Function)>,
        snapshot: &mut Snapshot,
    ) -> Result<(), CatalogError> {
        let keys: Vec<Vec<String>> = functions.iter().map(|(_, f)| active_keys(f)).collect();
        let flat: Vec<String> = keys.iter().flatten().cloned().collect();
        let mut found = Vec::with_capacity(flat.len());
        for chunk in flat.chunks(SCAN_ENTRIES) {
            found.extend(self.storage.get_many(chunk.to_vec()).await?);
        }
        let mut found = found.into_iter();
        for ((key, function), keys) in functions.into_iter().zip(keys) {
            let values: Vec<_> = found.by_ref().take(keys.len()).collect();
            let active = match decode_versions(&keys, values) {
                Ok(Some(versions)) => Ok(Some(Active { function, versions })),
                Ok(None) => self.read_again(&key).await,
                Err(error) => Err(error),
            };
            match active {
                Ok(active) => snapshot.functions.extend(active),
                Err(error) => snapshot.damaged.push(Damaged::of(key, error)?),
            }
        }
        Ok(())
    }

    /// A version was not there: the function has changed since the page was read, or the record is lost.
    async fn read_again(&self, key: &str) -> Result<Option<Active>, CatalogError> {
        for _ in 0..ATTEMPTS {
            let found = self.load::<Function>(key.to_owned()).await?;
            let Some(Loaded { record: function, revision, .. }) = found else {
                return Ok(None);
            };
            let Some(activation) = &function.activation else {
                return Ok(None);
            };
            if let Some(versions) = self.active_versions(&function).await? {
                return Ok(Some(Active { function, versions }));
            }
            let now = self.storage.get(key).await?;
            if now.is_some_and(|(_, now)| now == revision) {
                return Err(CatalogError::LostVersion {
                    function: function.id,
                    active: activation.weights.iter().map(|w| w.version.0).collect(),
                });
            }
        }
        Err(CatalogError::Contended)
    }
}

impl Damaged {
    /// A broken record costs one function; a newer program's record, or a failing storage, is everybody's matter.
    fn of(key: String, error: CatalogError) -> Result<Self, CatalogError> {
        match error {
            CatalogError::Corrupt { key: at, source } => {
                Ok(Self { key, reason: format!("record `{at}` cannot be read: {source}") })
            }
            lost @ CatalogError::LostVersion { .. } => Ok(Self { key, reason: lost.to_string() }),
            other => Err(other),
        }
    }
}
