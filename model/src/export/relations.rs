//! Who waits for whom, written out for the processes that there are: Promela has no functions.

use std::fmt::Write as _;

use super::promela::Text;
use super::symbolic::Kind;

impl Text<'_> {
    /// What is written out for the processes and threads that there are.
    pub(super) fn relations(&self, text: &mut String, threads: &[(usize, usize)]) {
        let processes = self.system().processes.len();
        let mut owner = format!("{}", processes - 1);
        for (process, last) in self.lasts(threads).into_iter().rev().skip(1) {
            owner = format!("((t) <= {last} -> {process} : {owner})");
        }
        let _ = writeln!(text, "#define OWNER(t) {owner}");
        let others = |than: &[usize]| (0..processes).filter(|other| !than.contains(other)).collect::<Vec<_>>();
        let any = |all: Vec<String>| if all.is_empty() { "false".into() } else { format!("({})", all.join(" || ")) };
        let every = |all: Vec<String>| if all.is_empty() { "true".into() } else { format!("({})", all.join(" && ")) };
        // Two threads of one process that stand before accesses to one cell.
        let races = threads.iter().enumerate().flat_map(|(thread, (process, _))| {
            let others = (0..thread).filter(move |other| threads[*other].0 == *process);
            others.map(move |other| format!("((p) == {process} && CONFLICT({other}, {thread}))"))
        });
        let _ = writeln!(text, "#define RACES(p) {}", any(races.collect()));
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
