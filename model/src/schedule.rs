//! A schedule: who takes a step, in which order. A short printable string that repeats a run.
//!
//! ```text
//! lk1:A12.B3.Ab.A_1.kB-1f2e3d4c
//! ```
//!
//! `A12`: process A takes 12 steps; `Ab`: its second thread takes one; `A_1`: it takes its second branch where there are
//! several; `kB`: process B is killed. A step is one operation other than a note. A lasso's cycle stands after `~`.
//! Behind the last `-`, a CRC-32 of what stands before it, so that a letter lost in copying is noticed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::system::PROCESSES_MAX;

/// One step of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// A thread performs its next operation.
    Run {
        /// The process, from 0.
        process: u8,
        /// Its thread, from 0.
        thread: u8,
        /// Which of the possible outcomes, from 0.
        branch: u8,
    },
    /// A process is killed.
    Kill {
        /// The process, from 0.
        process: u8,
    },
}

impl Step {
    /// The process that it is about.
    #[must_use]
    pub fn process(self) -> u8 {
        match self {
            Step::Run { process, .. } | Step::Kill { process } => process,
        }
    }
}

/// A sequence of steps, and the cycle that may be repeated after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// The steps.
    pub steps: Vec<Step>,
    /// The cycle of a lasso; empty where there is none.
    pub cycle: Vec<Step>,
}

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// It begins otherwise.
    #[error("a schedule begins with `lk1:`, this one with {found:?}")]
    Version {
        /// Its beginning.
        found: String,
    },
    /// Its checksum is missing or does not fit.
    #[error("the checksum does not fit (expected -{expected:08x} at the end): a part is missing or changed")]
    Checksum {
        /// What it would be.
        expected: u32,
    },
    /// A part of it makes no sense.
    #[error("{token:?} is no step; steps look like `A`, `A12`, `Ab3`, `A_1`, `kA`")]
    Token {
        /// The part.
        token: String,
    },
}

/// The most steps that one token may stand for.
const RUN_MAX: usize = 1_000_000;

fn crc32(text: &str) -> u32 {
    !text.bytes().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

fn letter(first: u8, number: u8) -> char {
    debug_assert!(usize::from(number) < PROCESSES_MAX);
    char::from(first + number)
}

fn write_steps(f: &mut impl fmt::Write, steps: &[Step]) -> fmt::Result {
    let mut rest = steps;
    while let Some(&step) = rest.first() {
        if rest.len() != steps.len() {
            f.write_char('.')?;
        }
        let mut count = 1;
        match step {
            Step::Kill { process } => write!(f, "k{}", letter(b'A', process))?,
            Step::Run { process, thread, branch } => {
                f.write_char(letter(b'A', process))?;
                if thread > 0 {
                    f.write_char(letter(b'a', thread))?;
                }
                if branch > 0 {
                    write!(f, "_{branch}")?;
                } else {
                    count = rest.iter().take_while(|&&other| other == step).count();
                    if count > 1 {
                        write!(f, "{count}")?;
                    }
                }
            }
        }
        rest = &rest[count..];
    }
    Ok(())
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::from("lk1:");
        write_steps(&mut text, &self.steps)?;
        if !self.cycle.is_empty() {
            text.push('~');
            write_steps(&mut text, &self.cycle)?;
        }
        write!(f, "{text}-{:08x}", crc32(&text))
    }
}

fn parse_token(token: &str) -> Option<(Step, usize)> {
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse::<usize>().ok();
    let bytes = token.as_bytes();
    if let [b'k', process @ b'A'..=b'Z'] = bytes {
        return Some((Step::Kill { process: process - b'A' }, 1));
    }
    let (&process, rest) = bytes.split_first().filter(|(first, _)| first.is_ascii_uppercase())?;
    let (thread, rest) = match rest {
        [thread @ b'a'..=b'z', rest @ ..] => (thread - b'a', rest),
        rest => (0, rest),
    };
    let (branch, count) = match rest {
        [] => (0, 1),
        [b'_', branch @ ..] => (u8::try_from(number(branch)?).ok()?, 1),
        count => (0, number(count).filter(|count| (1..=RUN_MAX).contains(count))?),
    };
    Some((Step::Run { process: process - b'A', thread, branch }, count))
}

fn parse_steps(text: &str) -> Result<Vec<Step>, ScheduleError> {
    let mut steps = Vec::new();
    for token in text.split('.').filter(|_| !text.is_empty()) {
        let (step, count) = parse_token(token).ok_or_else(|| ScheduleError::Token { token: token.into() })?;
        steps.extend(std::iter::repeat_n(step, count));
    }
    Ok(steps)
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let text = text.trim();
        let Some(body) = text.strip_prefix("lk1:") else {
            return Err(ScheduleError::Version { found: text.chars().take(8).collect() });
        };
        let (body, checksum) = body.rsplit_once('-').unwrap_or((body, ""));
        let expected = crc32(&format!("lk1:{body}"));
        if u32::from_str_radix(checksum, 16) != Ok(expected) {
            return Err(ScheduleError::Checksum { expected });
        }
        let (steps, cycle) = body.split_once('~').unwrap_or((body, ""));
        Ok(Schedule { steps: parse_steps(steps)?, cycle: parse_steps(cycle)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(process: u8, thread: u8, branch: u8) -> Step {
        Step::Run { process, thread, branch }
    }

    #[test]
    fn a_schedule_is_read_as_it_was_written() {
        let steps =
            vec![run(0, 0, 0), run(0, 0, 0), run(1, 0, 0), run(0, 1, 0), run(0, 0, 1), Step::Kill { process: 1 }];
        let schedule = Schedule { steps, cycle: vec![run(1, 0, 0); 3] };
        let text = schedule.to_string();
        assert_eq!(text, "lk1:A2.B.Ab.A_1.kB~B3-d30dbf84");
        assert_eq!(text.parse(), Ok(schedule));
        assert_eq!(Schedule::default().to_string().parse(), Ok(Schedule::default()));
    }

    #[test]
    fn a_damaged_schedule_is_refused() {
        let good = Schedule { steps: vec![run(0, 0, 0); 12], cycle: Vec::new() }.to_string();
        for damaged in [good.replace("12", "13"), good.replace("lk1", "lk2"), good[..good.len() - 1].into()] {
            assert!(damaged.parse::<Schedule>().is_err(), "{damaged}");
        }
        let token = format!("lk1:A0-{:08x}", crc32("lk1:A0"));
        assert_eq!(token.parse::<Schedule>(), Err(ScheduleError::Token { token: "A0".into() }));
    }

    #[test]
    fn the_checksum_is_crc_32() {
        assert_eq!(crc32("123456789"), 0xcbf4_3926);
    }
}
