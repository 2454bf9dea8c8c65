//! The command `export`, as its user meets it. What SPIN makes of its text: `spin.rs`.

mod common;

use common::{lockproof, says, stderr};

#[test]
fn it_writes_to_stdout_or_into_a_file_and_the_head_says_what_to_type() {
    let arguments = ["export", "stale-ro-cache-after-rw-write", "-p", "pr_473", "--to", "promela"];
    let text = says(&arguments, 0);
    let head = "/* stale-ro-cache-after-rw-write under pr_473: A read-only cache goes stale after a write of the same process\n";
    assert!(text.starts_with(head), "{}", &text[..200]);
    assert!(text.contains(" *   fresh                 spin -a -DFRESH\n"));
    assert!(text.contains(" *   ordered               it joins the orders of locks of different runs\n"));
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("d14.pml").display().to_string();
    assert_eq!(says(&[&arguments[..], &["-o", &file]].concat(), 0), "");
    assert_eq!(std::fs::read_to_string(&file).expect("it is written"), text);
}

#[test]
fn what_cannot_be_exported_is_wrong_use_with_the_list() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("many.toml");
    let scenario = "name = \"many\"\ntitle = \"Five that read\"\nproperties = [\"fresh\"]\n[[process]]\ncount = 5\n\
                    [[process.thread]]\ncalls = [\"layers\"]\n[[process]]\nruns = 2\n[[process.thread]]\ncalls = [\"status\"]\n\
                    [[process.thread]]\ncalls = [\"status\"]\n";
    std::fs::write(&file, scenario).expect("a file");
    let output = lockproof(&["export", &file.display().to_string(), "-p", "v1_24", "--to", "promela"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let said = stderr(&output);
    for feature in ["more than 4 processes", "a process of several threads that is started"] {
        assert!(said.contains(feature), "{said}");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let arguments = ["export", "abba-layer-locks", "-p", "v1_24", "--to", "promela", "-o", "/no/such/folder/abba.pml"];
    let output = lockproof(&arguments);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("/no/such/folder/abba.pml"), "{}", stderr(&output));
}
