//! The store that a run of a system starts with.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path as FsPath;

use lockproof_model::op::Path;
use lockproof_model::system::System;

use crate::disk::Disk;
use crate::error::HarnessError;
use crate::stamps::Bytes;

/// Makes the directories, aliases (as symbolic links), documents, stamps, and files whose time is kept. Returns the
/// stamps.
pub(crate) fn lay_out(system: &System, base: &FsPath) -> Result<Vec<(Path, Bytes)>, HarnessError> {
    for directory in ["root", "run"] {
        make(&base.join(directory))?;
    }
    for (alias, target) in &system.aliases {
        let (from, to) = (base.join(&alias.0), base.join(&target.0));
        let is_file = target.file_name().contains('.');
        make(if is_file { to.parent().unwrap_or(base) } else { &to })?;
        make(from.parent().unwrap_or(base))?;
        symlink(&to, &from).map_err(HarnessError::io("link", from))?;
    }
    let disk = Disk::new(base)?;
    for (path, value) in &system.documents {
        disk.put(path, value)?;
    }
    for path in system.timed() {
        if !path.is_document() {
            disk.touch(&path)?;
        }
    }
    system.stamped.iter().map(|file| Ok((file.clone(), disk.put_stamp(file)?))).collect()
}

fn make(directory: &FsPath) -> Result<(), HarnessError> {
    fs::create_dir_all(directory).map_err(HarnessError::io("make", directory))
}
