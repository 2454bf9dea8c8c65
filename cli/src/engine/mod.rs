//! The engines that run a scenario, as the command line asks for them.

mod args;
mod explore;
mod loom;
mod shuttle;

use std::time::Instant;

use lockproof_model::engine as side;
use lockproof_model::property::Property;
use lockproof_model::step::ModelError;
use lockproof_model::system::System;
use lockproof_model::verdict::{Extent, Finding};

use crate::error::CliError;

pub(crate) use args::EngineArgs;

/// What runs a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Every state once, and fair cycles.
    Explore,
    /// Every interleaving, by loom.
    Loom,
    /// Schedules drawn at random, by shuttle.
    Shuttle,
}

impl Engine {
    /// All of them; the explorer comes first.
    pub(crate) const ALL: [Engine; 3] = [Engine::Explore, Engine::Loom, Engine::Shuttle];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Engine::Explore => "explore",
            Engine::Loom => "loom",
            Engine::Shuttle => "shuttle",
        }
    }

    /// Whether a limit is the engine's usual end. Of the explorer it is a surprise.
    pub(crate) fn is_often_cut(self) -> bool {
        self != Engine::Explore
    }
}

/// The engines of a check, and how each is run.
#[derive(Clone, Debug)]
pub(crate) struct Engines {
    /// Each once, in their order.
    pub(crate) chosen: Vec<Engine>,
    explore: explore::Limits,
    loom: loom::Limits,
    shuttle: shuttle::Limits,
}

/// What an engine says of one property.
#[derive(Debug)]
pub(crate) enum Said {
    /// It judged it.
    Judged(Box<Judged>),
    /// It has no means to.
    Refused(Property, String),
}

/// A finding, and what it rests on.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) finding: Finding,
    /// Of the whole search, which may have judged several properties.
    pub(crate) extent: Extent,
    pub(crate) seconds: f64,
    /// At most so probably a state was missed, by an engine that keeps fingerprints.
    pub(crate) missed_max: Option<f64>,
    /// At most so probably a mistake of the depth that was looked for was missed, by an engine that samples.
    pub(crate) bug_missed_max: Option<f64>,
    pub(crate) strategy: Option<String>,
    pub(crate) seed: Option<u64>,
    pub(crate) own_schedule: Option<String>,
}

impl Engines {
    /// What the command line says; `side_by_side` searches share the memory.
    ///
    /// # Errors
    /// An option of an engine that was not asked for.
    pub(crate) fn of(args: &EngineArgs, side_by_side: usize) -> Result<Self, CliError> {
        args.refuse_what_is_ignored()?;
        Ok(Self {
            chosen: args.chosen(),
            explore: explore::Limits::of(args, side_by_side),
            loom: loom::Limits::of(args),
            shuttle: shuttle::Limits::of(args),
        })
    }

    /// Lets an engine run `system`, and returns what it says of each property.
    ///
    /// # Errors
    /// A mistake of a protocol, or a limit of the model.
    pub(crate) fn run(
        &self,
        engine: Engine,
        system: &System,
        properties: &[Property],
    ) -> Result<Vec<Said>, ModelError> {
        match engine {
            Engine::Explore => self.explore.run(system, properties),
            Engine::Loom => beside(properties, |properties| self.loom.run(system, properties)),
            Engine::Shuttle => {
                let mut said = beside(properties, |properties| self.shuttle.run(system, properties))?;
                for said in &mut said {
                    if let Said::Judged(judged) = said {
                        (judged.strategy, judged.seed) = (Some(self.shuttle.strategy()), self.shuttle.seed());
                    }
                }
                Ok(said)
            }
        }
    }
}

/// Lets an engine that runs executions one by one judge what it can.
fn beside(
    properties: &[Property],
    check: impl FnOnce(&[Property]) -> Result<side::Report, side::Error>,
) -> Result<Vec<Said>, ModelError> {
    let (judged, refused): (Vec<Property>, Vec<Property>) =
        properties.iter().copied().partition(|property| side::judges(*property));
    let mut said: Vec<Said> = refused.into_iter().map(|property| Said::Refused(property, why_not(property))).collect();
    if judged.is_empty() {
        return Ok(said);
    }
    let started = Instant::now();
    match check(&judged) {
        Ok(mut report) => {
            let seconds = started.elapsed().as_secs_f64();
            said.extend(report.findings.into_iter().map(|finding| {
                Said::Judged(Box::new(Judged {
                    own_schedule: report.own_schedules.remove(&finding.property),
                    finding,
                    extent: report.extent,
                    seconds,
                    missed_max: None,
                    bug_missed_max: report.miss_max,
                    strategy: None,
                    seed: None,
                }))
            }));
        }
        Err(side::Error::Unsupported { why, .. }) => {
            said.extend(judged.into_iter().map(|property| Said::Refused(property, why.clone())));
        }
        Err(side::Error::Property { property, .. }) => {
            let why = why_not(property);
            said.extend(judged.into_iter().map(|property| Said::Refused(property, why.clone())));
        }
        Err(side::Error::Learn(error)) => return Err(error.into()),
        Err(side::Error::Model(error)) => return Err(error),
    }
    Ok(said)
}

fn why_not(property: Property) -> String {
    if property.is_wish() {
        format!("{property} asks for a run, and it looks for what goes wrong")
    } else {
        format!("{property} is about endless runs, and it runs finite ones")
    }
}
