//! A campaign finds, makes small, saves and goes on. What compares here is wrong on purpose: to it, a scenario fails in
//! which a layer is deleted.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use lockproof_fuzz::campaign::{Campaign, Progress};
use lockproof_fuzz::compare::{Comparison, Reach};
use lockproof_fuzz::corpus::{Corpus, CorpusError};
use lockproof_model::call::Call;
use lockproof_model::protocol;
use lockproof_scenarios::{Scenario, load};

fn deletes(scenario: &Scenario) -> bool {
    let scripts = scenario.kinds.iter().flat_map(|kind| {
        let threads = kind.threads.iter().map(|thread| &thread.script);
        threads.chain([&kind.before])
    });
    scripts.flatten().any(|call| matches!(call, Call::DeleteLayer { .. }))
}

/// Sees the first call of the first process; `wrong` about deletions.
fn comparison(scenario: &Scenario, wrong: bool) -> Comparison {
    let mut comparison = Comparison::default();
    comparison.reached.insert("a wrong engine", Reach::Finished);
    comparison.seen.extend(scenario.kinds[0].threads[0].script.first().map(|call| call.name().to_owned()));
    if wrong && deletes(scenario) {
        comparison.disagreements.push("one says that a layer may be deleted,\nanother one that it may not".into());
    }
    comparison
}

/// Runs until `scenarios` are compared that were not asked for to make another smaller.
fn run(folder: &Path, jobs: usize, scenarios: u64, wrong: bool) -> Progress {
    let protocols = protocol::all();
    let done = AtomicUsize::new(0);
    let campaign = Campaign {
        protocols: &protocols,
        jobs,
        compare: &|scenario, _| comparison(scenario, wrong),
        stop: &|| done.load(Ordering::Relaxed) as u64 >= scenarios,
        progress: &|progress| done.store(progress.tally.scenarios as usize, Ordering::Relaxed),
    };
    campaign.run(Corpus::open(folder, 5, &protocols).expect("a corpus")).expect("a folder that can be written")
}

fn files(folder: &Path, part: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        folder.join(part).read_dir().expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

#[test]
fn what_fails_is_saved_as_the_smallest_scenario_and_is_gone_once_it_is_repaired() {
    let folder = tempfile::tempdir().expect("a folder");
    let progress = run(folder.path(), 1, 200, true);
    assert_eq!((progress.first, progress.next, progress.tally.scenarios), (0, 200, 200));
    assert_eq!(progress.tally.count("a wrong engine", Reach::Finished), 200);
    assert!(progress.mutations > 50, "{}", progress.mutations);
    // One for each property that may be left.
    let failures = files(folder.path(), "failures");
    assert!(!failures.is_empty() && failures.len() <= lockproof_model::property::Property::ALL.len() * 3);
    assert_eq!(progress.failures.iter().cloned().collect::<Vec<_>>(), failures);
    for path in &failures {
        let scenario = load(path, &protocol::all()).expect("a scenario");
        assert!(deletes(&scenario));
        // The deletion, and what makes the layer that is deleted.
        let calls =
            scenario.kinds.iter().flat_map(|kind| &kind.threads).map(|thread| thread.script.len()).sum::<usize>();
        assert!(calls <= 2 && scenario.properties.len() == 1, "{}", scenario.text);
        assert_eq!(path.file_stem().and_then(|stem| stem.to_str()), Some(scenario.name.as_str()));
    }
    let shown = fs::read_to_string(&failures[0]).expect("a file");
    let comments: Vec<&str> = shown.lines().take_while(|line| line.starts_with('#')).collect();
    assert!(comments[0].starts_with("# Two engines disagree about this scenario (seed 5, number "), "{shown}");
    assert_eq!(comments[1..3], ["# - one says that a layer may be deleted,", "# - another one that it may not"]);
    assert!(comments[3].starts_with("# See it again: `lockproof fuzz random-"), "{shown}");

    // It still fails, and no new ones come of that; then it is repaired.
    assert_eq!(run(folder.path(), 1, 0, true).failures.iter().cloned().collect::<Vec<_>>(), failures);
    let repaired = run(folder.path(), 1, 1, false);
    assert_eq!((repaired.first, repaired.repaired, repaired.failures.len()), (200, failures, 0));
    assert!(files(folder.path(), "failures").is_empty());
}

#[test]
fn a_corpus_keeps_one_scenario_for_each_thing_that_was_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = run(folder.path(), 1, 300, false);
    assert_eq!(first.new, first.corpus);
    assert_eq!(files(folder.path(), "scenarios").len(), first.corpus);
    assert!((10..=23).contains(&first.corpus), "a call each: {}", first.corpus);
    let second = run(folder.path(), 1, 300, false);
    assert_eq!((second.first, second.corpus), (300, first.corpus + second.new));
    assert!(second.new < first.new);
}

