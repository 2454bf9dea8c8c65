//! The worker processes of the tests: the hook that the `lockproof` command calls at its start, and nothing else.

fn main() {
    lockproof_harness::worker::run_if_asked();
    eprintln!("lockproof-worker is started by the harness, not by hand; see `lockproof_harness::worker`");
    std::process::exit(2);
}
