//! The whole text: constants, the world, the properties, a proctype for each thread, and who runs what.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::ExportError;
use super::layout::{Layout, STORES_MAX};
use super::node::{Place, Writer, constant};
use super::symbolic::{Automata, Kind};
use crate::explore;
use crate::monitor;
use crate::op::Path;
use crate::property::Property;
use crate::protocol::Layers;
use crate::system::{Process, Repeat, System};
use crate::value::{Datum, Value};

/// The most states that are explored to learn the automata.
const STATES_MAX: u64 = 50_000_000;
/// The kernel's search for a cycle is written out for every order of the processes.
const PROCESSES_MAX: usize = 4;
/// Sets of threads of a process are masks in a byte.
const THREADS_MAX: usize = 8;
/// A call of a script that is repeated is written once for each time.
const CALLS_MAX: usize = 64;
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

/// What is seen at once to be impossible.
fn refuse(system: &System) -> Result<(), ExportError> {
    let mut features = BTreeSet::new();
    if system.processes.len() > PROCESSES_MAX {
        features.insert(format!("more than {PROCESSES_MAX} processes"));
    }
    for process in &system.processes {
        let name = &process.name;
        if process.threads.len() > THREADS_MAX {
            features.insert(format!("more than {THREADS_MAX} threads in a process ({name})"));
        }
        if process.threads.len() > 1 && process.runs != Repeat::Times(1) {
            features.insert(format!("a process of several threads that is started again ({name})"));
        }
        for thread in 0..process.threads.len() {
            if script(process, thread).0.len() > CALLS_MAX {
                features.insert(format!("a thread that makes more than {CALLS_MAX} calls in all ({name})"));
            }
        }
    }
    if features.is_empty() { Ok(()) } else { Err(ExportError::Features(features.into_iter().collect())) }
}

/// What comes after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The call at that place.
    Call(usize),
    /// The same, in a new process.
    Process(usize),
    /// Nothing.
    End,
}

/// The calls that a thread makes, repeated as often as they are, each with what comes next; and how many of them are
/// the preparation of its process. A bound cuts what would be too long.
fn script(process: &Process, thread: usize) -> (Vec<(&crate::call::Call, Next)>, usize) {
    let before: &[_] = if thread == 0 { &process.before } else { &[] };
    let own = &process.threads[thread];
    let times = |repeat| if let Repeat::Times(times) = repeat { times as usize } else { 1 };
    let mut calls = Vec::new();
    for run in 0..times(process.runs) {
        let start = calls.len();
        calls.extend(before.iter().map(|call| (call, Next::End)));
        let first = calls.len();
        for _ in 0..times(own.repeat) {
            calls.extend(own.script.iter().map(|call| (call, Next::End)));
            if calls.len() > CALLS_MAX {
                return (calls, before.len());
            }
        }
        let end = calls.len();
        for (at, call) in calls.iter_mut().enumerate().take(end - 1).skip(start) {
            call.1 = Next::Call(at + 1);
        }
        if let Some(last) = calls.last_mut() {
            last.1 = match (own.repeat, process.runs) {
                (Repeat::Forever, _) if !own.script.is_empty() => Next::Call(first),
                (_, Repeat::Forever) => Next::Process(start),
                (_, Repeat::Times(runs)) if run + 1 < runs as usize => Next::Process(end),
                _ => Next::End,
            };
        }
    }
    (calls, before.len())
}

/// The text that is written.
struct Text<'a> {
    writer: Writer<'a>,
}