#[test]
fn several_jobs_do_each_scenario_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let progress = run(folder.path(), 4, 100, true);
    // Those that were under way when it was stopped are the first of the next run.
    assert!((50..=progress.tally.scenarios).contains(&progress.next), "{}", progress.next);
    assert_eq!(run(folder.path(), 4, 1, true).first, progress.next);
}

#[test]
fn an_engine_that_panics_is_a_finding() {
    let folder = tempfile::tempdir().expect("a folder");
    let protocols = protocol::all();
    let done = AtomicUsize::new(0);
    let campaign = Campaign {
        protocols: &protocols,
        jobs: 1,
        compare: &|scenario, _| {
            if deletes(scenario) { panic!("out of {}", "luck") } else { comparison(scenario, false) }
        },
        stop: &|| done.load(Ordering::Relaxed) >= 100,
        progress: &|progress| done.store(progress.tally.scenarios as usize, Ordering::Relaxed),
    };
    let corpus = Corpus::open(folder.path(), 5, &protocols).expect("a corpus");
    let progress = campaign.run(corpus).expect("a folder that can be written");
    let path = progress.failures.first().expect("a failure");
    assert!(fs::read_to_string(path).expect("a file").contains("# - an engine panics: out of luck\n"));
}

#[test]
fn a_corpus_that_is_in_use_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = Corpus::open(folder.path(), 1, &protocol::all()).expect("a corpus");
    let second = Corpus::open(folder.path(), 2, &protocol::all());
    assert!(matches!(second, Err(CorpusError::InUse(_))), "{second:?}");
    drop(first);
    Corpus::open(folder.path(), 2, &protocol::all()).expect("it is free again");
}

#[test]
fn what_is_damaged_is_set_aside_and_told() {
    let folder = tempfile::tempdir().expect("a folder");
    run(folder.path(), 1, 100, true);
    let (scenario, failure) = (&files(folder.path(), "scenarios")[0], &files(folder.path(), "failures")[0]);
    fs::write(scenario, "name = \"half").expect("a file");
    fs::write(failure, [0xff, 0xfe]).expect("a file");
    fs::write(folder.path().join("position-5.toml"), "next = many\n").expect("a file");
    fs::write(scenario.with_extension("unfinished"), "name").expect("a file");
    let corpus = Corpus::open(folder.path(), 5, &protocol::all()).expect("a corpus");
    assert_eq!((corpus.position(), corpus.damaged().len()), (0, 3), "{:?}", corpus.damaged());
    assert!(corpus.damaged()[0].contains("position-5.toml could not be read (it holds no number)"));
    assert!(corpus.damaged()[2].contains("could not be read ("), "{:?}", corpus.damaged());
    assert_eq!(files(folder.path(), "damaged").len(), 3);
    assert!(!scenario.exists() && !failure.exists() && !scenario.with_extension("unfinished").exists());
    assert_eq!(files(folder.path(), "scenarios").len(), corpus.scenarios().len());
}
