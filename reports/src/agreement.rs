//! Whether the engines agree. Two of them that both have an answer, and not the same, contradict each other: one is wrong.

use std::collections::HashMap;

use lockproof_model::property::Property;
use lockproof_model::verdict::Verdict;

use crate::row::{self, Refusal, Row, Verdicts, judges};

/// A property of a scenario under a protocol, and what each engine says of it.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The scenario's name.
    pub scenario: &'a str,
    /// The protocol's name.
    pub protocol: &'a str,
    /// The property.
    pub property: Property,
    /// The verdicts of the engines, and what real processes did again.
    pub rows: Vec<&'a Row>,
    /// Those that have no means to judge it.
    pub refused: Vec<&'a Refusal>,
}

impl<'a> Question<'a> {
    /// The engines' answers: their verdicts but those that leave it open.
    pub fn answers(&self) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().copied().filter(|row| judges(&row.engine) && row.verdict.is_decided())
    }

    /// Whether two engines or more have an answer.
    #[must_use]
    pub fn is_compared(&self) -> bool {
        self.answers().count() > 1
    }

    /// Whether two answers differ.
    #[must_use]
    pub fn is_contradicted(&self) -> bool {
        let mut answers = self.answers();
        answers.next().is_some_and(|first| answers.any(|other| other.verdict != first.verdict))
    }

    /// Whether an engine has met a run that settles it, so that those who left it open have missed that run.
    fn is_shown(&self) -> bool {
        self.answers().any(|row| row.verdict.is_shown_by_a_run(self.property))
    }

    /// What asks the same engines again.
    #[must_use]
    pub fn command(&self, options: &str) -> String {
        let engines: Vec<&str> = self.answers().map(|row| row.engine.as_str()).collect();
        let argument = self.rows.first().map_or(self.scenario, |row| &row.argument);
        let gap = if options.is_empty() { "" } else { " " };
        format!(
            "lockproof check {argument} -p {} --property {} --engine {}{gap}{options}",
            self.protocol,
            self.property,
            engines.join(",")
        )
    }

    /// `explore says violated, loom says proved`.
    #[must_use]
    pub fn contradiction(&self) -> String {
        let said: Vec<String> =
            self.answers().map(|row| format!("{} says {}", row.engine, row.verdict.name())).collect();
        said.join(", ")
    }
}

/// What one engine came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// The engine.
    pub engine: String,
    /// Its answers.
    pub decided: usize,
    /// Its verdicts that hold within a bound.
    pub bounded: usize,
    /// Its verdicts that rest on a sample.
    pub sampled: usize,
    /// Its searches that were cut, a verdict each.
    pub cut: usize,
    /// Of those that it left open, how many another engine has settled by a run.
    pub missed: usize,
    /// What it did not judge.
    pub refused: usize,
    /// Distinct states.
    pub states: u64,
    /// Schedules that were run one by one.
    pub schedules: u64,
    /// How long it worked.
    pub seconds: f64,
}

/// The engines of a check that judge, each once, in the order in which they come; without real processes.
#[must_use]
pub fn engines(verdicts: &Verdicts) -> Vec<&str> {
    let mut engines = row::distinct(&verdicts.rows, |row| &row.engine);
    engines.retain(|engine| judges(engine));
    for refusal in verdicts.refused.iter().filter(|refusal| judges(&refusal.engine)) {
        if !engines.contains(&&*refusal.engine) {
            engines.push(&refusal.engine);
        }
    }
    engines
}

/// What was asked: scenario by scenario, property by property, in the order in which each was first answered.
#[must_use]
pub fn questions(verdicts: &Verdicts) -> Vec<Question<'_>> {
    let mut questions = Questions::default();
    for row in &verdicts.rows {
        questions.about(&row.scenario, &row.protocol, row.property).rows.push(row);
    }
    for refusal in &verdicts.refused {
        questions.about(&refusal.scenario, &refusal.protocol, refusal.property).refused.push(refusal);
    }
    questions.in_order()
}

/// Questions, and where each of them is.
#[derive(Default)]
struct Questions<'a> {
    all: Vec<Question<'a>>,
    places: HashMap<(&'a str, &'a str, Property), usize>,
}

impl<'a> Questions<'a> {
    fn about(&mut self, scenario: &'a str, protocol: &'a str, property: Property) -> &mut Question<'a> {
        let next = self.all.len();
        let place = *self.places.entry((scenario, protocol, property)).or_insert(next);
        if place == next {
            self.all.push(Question { scenario, protocol, property, rows: Vec::new(), refused: Vec::new() });
        }
        &mut self.all[place]
    }

    fn in_order(mut self) -> Vec<Question<'a>> {
        let mut scenarios = HashMap::new();
        let mut properties = HashMap::new();
        for (place, question) in self.all.iter().enumerate() {
            scenarios.entry(question.scenario).or_insert(place);
            properties.entry((question.scenario, question.property)).or_insert(place);
        }
        self.all.sort_by_key(|question| {
            (scenarios[question.scenario], properties[&(question.scenario, question.property)])
        });
        self.all
    }
}

/// What each engine came to.
#[must_use]
pub fn tallies(verdicts: &Verdicts) -> Vec<Tally> {
    let questions = questions(verdicts);
    let tally = |engine: &str| {
        let mut tally = Tally { engine: engine.to_owned(), ..Tally::default() };
        for question in &questions {
            tally.refused += question.refused.iter().filter(|refusal| refusal.engine == engine).count();
            for row in question.rows.iter().filter(|row| row.engine == engine) {
                *match row.verdict {
                    Verdict::Proved | Verdict::Violated => &mut tally.decided,
                    Verdict::Bounded(_) => &mut tally.bounded,
                    Verdict::Sampled(_) => &mut tally.sampled,
                    Verdict::Cut(_) => &mut tally.cut,
                } += 1;
                tally.missed += usize::from(!row.verdict.is_decided() && question.is_shown());
            }
        }
        for row in crate::summary::searches(verdicts.rows.iter().filter(|row| row.engine == engine)) {
            tally.states = tally.states.saturating_add(row.states);
            tally.schedules = tally.schedules.saturating_add(row.schedules);
            tally.seconds += row.seconds;
        }
        tally
    };
    engines(verdicts).into_iter().map(tally).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn what_is_left_open_contradicts_nothing() {
        let verdicts = samples::by_three_engines();
        let questions = questions(&verdicts);
        assert_eq!(questions.len(), 7);
        assert_eq!(questions.iter().filter(|question| question.is_compared()).count(), 3);
        let contradicted: Vec<String> =
            questions.iter().filter(|question| question.is_contradicted()).map(Question::contradiction).collect();
        assert_eq!(contradicted, ["explore says proved, loom says violated"]);
    }

    #[test]
    fn a_tally_says_what_was_missed() {
        let tallies = tallies(&samples::by_three_engines());
        let told: Vec<_> = tallies
            .iter()
            .map(|tally| (tally.engine.as_str(), tally.decided, tally.sampled, tally.cut, tally.missed, tally.refused))
            .collect();
        assert_eq!(told, [("explore", 7, 0, 0, 0, 0), ("loom", 3, 0, 1, 0, 3), ("shuttle", 1, 3, 0, 1, 3)]);
    }
}
