//! What a stopped call points to: bytes, strings and paths of another process.

use std::ffi::OsString;
use std::fs;
use std::io::{self, IoSliceMut};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::event::{FileId, FileRef};

/// The longest path (`PATH_MAX` of linux/limits.h).
const PATH_BYTES_MAX: usize = 4096;

/// Reads are cut where a page begins, for the next one may not be there.
const PAGE_BYTES: u64 = 4096;

fn raw(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX))
}

/// Up to `length` bytes at an address.
pub(crate) fn bytes(thread: u32, address: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; length];
    let read = read(thread, address, &mut buffer)?.len();
    buffer.truncate(read);
    Ok(buffer)
}

/// Fills a buffer, as far as there is something.
fn read(thread: u32, address: u64, buffer: &mut [u8]) -> io::Result<&[u8]> {
    let remote = RemoteIoVec { base: usize::try_from(address).unwrap_or(usize::MAX), len: buffer.len() };
    let read = process_vm_readv(raw(thread), &mut [IoSliceMut::new(buffer)], &[remote])?;
    Ok(&buffer[..read])
}

/// A number of `N` bytes at an address.
fn word<const N: usize>(thread: u32, address: u64) -> io::Result<[u8; N]> {
    let read = bytes(thread, address, N)?;
    read.try_into().map_err(|_| io::ErrorKind::UnexpectedEof.into())
}

/// A string that ends with a zero byte.
pub(crate) fn string(thread: u32, address: u64) -> io::Result<OsString> {
    let (mut text, mut at) = (Vec::new(), address);
    // Most paths end on the page where they begin, and are short.
    let mut buffer = [0; 256];
    while text.len() < PATH_BYTES_MAX {
        let on_page = usize::try_from(PAGE_BYTES - at % PAGE_BYTES).unwrap_or(usize::MAX);
        let length = on_page.min(buffer.len());
        let read = read(thread, at, &mut buffer[..length])?;
        if let Some(end) = read.iter().position(|byte| *byte == 0) {
            text.extend_from_slice(&read[..end]);
            return Ok(OsString::from_vec(text));
        }
        at += read.len() as u64;
        text.extend_from_slice(read);
    }
    Err(io::ErrorKind::InvalidInput.into())
}

/// `struct flock`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawLock {
    pub(crate) kind: i32,
    pub(crate) whence: i32,
    pub(crate) start: i64,
    pub(crate) length: i64,
}

/// Reads a `struct flock` of 64 bits.
pub(crate) fn lock(thread: u32, address: u64) -> io::Result<RawLock> {
    let raw: [u8; 24] = word(thread, address)?;
    let short = |at: usize| i32::from(i16::from_ne_bytes([raw[at], raw[at + 1]]));
    let long = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&raw[at..at + 8]);
        i64::from_ne_bytes(bytes)
    };
    Ok(RawLock { kind: short(0), whence: short(2), start: long(8), length: long(16) })
}

/// The first word of a structure, as flags.
pub(crate) fn flags(thread: u32, address: u64) -> io::Result<u64> {
    Ok(u64::from_ne_bytes(word(thread, address)?))
}

/// A `struct timespec`; `None` of one that is no duration.
pub(crate) fn duration(thread: u32, address: u64) -> io::Result<Option<Duration>> {
    let [seconds, nanoseconds] = [word(thread, address)?, word(thread, address + 8)?].map(i64::from_ne_bytes);
    let whole = u64::try_from(seconds).ok().zip(u32::try_from(nanoseconds).ok());
    Ok(whole.map(|(seconds, nanoseconds)| Duration::new(seconds, nanoseconds)))
}

/// The bytes of a list of `struct iovec`, up to `limit`, and how many there are in all.
pub(crate) fn scattered(thread: u32, address: u64, count: u64, limit: usize) -> io::Result<(Vec<u8>, u64)> {
    let (mut all, mut total) = (Vec::new(), 0_u64);
    for index in 0..count.min(1024) {
        let base = u64::from_ne_bytes(word(thread, address + 16 * index)?);
        let length = u64::from_ne_bytes(word(thread, address + 16 * index + 8)?);
        let room = limit.saturating_sub(all.len()).min(usize::try_from(length).unwrap_or(usize::MAX));
        if room > 0 {
            all.extend(bytes(thread, base, room)?);
        }
        total += length;
    }
    Ok((all, total))
}

/// The link that the kernel shows for a descriptor: a path, or `pipe:[…]` and the like.
pub(crate) fn link_of(process: u32, descriptor: i32) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/{process}/fd/{descriptor}"))
}

/// Which file a descriptor is of.
pub(crate) fn id_of(process: u32, descriptor: i32) -> io::Result<FileId> {
    fs::metadata(format!("/proc/{process}/fd/{descriptor}")).map(|found| id(&found))
}

fn id(metadata: &fs::Metadata) -> FileId {
    FileId { device: metadata.dev(), inode: metadata.ino() }
}

/// A path of a process, from the root.
pub(crate) fn absolute(process: u32, directory: i32, path: PathBuf) -> PathBuf {
    if path.is_absolute() {
        return path;
    }
    let base = match directory {
        libc::AT_FDCWD => fs::read_link(format!("/proc/{process}/cwd")),
        descriptor => link_of(process, descriptor),
    };
    match base {
        Ok(base) if path.as_os_str().is_empty() => base,
        Ok(base) => base.join(path),
        Err(_) => path,
    }
}

/// The file that such a path stands for. `follow` a symbolic link at its end, or not.
pub(crate) fn resolve(process: u32, path: PathBuf, elsewhere: bool, follow: bool) -> FileRef {
    // A process that has changed its root sees other files at our paths.
    let seen =
        elsewhere.then(|| Path::new(&format!("/proc/{process}/root")).join(path.strip_prefix("/").unwrap_or(&path)));
    let seen = seen.as_ref().unwrap_or(&path);
    let found = if follow { fs::metadata(seen) } else { fs::symlink_metadata(seen) };
    FileRef { id: found.ok().map(|found| id(&found)), path }
}
