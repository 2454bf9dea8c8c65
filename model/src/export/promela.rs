//! The whole text: constants, the world, the properties, a proctype for each thread, and who runs what.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::ExportError;
use super::layout::{Layout, STORES_MAX, constant};
use super::node::{Block, Place, Writer};
use super::script::{Next, refuse, script};
use super::symbolic::Automata;
use crate::explore;
use crate::monitor;
use crate::op::Path;
use crate::property::Property;
use crate::state::Shared;
use crate::system::{Process, Repeat, System};
use crate::value::Value;

/// The most states that are explored to learn the automata.
const STATES_MAX: u64 = 50_000_000;
/// Answers and layers are bits of an int.
const BITS_MAX: usize = 31;

/// The name under which a property is defined for `spin -a -DNAME`; `None` if SPIN cannot judge it, with the reason.
///
/// # Errors
/// Why not.
pub fn macro_of(system: &System, property: Property) -> Result<&'static str, &'static str> {
    let threads = || system.processes.iter().flat_map(|process| &process.threads);
    let endless = threads().any(|thread| thread.repeat == Repeat::Forever)
        || system.processes.iter().any(|process| process.runs == Repeat::Forever);
    let written = [monitor::IMAGES, monitor::CONTAINERS, monitor::MOUNTS];
    let records = || written.iter().any(|path| system.may_write(&Path::new(*path)));
    let branching = "that a thread can always go on is a property of all runs together where calls are made for ever";
    match property {
        Property::Fresh => Ok("FRESH"),
        Property::NoLostUpdate => Ok("NO_LOST_UPDATE"),
        Property::Exclusive => Ok("EXCLUSIVE_LOCKS"),
        Property::MutualExclusion => Ok("MUTUAL_EXCLUSION"),
        Property::NoDeadlock if endless => Err(branching),
        Property::NoDeadlock => Ok("NO_DEADLOCK"),
        Property::NoDataRace => Ok("NO_DATA_RACE"),
        Property::NoPanic => Ok("NO_PANIC"),
        Property::NoError => Ok("NO_ERROR"),
        Property::CrashSafe if endless => Err(branching),
        Property::CrashSafe if records() => {
            Err("what a kill leaves of images, containers and mounts is not written down")
        }
        Property::CrashSafe => Ok("CRASH_SAFE"),
        Property::NoStarvationWeak => Ok("NO_STARVATION_WEAK"),
        Property::NoStarvationStrong => Err("SPIN has weak fairness only"),
        Property::ParallelReads => Err("it is shown by a run that is right, not by one that is wrong"),
        Property::Ordered => Err("it joins the orders of locks of different runs"),
        Property::NoNeedlessLoad => Err("what a process knows of a document is not written down"),
        Property::DriverAlive => Err("which Shutdown a driver knows of is not written down"),
        Property::ReadOnly => Err("a Store object that is opened read-only has no word in it"),
    }
}

/// The text of `system` in Promela, under a title.
///
/// # Errors
/// What it cannot say.
pub fn promela(system: &System, title: &str) -> Result<String, ExportError> {
    refuse(system)?;
    let learned = explore::learn(system, STATES_MAX)?.ok_or(ExportError::States(STATES_MAX))?;
    let automata = Automata::of(&learned)?;
    let objects = learned.objects().map(|object| object.0 as usize + 1).max().unwrap_or(0);
    let layout = Layout::of(system, &automata, objects.max(1))?;
    let many = |what: &str, count: usize| (count > BITS_MAX).then(|| format!("more than {BITS_MAX} {what}: {count}"));
    if layout.stores_count() > STORES_MAX {
        return Err(ExportError::Features(vec![format!(
            "more than {STORES_MAX} different stores that answers are judged by"
        )]));
    }
    let answers = layout.queries.iter().map(|(_, answers)| answers.len()).max().unwrap_or(0);
    let found: Vec<String> =
        [many("layers", layout.ids.len()), many("answers of a query", answers)].into_iter().flatten().collect();
    if !found.is_empty() {
        return Err(ExportError::Features(found));
    }
    let writer = Writer { system, layout: &layout, automata: &automata };
    let text = Text { writer };
    Ok(text.write(title))
}

/// The text that is written.
pub(super) struct Text<'a> {
    pub(super) writer: Writer<'a>,
}

