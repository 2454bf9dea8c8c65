//! `fuzz`: random scenarios, on which every engine checks the others.

use std::fmt::Write as _;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lockproof_fuzz::campaign::{Campaign, Progress};
use lockproof_fuzz::compare::{Limits, compare};
use lockproof_fuzz::corpus::Corpus;
use lockproof_fuzz::tally::Tally;
use lockproof_model::protocol;

use crate::args::FuzzArgs;
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::select;
use crate::ticker::Ticker;

/// In a pipe, a line of progress every so often.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Whether no two engines disagree.
pub(crate) fn run(args: &FuzzArgs, output: &Output) -> Result<bool, CliError> {
    if args.scenarios.is_empty() { random(args, output) } else { given(&args.scenarios, output) }
}

/// The scenarios that were named instead of random ones.
fn given(names: &[String], output: &Output) -> Result<bool, CliError> {
    let (mut tally, mut all_agree) = (Tally::default(), true);
    for scenario in select::scenarios(names)? {
        let comparison = compare(&scenario, &protocol::all(), &Limits::NIGHT, &|| false);
        tally.add(&comparison);
        let mut text = String::new();
        if comparison.disagreements.is_empty() {
            let _ = writeln!(text, "✓ {}: no two engines disagree", scenario.name);
        } else {
            all_agree = false;
            let _ = writeln!(text, "✗ {}: engines disagree", scenario.name);
            comparison.disagreements.iter().for_each(|what| output.wrap(&mut text, "  ", what));
        }
        output.print(&text)?;
    }
    output.print(&format!("\n{tally}\n"))?;
    Ok(all_agree)
}

fn random(args: &FuzzArgs, output: &Output) -> Result<bool, CliError> {
    let protocols = protocol::all();
    let corpus = args.corpus.clone().unwrap_or_default();
    let corpus = Corpus::open(&corpus, args.seed, &protocols).map_err(CliError::CorpusOpen)?;
    for damaged in corpus.damaged() {
        output.tell(&format!("warning: {damaged}"));
    }
    let (seed, first, kept) = (args.seed, corpus.position(), corpus.scenarios().len());
    output.tell(&format!("seed {seed}, from scenario {first} on, with {kept} in the corpus"));
    let interrupt = Interrupt::catch();
    let end = Instant::now() + args.duration;
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let latest: Arc<Mutex<Progress>> = Arc::default();
    let shown = Arc::clone(&latest);
    let line = move |elapsed| line(&shown.lock().unwrap_or_else(PoisonError::into_inner), elapsed);
    let ticker = Ticker::start(line, Some(LINE_EVERY));
    let campaign = Campaign {
        protocols: &protocols,
        jobs: args.jobs.map_or(cores, usize::from),
        compare: &|scenario, stop| compare(scenario, &protocols, &Limits::NIGHT, stop),
        stop: &|| Instant::now() >= end || interrupt.has_come(),
        progress: &|progress| latest.lock().unwrap_or_else(PoisonError::into_inner).clone_from(progress),
    };
    let progress = campaign.run(corpus).map_err(CliError::Corpus)?;
    drop(ticker);
    output.print(&summary(&progress, args.seed))?;
    if progress.failures.is_empty() {
        interrupt.obey();
    }
    Ok(progress.failures.is_empty())
}

fn line(progress: &Progress, elapsed: Duration) -> String {
    let (scenarios, found) = (progress.tally.scenarios, progress.failures.len());
    let found = match found {
        0 => "no disagreement".to_owned(),
        1 => "1 disagreement".to_owned(),
        _ => format!("{found} disagreements"),
    };
    let (seconds, corpus) = (elapsed.as_secs(), progress.corpus);
    format!("{scenarios} scenarios in {seconds} s, at number {}, {corpus} in the corpus; {found}", progress.next)
}

fn summary(progress: &Progress, seed: u64) -> String {
    let Progress { first, next, tally, mutations, corpus, new, failures, repaired } = progress;
    let mut text = format!("{tally}\n\n");
    let _ = writeln!(
        text,
        "seed {seed}: from number {first} to before {next}; {mutations} were changed ones of the corpus"
    );
    let _ = writeln!(text, "corpus: {corpus} scenarios, {new} of them new");
    if !repaired.is_empty() {
        let _ = writeln!(text, "{} earlier failures agree now, and their files are gone", repaired.len());
    }
    if failures.is_empty() {
        text.push_str("✓ no two engines disagree\n");
    } else {
        let _ = writeln!(text, "✗ engines disagree; see it again:");
        for path in failures {
            let _ = writeln!(text, "  lockproof fuzz {}", path.display());
        }
    }
    text
}
