//! What is loaded, so that versions of the same upload share one mapping, one open file and one set of tables.
//! Must never keep anything in memory itself: the versions do, and what the last of them lets go of is unmapped.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::engine::artifact::ArtifactId;
use crate::engine::program::Code;

/// Loaded artifacts by what they are.
pub(super) type Codes = Common<ArtifactId, Code>;

/// Values that are there as long as somebody holds them, by what they are.
pub(super) struct Common<K, V>(Mutex<All<K, V>>);

struct All<K, V> {
    weak: HashMap<K, Weak<V>>,
    /// Entries at which those go whose value is gone.
    most: usize,
}

/// Entries below which nothing is looked through.
const FEW: usize = 64;

impl<K, V> Default for Common<K, V> {
    fn default() -> Self {
        Self(Mutex::new(All { weak: HashMap::new(), most: FEW }))
    }
}

impl<K: Eq + Hash, V> Common<K, V> {
    fn lock(&self) -> MutexGuard<'_, All<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value, if anybody holds it.
    #[must_use]
    pub(super) fn get(&self, key: &K) -> Option<Arc<V>> {
        self.lock().weak.get(key)?.upgrade()
    }

    /// Remembers a value for as long as it is held. If somebody else was quicker, gives theirs back.
    #[must_use]
    pub(super) fn keep(&self, key: K, value: Arc<V>) -> Arc<V> {
        let mut all = self.lock();
        if let Some(other) = all.weak.get(&key).and_then(Weak::upgrade) {
            return other;
        }
        if all.weak.len() >= all.most {
            all.weak.retain(|_, weak| weak.strong_count() > 0);
            all.most = FEW.max(all.weak.len() * 2);
        }
        all.weak.insert(key, Arc::downgrade(&value));
        value
    }

    /// How many are held.
    #[must_use]
    pub(super) fn count(&self) -> usize {
        self.lock().weak.values().filter(|weak| weak.strong_count() > 0).count()
    }
}
