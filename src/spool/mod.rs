//! Bytes on their way through the box. While somebody is waited for, they lie in a file, and only one document at a time
//! is worked on in memory, so that memory is bounded whatever clients and upstreams do.
//!
//! - A client that reads slowly, one that sends slowly, and an upstream that answers slowly all make the box hold
//!   what has come so far. It holds [`IN_MEMORY`] of each in memory; what is longer goes to an unlinked temporary
//!   file ([`Spool`]), and is sent from there by sendfile ([`Content`]).
//! - What must be in memory as a whole, such as a manifest that is parsed, is read by [`Spools::work`], one at a time.
//!   Such work waits for no client and no upstream, and is soon done.
//!
//! # Bounds
//! | what | in all | of one address or upstream |
//! |---|---|---|
//! | in memory while somebody is waited for | [`IN_MEMORY`] for each connection | the same, by its connections |
//! | in temporary files | `FILES` | `FILES_SHARE` |
//! | worked on in memory | one document | in turns |
//!
//! A request for more gets 503 with `Retry-After`. This room knows no route, no store and no upstream.

mod budget;
mod content;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rayon::{ThreadPool, ThreadPoolBuilder};
use rustix::fs::MemfdFlags;

use crate::context;
use crate::error::{Error, Kind, Result};
use crate::priority::{AFTER_PULLS, lower};
use budget::Budget;
pub use budget::{Owner, Permit};
pub use content::Content;

/// Content of at most this length stays in memory. The kernel's buffers take most of it from a worker at once, and hardly
/// any manifest is longer.
pub const IN_MEMORY: usize = 32 * 1024;
/// What all temporary files may hold.
const FILES: u64 = 512 << 20;
/// What the temporary files of one owner may hold: eight of the largest lists.
const FILES_SHARE: u64 = 128 << 20;
/// From so many bytes on a document is read with a pause after each piece of [`IN_MEMORY`]: 30 MB in a second at most.
const LONG: u64 = 256 * 1024;
const PAUSE: Duration = Duration::from_millis(1);
/// How long a turn to work on a long document is waited for.
const WORK_PATIENCE: Duration = Duration::from_secs(20);
/// What may lie in memory instead of a file where the disk has no room, so that pulls go on.
const WITHOUT_DISK: u64 = 16 << 20;
/// After how long a request that was refused should be tried again.
const COME_AGAIN: Duration = Duration::from_secs(5);

/// A temporary file, which nobody else knows.
pub struct TemporaryFile {
    /// Where the bytes go.
    pub file: File,
    /// Asked before the file grows to so many bytes; fails where the disk has no room for them.
    pub let_in: Box<dyn FnMut(u64) -> Result<()> + Send>,
}

/// Where temporary files come from, and how much may be in them.
pub struct Spools {
    open: Box<dyn Fn() -> Result<TemporaryFile> + Send + Sync>,
    files: Arc<Budget>,
    without_disk: Arc<Budget>,
    turns: Arc<Budget>,
    worker: OnceLock<Option<ThreadPool>>,
}

impl Spools {
    /// Temporary files as `open` gives them.
    pub fn new(open: impl Fn() -> Result<TemporaryFile> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            open: Box::new(open),
            files: Budget::new(FILES, FILES_SHARE),
            without_disk: Budget::new(WITHOUT_DISK, WITHOUT_DISK),
            turns: Budget::new(1, u64::MAX),
            worker: OnceLock::new(),
        })
    }

    /// An empty spool that counts for `owner`.
    pub fn spool(self: &Arc<Self>, owner: Owner) -> Spool {
        Spool {
            spools: Arc::clone(self),
            owner,
            memory: Vec::new(),
            file: None,
        }
    }

    /// Does `work` on a document of `length` bytes that is in memory as a whole, and all that is made of it: one at a
    /// time, and on one thread, because the allocator keeps for each thread what it once needed. What is short needs
    /// no turn. `work` waits for no client and no upstream.
    ///
    /// # Errors
    /// `Unavailable` where the turn does not come; those of `work`.
    pub fn work<T: Send>(
        &self,
        owner: Owner,
        length: u64,
        work: impl FnOnce() -> Result<T> + Send,
    ) -> Result<T> {
        if length <= IN_MEMORY as u64 {
            return work();
        }
        let turn = self.turns.take(owner, 1, WORK_PATIENCE);
        let _turn = turn.ok_or_else(|| no_room("this box has many long documents to work on"))?;
        let worker = || {
            let builder = ThreadPoolBuilder::new().num_threads(1);
            builder
                .thread_name(|_| "long-documents".to_owned())
                .start_handler(|_| lower(AFTER_PULLS))
                .build()
                .ok()
        };
        match self.worker.get_or_init(worker) {
            Some(worker) => worker.install(work),
            None => work(),
        }
    }
}

/// Bytes as they come.
pub struct Spool {
    spools: Arc<Spools>,
    owner: Owner,
    /// The last of them, at most [`IN_MEMORY`].
    memory: Vec<u8>,
    file: Option<SpoolFile>,
}

struct SpoolFile {
    file: File,
    length: u64,
    /// Of the disk's budget, or of that without a disk.
    permit: Permit,
    /// As in [`TemporaryFile`]; `None` for one that is not on the disk.
    let_in: Option<Box<dyn FnMut(u64) -> Result<()> + Send>>,
}

