//! A program of the tests: it does what its arguments say, one after the other, and prints what came of its requests.
//!
//! `shared FILE`, `exclusive FILE`: asks for the lock, waiting; prints `granted` or `deadlock`. `try FILE`: the exclusive
//! lock, now or not at all; prints `granted` or `busy`. `close FILE`: closes it. `probe FILE`: opens and closes it. `status
//! FILE TIMES`: asks for its status so often; `measure FILE`: for that of one that is open, by its descriptor. `write FILE`,
//! `directory DIRECTORY`: makes it. `rename FILE FILE`. `await FILE`: waits until it is there. `beside A,B,…`: starts another
//! that does the words between the commas. `join`: waits for those. `sleep`: for ever. `wake FILE FILE FILE TIMES`: again and
//! again asks thrice for the status of the last, wakes a second thread, which asks for that of the first, and asks for that of
//! the second itself; `poll FILE FILE FILE TIMES`: the same, by a pipe that the second thread polls. As a store it is given a
//! directory with `--graph`, to work in, and is asked for its `layers` and the like, of which it has none, and to create and
//! delete one, which it says that it has.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use lockproof_harness::sys::{Request, set_lock};
use lockproof_model::op::{LockResult, Mode};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

fn main() {
    let mut words = std::env::args().skip(1);
    let mut open: HashMap<String, File> = HashMap::new();
    let mut beside: Vec<Child> = Vec::new();
    while let Some(word) = words.next() {
        let mut argument = || words.next().expect("a word after this one");
        match word.as_str() {
            "shared" => request(&mut open, argument(), Mode::Shared, Request::Wait),
            "exclusive" => request(&mut open, argument(), Mode::Exclusive, Request::Wait),
            "try" => request(&mut open, argument(), Mode::Exclusive, Request::Try),
            "close" => drop(open.remove(&argument())),
            "probe" => drop(file(&argument())),
            "status" => {
                let (name, times) = (argument(), argument());
                for _ in 0..times.parse::<u64>().expect("a number of times") {
                    let _ = std::fs::metadata(&name);
                }
            }
            "measure" => drop(open[&argument()].metadata()),
            "write" => drop(file(&argument())),
            "directory" => std::fs::create_dir_all(argument()).expect("a directory"),
            "rename" => {
                let (from, to) = (argument(), argument());
                std::fs::rename(from, to).expect("a file");
            }
            "await" => {
                let name = argument();
                while !Path::new(&name).exists() {
                    thread::sleep(Duration::from_millis(1));
                }
            }
            "beside" => {
                let program = std::env::current_exe().expect("our own program");
                let script = argument();
                beside.push(Command::new(program).args(script.split(',')).spawn().expect("our own program"));
            }
            "--graph" => {
                let directory = argument();
                std::fs::create_dir_all(&directory)
                    .and_then(|()| std::env::set_current_dir(&directory))
                    .expect("a directory");
            }
            "--run" | "--storage-driver" => drop(argument()),
            "layers" | "images" | "containers" | "create-layer" => {}
            "-i" | "delete-layer" => drop(argument()),
            "join" => {
                for mut child in beside.drain(..) {
                    child.wait().expect("a child of ours");
                }
            }
            way @ ("wake" | "poll") => {
                let [woken, waker, alone] = [argument(), argument(), argument()];
                wake(way == "poll", &woken, &waker, &alone, argument().parse().expect("a number of times"));
            }
            "sleep" => loop {
                thread::park();
            },
            other => panic!("there is no {other:?}"),
        }
    }
    // Whatever is open is closed by the end of the process.
    std::process::exit(0);
}

fn wake(by_pipe: bool, woken: &str, waker: &str, alone: &str, times: u32) {
    let status = |name: &str| drop(std::fs::metadata(name));
    let ((order, orders), (done, ends)) = (channel(), channel());
    let (from, mut into) = std::io::pipe().expect("a pipe");
    thread::scope(|scope| {
        scope.spawn(move || {
            let waits = || match by_pipe {
                true => poll(&mut [PollFd::new(from.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).is_ok(),
                false => orders.recv().is_ok(),
            };
            for _ in 0..times {
                assert!(waits());
                if by_pipe {
                    (&from).read_exact(&mut [0]).expect("what was written");
                }
                status(woken);
                done.send(()).expect("somebody who waits for it");
            }
        });
        for _ in 0..times {
            (0..3).for_each(|_| status(alone));
            match by_pipe {
                true => into.write_all(&[0]).expect("a pipe with room"),
                false => order.send(()).expect("a thread that waits for it"),
            }
            status(waker);
            ends.recv().expect("an end");
        }
    });
}

fn file(name: &str) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(name).expect("a file")
}

fn request(open: &mut HashMap<String, File>, name: String, mode: Mode, how: Request) {
    let file = open.entry(name.clone()).or_insert_with(|| file(&name));
    let result = match set_lock(&*file, mode, how).expect("an answer") {
        LockResult::Granted => "granted",
        LockResult::WouldBlock => "busy",
        LockResult::Deadlock => "deadlock",
    };
    println!("{result}");
}
