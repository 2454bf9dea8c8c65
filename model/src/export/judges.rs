//! What the properties need besides `monitors.pml`: tables of answers and layers, who is killed, who stands still.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::promela::Text;
use crate::monitor;
use crate::protocol::Layers;
use crate::value::Datum;

/// The number of whatever a document holds.
const ANYTHING: usize = usize::MAX;

impl Text<'_> {
    /// What properties need to know of documents.
    pub(super) fn tables(&self, text: &mut String) {
        let layout = self.writer.layout;
        text.push_str("#if defined(EXCLUSIVE_LOCKS) || defined(MUTUAL_EXCLUSION) || defined(CRASH_SAFE)\n");
        text.push_str("#define HOLDS\n#endif\n\n");
        text.push_str("/* The answers of each query that are true while the layers document holds a value.\n");
        for (number, (call, answers)) in layout.queries.iter().enumerate() {
            let answers: Vec<String> = answers.iter().map(monitor::show_reply).collect();
            let _ = writeln!(text, " *   {}: {call}, answers from bit 0: {}", number + 1, answers.join("; "));
        }
        text.push_str(" */\ninline answers_of(query)\n{\n    if\n");
        for (query, (call, answers)) in layout.queries.iter().enumerate() {
            let of = |store: Vec<usize>| {
                let true_now = layout.answers(call, &store);
                let bit = |(bit, answer)| if true_now.contains(answer) { 1u32 << bit } else { 0 };
                let mask: u32 = answers.iter().enumerate().map(bit).sum();
                (store, mask)
            };
            for (store, mask) in shortest(layout.stores().into_iter().map(of).collect(), layout.contents.len()) {
                let told = store.iter().enumerate().filter(|(_, number)| **number != ANYTHING);
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

    pub(super) fn kills(&self, text: &mut String) {
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
    pub(super) fn standstill(&self, text: &mut String) {
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
}

/// A table of answers in which a document that no answer depends on holds [`ANYTHING`]: SPIN takes an inline text of 64 KiB at
/// most (`SOMETHINGBIG` of its spin.h), and reads it again wherever it is asked for.
fn shortest(mut table: BTreeMap<Vec<usize>, u32>, documents: usize) -> BTreeMap<Vec<usize>, u32> {
    for document in 0..documents {
        let mut without = BTreeMap::new();
        let depends = table.iter().any(|(store, mask)| {
            let mut other = store.clone();
            other[document] = ANYTHING;
            without.entry(other).or_insert(*mask) != mask
        });
        if !depends {
            table = without;
        }
    }
    table
}