/// Why a spool did not take all that a source gives.
#[derive(Debug)]
pub enum Unfilled {
    Source(std::io::Error),
    /// There is no room for it here.
    Refused(Error),
    /// It gives more than the limit.
    TooLong,
}

impl Spool {
    /// Takes all that `source` gives, up to `limit` bytes.
    ///
    /// # Errors
    /// See [`Unfilled`].
    pub fn fill(&mut self, source: &mut dyn Read, limit: u64) -> std::result::Result<(), Unfilled> {
        let mut piece = [0; 8 * 1024];
        let mut left = limit;
        loop {
            let count = match source.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Unfilled::Source(error)),
            };
            left = left.checked_sub(count as u64).ok_or(Unfilled::TooLong)?;
            let piece = piece.get(..count).unwrap_or_default();
            self.append(piece).map_err(Unfilled::Refused)?;
        }
    }

    /// Adds `bytes` at the end.
    ///
    /// # Errors
    /// `Unavailable` where the owner has its share, or all have; `Full`, `Io`.
    pub fn append(&mut self, mut bytes: &[u8]) -> Result<()> {
        // What still fits into memory, as long as not all of it does.
        let room = |memory: &[u8]| IN_MEMORY.saturating_sub(memory.len());
        while let Some((now, later)) = bytes.split_at_checked(room(&self.memory))
            && !later.is_empty()
        {
            self.memory.extend_from_slice(now);
            self.flush()?;
            bytes = later;
        }
        self.memory.extend_from_slice(bytes);
        Ok(())
    }

    /// What was taken, to be sent and read.
    ///
    /// # Errors
    /// As [`Spool::append`].
    pub fn finish(mut self) -> Result<Content> {
        if self.file.is_some() {
            self.flush()?;
        }
        Ok(match self.file {
            Some(spooled) => Content::spooled(spooled.file, spooled.length, spooled.permit),
            None => self.memory.into(),
        })
    }

    /// Moves what is in memory to the end of the file.
    fn flush(&mut self) -> Result<()> {
        let spooled = match &mut self.file {
            Some(spooled) => spooled,
            none => none.insert(self.spools.file(&self.owner)?),
        };
        spooled.append(&self.spools, &self.memory)?;
        let is_long = spooled.length > LONG;
        self.memory.clear();
        // What is short goes first. Several that are long would keep the processors busy in turns even so.
        match is_long {
            true => std::thread::sleep(PAUSE),
            false => std::thread::yield_now(),
        }
        Ok(())
    }
}

impl Spools {
    /// A new file: on the disk, or in memory where that has no room for it.
    fn file(&self, owner: &Owner) -> Result<SpoolFile> {
        match (self.open)() {
            Ok(TemporaryFile { file, let_in }) => Ok(SpoolFile {
                file,
                length: 0,
                permit: taken(&self.files, owner, 0)?,
                let_in: Some(let_in),
            }),
            Err(_) => self.file_without_disk(owner),
        }
    }

    fn file_without_disk(&self, owner: &Owner) -> Result<SpoolFile> {
        let file = rustix::fs::memfd_create("breakwater", MemfdFlags::CLOEXEC);
        let file = file.map_err(|error| failed("make", error.into()))?;
        Ok(SpoolFile {
            file: File::from(file),
            length: 0,
            permit: taken(&self.without_disk, owner, 0)?,
            let_in: None,
        })
    }
}

impl SpoolFile {
    fn append(&mut self, spools: &Spools, bytes: &[u8]) -> Result<()> {
        context::waits();
        if !self.permit.grow(bytes.len() as u64) {
            return Err(no_room("this box holds as much for your address as it may"));
        }
        let end = self.length.saturating_add(bytes.len() as u64);
        let is_let_in = self.let_in.as_mut().is_none_or(|ask| ask(end).is_ok());
        let written = is_let_in.then(|| self.file.write_all_at(bytes, self.length));
        match written {
            Some(Ok(())) => {}
            Some(Err(error)) if self.let_in.is_none() => {
                return Err(failed("write to", error));
            }
            // Lists and manifests are served on a full disk too.
            _ => {
                self.leave_disk(spools)?;
                return self.append(spools, bytes);
            }
        }
        self.length = end;
        Ok(())
    }

    /// Goes on in memory with what has been written so far.
    fn leave_disk(&mut self, spools: &Spools) -> Result<()> {
        let mut other = spools.file_without_disk(self.permit.owner())?;
        let mut piece = vec![0; IN_MEMORY];
        while other.length < self.length {
            let room =
                usize::try_from(self.length.saturating_sub(other.length)).unwrap_or(usize::MAX);
            let room = room.min(piece.len());
            let part = piece.get_mut(..room).unwrap_or_default();
            self.file
                .read_exact_at(part, other.length)
                .map_err(|error| failed("read", error))?;
            other.append(spools, part)?;
        }
        *self = other;
        Ok(())
    }
}

fn failed(doing: &str, error: std::io::Error) -> Error {
    let kind = Kind::of_io(&error);
    Error::new(kind, format!("cannot {doing} a temporary file")).because(error)
}

fn taken(budget: &Arc<Budget>, owner: &Owner, amount: u64) -> Result<Permit> {
    let permit = budget.take(owner.clone(), amount, Duration::ZERO);
    permit.ok_or_else(|| no_room("this box holds as much for your address as it may"))
}

fn no_room(what: &str) -> Error {
    let kind = Kind::Unavailable {
        retry_after: COME_AGAIN,
    };
    Error::new(kind, what).remedy("try again, with fewer requests at once")
}
