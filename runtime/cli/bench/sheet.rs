//! The page's file: opened before anything is measured, so that a run is not lost for a wrong name.
//! Must never leave an empty file behind, nor spoil an old one before there is a new page.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::BenchError;
use crate::bench::page::page;
use crate::bench::report::Report;

/// A file that is there and may be written.
pub(super) struct Sheet {
    file: File,
    path: PathBuf,
    /// Made by this run, and still empty.
    is_new: bool,
}

impl Sheet {
    pub(super) fn open(path: &Path) -> Result<Self, BenchError> {
        let wrong = |source| BenchError::Page { path: path.to_owned(), source };
        let (file, is_new) = match OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(file) => (file, true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                (OpenOptions::new().write(true).open(path).map_err(wrong)?, false)
            }
            Err(error) => return Err(wrong(error)),
        };
        Ok(Self { file, path: path.to_owned(), is_new })
    }

    pub(super) fn write(mut self, report: &Report) -> Result<(), BenchError> {
        let text = page(report);
        let written = self
            .file
            .rewind()
            .and_then(|()| self.file.write_all(text.as_bytes()))
            .and_then(|()| self.file.set_len(text.len() as u64));
        if let Err(source) = written {
            return Err(BenchError::Page { path: self.path.clone(), source });
        }
        self.is_new = false;
        Ok(())
    }
}

impl Drop for Sheet {
    fn drop(&mut self) {
        if self.is_new {
            // Whoever removed it before us wanted the same.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
