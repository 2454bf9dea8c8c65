//! Files that are whole at any time, whenever the process or the machine stops.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// How files are called that are not whole yet.
const UNFINISHED: &str = "unfinished";

/// Puts `text` in place of what `path` held: rename(2) does it in one step, once the new contents are on disk.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    // Two threads may write one file, with the same contents.
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let unfinished = path.with_extension(format!("{}.{UNFINISHED}", WRITTEN.fetch_add(1, Ordering::Relaxed)));
    let mut file = File::create(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    // The name is on disk once the folder is.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// The files of `folder` whose names end with `.toml`, in their order. What a process that was killed left unfinished is
/// removed.
pub(crate) fn scenarios(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some(UNFINISHED) => fs::remove_file(&path)?,
            Some("toml") => found.push(path),
            _ => {}
        }
    }
    found.sort();
    Ok(found)
}
