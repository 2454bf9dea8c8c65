//! Who holds and who awaits the locks of a store at a moment, and what each of them is doing.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::kernel;

/// A line for each lock below `base`, then one for each thread of those who hold or await one: its state (proc_pid_stat(5)),
/// the function of the kernel that it sleeps in (proc_pid_wchan(5)), and its system call (proc_pid_syscall(5)).
pub(super) fn of(base: &Path) -> Vec<String> {
    let files = files_below(base);
    let locks = match kernel::anyones() {
        Ok(locks) => locks,
        Err(error) => return vec![error.to_string()],
    };
    let (mut lines, mut pids) = (Vec::new(), BTreeSet::new());
    for lock in locks {
        let Some((_, file)) = files.iter().find(|(inode, _)| *inode == lock.inode) else { continue };
        let file = file.strip_prefix(base).unwrap_or(file).display().to_string();
        let does = if lock.waits { "awaits" } else { "holds" };
        lines.push(format!("{} {does} {file}, {:?}", who(lock.pid), lock.mode).to_lowercase());
        pids.insert(lock.pid);
    }
    lines.extend(pids.into_iter().flat_map(threads));
    lines
}

/// The regular files below a folder, by inode. What goes away meanwhile is left out.
fn files_below(folder: &Path) -> Vec<(u64, PathBuf)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => found.extend(files_below(&entry.path())),
            Ok(metadata) => found.push((metadata.ino(), entry.path())),
            Err(_) => {}
        }
    }
    found
}

fn who(pid: i64) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("process {pid} ({})", name.trim())
}

fn threads(pid: i64) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let line = |task: fs::DirEntry| {
        let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default().trim().to_owned();
        let stat = read("stat");
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next()).unwrap_or("gone");
        let call = read("syscall").split_whitespace().take(4).collect::<Vec<_>>().join(" ");
        format!("process {pid}, thread {}: {state}, {}, system call {call}", task.file_name().display(), read("wchan"))
    };
    tasks.map(line).collect()
}