impl Text<'_> {
    fn system(&self) -> &System {
        self.writer.system
    }

    /// The process of each thread, and its number there.
    fn threads(&self) -> Vec<(usize, usize)> {
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
                        " *   {property:21} spin -a -DNO_STARVATION_WEAK, then pan -a -f -N waits_0, and each other thread"
                    );
                }
                Ok(name) => {
                    let _ = writeln!(text, " *   {property:21} spin -a -D{name}");
                }
                Err(why) => refused.push((property, why)),
            }
        }
        text.push_str(" *\n * Not here:\n");
        for (property, why) in refused {
            let _ = writeln!(text, " *   {property:21} {why}");
        }
        text.push_str(
            " *\n * Then `gcc -O2 -DSAFETY -o pan pan.c` and `./pan -E`. No name at all: every state, as `lockproof check --no-merge\n \
             * --no-partial-order --no-symmetry` counts them, and one more, before the processes run.\n */\n\n",
        );
    }

    fn names(&self, text: &mut String) {
        let layout = self.writer.layout;
        let paths = |paths: &[Path]| paths.iter().map(|path| path.0.clone()).collect::<Vec<_>>();
        let all = [
            ("L", paths(&layout.locks)),
            ("D", paths(&layout.documents)),
            ("C", layout.globals.clone()),
            ("C", layout.fields.clone()),
            ("M", layout.mutexes.clone()),
            ("RW", layout.rw_mutexes.clone()),
        ];
        for (prefix, names) in all {
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

    /// What is written out for the processes and threads that there are.
    fn relations(&self, text: &mut String, threads: &[(usize, usize)]) {
        let processes = self.system().processes.len();
        let mut owner = format!("{}", processes - 1);
        for (process, last) in self.lasts(threads).into_iter().rev().skip(1) {
            owner = format!("((t) <= {last} -> {process} : {owner})");
        }
        let _ = writeln!(text, "#define OWNER(t) {owner}");
        let others = |than: &[usize]| (0..processes).filter(|other| !than.contains(other)).collect::<Vec<_>>();
        let any = |all: Vec<String>| if all.is_empty() { "false".into() } else { format!("({})", all.join(" || ")) };
        let every = |all: Vec<String>| if all.is_empty() { "true".into() } else { format!("({})", all.join(" && ")) };
        text.push_str("#define AGAINST(h, mode) ((h) && (h) + (mode) > 2)\n");
        // Whether process a has a request that a lock of process b excludes.
        for a in 0..processes {
            let requests = threads.iter().enumerate().filter(|(_, (process, _))| *process == a);
            let blocked = requests.map(|(t, _)| {
                format!(
                    "(wants[{t}] && AGAINST(held[(b) * LOCKS + (wants[{t}] -> wants[{t}] - 1 : 0)], wants_mode[{t}]))"
                )
            });
            let _ = writeln!(text, "#define BLOCKS_{a}(b) {}", any(blocked.collect()));
        }
        let excludes = |b: usize| format!("({b} != (p) && AGAINST(held[{b} * LOCKS + (l)], mode))");
        let _ = writeln!(text, "#define EXCLUDED(p, l, mode) {}", any(others(&[]).into_iter().map(excludes).collect()));
        let possible = |b| format!("({} && {})", excludes(b), reaches(processes, &[b]));
        let _ = writeln!(text, "#define POSSIBLE(p, l, mode) {}", any(others(&[]).into_iter().map(possible).collect()));
        let certain = |b| format!("(!{} || {})", excludes(b), leads(processes, &[b]));
        let _ = writeln!(text, "#define CERTAIN(p, l, mode) {}", every(others(&[]).into_iter().map(certain).collect()));
        let slots =
            |count: usize, name: &str| (0..count).map(|at| format!("{name}[{at}] == clock + 1")).collect::<Vec<_>>();
        let layout = self.writer.layout;
        let time = |of_object| layout.slots_of(of_object, Kind::Time);
        let mut held = slots((threads.len() * layout.registers.get(Kind::Time)).max(1), "time_register");
        held.extend(slots((processes * (time(false) + layout.objects * time(true))).max(1), "time_slot"));
        let _ = writeln!(text, "#define INSTANT_HELD ({})", held.join(" || "));
    }

    /// Each process, and the last of its threads.
    fn lasts(&self, threads: &[(usize, usize)]) -> Vec<(usize, usize)> {
        let last = |process| threads.iter().rposition(|(of, _)| *of == process).unwrap_or(0);
        (0..self.system().processes.len()).map(|process| (process, last(process))).collect()
    }

    /// What properties need to know of documents.
    fn tables(&self, text: &mut String) {
        let layout = self.writer.layout;
        text.push_str("#if defined(EXCLUSIVE_LOCKS) || defined(CRASH_SAFE)\n#define HOLDS\n#endif\n\n");
        text.push_str("/* The answers of each query that are true while the layers document holds a value.\n");
        for (number, (call, answers)) in layout.queries.iter().enumerate() {
            let answers: Vec<String> = answers.iter().map(monitor::show_reply).collect();
            let _ = writeln!(text, " *   {}: {call}, answers from bit 0: {}", number + 1, answers.join("; "));
        }
        text.push_str(" */\ninline answers_of(query)\n{\n    if\n");
        for (query, (call, answers)) in layout.queries.iter().enumerate() {
            for store in layout.stores() {
                let true_now = layout.answers(call, &store);
                let bit = |(bit, answer)| if true_now.contains(answer) { 1u32 << bit } else { 0 };
                let mask: u32 = answers.iter().enumerate().map(bit).sum();
                let told = store.iter().enumerate().filter(|(document, _)| layout.contents[*document].len() > 1);
                let holds: String = told.map(|(at, number)| format!(" && document[{at}] == {number}")).collect();
                let _ = writeln!(text, "    :: query == {}{holds} -> found = {mask}", query + 1);
            }
        }
        text.push_str("    :: else -> assert(unlearned)\n    fi\n}\n\n");
        let _ = writeln!(text, "/* The layers, from bit 0: {} */", layout.ids.join(", "));
        text.push_str("inline layers_in(contents)\n{\n    if\n");
        for number in &layout.contents[0] {
            let of = |incomplete: bool, layers: &Layers| {
                let of = layers.iter().filter(|layer| layer.incomplete == incomplete);
                of.fold(0, |mask, layer| mask | layout.layer(&layer.id))
            };
            let layers = Layers::from_value(&layout.values[*number]).unwrap_or_default();
            let _ = writeln!(
                text,
                "    :: contents == {number} -> complete = {}; incomplete = {}",
                of(false, &layers),
                of(true, &layers)
            );
        }
        text.push_str("    :: else -> assert(unlearned)\n    fi\n}\n\n");
    }

    fn proctype(&self, text: &mut String, index: usize, process: &Process, thread: usize) {
        let (calls, before) = script(process, thread);
        let _ = writeln!(text, "/* {}, thread {}, {} */", process.name, thread + 1, process.protocol.name);
        let number = self.threads().iter().position(|of| *of == (index, thread)).unwrap_or(0);
        let _ = writeln!(text, "#define me {index}\n#define t {number}\nproctype thread_{number}()\n{{");
        for (at, (call, next)) in calls.iter().enumerate() {
            let root = &self.writer.automata.roots.get(&(process.protocol.name, (*call).clone()));
            let Some(root) = root else {
                // A call that no run gets to.
                let _ = writeln!(text, "call_{at}: assert(unlearned); /* {call}: never begun */");
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
                        effects.push("leave(me)".into());
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
                        effects.push("leave(me)".into());
                    } else {
                        effects.push(format!("leave_if(me, {})", done.join(" && ")));
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
            let _ = writeln!(text, "\n    /* ---- {call} ---- */");
            for state in self.reachable(root.state) {
                text.push_str(&self.writer.state(&place, state));
            }
        }
        text.push_str("    goto stopped;\npanics:\n    if :: d_step { MAY(me, t) -> panic(me) } fi;\n");
        text.push_str("stopped:\n    false\n}\n#undef me\n#undef t\n\n");
    }

    /// The control states of a call, its end left out.
    fn reachable(&self, root: usize) -> Vec<usize> {
        let states = &self.writer.automata.states;
        let (mut seen, mut found) = (BTreeSet::from([root]), vec![root]);
        let mut at = 0;
        while at < found.len() {
            for step in states[found[at]].edges.values() {
                if states[step.target].reply().is_none() && seen.insert(step.target) {
                    found.push(step.target);
                }
            }
            at += 1;
        }
        found
    }

    fn kills(&self, text: &mut String) {
        let may: Vec<usize> =
            (0..self.system().processes.len()).filter(|p| self.system().processes[*p].may_crash).collect();
        if self.system().crashes == 0 || may.is_empty() {
            return;
        }
        let layout = self.writer.layout;
        let guards = layout.locks.iter().filter(|path| monitor::guards_layers(path));
        let holds: Vec<String> = guards.map(|path| format!("HOLDS_EXCLUSIVE(i, {})", self.writer.lock(path))).collect();
        let holds = if holds.is_empty() { "false".into() } else { holds.join(" || ") };
        let _ = write!(
            text,
            "/* A kill, at any step. What the dead writer was making is half-made, if it had the lock to make it. */\n\
             byte kills = {};\n\
             inline kill(p)\n{{\n    kills = kills - 1;\n#ifdef CRASH_SAFE\n    layers_in(document[LAYERS]);\n    \
             for (i : 0 .. THREADS - 1) {{\n        if\n        :: OWNER(i) == p && making[i] && ({holds}) && \
             (incomplete & (1 << (making[i] -> making[i] - 1 : 0))) ->\n            \
             half_made = half_made | (1 << (making[i] - 1))\n        :: else\n        fi\n    }}\n#endif\n    die(p)\n}}\n\
             proctype killer()\n{{\nstopped:\n    if\n",
            self.system().crashes
        );
        for p in may {
            let threads = self.threads();
            let alive = threads.iter().enumerate().filter(|(_, (of, _))| *of == p);
            let alive: Vec<String> = alive.map(|(t, _)| format!("finished[{t}]")).collect();
            let _ = writeln!(
                text,
                "    :: d_step {{ kills && !dead[{p}] && !({}) && TURN(THREADS) -> kill({p}) }}; goto stopped",
                alive.join(" && ")
            );
        }
        text.push_str("    fi\n}\n\n");
    }

    /// Where nobody can go on, everybody must be done.
    fn standstill(&self, text: &mut String) {
        let threads: Vec<String> =
            (0..self.threads().len()).map(|t| format!("(finished[{t}] || dead[OWNER({t})])")).collect();
        let dead: Vec<String> = (0..self.system().processes.len()).map(|p| format!("dead[{p}]")).collect();
        let _ = write!(
            text,
            "#if defined(NO_DEADLOCK) || defined(CRASH_SAFE)\n#define ALL_DONE ({})\nproctype standstill()\n{{\n    timeout;\n\
             #ifdef NO_DEADLOCK\n    assert(ALL_DONE);\n#endif\n#ifdef CRASH_SAFE\n    assert(ALL_DONE || !({}));\n#endif\n    \
             false\n}}\n#endif\n\n",
            threads.join(" && "),
            dead.join(" || ")
        );
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
            let _ = writeln!(text, "        document[{}] = {};", constant("D", &inode.0), layout.value(value));
        }
        for number in 0..layout.timed.len() {
            let _ = writeln!(text, "        mtime[{number}] = clock;");
        }
        for (number, process) in system.processes.iter().enumerate() {
            if process.before.is_empty() {
                let _ = writeln!(text, "        ready[{number}] = 1;");
            }
        }
        text.push_str(
            "#ifdef CRASH_SAFE\n        layers_in(document[LAYERS]);\n        acknowledged = complete;\n#endif\n",
        );
        text.push_str("        skip\n    };\n    atomic {\n");
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

/// Whether a process, the last of `path`, waits for `p`, if need be by way of others.
fn reaches(processes: usize, path: &[usize]) -> String {
    let at = path[path.len() - 1];
    let mut ways = vec![format!("BLOCKS_{at}(p)")];
    for next in (0..processes).filter(|next| !path.contains(next)) {
        let longer: Vec<usize> = path.iter().copied().chain([next]).collect();
        ways.push(format!("({next} != (p) && BLOCKS_{at}({next}) && {})", reaches(processes, &longer)));
    }
    format!("({})", ways.join(" || "))
}

/// Whether it does, whichever of those that it waits for is followed.
fn leads(processes: usize, path: &[usize]) -> String {
    let at = path[path.len() - 1];
    let waits =
        (0..processes).filter(|next| *next != at).map(|next| format!("BLOCKS_{at}({next})")).collect::<Vec<_>>();
    let mut all = vec![format!("({})", if waits.is_empty() { "false".into() } else { waits.join(" || ") })];
    for next in (0..processes).filter(|next| *next != at) {
        let longer: Vec<usize> = path.iter().copied().chain([next]).collect();
        let further = if path.contains(&next) { "false".into() } else { leads(processes, &longer) };
        all.push(format!("({next} == (p) || !BLOCKS_{at}({next}) || {further})"));
    }
    format!("({})", all.join(" && "))
}
