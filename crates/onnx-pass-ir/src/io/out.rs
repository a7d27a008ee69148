//! Bytes to a file: small ones through a buffer, large ranges of other files without it.
//!
//! Ranges go by `copy_file_range` where source and target have the same place in their pages. Else they are written
//! from windows that are mapped as a whole: a map that faults page by page costs up to three times what a read and a
//! write cost, but one that is made ready at once three quarters of it. Where the system maps nothing, by large reads
//! and writes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use memmap2::MmapOptions;
use rustix::io::Errno;

/// Size of the buffer: it stays in the processor's cache.
const CHUNK: usize = 256 * 1024;
const PAGE: u64 = 4096;
/// Ranges from this length on are worth a call of their own.
const DIRECT: u64 = 1 << 20;
/// Bytes of another file that are mapped at once.
const WINDOW: u64 = 8 << 20;
/// Bytes of one write from a window: of more the system looks long for room in one piece.
const WRITE: usize = 1 << 20;

/// A file that is written front to back.
pub(super) struct Out<'f> {
    file: &'f File,
    /// Where the buffer goes.
    at: u64,
    buf: Vec<u8>,
    fill: usize,
    can_copy: bool,
    can_map: bool,
}

impl<'f> Out<'f> {
    pub fn new(file: &'f File) -> Self {
        Out { file, at: 0, buf: vec![0; CHUNK], fill: 0, can_copy: true, can_map: true }
    }

    /// Bytes so far.
    pub fn pos(&self) -> u64 {
        self.at + self.fill as u64
    }

    /// The free part of the buffer, which ends where the target's page ends.
    fn room(&mut self) -> io::Result<&mut [u8]> {
        let end = CHUNK - (self.at % PAGE) as usize;
        if self.fill >= end {
            self.flush()?;
        }
        let end = CHUNK - (self.at % PAGE) as usize;
        Ok(&mut self.buf[self.fill..end])
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buf[..self.fill], self.at)?;
        self.at += self.fill as u64;
        self.fill = 0;
        Ok(())
    }

    pub fn bytes(&mut self, mut b: &[u8]) -> io::Result<()> {
        while !b.is_empty() {
            let room = self.room()?;
            let n = room.len().min(b.len());
            room[..n].copy_from_slice(&b[..n]);
            self.fill += n;
            b = &b[n..];
        }
        Ok(())
    }

    pub fn zeros(&mut self, mut n: u64) -> io::Result<()> {
        while n > 0 {
            let room = self.room()?;
            let k = room.len().min(usize::try_from(n).unwrap_or(usize::MAX));
            room[..k].fill(0);
            self.fill += k;
            n -= k as u64;
        }
        Ok(())
    }

    /// `len` bytes of another file.
    pub fn range(&mut self, from: &File, mut offset: u64, mut len: u64) -> io::Result<()> {
        if self.can_copy && len >= DIRECT && offset % PAGE == self.pos() % PAGE {
            let head = (PAGE - offset % PAGE) % PAGE;
            self.read(from, offset, head)?;
            self.flush()?;
            let pages = (len - head) / PAGE * PAGE;
            let copied = self.copy(from, offset + head, pages)?;
            offset += head + copied;
            len -= head + copied;
        }
        if self.can_map && len >= DIRECT {
            let head = (PAGE - self.pos() % PAGE) % PAGE;
            self.read(from, offset, head)?;
            self.flush()?;
            let pages = (len - head) / PAGE * PAGE;
            let written = self.windows(from, offset + head, pages)?;
            offset += head + written;
            len -= head + written;
        }
        self.read(from, offset, len)
    }

    /// Writes from windows of another file; gives how much it did before the system would not map one.
    fn windows(&mut self, from: &File, offset: u64, len: u64) -> io::Result<u64> {
        let mut done = 0;
        while done < len {
            let n = (len - done).min(WINDOW);
            // SAFETY: the map is read only, and by the kernel alone, which tells where the file became shorter.
            let window =
                unsafe { MmapOptions::new().offset(offset + done).len(n as usize).populate().map(from) };
            let Ok(window) = window else {
                self.can_map = false;
                break;
            };
            for part in window.chunks(WRITE) {
                self.file.write_all_at(part, self.at).map_err(|e| match e.raw_os_error() {
                    Some(code) if code == Errno::FAULT.raw_os_error() => shrank(),
                    _ => e,
                })?;
                self.at += part.len() as u64;
            }
            done += n;
            // The rest of a page in which it ends reads as zeros.
            if from.metadata()?.len() < offset + done {
                return Err(shrank());
            }
        }
        Ok(done)
    }

    fn read(&mut self, from: &File, mut offset: u64, mut len: u64) -> io::Result<()> {
        while len > 0 {
            let room = self.room()?;
            let most = room.len().min(usize::try_from(len).unwrap_or(usize::MAX));
            let n = match from.read_at(&mut room[..most], offset) {
                Ok(0) => return Err(shrank()),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            self.fill += n;
            offset += n as u64;
            len -= n as u64;
        }
        Ok(())
    }

    /// Lets the kernel copy; gives how much it did before it would not.
    #[cfg(target_os = "linux")]
    fn copy(&mut self, from: &File, offset: u64, len: u64) -> io::Result<u64> {
        let mut done = 0;
        while done < len {
            let (mut source, mut target) = (offset + done, self.at);
            // All that is left, of which the kernel takes what it likes: in pieces of exactly 1 GiB, as of other
            // multiples of 2 MiB, 4.4 GB took twice as long as in the kernel's own.
            let most = usize::try_from(len - done).unwrap_or(usize::MAX >> 1);
            match rustix::fs::copy_file_range(from, Some(&mut source), self.file, Some(&mut target), most) {
                Ok(0) => return Err(shrank()),
                Ok(n) => {
                    done += n as u64;
                    self.at += n as u64;
                }
                Err(Errno::INTR) => {}
                Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                    self.can_copy = false;
                    break;
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(done)
    }

    #[cfg(not(target_os = "linux"))]
    fn copy(&mut self, _: &File, _: u64, _: u64) -> io::Result<u64> {
        self.can_copy = false;
        Ok(0)
    }
}

fn shrank() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "a file that is copied from became shorter meanwhile: another program changed it; run again",
    )
}

/// Makes `to` share the blocks of `from`, where the file system can.
#[cfg(target_os = "linux")]
pub(super) fn reflink(from: &File, to: &File) -> io::Result<()> {
    Ok(rustix::fs::ioctl_ficlone(to, from)?)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn reflink(_: &File, _: &File) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Whether two files hold the same bytes.
pub(super) fn same_bytes(a: &File, b: &File) -> io::Result<bool> {
    let len = a.metadata()?.len();
    if len != b.metadata()?.len() {
        return Ok(false);
    }
    let (mut x, mut y) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut at = 0;
    while at < len {
        let n = usize::try_from(len - at).unwrap_or(CHUNK).min(CHUNK);
        a.read_exact_at(&mut x[..n], at)?;
        b.read_exact_at(&mut y[..n], at)?;
        if x[..n] != y[..n] {
            return Ok(false);
        }
        at += n as u64;
    }
    Ok(true)
}