impl Text<'_> {
    pub(super) fn system(&self) -> &System {
        self.writer.system
    }

    /// The process of each thread, and its number there.
    pub(super) fn threads(&self) -> Vec<(usize, usize)> {
        let of = |(index, process): (usize, &Process)| (0..process.threads.len()).map(move |thread| (index, thread));
        self.system().processes.iter().enumerate().flat_map(of).collect()
    }

    fn write(&self, title: &str) -> String {
        let mut text = String::new();
        let threads = self.threads();
        self.head(&mut text, title);
        text.push_str(&self.writer.layout.constants(self.system(), threads.len()));
        self.names(&mut text);
        self.relations(&mut text, &threads);
        text.push('\n');
        text.push_str(include_str!("world.pml"));
        text.push('\n');
        self.tables(&mut text);
        text.push_str(include_str!("monitors.pml"));
        text.push('\n');
        for (index, process) in self.system().processes.iter().enumerate() {
            for thread in 0..process.threads.len() {
                self.proctype(&mut text, index, process, thread);
            }
        }
        text.push_str(include_str!("tidy.pml"));
        self.kills(&mut text);
        self.standstill(&mut text);
        self.init(&mut text, &threads);
        self.starvation(&mut text, threads.len());
        text
    }

    fn head(&self, text: &mut String, title: &str) {
        let _ = writeln!(
            text,
            "/* {title}\n *\n * Written by lockproof. Each property is judged if its name is defined:\n *"
        );
        let mut refused = Vec::new();
        for property in Property::ALL {
            match macro_of(self.system(), property) {
                Ok("NO_STARVATION_WEAK") => {
                    let _ = writeln!(
                        text,
                        " *   {:21} spin -a -DNO_STARVATION_WEAK, and gcc with -DNOREDUCE, not -DSAFETY; ./pan -E -a -f -N waits_0,\n *   {:21} and so on for each thread; a standstill in which it waits counts, too",
                        property.name(),
                        ""
                    );
                }
                Ok(name) => {
                    let _ = writeln!(text, " *   {:21} spin -a -D{name}", property.name());
                }
                Err(why) => refused.push((property, why)),
            }
        }
        text.push_str(" *\n * Not here:\n");
        for (property, why) in refused {
            let _ = writeln!(text, " *   {:21} {why}", property.name());
        }
        text.push_str(
            " *\n * Then `gcc -DSAFETY -o pan pan.c` and `./pan -E`. No name at all: every state, as `lockproof check --no-merge\n \
             * --no-partial-order --no-symmetry` counts them, and one more, before the processes run. Of a large model `spin -a\n \
             * -o1 -o2 -o3` takes a third of the time and says the same, and tcc compiles it sixty times as fast as gcc.\n */\n\n",
        );
    }

    fn names(&self, text: &mut String) {
        let layout = self.writer.layout;
        for (prefix, names) in layout.names() {
            for (number, name) in names.iter().enumerate() {
                let _ = writeln!(text, "#define {} {number}", constant(prefix, name));
            }
        }
        text.push_str("\n/* Values; what they have of stamps, objects and times is in slots.\n");
        for (number, value) in layout.values.iter().enumerate() {
            let _ = writeln!(text, " *   {number}: {}", monitor::show(value).replace("*/", "* /"));
        }
        text.push_str(" */\n");
        let empty: Vec<String> = layout
            .values
            .iter()
            .enumerate()
            .filter(|(_, value)| matches!(value, Value::Nil) || **value == Value::List(Vec::new()))
            .map(|(number, _)| format!("(v) == {number}"))
            .collect();
        let _ = writeln!(text, "#define EMPTY(v) ({})", empty.join(" || "));
    }

    fn proctype(&self, text: &mut String, index: usize, process: &Process, thread: usize) {
        let (calls, before) = script(process, thread);
        let _ = writeln!(text, "/* {}, thread {}, {} */", process.name, thread + 1, process.protocol.name);
        let number = self.threads().iter().position(|of| *of == (index, thread)).unwrap_or(0);
        let _ = writeln!(text, "#define me {index}\n#define t {number}\nproctype thread_{number}()\n{{");
        let mut blocks = Vec::new();
        for (at, (call, next)) in calls.iter().enumerate() {
            let root = &self.writer.automata.roots.get(&(process.protocol.name, (*call).clone()));
            let Some(root) = root else {
                // A call that no run gets to.
                let text = format!("assert(unlearned); /* {call}: never begun */\n");
                blocks.push(Block { label: format!("call_{at}"), text, jumps: Vec::new() });
                continue;
            };
            let start = |at: usize| {
                let root = self.writer.automata.roots.get(&(process.protocol.name, calls[at].0.clone()));
                root.map(|root| (format!("c{at}_{}", root.state), root.state))
            };
            let shared_memory = process.threads.len() > 1;
            let mut effects = Vec::new();
            if thread == 0 && before > 0 && at + 1 == before {
                effects.push("ready[me] = 1".to_owned());
            }
            let label = match next {
                Next::Call(first) | Next::Process(first) => {
                    let (label, state) = start(*first).unwrap_or((format!("call_{first}"), usize::MAX));
                    if shared_memory {
                        let op = self.writer.automata.states.get(state).and_then(|state| state.op());
                        effects.push(self.writer.stands_before(op));
                    }
                    if matches!(next, Next::Process(_)) {
                        effects.push("LEAVE".into());
                    }
                    label
                }
                Next::End => {
                    effects.push("finished[t] = 1".into());
                    if shared_memory {
                        effects.push("STANDS_BEFORE(t, 0)".into());
                    }
                    let others = (0..process.threads.len()).filter(|other| *other != thread);
                    let done = others.map(|other| format!("finished[t + {other} - {thread}]")).collect::<Vec<_>>();
                    // The last one to end takes the process with it.
                    if done.is_empty() {
                        effects.push("LEAVE".into());
                    } else {
                        effects.push(format!("LEAVE_IF({})", done.join(" && ")));
                    }
                    "stopped".into()
                }
            };
            let place = Place {
                call,
                root: root.state,
                root_notes: &root.notes,
                prefix: format!("c{at}_"),
                after: (effects, label),
                waits_until_ready: thread > 0 && at == 0,
                shared_memory,
                thread,
            };
            let states = self.reachable(root.state);
            let below = |at: usize| states.get(at + 1).copied();
            let first = blocks.len();
            blocks.extend(states.iter().enumerate().map(|(at, state)| self.writer.state(&place, *state, below(at))));
            blocks[first].text.insert_str(0, &format!("/* ---- {call} ---- */ "));
        }
        // SPIN looks through all labels for each of its statements: only those that something jumps to are written.
        let wanted: BTreeSet<&String> = blocks.iter().flat_map(|block| &block.jumps).collect();
        for block in &blocks {
            let label = if wanted.contains(&block.label) { format!("{}:", block.label) } else { "   ".into() };
            let _ = write!(text, "{label} {}", block.text);
        }
        // SPIN forgets where a `d_step` goes on that is the whole of a choice, if it does not merge statements.
        text.push_str(
            "    goto stopped;\npanics:\n    if :: atomic { MAY(me, t) -> d_step { panic(me) } }; goto stopped fi;\n",
        );
        text.push_str("stopped:\n    false\n}\n#undef me\n#undef t\n\n");
    }

    /// The control states of a call, its end left out, each with one that it goes on to right behind it where there is one
    /// that has no place yet.
    fn reachable(&self, root: usize) -> Vec<usize> {
        let states = &self.writer.automata.states;
        let (mut seen, mut found, mut waiting) = (BTreeSet::new(), Vec::new(), vec![root]);
        while let Some(state) = waiting.pop() {
            if seen.insert(state) {
                found.push(state);
                let targets = states[state].edges.values().rev().map(|step| step.target);
                waiting.extend(targets.filter(|target| states[*target].reply().is_none()));
            }
        }
        found
    }

    fn init(&self, text: &mut String, threads: &[(usize, usize)]) {
        let (layout, system) = (self.writer.layout, self.system());
        text.push_str("init\n{\n    d_step {\n");
        let _ = writeln!(text, "        i = 0;");
        for (number, path) in system.stamped.iter().enumerate() {
            let _ = writeln!(text, "        stamp[{}] = {};", self.writer.lock(path), number + 1);
        }
        for (path, value) in &system.documents {
            let inode = system.inode(path);
            let _ = writeln!(text, "        document[{}] = {};", constant("DOCUMENT", &inode.0), layout.value(value));
        }
        let start = Shared::start(system);
        for (number, _) in layout.timed.iter().enumerate().filter(|(_, inode)| start.mtimes[*inode] != 0) {
            let _ = writeln!(text, "        mtime[{number}] = clock;");
        }
        for (number, process) in system.processes.iter().enumerate() {
            if process.before.is_empty() {
                let _ = writeln!(text, "        ready[{number}] = 1;");
            }
        }
        text.push_str(
            "#ifdef CRASH_SAFE\n        layers_in(document[LAYERS]);\n        acknowledged = complete;\n        \
             half_made = incomplete;\n#endif\n",
        );
        text.push_str("        skip\n    };\n    atomic {\n        run tidy();\n");
        for t in 0..threads.len() {
            let _ = writeln!(text, "        run thread_{t}();");
        }
        if system.crashes > 0 && system.processes.iter().any(|process| process.may_crash) {
            text.push_str("        run killer();\n");
        }
        text.push_str("#if defined(NO_DEADLOCK) || defined(CRASH_SAFE)\n        run standstill();\n#endif\n        skip\n    }\n}\n");
    }

    /// Weak fairness is SPIN's own (`pan -f`): a process that can go on for ever does.
    fn starvation(&self, text: &mut String, threads: usize) {
        text.push_str("\n#ifdef NO_STARVATION_WEAK\n");
        for t in 0..threads {
            let _ = writeln!(text, "ltl waits_{t} {{ [] (wants[{t}] != 0 -> <> (wants[{t}] == 0)) }}");
        }
        text.push_str("#endif\n");
    }
}
