//! The explorer, as the command line asks for it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lockproof_model::explore;
use lockproof_model::property::Property;
use lockproof_model::step::ModelError;
use lockproof_model::system::System;

use super::{EngineArgs, Judged, Said};

/// How every search of a check is done.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    options: explore::Options,
    time_max: Option<Duration>,
}

impl Limits {
    /// What the command line says, and otherwise the explorer's own; `side_by_side` searches share the memory.
    pub(crate) fn of(args: &EngineArgs, side_by_side: usize) -> Self {
        let defaults = explore::Options::default();
        let shared = defaults.memory_max / side_by_side as u64;
        let options = explore::Options {
            states_max: args.states_max.unwrap_or(defaults.states_max),
            memory_max: args.memory_max.unwrap_or(shared),
            symmetry: !args.no_symmetry,
            partial_order: !args.no_partial_order,
            merge: !args.no_merge,
            fingerprint: if args.exact { false } else { args.fingerprint || defaults.fingerprint },
            visit_all: false,
            first_alone: false,
            stamp_order: None,
            races_left_out: BTreeSet::new(),
            leaves_races_out: false,
        };
        Self { options, time_max: args.time_max }
    }

    /// Explores `system`.
    pub(crate) fn run(&self, system: &System, properties: &[Property]) -> Result<Vec<Said>, ModelError> {
        let mut said = Vec::new();
        for properties in groups(properties) {
            let started = Instant::now();
            let stop = || self.time_max.is_some_and(|max| started.elapsed() >= max);
            let report = explore::check(system, &properties, &self.options, &stop)?;
            let seconds = started.elapsed().as_secs_f64();
            said.extend(report.findings.into_iter().map(|finding| {
                Said::Judged(Box::new(Judged {
                    finding,
                    extent: report.extent,
                    seconds,
                    missed_max: report.collision_max,
                    bug_missed_max: None,
                    strategy: None,
                    seed: None,
                    own_schedule: None,
                }))
            }));
        }
        Ok(said)
    }
}

/// The properties, in groups that one search judges: what is judged on endless runs or after kills allows no
/// reduction, and would take the reductions from the others.
pub(crate) fn groups(properties: &[Property]) -> impl Iterator<Item = Vec<Property>> {
    let needs_all_states = |property: &Property| property.is_liveness() || *property == Property::CrashSafe;
    let (all_states, reduced): (Vec<Property>, Vec<Property>) = properties.iter().copied().partition(needs_all_states);
    [reduced, all_states].into_iter().filter(|group| !group.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_allows_no_reduction_is_searched_for_apart() {
        use Property::{CrashSafe, Fresh, NoDeadlock, Ordered};
        let split: Vec<_> = groups(&[Fresh, NoDeadlock, Ordered, CrashSafe]).collect();
        assert_eq!(split, [vec![Fresh, Ordered], vec![NoDeadlock, CrashSafe]]);
        assert_eq!(groups(&[Fresh]).count(), 1);
    }

    #[test]
    fn options_of_the_command_line_reach_the_explorer() {
        let args = EngineArgs { no_symmetry: true, states_max: Some(7), exact: true, ..EngineArgs::default() };
        let options = Limits::of(&args, 2).options;
        assert_eq!((options.symmetry, options.partial_order, options.merge), (false, true, true));
        assert_eq!((options.states_max, options.fingerprint), (7, false));
        assert_eq!(options.memory_max, explore::Options::default().memory_max / 2);
    }
}
