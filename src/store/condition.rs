//! Whether what is on disk can be used at this moment. Reads a row of each database and asks the kernel;
//! writes nothing, so that asking is cheap and harmless.

use rustix::fs::{Access, StatVfsMountFlags};

use super::Store;
use crate::error::{Error, Result};

/// How the filesystem of the blobs is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that may be written.
    pub free: u64,
    /// Bytes in all.
    pub size: u64,
    /// Files that may be made; `None` where the filesystem does not count them.
    pub free_inodes: Option<u64>,
    /// Whether it is mounted so that nothing can be written.
    pub is_read_only: bool,
}

/// How the parts of the store are; errors name files of this box.
#[derive(Debug)]
pub struct Condition {
    /// Whether `access.sqlite` can be read.
    pub access: Result<()>,
    /// Whether `cache.sqlite` can be read.
    pub cache: Result<()>,
    /// Whether `registry.sqlite` can be read.
    pub registry: Result<()>,
    /// Whether `audit.sqlite` can be read.
    pub audit: Result<()>,
    /// Whether the blob directory is there and can be read.
    pub blobs: Result<()>,
    /// Whether files can be made where fills and databases make them.
    pub writing: Result<()>,
    /// The filesystem of the blobs.
    pub space: Result<Space>,
}

impl Store {
    /// Looks at all parts.
    pub fn condition(&self) -> Condition {
        let data = self.directory();
        let reachable = |name: &str, access: Access| {
            let path = data.join(name);
            rustix::fs::access(&path, access)
                .map_err(|error| Error::io("cannot use", &path, error.into()))
        };
        let reading = Access::READ_OK | Access::EXEC_OK;
        let writing = Access::WRITE_OK | Access::EXEC_OK;
        let folders = ["", "blobs/sha256", "staging"];
        Condition {
            access: self.access.database().probe(),
            cache: self.cache.database().probe(),
            registry: self.registry.database().probe(),
            audit: self.audit.database().probe(),
            blobs: reachable("blobs/sha256", reading).and_then(|()| reachable("staging", reading)),
            writing: folders
                .iter()
                .try_for_each(|folder| reachable(folder, writing)),
            space: self.blobs.condition(),
        }
    }
}

impl super::BlobDir {
    fn condition(&self) -> Result<Space> {
        let of = rustix::fs::statvfs(self.root())
            .map_err(|error| Error::io("cannot ask for the space at", self.root(), error.into()))?;
        Ok(Space {
            free: of.f_bavail.saturating_mul(of.f_frsize),
            size: of.f_blocks.saturating_mul(of.f_frsize),
            free_inodes: (of.f_files > 0).then_some(of.f_favail),
            is_read_only: of.f_flag.contains(StatVfsMountFlags::RDONLY),
        })
    }
}
