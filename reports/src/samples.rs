//! Rows for tests.

use lockproof_model::property::Property;
use lockproof_model::verdict::Verdict;

use crate::row::{PROCESSES, Refusal, Row, Verdicts};

/// A verdict that is as expected.
pub(crate) fn row(scenario: &str, property: Property, protocol: &str, verdict: Verdict) -> Row {
    let expected = Some(verdict.name().to_owned());
    let schedule = (verdict == Verdict::Violated).then(|| "lk1:A2.B.Ab.A_1.kB~B3-d30dbf84".to_owned());
    Row {
        scenario: scenario.into(),
        argument: scenario.into(),
        protocol: protocol.into(),
        property,
        engine: "explore".into(),
        verdict,
        expected,
        as_expected: true,
        states: 1234,
        schedules: 0,
        seconds: 0.125,
        strategy: None,
        seed: None,
        missed_max: None,
        schedule,
        own_schedule: None,
        found_by: None,
        detail: String::new(),
        remarks: Vec::new(),
    }
}

/// What a check of three scenarios may come to, all as expected.
pub(crate) fn expected() -> Vec<Row> {
    use Property::{Exclusive, Fresh, NoDeadlock, NoStarvationStrong};
    use Verdict::{Proved, Violated};
    let mut rows = Vec::new();
    let mut add = |scenario: &str, property, verdicts: [Verdict; 4]| {
        let protocols = ["v1_24", "pr_473", "one_way_upgrade", "per_layer_locks"];
        for (protocol, verdict) in protocols.into_iter().zip(verdicts) {
            rows.push(row(scenario, property, protocol, verdict));
        }
    };
    add("stale-ro-cache-after-rw-write", Fresh, [Proved, Violated, Proved, Proved]);
    add("stale-ro-cache-after-rw-write", Exclusive, [Violated, Violated, Proved, Violated]);
    add("writer-starvation", NoStarvationStrong, [Violated, Violated, Violated, Violated]);
    add("abba-layer-locks", NoDeadlock, [Proved, Proved, Proved, Violated]);
    rows
}

/// The same, with surprises: real processes, a cut search, a verdict that nobody expected.
pub(crate) fn surprising() -> Vec<Row> {
    let mut rows = expected();
    rows[2].verdict = Verdict::Violated;
    rows[2].as_expected = false;
    rows[2].schedule = Some("lk1:A41-5d0a7f11".into());
    rows[2].detail = "names returned [] and the document held [base, foo] all the while".into();
    rows[2].remarks = vec!["D8".into(), "D14".into()];
    rows[15].verdict = Verdict::Cut("20 000 000 states".into());
    rows[15].as_expected = false;
    rows[15].schedule = None;
    let mut again = row("stale-ro-cache-after-rw-write", Property::Fresh, "pr_473", Verdict::Violated);
    (again.engine, again.found_by) = (PROCESSES.into(), Some("explore".into()));
    (again.states, again.schedules) = (0, 1);
    rows.push(again);
    let mut bounded = row("other", Property::NoPanic, "copy_then_unlock", Verdict::Bounded("2 preemptions".into()));
    bounded.expected = None;
    rows.push(bounded);
    rows
}

/// What three engines may say of three scenarios: one contradicts another, one misses what another finds, two refuse.
pub(crate) fn by_three_engines() -> Verdicts {
    use Property::{Exclusive, Fresh, NoDeadlock, NoStarvationStrong};
    use Verdict::{Cut, Proved, Sampled, Violated};
    let sampled = || Sampled("1 000 schedules".into());
    let mut verdicts = Verdicts::default();
    let mut by = |engine: &str, scenario: &str, property, protocol: &str, verdict: Verdict| {
        let mut row = row(scenario, property, protocol, verdict);
        row.engine = engine.into();
        if engine != "explore" {
            (row.states, row.schedules) = (0, if engine == "loom" { 2606 } else { 1000 });
        }
        if !row.verdict.is_decided() {
            row.expected = Some("proved".into());
        }
        if engine == "shuttle" {
            (row.strategy, row.seed) = (Some("pct, depth 3".into()), Some(1));
            row.own_schedule = row.schedule.as_ref().map(|_| "910108e9ba".into());
        }
        if engine == PROCESSES {
            (row.schedules, row.found_by) = (1, Some("explore".into()));
        }
        verdicts.rows.push(row);
    };
    let stale = "stale-ro-cache-after-rw-write";
    for (engine, v1_24, pr_473) in
        [("explore", Proved, Violated), ("loom", Proved, Violated), ("shuttle", sampled(), Violated)]
    {
        by(engine, stale, Fresh, "v1_24", v1_24);
        by(engine, stale, Fresh, "pr_473", pr_473);
    }
    by(PROCESSES, stale, Fresh, "pr_473", Violated);
    by("explore", stale, Exclusive, "v1_24", Proved);
    by("loom", stale, Exclusive, "v1_24", Violated);
    by("explore", "abba-layer-locks", NoDeadlock, "v1_24", Proved);
    by("loom", "abba-layer-locks", NoDeadlock, "v1_24", Cut("more than 5 000 executions".into()));
    by("shuttle", "abba-layer-locks", NoDeadlock, "v1_24", sampled());
    by("explore", "abba-layer-locks", NoDeadlock, "per_layer_locks", Violated);
    by("shuttle", "abba-layer-locks", NoDeadlock, "per_layer_locks", sampled());
    for protocol in ["v1_24", "pr_473"] {
        by("explore", "writer-starvation", NoStarvationStrong, protocol, Violated);
    }
    let mut refuse = |engine: &str, scenario: &str, property, protocol: &str, why: &str| {
        verdicts.refused.push(Refusal {
            scenario: scenario.into(),
            protocol: protocol.into(),
            property,
            engine: engine.into(),
            why: why.into(),
        });
    };
    refuse("loom", "abba-layer-locks", NoDeadlock, "per_layer_locks", "it has 6 threads, and loom has room for 5");
    refuse("shuttle", stale, Exclusive, "v1_24", "it does not judge exclusive");
    for protocol in ["v1_24", "pr_473"] {
        for engine in ["loom", "shuttle"] {
            let why = "it judges finite runs, and no-starvation-strong is about endless ones";
            refuse(engine, "writer-starvation", NoStarvationStrong, protocol, why);
        }
    }
    verdicts
}
